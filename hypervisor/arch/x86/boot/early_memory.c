// SPDX-License-Identifier: Apache-2.0
// The boot allocator: a table of ranges that are taken out of the RAM in boot_info, until the page
// allocator gets the rest. Boot CPU only, no locking. Running out of table space or memory is the
// machine's end, with a message.

#include <bulkhead/boot_info.h>
#include <bulkhead/console.h>
#include <bulkhead/page.h>
#include <x86/early_memory.h>

#define MAX_TAKEN 128u

static struct {
    uint64_t start, end;
} taken[MAX_TAKEN];
static unsigned int taken_count;

void early_reserve(uint64_t start, uint64_t size)
{
    if (size == 0) {
        return;
    }
    if (taken_count == MAX_TAKEN) {
        panic("Too many reservations of boot memory.");
    }
    taken[taken_count].start = ALIGN_DOWN(start, PAGE_SIZE);
    taken[taken_count].end = ALIGN_UP(start + size, PAGE_SIZE);
    taken_count++;
}

void early_release(uint64_t start)
{
    for (unsigned int i = 0; i < taken_count; i++) {
        if (taken[i].start == start) {
            taken[i] = taken[--taken_count];
            return;
        }
    }
}

void early_memory_init(void)
{
    early_reserve(0, PAGE_SIZE);
    early_reserve(boot_info.image_start.a, boot_info.image_end.a - boot_info.image_start.a);
    for (unsigned int i = 0; i < boot_info.module_count; i++) {
        early_reserve(boot_info.modules[i].start.a, boot_info.modules[i].size);
    }
}

// A taken range that overlaps [start, end), or -1.
static int find_overlap(uint64_t start, uint64_t end)
{
    for (unsigned int i = 0; i < taken_count; i++) {
        if (taken[i].start < end && start < taken[i].end) {
            return (int)i;
        }
    }
    return -1;
}

// The highest free place in [start, end), or 0.
static uint64_t find_place(uint64_t start, uint64_t end, uint64_t size, uint64_t align)
{
    while (end >= size && ALIGN_DOWN(end - size, align) >= start) {
        uint64_t place = ALIGN_DOWN(end - size, align);
        int overlap = find_overlap(place, place + size);

        if (overlap < 0) {
            return place;
        }
        end = taken[overlap].start;
    }
    return 0;
}

uint64_t early_take(uint64_t size, uint64_t align, uint64_t limit)
{
    for (unsigned int i = boot_info.region_count; i-- > 0;) {
        const struct boot_region *r = &boot_info.regions[i];
        uint64_t place;

        if (r->type != BOOT_REGION_RAM) {
            continue;
        }
        place = find_place(r->start, MIN(r->start + r->size, limit), size, align);
        if (place) {
            early_reserve(place, size);
            return place;
        }
    }
    return 0;
}

uint64_t early_max_frame(void)
{
    for (unsigned int i = boot_info.region_count; i-- > 0;) {
        const struct boot_region *r = &boot_info.regions[i];

        if (r->type == BOOT_REGION_RAM) {
            return (r->start + r->size) >> PAGE_SHIFT;
        }
    }
    return 0;
}

bool early_has_ram(uint64_t start, uint64_t size)
{
    for (unsigned int i = 0; i < boot_info.region_count; i++) {
        const struct boot_region *r = &boot_info.regions[i];

        if (r->type == BOOT_REGION_RAM && r->start < start + size && start < r->start + r->size) {
            return true;
        }
    }
    return false;
}

// The lowest taken range that ends after the given address; false if there is none.
static bool next_taken(uint64_t address, uint64_t *start, uint64_t *end)
{
    *start = *end = UINT64_MAX;
    for (unsigned int i = 0; i < taken_count; i++) {
        if (taken[i].end > address && taken[i].start < *start) {
            *start = taken[i].start;
            *end = taken[i].end;
        }
    }
    return *start != UINT64_MAX;
}

static void give(uint64_t start, uint64_t end)
{
    if (start < end) {
        page_alloc_add(maddr_to_mfn(MADDR(start)), (end - start) >> PAGE_SHIFT, true);
    }
}

void early_memory_handover(void)
{
    for (unsigned int i = 0; i < boot_info.region_count; i++) {
        const struct boot_region *r = &boot_info.regions[i];
        uint64_t position = ALIGN_UP(r->start, PAGE_SIZE);
        uint64_t region_end = ALIGN_DOWN(r->start + r->size, PAGE_SIZE);
        uint64_t start, end;

        if (r->type != BOOT_REGION_RAM) {
            continue;
        }
        while (position < region_end && next_taken(position, &start, &end) && start < region_end) {
            give(position, start);
            position = MAX(position, end);
        }
        give(position, region_end);
    }
}
