// SPDX-License-Identifier: Apache-2.0
/*
 * The parts of a kernel's ELF64 file that matter for starting it: what to load where, and where
 * to enter. (System V ABI, chapter 4 and 5; the entry note is the public header xen/elfnote.h.)
 */
#ifndef DOM0_LOADER_ELF_IMAGE_H
#define DOM0_LOADER_ELF_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "report.h"

#define ELF_SEGMENTS_MAX 32
#define ELF_NOTES_MAX 8
/* A kernel whose program headers end beyond this offset is refused. */
#define ELF_HEADERS_MAX 4096

struct elf_segment {
    uint64_t offset;      /* in the file, bytes */
    uint64_t file_size;   /* bytes to take from the file */
    uint64_t address;     /* guest-physical destination */
    uint64_t memory_size; /* bytes it occupies there, at least file_size: the rest is zero */
};

struct elf_notes {
    uint64_t offset; /* in the file, bytes */
    uint64_t size;
    uint64_t alignment; /* of the records: 4 or 8 bytes */
};

struct elf_image {
    unsigned segment_count; /* at least 1 */
    unsigned notes_count;
    struct elf_segment segments[ELF_SEGMENTS_MAX]; /* none is empty; they may overlap */
    struct elf_notes notes[ELF_NOTES_MAX];
};

/*
 * Reads the ELF header and the program headers. @data holds the first @available bytes of a file
 * of @file_size bytes; nothing behind them is read. On success every range in @image lies inside
 * the file, and no address range wraps.
 */
bool elf_image_parse(const uint8_t *data, uint64_t available, uint64_t file_size,
                     struct elf_image *image, struct load_error *error);

/*
 * Finds the 32-bit entry point in the note XEN_ELFNOTE_PHYS32_ENTRY. @data is the whole file that
 * @image was read from. On success *@entry lies inside a segment.
 */
bool elf_image_find_entry(const uint8_t *data, const struct elf_image *image, uint32_t *entry,
                          struct load_error *error);

#endif
