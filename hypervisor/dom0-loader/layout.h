// SPDX-License-Identifier: Apache-2.0
/*
 * Domain 0's guest-physical memory as the loader sees it: which of it is RAM, and which RAM is
 * already taken, by what.
 */
#ifndef DOM0_LOADER_LAYOUT_H
#define DOM0_LOADER_LAYOUT_H

#include <stdbool.h>
#include <stdint.h>
#include <xen/arch-x86/hvm/start_info.h>

#include "dom0_loader.h"
#include "report.h"

/* The loader, start_info, its two tables, two ranges a module, and the segments of a kernel. */
#define LAYOUT_TAKEN_MAX (4 + 2 * DOM0_LOADER_MAX_MODULES + 32)

struct range {
    uint64_t start; /* guest-physical, bytes */
    uint64_t end;   /* exclusive, at least start */
};

struct layout {
    const struct hvm_memmap_table_entry *map; /* borrowed from start_info */
    unsigned map_entries;
    unsigned taken_count;
    struct {
        struct range range;
        const char *holder; /* "the initial RAM disk", for messages; static text */
    } taken[LAYOUT_TAKEN_MAX];
};

bool range_overlaps(struct range a, struct range b);

/*
 * Takes @size bytes at @start for @holder. Fails if they do not lie in RAM below
 * DOM0_LOADER_REACH, or overlap what another holder took. Nothing to do for 0 bytes.
 */
bool layout_take(struct layout *layout, uint64_t start, uint64_t size, const char *holder,
                 struct load_error *error);

/* Whether all of @range is RAM below DOM0_LOADER_REACH and none of it is taken. */
bool layout_is_free(const struct layout *layout, struct range range);

/*
 * Finds @size free bytes as high as possible below @limit, and stores where they start, a multiple
 * of 4 KiB, in *@start. Returns false if there are none; takes nothing.
 */
bool layout_find_free(const struct layout *layout, uint64_t size, uint64_t limit, uint64_t *start);

#endif
