// SPDX-License-Identifier: Apache-2.0
// Builds IVRS tables, right and wrong ones.
#ifndef BUILD_IVRS_H
#define BUILD_IVRS_H

#include <stddef.h>
#include <stdint.h>

struct ivrs_image {
    size_t length;
    size_t block; // where the current block begins
    uint8_t bytes[4096];
};

void ivrs_begin(struct ivrs_image *image);
// An IVHD block; entries follow.
void ivrs_unit_block(struct ivrs_image *image, uint8_t type, uint16_t id, uint64_t address,
                     uint16_t segment);
void ivrs_entry4(struct ivrs_image *image, uint8_t type, uint16_t id, uint8_t settings);
void ivrs_entry8(struct ivrs_image *image, uint8_t type, uint16_t id, uint8_t settings,
                 uint8_t handle, uint16_t source, uint8_t last);
void ivrs_acpi_entry(struct ivrs_image *image, uint16_t id, uint8_t uid_length);
void ivrs_memory_block(struct ivrs_image *image, uint8_t type, uint8_t flags, uint16_t first,
                       uint16_t last, uint64_t start, uint64_t size);
// The table as the rig's machine has it: one unit at 00:02.0, a few functions, one I/O APIC with
// id 0 as 00:14.0.
void ivrs_usual(struct ivrs_image *image);

#endif
