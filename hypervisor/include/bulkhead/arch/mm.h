// SPDX-License-Identifier: Apache-2.0
// Contract: the hypervisor's own address space, as mm/ needs it from a port.
#ifndef BULKHEAD_ARCH_MM_H
#define BULKHEAD_ARCH_MM_H

#include <bulkhead/types.h>

struct vcpu;

// The heap's window: every frame has a fixed virtual address there, which is mapped (read-write,
// never executable) only while the frame is the heap's.
void *arch_heap_address(mfn_t mfn);
mfn_t arch_heap_frame(const void *p); // also for addresses inside the hypervisor's image
int arch_heap_map(mfn_t mfn, unsigned int order);    // 0 or -XEN_ENOMEM
void arch_heap_unmap(mfn_t mfn, unsigned int order); // all CPUs' TLBs are flushed on return

// Slots of this CPU, used in stack order; at least 16.
void *arch_map_slot(mfn_t mfn);
void arch_unmap_slot(const void *p);
void *arch_move_slot(void *p, mfn_t mfn); // the innermost shows another frame; returns p
bool arch_is_map_slot(const void *p);     // whether an address came from arch_map_slot
// A page of address space visible to all CPUs; NULL when out of space.
void *arch_map_lasting(mfn_t mfn);
void arch_unmap_lasting(void *p);
bool arch_is_lasting(const void *p);
// Makes table memory for the frame table before the allocator exists: maps `bytes` (zeroed) of
// boot memory at the frame table's fixed address and returns it.
struct page *arch_map_frame_table(uint64_t frames);

// Walks the vcpu's own page tables for a supervisor data access. 0 or -XEN_EFAULT.
int arch_walk_guest(struct vcpu *v, gva_t address, bool write, gpa_t *out);

#endif
