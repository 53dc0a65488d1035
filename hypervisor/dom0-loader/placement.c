// SPDX-License-Identifier: Apache-2.0
/*
 * Chooses the unpacked file's place. A Linux ELF file keeps the distances of its destination
 * almost everywhere, so unpacked at the right address its largest segments are in place at once
 * and only the rest is moved: for Debian 13's kernel 15 of 55 MiB. No state, no locking; a failed
 * search leaves the layout as it was, for the caller to report and stop.
 */
#include "placement.h"

#include <string.h>

#include "physical.h"

#define FOUR_GIB ((uint64_t)4 << 30)

static struct range destination_of(const struct elf_segment *segment)
{
    return (struct range){segment->address, segment->address + segment->memory_size};
}

static struct range source_of(const struct elf_segment *segment, uint64_t file_address)
{
    uint64_t start = file_address + segment->offset;

    return (struct range){start, start + segment->file_size};
}

bool placement_take_segments(struct layout *layout, const struct elf_image *elf,
                             struct load_error *error)
{
    for (unsigned i = 0; i < elf->segment_count; i++) {
        const struct elf_segment *segment = &elf->segments[i];

        if (!layout_take(layout, segment->address, segment->memory_size, "the kernel", error)) {
            return false;
        }
    }
    return true;
}

/* Whether writing segment @writer to its destination spares the source of segment @reader. */
static bool spares(const struct elf_image *elf, uint64_t file_address, unsigned writer,
                   unsigned reader)
{
    return !range_overlaps(destination_of(&elf->segments[writer]),
                           source_of(&elf->segments[reader], file_address));
}

static bool order_is_safe(const struct elf_image *elf, uint64_t file_address, bool descending)
{
    for (unsigned first = 0; first < elf->segment_count; first++) {
        for (unsigned second = first + 1; second < elf->segment_count; second++) {
            unsigned writer = descending ? second : first;
            unsigned reader = descending ? first : second;

            if (!spares(elf, file_address, writer, reader)) {
                return false;
            }
        }
    }
    return true;
}

bool placement_find_in_place(const struct layout *layout, const struct elf_image *elf,
                             uint64_t file_size, struct placement *placement)
{
    const struct elf_segment *largest = &elf->segments[0];
    uint64_t file_address;

    for (unsigned i = 1; i < elf->segment_count; i++) {
        if (elf->segments[i].file_size > largest->file_size) {
            largest = &elf->segments[i];
        }
    }
    if (largest->address < largest->offset) {
        return false;
    }
    file_address = largest->address - largest->offset;
    if (file_size > UINT64_MAX - file_address ||
        !layout_is_free(layout, (struct range){file_address, file_address + file_size})) {
        return false;
    }
    placement->file_address = file_address;
    placement->descending = !order_is_safe(elf, file_address, false);
    return !placement->descending || order_is_safe(elf, file_address, true);
}

bool placement_find_apart(const struct layout *layout, uint64_t file_size,
                          struct placement *placement, struct load_error *error)
{
    placement->descending = false;
    if (!layout_find_free(layout, file_size, FOUR_GIB, &placement->file_address)) {
        return load_fail(error,
                         "Domain 0 has too little memory: nowhere below 4 GiB are %lu KiB free "
                         "to unpack its kernel.",
                         (file_size + 1023) / 1024);
    }
    return true;
}

void placement_move_segments(const struct elf_image *elf, const struct placement *placement)
{
    for (unsigned i = 0; i < elf->segment_count; i++) {
        unsigned index = placement->descending ? elf->segment_count - 1 - i : i;
        const struct elf_segment *segment = &elf->segments[index];
        uint8_t *destination = physical_pointer(segment->address);
        uint8_t *source = physical_pointer(placement->file_address + segment->offset);

        if (source != destination) {
            memmove(destination, source, segment->file_size);
        }
        memset(destination + segment->file_size, 0, segment->memory_size - segment->file_size);
    }
}
