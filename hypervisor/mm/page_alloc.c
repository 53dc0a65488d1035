// SPDX-License-Identifier: Apache-2.0
// Buddy allocator over all memory, with a clean and a dirty set of free lists for each zone.
//
// Data: struct page (16 bytes) for every frame; a free block is linked by frame numbers through
// its first frame. Zone DMA32 lies below 4 GiB; ordinary requests take high memory first. A block
// is clean when every frame in it is known to hold zeroes; blocks merge only with blocks of the
// same kind, and the idle loop turns dirty ones clean.
// Locking: one lock over lists and counters, innermost but for the console's.
// Errors: NULL when no block is left; the caller reports. Freeing never fails.

#include <bulkhead/arch/mm.h>
#include <bulkhead/console.h>
#include <bulkhead/domain.h>
#include <bulkhead/heap.h>
#include <bulkhead/mapping.h>
#include <bulkhead/page.h>
#include <bulkhead/spinlock.h>
#include <bulkhead/string.h>

#define MAX_ORDER ORDER_1G
#define NO_FRAME UINT32_MAX
#define DMA32_FRAMES (1UL << (32 - PAGE_SHIFT))

enum zone { ZONE_DMA32, ZONE_NORMAL, ZONES };

struct request {
    mfn_t want; // begins here, if it is free; or INVALID_MFN
    unsigned int order, flags;
};

struct free_lists {
    uint32_t first[MAX_ORDER + 1]; // frame number of the first block, or NO_FRAME
    uint32_t orders;               // bit n: there is a block of that order
};

static struct free_lists free_lists[ZONES][2]; // [zone][dirty]
static struct spinlock alloc_lock = SPINLOCK_INIT;
static uint64_t free_frames, dirty_frames, total_frames;
static bool total_is_set; // by page_alloc_set_total: what is added later was counted already
// Blocks that were taken off the lists to be cleaned, and that came back.
static uint64_t scrubs_begun, scrubs_ended;

struct page *frame_table;
uint64_t frame_table_frames;

static enum zone zone_of(uint64_t frame)
{
    return frame < DMA32_FRAMES ? ZONE_DMA32 : ZONE_NORMAL;
}

// Links lie where a frame in use has its owner, which readers of old p2m entries look at.
static void set_link(uint32_t *link, uint64_t frame)
{
    __atomic_store_n(link, (uint32_t)frame, __ATOMIC_RELAXED);
}

static void block_link(uint64_t frame, unsigned int order, bool dirty)
{
    struct page *page = &frame_table[frame];
    struct free_lists *lists = &free_lists[zone_of(frame)][dirty];
    uint32_t next = lists->first[order];

    page_set_state(page, PAGE_STATE_FREE);
    page->head = 1;
    page->order = (uint8_t)order;
    page->dirty = dirty;
    set_link(&page->free.next, next);
    set_link(&page->free.prev, NO_FRAME);
    if (next != NO_FRAME) {
        set_link(&frame_table[next].free.prev, frame);
    }
    lists->first[order] = (uint32_t)frame;
    lists->orders |= 1u << order;
}

static void block_unlink(uint64_t frame)
{
    struct page *page = &frame_table[frame];
    struct free_lists *lists = &free_lists[zone_of(frame)][page->dirty];

    if (page->free.prev != NO_FRAME) {
        set_link(&frame_table[page->free.prev].free.next, page->free.next);
    } else {
        lists->first[page->order] = page->free.next;
        lists->orders &= ~((uint32_t)(page->free.next == NO_FRAME) << page->order);
    }
    if (page->free.next != NO_FRAME) {
        set_link(&frame_table[page->free.next].free.prev, page->free.prev);
    }
    page->head = 0;
}

// Puts a block on its list, merged with its free buddies of the same kind. Lock held.
static void block_insert(uint64_t frame, unsigned int order, bool dirty)
{
    for (; order < MAX_ORDER; order++) {
        uint64_t buddy = frame ^ (1UL << order);
        const struct page *other = &frame_table[buddy];

        if (buddy + (1UL << order) > frame_table_frames || other->state != PAGE_STATE_FREE ||
            !other->head || other->order != order || other->dirty != dirty ||
            zone_of(buddy) != zone_of(frame)) {
            break;
        }
        block_unlink(buddy);
        frame = MIN(frame, buddy);
    }
    block_link(frame, order, dirty);
}

