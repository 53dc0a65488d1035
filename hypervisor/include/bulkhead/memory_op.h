// SPDX-License-Identifier: Apache-2.0
// The parts of the memory_op hypercall.
#ifndef BULKHEAD_MEMORY_OP_H
#define BULKHEAD_MEMORY_OP_H

#include <bulkhead/hypercall.h>

// Sub-operations take the low bits of arg[0]; above is how far a restarted one has come.
#define MEMOP_EXTENT_SHIFT 6

// physmap.c: what is mapped where. arg[1] is the structure; progress in the upper bits of arg[0].
int64_t memory_add_to_physmap(struct hypercall *call);
int64_t memory_add_to_physmap_batch(struct hypercall *call);
int64_t memory_remove_from_physmap(struct hypercall *call);
int64_t memory_acquire_resource(struct hypercall *call);

// The same for who has the structure already (the port's 32-bit convention).
struct xen_add_to_physmap;
struct xen_remove_from_physmap;
int64_t memory_add_pages(struct hypercall *call, const struct xen_add_to_physmap *arg);
int64_t memory_remove_page(const struct xen_remove_from_physmap *arg);

int64_t memory_exchange(struct hypercall *call); // memory_exchange.c; progress in nr_exchanged

// The port's: memory maps and what else only it knows; -XEN_ENOSYS for the rest.
int64_t arch_memory_op(unsigned int op, struct hypercall *call);

#endif
