// SPDX-License-Identifier: Apache-2.0
// Memory at boot, before the page allocator: which parts of the RAM in boot_info are taken.
#ifndef BULKHEAD_X86_EARLY_MEMORY_H
#define BULKHEAD_X86_EARLY_MEMORY_H

#include <bulkhead/types.h>

#define EARLY_BELOW_4G (1UL << 32)

// Marks the image, the modules and the first 4 KiB of memory taken. After boot_info is filled.
void early_memory_init(void);
// Takes size bytes, aligned (a power of two, at least a page), ending below limit, as high as
// possible. Returns 0 if there is no such memory. The contents are not defined.
uint64_t early_take(uint64_t size, uint64_t align, uint64_t limit);
// Marks a range taken. Halts with a message when the table of taken ranges is full.
void early_reserve(uint64_t start, uint64_t size);
// Undoes the reservation that begins at start.
void early_release(uint64_t start);
// The first frame after the last RAM.
uint64_t early_max_frame(void);
// Whether any RAM lies in the range.
bool early_has_ram(uint64_t start, uint64_t size);
// Gives all RAM that nobody has taken to the page allocator. Once.
void early_memory_handover(void);

#endif
