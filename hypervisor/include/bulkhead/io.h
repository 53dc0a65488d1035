// SPDX-License-Identifier: Apache-2.0
// Emulated I/O of a domain: which handler serves a guest-physical range or a port range.
// Handlers are registered while the domain is built or paused and looked up without a lock.
#ifndef BULKHEAD_IO_H
#define BULKHEAD_IO_H

#include <bulkhead/list.h>
#include <bulkhead/types.h>

struct domain;
struct vcpu;

enum io_space { IO_MEMORY, IO_PORT };

struct io_handler {
    struct list link;
    enum io_space space;
    uint64_t start, size; // guest-physical bytes, or ports
    void *opaque;
    // addr is absolute; size 1, 2, 4 or 8 (ports up to 4). Access stays inside the range. Reads of
    // what is not there give all ones. Called with no lock held, on the vcpu's own CPU.
    void (*read)(struct vcpu *v, void *opaque, uint64_t addr, unsigned int size, uint64_t *value);
    void (*write)(struct vcpu *v, void *opaque, uint64_t addr, unsigned int size, uint64_t value);
};

// The handler stays the caller's; it must outlive the domain or be removed while it is paused.
void io_handler_add(struct domain *d, struct io_handler *handler);
void io_handler_remove(struct io_handler *handler);
struct io_handler *io_handler_find(struct domain *d, enum io_space space, uint64_t addr,
                                   unsigned int size);
// Whether any handler serves a part of the guest's page.
bool io_handler_in_page(struct domain *d, gfn_t gfn);

#endif