void page_alloc_init(uint64_t frames)
{
    // Frame numbers are 32 bits wide in struct page: 16 TiB.
    frames = MIN(frames, (uint64_t)NO_FRAME);
    frame_table = arch_map_frame_table(frames);
    frame_table_frames = frames;
    for (unsigned int zone = 0; zone < ZONES; zone++) {
        for (unsigned int dirty = 0; dirty < 2; dirty++) {
            for (unsigned int order = 0; order <= MAX_ORDER; order++) {
                free_lists[zone][dirty].first[order] = NO_FRAME;
            }
        }
    }
}

// Puts frames on the lists in the largest blocks that they make. Lock held.
static void range_insert(uint64_t frame, uint64_t end, bool dirty)
{
    while (frame < end) {
        unsigned int order = MIN((unsigned int)__builtin_ctzl(frame), MAX_ORDER);

        while (frame + (1UL << order) > end) {
            order--;
        }
        block_insert(frame, order, dirty);
        frame += 1UL << order;
    }
}

void page_alloc_add(mfn_t start, uint64_t count, bool dirty)
{
    // Frame 0 stays unused, so that no allocation has machine address 0.
    uint64_t first = MAX(start.n, 1UL), end = MIN(start.n + count, frame_table_frames);

    if (first >= end) {
        return;
    }
    spin_lock(&alloc_lock);
    range_insert(first, end, dirty);
    free_frames += end - first;
    total_frames += total_is_set ? 0 : end - first;
    dirty_frames += dirty ? end - first : 0;
    spin_unlock(&alloc_lock);
}

// Cuts the block of 2^order frames that begins at `frame` out of a larger one, off its list, and
// puts the rest back.
static void cut_block(uint64_t block, unsigned int have, uint64_t frame, unsigned int order,
                      bool dirty)
{
    while (have > order) {
        uint64_t upper = block + (1UL << --have);

        block_link(frame < upper ? upper : block, have, dirty);
        block = frame < upper ? block : upper;
    }
}

// Takes a block of 2^order frames out of one zone's lists, out of one of at least 2^from; false if
// none is large enough.
static bool take_from(enum zone zone, bool dirty, unsigned int order, unsigned int from,
                      uint64_t *frame)
{
    const struct free_lists *lists = &free_lists[zone][dirty];
    uint32_t orders = lists->orders >> MAX(order, from) << MAX(order, from);
    unsigned int have;

    if (!orders) {
        return false;
    }
    have = (unsigned int)__builtin_ctz(orders);
    *frame = lists->first[have];
    block_unlink(*frame);
    cut_block(*frame, have, *frame, order, dirty);
    return true;
}

// Takes the very block that begins at `frame`, if it is free.
static bool take_at(uint64_t frame, unsigned int order, bool *dirty)
{
    if (frame & ((1UL << order) - 1) || frame >= frame_table_frames) {
        return false;
    }
    for (unsigned int have = order; have <= MAX_ORDER; have++) {
        uint64_t block = frame & ~((1UL << have) - 1);
        const struct page *page = &frame_table[block];

        if (page->state == PAGE_STATE_FREE && page->head && page->order == have) {
            *dirty = page->dirty;
            block_unlink(block);
            cut_block(block, have, frame, order, *dirty);
            return true;
        }
    }
    return false;
}

// As take_from, in the zones and of the kind that the flags ask for.
static bool take_block(unsigned int order, unsigned int from, unsigned int flags, uint64_t *frame,
                       bool *dirty)
{
    // Who does not need clean frames leaves them to those who do.
    bool want_dirty = flags & ALLOC_NO_SCRUB;

    for (int zone = flags & ALLOC_DMA32 ? ZONE_DMA32 : ZONE_NORMAL; zone >= ZONE_DMA32; zone--) {
        for (unsigned int attempt = 0; attempt < 2; attempt++) {
            *dirty = want_dirty ^ attempt;
            // Cleaning more than 2 MiB here and now would hold the CPU too long.
            if (*dirty && !want_dirty && order > ORDER_2M) {
                continue;
            }
            if (take_from((enum zone)zone, *dirty, order, from, frame)) {
                return true;
            }
        }
    }
    return false;
}

// Where the request would like it, or anywhere.
static bool take_preferred(const struct request *request, uint64_t *frame, bool *dirty)
{
    bool low = request->flags & ALLOC_DMA32;

    *frame = request->want.n;
    if (mfn_valid_number(request->want) && (!low || zone_of(*frame) == ZONE_DMA32) &&
        take_at(*frame, request->order, dirty)) {
        return true;
    }
    if ((request->flags & ALLOC_BEGIN_1G) &&
        take_block(request->order, ORDER_1G, request->flags, frame, dirty)) {
        return true;
    }
    return take_block(request->order, 0, request->flags, frame, dirty);
}

