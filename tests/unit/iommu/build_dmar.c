// SPDX-License-Identifier: Apache-2.0
// Builder of DMAR tables; see build_dmar.h.
#include "build_dmar.h"

#include <string.h>

static void put(struct dmar_image *image, uint64_t value, size_t size)
{
    memcpy(image->bytes + image->length, &value, size);
    image->length += size;
}

static void update_lengths(struct dmar_image *image)
{
    uint32_t total = (uint32_t)image->length;
    uint16_t structure = (uint16_t)(image->length - image->structure);

    memcpy(image->bytes + 4, &total, 4);
    if (image->structure) {
        memcpy(image->bytes + image->structure + 2, &structure, 2);
    }
}

void dmar_begin(struct dmar_image *image, uint8_t flags)
{
    memset(image, 0, sizeof(*image));
    memcpy(image->bytes, "DMAR", 4);
    image->bytes[36] = 38;
    image->bytes[37] = flags;
    image->length = 48;
    update_lengths(image);
}

void dmar_unit(struct dmar_image *image, uint8_t flags, uint16_t segment, uint64_t address)
{
    image->structure = image->length;
    put(image, 0, 4);
    put(image, flags, 2);
    put(image, segment, 2);
    put(image, address, 8);
    update_lengths(image);
}

void dmar_region(struct dmar_image *image, uint16_t segment, uint64_t first, uint64_t last)
{
    image->structure = image->length;
    put(image, 1, 6);
    put(image, segment, 2);
    put(image, first, 8);
    put(image, last, 8);
    update_lengths(image);
}

void dmar_scope(struct dmar_image *image, uint8_t type, uint8_t handle, uint8_t bus,
                const uint8_t *path, unsigned int depth)
{
    put(image, type, 1);
    put(image, 6 + 2 * depth, 1);
    put(image, 0, 2);
    put(image, handle, 1);
    put(image, bus, 1);
    for (unsigned int i = 0; i < 2 * depth; i++) {
        put(image, path[i], 1);
    }
    update_lengths(image);
}

void dmar_usual(struct dmar_image *image)
{
    static const uint8_t io_apic[] = {0, 0};

    dmar_begin(image, 1);
    dmar_unit(image, 1, 0, 0xfed80000);
    dmar_scope(image, 3, 0, 0xff, io_apic, 1);
}
