// SPDX-License-Identifier: Apache-2.0
// The one way to guest memory. A transient mapping lives in a slot of this CPU and must be undone
// in reverse order before control goes back to cpu_loop; a lasting mapping is for what a guest
// registered to be shared with the hypervisor (vcpu_info, FIFO event words, runstate areas).
#ifndef BULKHEAD_MAPPING_H
#define BULKHEAD_MAPPING_H

#include <bulkhead/types.h>

// Maps one frame for this CPU; never fails (a CPU has MAP_SLOTS slots, nested use is bounded).
// The caller holds a reference on the frame or another guarantee that it stays.
void *map_frame(mfn_t mfn);
void unmap_frame(const void *p);

// Lasting mapping visible to all CPUs; NULL when memory or address space is out. The caller's
// reference on the frame must outlive it.
void *map_frame_lasting(mfn_t mfn);
void unmap_frame_lasting(void *p);

#endif
