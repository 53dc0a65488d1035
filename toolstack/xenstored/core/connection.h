// SPDX-License-Identifier: Apache-2.0
//
// A client: bytes in, requests, replies and events out. Input is cut into messages in a buffer that
// all clients share; only an incomplete rest is kept with the client. A reply goes out at once when
// nothing waits before it; otherwise it waits in one queue with the watch events, in order.
// No client can make the store hold much: no request is taken while too many replies wait
// (QUOTA_OUTSTANDING), and when too many events wait (QUOTA_EVENTS, QUOTA_MEMORY) a further one is
// replaced by a single event for its watch, with the watch's own path, which means "look at all of
// it". The writer whose changes cause the events never waits for their reader.
#ifndef XENSTORED_CONNECTION_H
#define XENSTORED_CONNECTION_H

#include "domain.h"

struct watch;
struct transaction;

struct message {
    struct message *next;
    struct message *next_pending; /* of the same watch, older */
    struct watch *watch;          /* NULL for replies and for what nobody may drop any more */
    uint32_t hash;                /* of an event's path */
    uint32_t length;
    uint32_t sent;
    bool reply;
    char data[];
};

struct connection {
    struct connection *next;
    struct connection **link;
    struct connection *next_dirty;
    struct store *store;
    struct domain *domain;
    const struct port_operations *operations;
    void *port;
    struct watch *watches;
    struct transaction *transactions;
    char *rest; /* input that is not yet a whole request, or not yet served */
    size_t rest_length;
    struct message *first;
    struct message **last;
    unsigned replies;
    unsigned events;
    bool dirty;
    bool deaf; /* broke the protocol: nothing is taken or sent until it is reset */
    bool gone;
};

struct connection *connection_create(struct store *store, struct domain *domain,
                                     const struct port_operations *operations, void *port);

/* Forgets watches, transactions and all that waits in either direction. */
void connection_reset(struct connection *connection);

/* The client broke the protocol (XENSTORE_ERROR_...): resets it, then it is deaf or gone. */
void connection_break(struct connection *connection, unsigned error);

/* Sends a reply: HEADER with its length filled in, then DATA. */
void connection_reply(struct connection *connection, const struct xsd_sockmsg *header,
                      const char *data);

/* Queues an event for a watch; it may be left out when the same one already waits. */
void connection_event(struct watch *watch, const char *path);

/* Like connection_event, but fails with ENOMEM where that leaves events out for lack of memory. */
int connection_first_event(struct watch *watch);

/* The watch is going: its events that wait are dropped. */
void connection_drop_events(struct watch *watch);

#endif