static void clean_frames(uint64_t frame, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        void *p = map_frame(MFN(frame + i));

        memset(p, 0, PAGE_SIZE);
        unmap_frame(p);
    }
}

// Takes a block and its accounting. What another CPU is just cleaning is free memory too, and back
// soon: when there is no other, it is waited for.
static bool take_accounted(const struct request *request, uint64_t *frame, bool *dirty)
{
    uint64_t last_scrub;
    bool found;

    spin_lock(&alloc_lock);
    last_scrub = scrubs_begun;
    for (;;) {
        bool wait = scrubs_ended < last_scrub;

        found = take_preferred(request, frame, dirty);
        if (found || !wait) {
            break;
        }
        spin_unlock(&alloc_lock);
        arch_spin_wait();
        spin_lock(&alloc_lock);
    }
    if (found) {
        page_set_state(&frame_table[*frame], PAGE_STATE_NONE); // no longer a merge candidate
        free_frames -= 1UL << request->order;
        dirty_frames -= *dirty ? 1UL << request->order : 0;
    }
    spin_unlock(&alloc_lock);
    return found;
}

static struct page *allocate(const struct request *request)
{
    uint64_t frame;
    bool dirty;

    if (request->order > MAX_ORDER || !take_accounted(request, &frame, &dirty)) {
        return NULL;
    }
    if (dirty && !(request->flags & ALLOC_NO_SCRUB)) {
        clean_frames(frame, 1UL << request->order);
    }
    return &frame_table[frame];
}

struct page *page_alloc(unsigned int order, unsigned int node, unsigned int flags)
{
    (void)node; // one free-list set serves all nodes until SRAT is used
    return allocate(&(struct request){INVALID_MFN, order, flags});
}

struct page *page_alloc_near(mfn_t want, unsigned int order, unsigned int flags)
{
    return allocate(&(struct request){want, order, flags});
}

void page_free_range(struct page *first, uint64_t count)
{
    uint64_t frame = page_to_mfn(first).n;

    spin_lock(&alloc_lock);
    for (uint64_t i = 0; i < count; i++) {
        page_set_state(&first[i], PAGE_STATE_FREE);
        first[i].head = 0;
    }
    range_insert(frame, frame + count, true);
    free_frames += count;
    dirty_frames += count;
    spin_unlock(&alloc_lock);
}

void page_free(struct page *page, unsigned int order)
{
    page_free_range(page, 1UL << order);
}

uint64_t page_free_count(void)
{
    return __atomic_load_n(&free_frames, __ATOMIC_RELAXED);
}

uint64_t page_unscrubbed_count(void)
{
    return __atomic_load_n(&dirty_frames, __ATOMIC_RELAXED);
}

void page_alloc_set_total(uint64_t frames)
{
    total_frames = frames;
    total_is_set = true;
}

uint64_t page_total_count(void)
{
    return total_frames;
}

// A dirty block of at most 2 MiB, taken off the lists. Lock held.
static bool take_dirty(uint64_t *frame, unsigned int *order)
{
    for (unsigned int zone = 0; zone < ZONES; zone++) {
        for (*order = 0; *order < ORDER_2M; ++*order) {
            if (free_lists[zone][1].first[*order] != NO_FRAME) {
                break;
            }
        }
        if (take_from((enum zone)zone, true, *order, 0, frame)) {
            return true;
        }
    }
    return false;
}

bool page_scrub_some(void)
{
    uint64_t frame;
    unsigned int order;
    bool found;

    if (!__atomic_load_n(&dirty_frames, __ATOMIC_RELAXED)) {
        return false;
    }
    spin_lock(&alloc_lock);
    found = take_dirty(&frame, &order);
    if (found) {
        page_set_state(&frame_table[frame], PAGE_STATE_NONE);
        scrubs_begun++;
    }
    spin_unlock(&alloc_lock);
    if (!found) {
        return false;
    }
    clean_frames(frame, 1UL << order);
    spin_lock(&alloc_lock);
    page_set_state(&frame_table[frame], PAGE_STATE_FREE);
    block_insert(frame, order, false);
    dirty_frames -= 1UL << order;
    scrubs_ended++;
    spin_unlock(&alloc_lock);
    return true;
}
