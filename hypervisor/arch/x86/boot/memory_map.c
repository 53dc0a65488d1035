// SPDX-License-Identifier: Apache-2.0
// Puts the firmware's memory map in order. Firmware may give regions unsorted and overlapping; the
// rest of the hypervisor relies on sorted and disjoint ones. Works on boot_info in place, boot CPU
// only. The method: every boundary cuts; each piece gets the most restrictive type that covers it.

#include <bulkhead/boot_info.h>
#include <bulkhead/string.h>

#include "memory_map.h"

static struct boot_region source[BOOT_MAX_REGIONS] __attribute__((section(".bss.boot_only")));
static uint64_t cuts[2 * BOOT_MAX_REGIONS] __attribute__((section(".bss.boot_only")));

bool memory_map_add(uint64_t start, uint64_t size, uint32_t type)
{
    if (size > UINT64_MAX - start) {
        size = UINT64_MAX - start;
    }
    if (size == 0) {
        return true;
    }
    if (boot_info.region_count == BOOT_MAX_REGIONS) {
        return false;
    }
    // Kinds that the firmware has and we do not know are nothing we may touch.
    if (type < BOOT_REGION_RAM || type > BOOT_REGION_UNUSABLE) {
        type = BOOT_REGION_RESERVED;
    }
    boot_info.regions[boot_info.region_count++] = (struct boot_region){start, size, type};
    return true;
}

static void sort_numbers(uint64_t *numbers, unsigned int count)
{
    for (unsigned int i = 1; i < count; i++) {
        uint64_t value = numbers[i];
        unsigned int j = i;

        for (; j > 0 && numbers[j - 1] > value; j--) {
            numbers[j] = numbers[j - 1];
        }
        numbers[j] = value;
    }
}

// The type of the piece from start to end, which no region's boundary divides; 0: none.
static uint32_t piece_type(uint64_t start, unsigned int count)
{
    static const uint8_t severity[] = {
        [BOOT_REGION_RAM] = 1,      [BOOT_REGION_ACPI] = 2,     [BOOT_REGION_NVS] = 3,
        [BOOT_REGION_RESERVED] = 4, [BOOT_REGION_UNUSABLE] = 5,
    };
    uint32_t type = 0;

    for (unsigned int i = 0; i < count; i++) {
        const struct boot_region *r = &source[i];

        if (start >= r->start && start - r->start < r->size &&
            (type == 0 || severity[r->type] > severity[type])) {
            type = r->type;
        }
    }
    return type;
}

bool memory_map_sort(void)
{
    unsigned int count = boot_info.region_count;
    unsigned int out = 0;

    memcpy(source, boot_info.regions, count * sizeof(source[0]));
    for (unsigned int i = 0; i < count; i++) {
        cuts[2 * i] = source[i].start;
        cuts[2 * i + 1] = source[i].start + source[i].size;
    }
    sort_numbers(cuts, 2 * count);
    for (unsigned int i = 0; i + 1 < 2 * count; i++) {
        struct boot_region *last = out ? &boot_info.regions[out - 1] : NULL;
        uint64_t size = cuts[i + 1] - cuts[i];
        uint32_t type = size ? piece_type(cuts[i], count) : 0;

        if (type == 0) {
            continue;
        }
        if (last && last->type == type && last->start + last->size == cuts[i]) {
            last->size += size;
        } else if (out == BOOT_MAX_REGIONS) {
            return false;
        } else {
            boot_info.regions[out++] = (struct boot_region){cuts[i], size, type};
        }
    }
    boot_info.region_count = out;
    return true;
}
