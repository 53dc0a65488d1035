// SPDX-License-Identifier: Apache-2.0
/*
 * RAM and its holders, kept as two small unsorted arrays: the memory map (the hypervisor's) and
 * the taken ranges (ours, bounded). Every search is a walk over them: tens of entries, once per
 * boot. Memory map entries that wrap are skipped. No locking: the loader runs on one vcpu.
 */
#include "layout.h"

#include <stddef.h>

#define PAGE 4096

bool range_overlaps(struct range a, struct range b)
{
    return a.start < b.end && b.start < a.end;
}

/* The part of memory map entry @index that is RAM within reach; empty if it is none. */
static struct range ram_range(const struct layout *layout, unsigned index)
{
    const struct hvm_memmap_table_entry *entry = &layout->map[index];
    struct range range = {0, 0};

    if (entry->type == XEN_HVM_MEMMAP_TYPE_RAM && entry->addr < DOM0_LOADER_REACH &&
        entry->size <= UINT64_MAX - entry->addr) {
        range.start = entry->addr;
        range.end = entry->addr + entry->size;
        if (range.end > DOM0_LOADER_REACH) {
            range.end = DOM0_LOADER_REACH;
        }
    }
    return range;
}

/* RAM may be described in adjoining pieces: walk from piece to piece until @range is covered. */
static bool is_ram(const struct layout *layout, struct range range)
{
    uint64_t covered = range.start;

    while (covered < range.end) {
        unsigned i;

        for (i = 0; i < layout->map_entries; i++) {
            struct range ram = ram_range(layout, i);

            if (ram.start <= covered && covered < ram.end) {
                covered = ram.end;
                break;
            }
        }
        if (i == layout->map_entries) {
            return false;
        }
    }
    return true;
}

/* Returns the index of a taken range that overlaps @range, or taken_count. */
static unsigned find_taken(const struct layout *layout, struct range range)
{
    unsigned i;

    for (i = 0; i < layout->taken_count; i++) {
        if (range_overlaps(layout->taken[i].range, range)) {
            break;
        }
    }
    return i;
}

bool layout_take(struct layout *layout, uint64_t start, uint64_t size, const char *holder,
                 struct load_error *error)
{
    struct range range = {start, start + size};
    unsigned conflict;

    if (size == 0) {
        return true;
    }
    if (size > UINT64_MAX - start || !is_ram(layout, range)) {
        return load_fail(error,
                         "Domain 0 has no RAM (below %lu GiB) at all of 0x%lx to 0x%lx, where %s "
                         "belongs.",
                         (unsigned long)DOM0_LOADER_REACH_GIB, start, start + size, holder);
    }
    conflict = find_taken(layout, range);
    if (conflict != layout->taken_count) {
        return load_fail(error,
                         "Domain 0's memory from 0x%lx to 0x%lx, where %s belongs, is taken by %s.",
                         start, start + size, holder, layout->taken[conflict].holder);
    }
    if (layout->taken_count == LAYOUT_TAKEN_MAX) {
        return load_fail(error, "The domain 0 loader cannot keep track of more than %lu ranges.",
                         (unsigned long)LAYOUT_TAKEN_MAX);
    }
    layout->taken[layout->taken_count].range = range;
    layout->taken[layout->taken_count].holder = holder;
    layout->taken_count++;
    return true;
}

bool layout_is_free(const struct layout *layout, struct range range)
{
    return is_ram(layout, range) && find_taken(layout, range) == layout->taken_count;
}

/* The highest free place in @ram. Each step moves below one taken range, so it ends. */
static bool find_free_in(const struct layout *layout, struct range ram, uint64_t size,
                         uint64_t *start)
{
    while (ram.end - ram.start >= size) {
        uint64_t candidate = (ram.end - size) & -(uint64_t)PAGE;
        unsigned conflict;

        if (candidate < ram.start) {
            return false;
        }
        conflict = find_taken(layout, (struct range){candidate, candidate + size});
        if (conflict == layout->taken_count) {
            *start = candidate;
            return true;
        }
        ram.end = layout->taken[conflict].range.start;
        if (ram.end < ram.start) {
            return false;
        }
    }
    return false;
}

bool layout_find_free(const struct layout *layout, uint64_t size, uint64_t limit, uint64_t *start)
{
    bool found = false;

    for (unsigned i = 0; i < layout->map_entries; i++) {
        struct range ram = ram_range(layout, i);
        uint64_t candidate;

        if (ram.end > limit) {
            ram.end = limit;
        }
        if (ram.start < ram.end && find_free_in(layout, ram, size, &candidate) &&
            (!found || candidate > *start)) {
            *start = candidate;
            found = true;
        }
    }
    return found;
}
