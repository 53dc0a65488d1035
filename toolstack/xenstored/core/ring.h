// SPDX-License-Identifier: Apache-2.0
//
// A domain's ring page as a client's port. The page is shared with the domain, which may write
// anything into it at any time: the store keeps its own two indices to itself, copies the domain's
// two once for each use, and checks the copies. An index that lies makes the connection deaf, with
// the reason in the page, until the domain asks for a new connection. No path waits for the domain.
#ifndef XENSTORED_RING_H
#define XENSTORED_RING_H

#include "connection.h"

struct ring {
    struct connection *connection;
    struct xenstore_domain_interface *page;
    uint32_t taken; /* of the domain's bytes */
    uint32_t given; /* of ours */
    unsigned port;
    bool local; /* page and port are not the store's to give back */
    bool notify;
};

/* Connects DOMAIN by a page and a port. NULL without memory. */
struct ring *ring_create(struct domain *domain, struct xenstore_domain_interface *page,
                         unsigned port, bool local);

/* Forgets the connection only: page and port stay the caller's. */
void ring_free(struct ring *ring);

/* Disconnects, and gives page and port back. */
void ring_destroy(struct ring *ring);

#endif
