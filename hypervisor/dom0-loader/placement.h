// SPDX-License-Identifier: Apache-2.0
/*
 * Where to unpack a kernel's ELF file, and how to get its segments from there to where they
 * belong with as little copying as possible.
 */
#ifndef DOM0_LOADER_PLACEMENT_H
#define DOM0_LOADER_PLACEMENT_H

#include "elf_image.h"
#include "layout.h"

struct placement {
    uint64_t file_address; /* guest-physical address of the whole ELF file's first byte */
    bool descending;       /* move the segments from the last to the first */
};

/*
 * Takes the destinations of @elf's segments in @layout. Fails if one is not free RAM. To be called
 * after placement_find_in_place, to which they would be in the way.
 */
bool placement_take_segments(struct layout *layout, const struct elf_image *elf,
                             struct load_error *error);

/*
 * Finds the address at which the unpacked file puts its largest segment exactly where it belongs.
 * True if all @file_size bytes there are free and the other segments can then be moved without
 * one overwriting another that is yet to move.
 */
bool placement_find_in_place(const struct layout *layout, const struct elf_image *elf,
                             uint64_t file_size, struct placement *placement);

/*
 * Finds room for @file_size bytes apart from everything that is taken, the segments' destinations
 * included. Fails if domain 0 has too little memory.
 */
bool placement_find_apart(const struct layout *layout, uint64_t file_size,
                          struct placement *placement, struct load_error *error);

/* Moves the segments of the file at placement->file_address and clears what the file lacks. */
void placement_move_segments(const struct elf_image *elf, const struct placement *placement);

#endif
