// SPDX-License-Identifier: Apache-2.0
//
// The xenstore server as a library without any input or output: the tree, its clients and the wire
// protocol. Whoever embeds it brings bytes and takes bytes (struct port_operations), and supplies
// what only the hypervisor can do (struct host). One thread. A client's turn is bounded work; the
// embedder goes round its clients. Errors of clients are replies to them; the only errors that come
// out of here are "no memory" and "this client is gone".
#ifndef XENSTORED_XENSTORE_H
#define XENSTORED_XENSTORE_H

#include <errno.h> /* before xs_wire.h, which makes its table of errors then */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <xen/io/xs_wire.h>

struct connection;
struct domain;
struct quotas;
struct store;

/* Bit 2 of the ring's features: watches with a depth. Newer than the headers of Xen 4.20. */
#define FEATURE_WATCH_DEPTH 4u
#define FEATURES_ALL                                                                               \
    (XENSTORE_SERVER_FEATURE_RECONNECTION | XENSTORE_SERVER_FEATURE_ERROR | FEATURE_WATCH_DEPTH)

enum domain_state { DOMAIN_RUNS, DOMAIN_SHUT_DOWN, DOMAIN_GONE };

/*
 * What the server needs from the machine. CONTEXT is the first argument of all. Domains' rings and
 * event channels are unsigned numbers and pointers that only the host understands.
 */
struct host {
    void *context;
    /* Maps the ring page of a domain, FRAME being what INTRODUCE said; NULL when it cannot. */
    struct xenstore_domain_interface *(*map_ring)(void *context, unsigned domid, uint64_t frame);
    void (*unmap_ring)(void *context, unsigned domid, struct xenstore_domain_interface *ring);
    /* Binds to the domain's event channel; the local port, or -1. */
    int (*bind_port)(void *context, unsigned domid, unsigned remote_port);
    void (*unbind_port)(void *context, unsigned port);
    void (*notify_port)(void *context, unsigned port);
    enum domain_state (*domain_state)(void *context, unsigned domid);
    /* A client's ring was connected (0 or ENOMEM), or is about to be disconnected. */
    int (*ring_opened)(void *context, struct connection *connection, unsigned port);
    void (*ring_closing)(void *context, struct connection *connection, unsigned port);
    /* A line for the log: what a person asked to be told. */
    void (*log)(void *context, const char *text);
    /* Sends the log to another file; 0 or an error number. */
    int (*log_to)(void *context, const char *path);
};

/* How bytes reach a client and come from it. None of these waits. */
struct port_operations {
    /* A turn begins. May be NULL. */
    void (*begin)(struct connection *connection);
    /* Takes up to SIZE bytes that the client has sent; 0: none now; -1: the client is gone. */
    ssize_t (*receive)(struct connection *connection, char *data, size_t size);
    /* Sends up to LENGTH bytes; how many, 0: no room now; -1: the client is gone. */
    ssize_t (*transmit)(struct connection *connection, const char *data, size_t length);
    /* All of this turn's bytes have been taken and sent. May be NULL. */
    void (*finish)(struct connection *connection);
    /* The client broke the protocol (XENSTORE_ERROR_...). Returns true when the connection stays,
     * deaf, until the client resets it, false when it is to be closed. */
    bool (*broken)(struct connection *connection, unsigned error);
};

enum turn {
    TURN_IDLE,    /* nothing to do until the client sends */
    TURN_BLOCKED, /* nothing to do until the client takes its replies */
    TURN_MORE,    /* there is more: give it another turn, after the others */
    TURN_CLOSED,  /* the client is gone or broken: close the connection */
};

/* A store with its first nodes. HOST must live as long as the store. NULL without memory. */
struct store *xenstore_create(const struct host *host);
void xenstore_destroy(struct store *store);

struct quotas *xenstore_quotas(struct store *store);

/* A connection of a privileged client, which speaks as domain 0. PORT is the embedder's. */
struct connection *xenstore_connect(struct store *store, const struct port_operations *operations,
                                    void *port);
void xenstore_disconnect(struct connection *connection);
void *connection_port(const struct connection *connection);

/* Serves a client for a bounded time. */
enum turn xenstore_turn(struct connection *connection);

/* Sends what turns have left for other clients. Clients found to be gone are left for their own
 * turn. Call after each round. */
void xenstore_flush(struct store *store);

/*
 * Connects a domain by a ring page and a local event channel port, as INTRODUCE does, but with both
 * already there: for domain 0. The store unmaps and unbinds neither. 0 or an error number.
 */
int xenstore_introduce_local(struct store *store, unsigned domid,
                             struct xenstore_domain_interface *ring, unsigned port);

/* Looks which domains have shut down or gone (after VIRQ_DOM_EXC). */
void xenstore_look_at_domains(struct store *store);

/* Checks every invariant of the data; returns NULL or a sentence that says which does not hold. */
const char *xenstore_check(struct store *store);

#endif
