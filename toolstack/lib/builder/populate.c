// SPDX-License-Identifier: Apache-2.0
//
// Memory for a domain: RAM in the largest extents that fit and that the machine still has, single
// pages for tables and special pages. The hypervisor may give fewer extents than asked for; the
// rest is then asked for in the next smaller size.
#include "build.h"

#include <errno.h>
#include <stdlib.h>
#include <xen/memory.h>

#define BATCH 1024u

// Asks for count extents of 2^order pages from a frame on; returns how many there are now.
static uint64_t populate_extents(struct hypervisor *hypervisor, unsigned int domid, uint64_t frame,
                                 uint64_t count, unsigned int order, xen_pfn_t *buffer)
{
    uint64_t done = 0;

    while (done < count) {
        uint64_t batch = count - done < BATCH ? count - done : BATCH;
        struct xen_memory_reservation reservation = {
            .nr_extents = batch, .extent_order = order, .domid = (domid_t)domid};

        for (uint64_t i = 0; i < batch; i++)
            buffer[i] = frame + ((done + i) << order);
        set_xen_guest_handle_raw(reservation.extent_start, buffer);
        int result = hypervisor_memory_op(hypervisor, XENMEM_populate_physmap, &reservation,
                                          sizeof(reservation));
        if (result > 0)
            done += (uint64_t)result;
        if (result < 0 || (uint64_t)result < batch)
            break;
    }
    return done;
}

// Populates whole extents of a size between two frames, which move together as it succeeds.
static void populate_size(struct hypervisor *hypervisor, unsigned int domid, uint64_t *frame,
                          uint64_t end, unsigned int order, xen_pfn_t *buffer)
{
    uint64_t mask = (1ul << order) - 1;

    if (*frame & mask)
        return;
    *frame += populate_extents(hypervisor, domid, *frame, (end - *frame) >> order, order, buffer)
              << order;
}

static struct error *populate_range(struct hypervisor *hypervisor, unsigned int domid,
                                    const struct guest_range *range, xen_pfn_t *buffer)
{
    uint64_t frame = range->address >> PAGE_SHIFT;
    uint64_t end = (range->address + range->size) >> PAGE_SHIFT;

    while (frame < end) {
        uint64_t before = frame;

        populate_size(hypervisor, domid, &frame, end, 18, buffer);
        populate_size(hypervisor, domid, &frame, end, 9, buffer);
        // Single pages up to where larger extents may begin again.
        uint64_t next = (frame | 511) + 1;

        if (frame < end)
            populate_size(hypervisor, domid, &frame, next < end ? next : end, 0, buffer);
        if (frame == before)
            return error_advice(
                error_new(ERROR_HOST_MEMORY, "the machine has no more memory for the domain"),
                "xl info free_memory says how many MiB are left.");
    }
    return NULL;
}

struct error *build_populate(struct hypervisor *hypervisor, unsigned int domid,
                             const struct guest_layout *layout)
{
    xen_pfn_t *buffer = hypervisor_buffer(hypervisor, BATCH * sizeof(*buffer));
    struct error *error = NULL;

    for (size_t i = 0; i < layout->backed_count && !error; i++)
        error = populate_range(hypervisor, domid, &layout->map[i], buffer);
    hypervisor_buffer_free(hypervisor, buffer);
    return error;
}
