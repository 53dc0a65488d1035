// SPDX-License-Identifier: Apache-2.0
// Builder of IVRS tables; see build_ivrs.h.
#include "build_ivrs.h"

#include <string.h>

static void put(struct ivrs_image *image, uint64_t value, size_t size)
{
    memcpy(image->bytes + image->length, &value, size);
    image->length += size;
}

static void update_lengths(struct ivrs_image *image)
{
    uint32_t total = (uint32_t)image->length;
    uint16_t block = (uint16_t)(image->length - image->block);

    memcpy(image->bytes + 4, &total, 4);
    if (image->block) {
        memcpy(image->bytes + image->block + 2, &block, 2);
    }
}

void ivrs_begin(struct ivrs_image *image)
{
    memset(image, 0, sizeof(*image));
    memcpy(image->bytes, "IVRS", 4);
    image->length = 48;
    update_lengths(image);
}

void ivrs_unit_block(struct ivrs_image *image, uint8_t type, uint16_t id, uint64_t address,
                     uint16_t segment)
{
    image->block = image->length;
    put(image, type, 1);
    put(image, 0xd1, 1);
    put(image, 0, 2);
    put(image, id, 2);
    put(image, 0x40, 2);
    put(image, address, 8);
    put(image, segment, 2);
    put(image, 0, 2);
    put(image, 0, 4);
    if (type != 0x10) {
        put(image, 0, 8);
        put(image, 0, 8);
    }
    update_lengths(image);
}

void ivrs_entry4(struct ivrs_image *image, uint8_t type, uint16_t id, uint8_t settings)
{
    put(image, type, 1);
    put(image, id, 2);
    put(image, settings, 1);
    update_lengths(image);
}

void ivrs_entry8(struct ivrs_image *image, uint8_t type, uint16_t id, uint8_t settings,
                 uint8_t handle, uint16_t source, uint8_t last)
{
    put(image, type, 1);
    put(image, id, 2);
    put(image, settings, 1);
    put(image, handle, 1);
    put(image, source, 2);
    put(image, last, 1);
    update_lengths(image);
}

void ivrs_acpi_entry(struct ivrs_image *image, uint16_t id, uint8_t uid_length)
{
    put(image, 240, 1);
    put(image, id, 2);
    put(image, 0, 1);
    image->length += 16;
    put(image, 2, 1);
    put(image, uid_length, 1);
    image->length += uid_length;
    update_lengths(image);
}

void ivrs_memory_block(struct ivrs_image *image, uint8_t type, uint8_t flags, uint16_t first,
                       uint16_t last, uint64_t start, uint64_t size)
{
    image->block = image->length;
    put(image, type, 1);
    put(image, flags, 1);
    put(image, 32, 2);
    put(image, first, 2);
    put(image, last, 2);
    put(image, 0, 8);
    put(image, start, 8);
    put(image, size, 8);
    update_lengths(image);
}

void ivrs_usual(struct ivrs_image *image)
{
    ivrs_begin(image);
    ivrs_unit_block(image, 0x10, 0x0010, 0xfed80000, 0);
    ivrs_entry4(image, 2, 0x0000, 0);
    ivrs_entry4(image, 3, 0x0018, 0);
    ivrs_entry4(image, 4, 0x0027, 0);
    ivrs_entry8(image, 66, 0x0108, 0, 0, 0x0100, 0);
    ivrs_entry8(image, 66, 0x0110, 0, 0, 0x0100, 0);
    ivrs_entry8(image, 72, 0, 0xd7, 0, 0x00a0, 1);
}
