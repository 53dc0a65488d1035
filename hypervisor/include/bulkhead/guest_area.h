// SPDX-License-Identifier: Apache-2.0
// A small structure in a guest's memory that the hypervisor keeps up to date (runstate, secondary
// time information). It may lie across the border of two pages: a guest that registers a linear
// address promises no alignment.
// Locking: the area's own lock, innermost, over the mappings and every write through them.
#ifndef BULKHEAD_GUEST_AREA_H
#define BULKHEAD_GUEST_AREA_H

#include <bulkhead/spinlock.h>
#include <bulkhead/types.h>

struct domain;
struct page;
struct vcpu;

// Zeroed: nothing registered.
struct guest_area {
    struct spinlock lock;
    bool versioned_always;     // registered by guest-physical address: readers expect update marks
    uint32_t size, first_size; // bytes in all, and in the first page
    uint8_t *part[2];          // lasting mappings; part[0] NULL: not registered
    struct page *page[2];      // references on the frames
};

// Registers size bytes (at most a page) at a linear address of the current vcpu, or at a
// guest-physical address of d (one page only), in place of what was registered before.
// 0, -XEN_EFAULT (not there or not writable), -XEN_ENXIO (physical: crosses a page), -XEN_ENOMEM;
// on failure the old registration stays.
int guest_area_register_linear(struct domain *d, struct guest_area *area, gva_t address,
                               uint32_t size);
int guest_area_register_physical(struct domain *d, struct guest_area *area, gpa_t address,
                                 uint32_t size);
// Forgets the registration, if any. No vcpu or p2m lock held.
void guest_area_release(struct guest_area *area);

// Writes count bytes at offset; nothing happens unless the area is registered and large enough.
// The caller holds area->lock.
void guest_area_write_locked(struct guest_area *area, uint32_t offset, const void *from,
                             uint32_t count);

// Copies the time fields of v's vcpu_info into its time area, if it has registered one. Any context
// but that of a writer of those fields in the middle.
void guest_area_publish_time(struct vcpu *v);

#endif
