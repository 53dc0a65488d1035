// SPDX-License-Identifier: Apache-2.0
//
// The console ring of a domain (xen/io/console.h), seen from the side that serves it. The domain
// writes to the page while we read it and may write anything: indices are read once, and a ring
// whose indices make no sense is taken for empty and set right.
#ifndef TOOLSTACK_CONSOLE_RING_H
#define TOOLSTACK_CONSOLE_RING_H

#include <stddef.h>

struct xencons_interface;

// Takes up to size bytes that the domain has written; returns how many.
size_t console_ring_take(struct xencons_interface *ring, char *bytes, size_t size);

// How many bytes of input the domain has room for.
size_t console_ring_room(const struct xencons_interface *ring);

// Gives the domain input; returns how many bytes it had room for.
size_t console_ring_give(struct xencons_interface *ring, const char *bytes, size_t size);

#endif
