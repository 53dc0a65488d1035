// SPDX-License-Identifier: Apache-2.0
// Domain 0's memory: how much, where, and giving it.

#include <bulkhead/cmdline.h>
#include <bulkhead/console.h>
#include <bulkhead/page.h>

#include "domain0.h"

#define FOUR_GIB_FRAMES (1UL << (32 - PAGE_SHIFT))
#define MAX_RESERVE (256UL << (20 - PAGE_SHIFT)) // frames kept for the hypervisor and first guests

static uint64_t option_size, option_min, option_max = ~0UL; // bytes; size 0: not given

static int parse_part(const char *text)
{
    if (text[0] == 'm' && text[1] == 'i' && text[2] == 'n' && text[3] == ':') {
        return cmdline_parse_size(text + 4, &option_min);
    }
    if (text[0] == 'm' && text[1] == 'a' && text[2] == 'x' && text[3] == ':') {
        return cmdline_parse_size(text + 4, &option_max);
    }
    return cmdline_parse_size(text, &option_size);
}

// dom0_mem=[SIZE][,min:SIZE][,max:SIZE]
static int parse_dom0_mem(const char *value)
{
    char part[32];
    size_t n = 0;

    for (;; value++) {
        if (*value && *value != ',') {
            if (n == sizeof(part) - 1) {
                return -XEN_EINVAL;
            }
            part[n++] = *value;
            continue;
        }
        part[n] = '\0';
        if (parse_part(part)) {
            return -XEN_EINVAL;
        }
        n = 0;
        if (!*value) {
            return 0;
        }
    }
}

CMDLINE_OPTION(dom0_mem, .name = "dom0_mem", .parse = parse_dom0_mem);

uint64_t domain0_pages(uint64_t module_pages)
{
    uint64_t available = page_free_count() + module_pages;
    uint64_t pages = option_size >> PAGE_SHIFT;

    if (!pages) {
        // A sixteenth, at most 256 MiB, stays free.
        pages = available - MIN(available / 16, MAX_RESERVE);
    }
    pages = MIN(MAX(pages, option_min >> PAGE_SHIFT), option_max >> PAGE_SHIFT);
    // Table pages and the heap's growth have to come from somewhere.
    return MIN(pages, available - available / 64);
}

uint64_t domain0_max_pages(void)
{
    return option_max == ~0UL ? ~0UL : option_max >> PAGE_SHIFT;
}

bool domain0_choose_ranges(struct domain0_memory *m, uint64_t pages)
{
    for (unsigned int i = 0; i < boot_info.region_count && pages; i++) {
        const struct boot_region *r = &boot_info.regions[i];
        uint64_t first = DIV_ROUND_UP(r->start, PAGE_SIZE);
        uint64_t end = (r->start + r->size) >> PAGE_SHIFT;
        struct frame_range *range = &m->ranges[m->range_count];

        if (r->type != BOOT_REGION_RAM || first >= end || m->range_count == DOMAIN0_MAX_RANGES) {
            continue;
        }
        range->start = first;
        range->count = MIN(end - first, pages);
        pages -= range->count;
        m->range_count++;
        if (range->start + range->count <= FOUR_GIB_FRAMES && range->count > m->top - m->bottom) {
            m->bottom = range->start;
            m->top = range->start + range->count;
        }
    }
    return m->top > m->bottom;
}

uint64_t domain0_place(struct domain0_memory *m, uint64_t pages, uint64_t phase)
{
    uint64_t start = m->top - pages;

    if (m->top - m->bottom < pages + 512 || m->placed_count == DOMAIN0_MAX_PLACED) {
        return 0;
    }
    if (phase < 512) {
        start -= (start - phase) & 511;
    }
    m->top = start;
    m->placed[m->placed_count++] = (struct frame_range){start, pages};
    return start;
}

// The largest block that starts at this frame and ends before the limit.
static unsigned int block_order(uint64_t frame, uint64_t end)
{
    static const unsigned int orders[] = {ORDER_1G, ORDER_2M};

    for (unsigned int i = 0; i < ARRAY_SIZE(orders); i++) {
        uint64_t size = 1UL << orders[i];

        if (!(frame & (size - 1)) && frame + size <= end) {
            return orders[i];
        }
    }
    return ORDER_4K;
}

static bool fill(struct domain *d, uint64_t frame, uint64_t end)
{
    while (frame < end) {
        unsigned int order = block_order(frame, end);
        struct page *page = domain_page_alloc(d, order, ALLOC_NO_SCRUB);

        while (!page && order) {
            order -= 9;
            page = domain_page_alloc(d, order, ALLOC_NO_SCRUB);
        }
        if (!page || p2m_set(d, GFN(frame), page_to_mfn(page), order, P2M_RAM)) {
            return false;
        }
        frame += 1UL << order;
    }
    return true;
}

bool domain0_populate(struct domain0_memory *m)
{
    for (unsigned int i = 0; i < m->range_count; i++) {
        uint64_t frame = m->ranges[i].start, end = frame + m->ranges[i].count;

        // What has been placed lies in one range, from its top downwards.
        for (unsigned int j = m->placed_count; j-- > 0;) {
            const struct frame_range *p = &m->placed[j];

            if (p->start < frame || p->start >= end || !p2m_is_mapped(m->d, GFN(p->start))) {
                continue;
            }
            if (!fill(m->d, frame, p->start)) {
                return false;
            }
            frame = p->start + p->count;
        }
        if (!fill(m->d, frame, end)) {
            return false;
        }
    }
    return true;
}
