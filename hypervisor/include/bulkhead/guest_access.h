// SPDX-License-Identifier: Apache-2.0
// Copies between the hypervisor and the memory of a guest. Linear addresses are the current
// vcpu's, walked through its own page tables with supervisor rights, as the Xen ABI has it for
// hypercall arguments. Frames are referenced while they are used.
#ifndef BULKHEAD_GUEST_ACCESS_H
#define BULKHEAD_GUEST_ACCESS_H

#include <bulkhead/types.h>

struct domain;

// 0, or -EFAULT when any byte is not readable or writable memory of the domain (bytes before it
// may have been copied). size is at most 1 MiB.
int copy_from_guest(void *to, gva_t from, size_t size);
int copy_to_guest(gva_t to, const void *from, size_t size);
int clear_guest(gva_t to, size_t size);

// The same by guest-physical address of any domain.
int copy_from_guest_physical(struct domain *d, void *to, gpa_t from, size_t size);
int copy_to_guest_physical(struct domain *d, gpa_t to, const void *from, size_t size);

// For the public headers' handles: a struct with one pointer member.
#define guest_handle_address(handle) GVA((uint64_t)(uintptr_t)(handle).p)
// The address of an element; a guest's pointer may be anything, so no pointer arithmetic.
#define guest_handle_element(handle, index)                                                        \
    GVA((uint64_t)(uintptr_t)(handle).p + (uint64_t)(index) * sizeof(*(handle).p))
#define copy_from_handle(to, handle, index, count)                                                 \
    copy_from_guest((to), guest_handle_element(handle, index), sizeof(*(handle).p) * (count))
#define copy_to_handle(handle, index, from, count)                                                 \
    copy_to_guest(guest_handle_element(handle, index), (from), sizeof(*(handle).p) * (count))

#endif
