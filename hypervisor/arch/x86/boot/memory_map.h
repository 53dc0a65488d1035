// SPDX-License-Identifier: Apache-2.0
// The boot memory map: collected in any order, then sorted, cut to disjoint regions and merged.
#ifndef BULKHEAD_X86_BOOT_MEMORY_MAP_H
#define BULKHEAD_X86_BOOT_MEMORY_MAP_H

#include <bulkhead/types.h>

// Adds a region to boot_info as the firmware gave it; false when the table is full. Empty regions
// are passed over; one that wraps around is cut.
bool memory_map_add(uint64_t start, uint64_t size, uint32_t type);
// Sorts the regions and makes them disjoint: where two overlap, the more restrictive
// type wins. False when the table overflows by cutting.
bool memory_map_sort(void);

#endif
