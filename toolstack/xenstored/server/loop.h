// SPDX-License-Identifier: Apache-2.0
//
// The event loop: one epoll over the listening socket, its clients and the event channels. Whoever
// has something to do stands in one queue; a round gives each one turn of bounded work and then
// sends what the turns have left for others. So no client waits for more than one turn of each
// other client. Clients' sockets are edge triggered: between turns the loop, not the kernel,
// remembers who has unread input.
#ifndef XENSTORED_LOOP_H
#define XENSTORED_LOOP_H

#include "../core/xenstore.h"

struct loop;

/*
 * A loop for a listening socket, which does not block. USE_HYPERVISOR: whether hypervisor.h is open
 * and serves its event channels. NULL without memory or descriptors.
 */
struct loop *loop_create(int listener, bool use_hypervisor);

/* The host to create the store with; lives as long as the loop. */
const struct host *loop_host(struct loop *loop);

/* Gives the loop the store to serve, which is the loop's from now on. */
void loop_attach(struct loop *loop, struct store *store);

/* Serves until SIGTERM or SIGINT. */
void loop_run(struct loop *loop);

/* Closes all clients, destroys the store and the loop. */
void loop_destroy(struct loop *loop);

#endif
