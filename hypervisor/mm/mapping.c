// SPDX-License-Identifier: Apache-2.0
// The mapping layer over the port's slots. A heap frame is mapped already and needs no slot.

#include <bulkhead/arch/mm.h>
#include <bulkhead/heap.h>
#include <bulkhead/mapping.h>
#include <bulkhead/page.h>

static bool is_heap(mfn_t mfn)
{
    return mfn_in_table(mfn) && mfn_to_page(mfn)->state == PAGE_STATE_HEAP;
}

void *map_frame(mfn_t mfn)
{
    return is_heap(mfn) ? heap_from_mfn(mfn) : arch_map_slot(mfn);
}

void unmap_frame(const void *p)
{
    if (arch_is_map_slot(p)) {
        arch_unmap_slot(p);
    }
}

void *map_frame_lasting(mfn_t mfn)
{
    return is_heap(mfn) ? heap_from_mfn(mfn) : arch_map_lasting(mfn);
}

void unmap_frame_lasting(void *p)
{
    if (arch_is_lasting(p)) {
        arch_unmap_lasting(p);
    }
}
