// SPDX-License-Identifier: Apache-2.0
//
// A store in a test's hands: a host without a hypervisor whose domains are numbers, rings in
// ordinary memory, and clients whose bytes go into buffers. One world at a time; world_end() checks
// the store's invariants and that everything was given back. Failures end the test (assert) or, in
// a fuzzer, the program.
#ifndef TEST_XENSTORED_WORLD_H
#define TEST_XENSTORED_WORLD_H

#include "connection.h"
#include "request.h"
#include "transaction.h"

#define WORLD_DOMAINS 64
/* Bytes of replies and events that a client of the socket can leave unread. */
#ifndef CLIENT_OUTPUT
#define CLIENT_OUTPUT (1 << 20)
#endif

struct socket_client {
    struct connection *connection;
    char input[32768];
    size_t input_length;
    char output[CLIENT_OUTPUT];
    size_t output_length;
    size_t room; /* what it takes before it is full */
    bool closed;
};

struct world {
    struct store *store;
    struct host host;
    struct xenstore_domain_interface *ring[WORLD_DOMAINS]; /* of those that exist */
    enum domain_state state[WORLD_DOMAINS];
    bool mapped[WORLD_DOMAINS];
    struct connection *opened[WORLD_DOMAINS];
    unsigned notified[WORLD_DOMAINS];
    unsigned port_offset;
    bool no_ports;
};

extern struct world world;

void world_begin(void);
void world_end(void);

/* A client of the socket. */
struct socket_client *socket_open(void);
void socket_close(struct socket_client *client);

/* Gives a domain a ring, and introduces it by a request of CLIENT. */
void domain_begin(struct socket_client *client, unsigned domid);

/* Queues a request as the client would send it; returns its request id. */
uint32_t post(struct socket_client *client, uint32_t type, uint32_t transaction, const char *data,
              size_t length);

/* Sends a request, lets everybody have turns, and returns the reply's payload, terminated: "!" and
 * the name for an error. It is good until the next call. */
const char *ask_long(struct socket_client *client, uint32_t type, uint32_t transaction,
                     const char *data, size_t length, size_t *reply_length);

/* For payloads that are literals; their terminator is sent too. */
#define ask(client, type, transaction, literal)                                                    \
    ask_long((client), (type), (transaction), (literal), sizeof(literal), NULL)

/* The client's next event as "path token", or NULL. */
const char *next_event(struct socket_client *client);

/* Gives all clients turns until nobody has anything to do. */
void settle(void);

#endif
