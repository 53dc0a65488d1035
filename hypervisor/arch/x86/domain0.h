// SPDX-License-Identifier: Apache-2.0
// Building domain 0: shared between its two files.
#ifndef BULKHEAD_X86_DOMAIN0_H
#define BULKHEAD_X86_DOMAIN0_H

#include <bulkhead/boot_info.h>
#include <bulkhead/domain.h>
#include <x86/domain.h>

#define DOMAIN0_MAX_RANGES 64u
#define DOMAIN0_MAX_PLACED (BOOT_MAX_MODULES + 4)

struct frame_range {
    uint64_t start, count; // guest frames
};

// Domain 0's memory: where the machine has RAM, from the bottom up, as far as it is given memory.
// At the top of the RAM below 4 GiB lie what it is started with: boot modules (their own frames,
// not copies), the loader, the start information and the ACPI tables.
struct domain0_memory {
    struct domain *d;
    unsigned int range_count, placed_count;
    struct frame_range ranges[DOMAIN0_MAX_RANGES];
    struct frame_range placed[DOMAIN0_MAX_PLACED]; // top down; filled by the builder
    uint64_t top;                                  // first frame above what is still free to place
    uint64_t bottom;
};

// Chooses the ranges for `pages` frames. False when there is no room below 4 GiB.
bool domain0_choose_ranges(struct domain0_memory *m, uint64_t pages);
// Takes `pages` frames from the top; with phase < 512, so that the frame number is phase modulo
// 512. Returns the first frame, or 0 when there is no room.
uint64_t domain0_place(struct domain0_memory *m, uint64_t pages, uint64_t phase);
// Gives the domain fresh memory in all ranges, but for the frames that are mapped already.
bool domain0_populate(struct domain0_memory *m);

// How much memory: dom0_mem and what the machine has. In frames.
uint64_t domain0_pages(uint64_t module_pages);
uint64_t domain0_max_pages(void);

#endif
