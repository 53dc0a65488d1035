// SPDX-License-Identifier: Apache-2.0
// Builds DMAR tables, right and wrong ones.
#ifndef BUILD_DMAR_H
#define BUILD_DMAR_H

#include <stddef.h>
#include <stdint.h>

struct dmar_image {
    uint8_t bytes[4096];
    size_t length;
    size_t structure; // where the one that is being built begins
};

void dmar_begin(struct dmar_image *image, uint8_t flags);
void dmar_unit(struct dmar_image *image, uint8_t flags, uint16_t segment, uint64_t address);
void dmar_region(struct dmar_image *image, uint16_t segment, uint64_t first, uint64_t last);
// Adds a device to the structure: path holds `depth` pairs of device and function.
void dmar_scope(struct dmar_image *image, uint8_t type, uint8_t handle, uint8_t bus,
                const uint8_t *path, unsigned int depth);
// One unit at 0xfed80000 for everything, and I/O APIC 0 as ff:00.0: what QEMU writes.
void dmar_usual(struct dmar_image *image);

#endif
