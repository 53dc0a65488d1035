// SPDX-License-Identifier: Apache-2.0
//
// Watches. Watched paths form a tree of their own (watch points), one point for each component of a
// watched path, found by a hash of the point above and the name: firing an event costs one look-up
// for each component of its path, however many watches there are elsewhere. Special events are
// points below a root of their own, so that a watch of "/" does not see them. A watch belongs to a
// connection and goes with it. Events to one client are queued by the connection (connection.h).
#ifndef XENSTORED_WATCH_H
#define XENSTORED_WATCH_H

#include "domain.h"

#define WATCH_ANY_DEPTH (-1)

struct message;

struct watch {
    struct watch *next_here; /* of the same point */
    struct watch *next_own;  /* of the same connection */
    struct watch_point *point;
    struct connection *connection;
    struct message *pending; /* events not yet sent, newest first */
    int depth;               /* how far below it events count, or WATCH_ANY_DEPTH */
    unsigned skip;           /* what of a path this client does not see: its home */
    size_t bytes;            /* charged to the client */
    const char *token;
    const char *path;
    char data[];
};

/*
 * Adds a watch. PATH is canonical; SKIP bytes of it are the client's home, which it has not
 * written. 0, EEXIST, E2BIG (quota, or a token too long) or ENOMEM. Does not fire it.
 */
int watch_add(struct connection *connection, const char *path, const char *token, int depth,
              unsigned skip);

/* Queues the event that every new watch begins with. ENOMEM when it cannot. */
int watch_greet(struct connection *connection);

/* 0, or ENOENT when the client has no such watch. Events that wait for it are dropped. */
int watch_remove(struct connection *connection, const char *path, const char *token);

void watch_remove_all(struct connection *connection);

/* Tells those who watch about a change that has become visible. */
void watch_fire(struct store *store, const struct change *change);

/* Tells those who watch a special path about domain DOMID. */
void watch_fire_special(struct store *store, unsigned special, unsigned domid);

/* Gives the tree of points its root; false without memory. */
bool watches_create(struct store *store);
void watches_destroy(struct store *store);

#endif
