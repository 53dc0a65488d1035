// SPDX-License-Identifier: Apache-2.0
// The buddy allocator: random use of all orders with an owner for each frame, exhaustion, cleaning,
// and several CPUs at once.

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "world.h"

#include <cmocka.h>

#define FRAMES (5 * WORLD_GIB + 12345) // not a whole number of the largest blocks; 1 GiB is high
#define HOLE 7UL
#define DMA32_END (1UL << 20)
#define MAX_BLOCKS 4096u
#define THREADS 4u

struct block {
    struct page *page;
    unsigned int order;
};

static struct block blocks[MAX_BLOCKS];
static unsigned int block_count;
static uint8_t *owned; // one of a frame
static uint64_t start_hash;

static void take_ownership(struct page *page, unsigned int order, unsigned int flags)
{
    uint64_t first = page_to_mfn(page).n;

    assert_int_equal(first % (1UL << order), 0);
    assert_true(first >= HOLE && first + (1UL << order) <= FRAMES);
    if (flags & ALLOC_DMA32) {
        assert_true(first + (1UL << order) <= DMA32_END);
    }
    for (uint64_t i = first; i < first + (1UL << order); i++) {
        assert_int_equal(owned[i], 0);
        owned[i] = 1;
        if (!(flags & ALLOC_NO_SCRUB)) {
            assert_true(world_frame_is_zero(i));
        }
    }
    world_mark_old(first, 1UL << order);
    // What the owners do, so that a stale mark would be noticed.
    for (uint64_t i = 0; i < 1UL << order; i++) {
        page[i].state = PAGE_STATE_DOMAIN;
        page[i].count = 1;
    }
}

static bool allocate(unsigned int order, unsigned int flags)
{
    uint64_t before = page_free_count();
    struct page *page;

    if (block_count == MAX_BLOCKS) {
        return false;
    }
    page = page_alloc(order, 0, flags);
    if (!page) {
        assert_int_equal(page_free_count(), before);
        return false;
    }
    assert_int_equal(page_free_count(), before - (1UL << order));
    take_ownership(page, order, flags);
    blocks[block_count++] = (struct block){page, order};
    return true;
}

static void release(unsigned int index)
{
    struct block b = blocks[index];

    blocks[index] = blocks[--block_count];
    memset(&owned[page_to_mfn(b.page).n], 0, 1UL << b.order);
    for (uint64_t i = 0; i < 1UL << b.order; i++) {
        b.page[i].count = 0;
    }
    page_free(b.page, b.order);
}

static void release_all(void)
{
    while (block_count) {
        release((unsigned int)world_random(block_count));
    }
}

static unsigned int random_order(void)
{
    uint64_t n = world_random(100);

    return (unsigned int)(n < 2    ? world_random(ORDER_1G + 1)
                          : n < 30 ? world_random(ORDER_2M + 1)
                                   : world_random(4));
}

static void random_use_returns_to_the_start(void **state)
{
    (void)state;
    world_scrub_all();
    start_hash = world_free_memory_hash();
    for (unsigned int i = 0; i < 20000; i++) {
        uint64_t what = world_random(100);

        if (what < 55) {
            allocate(random_order(), (unsigned int)world_random(4));
        } else if (what < 95 && block_count) {
            release((unsigned int)world_random(block_count));
        } else if (what >= 98) {
            page_scrub_some();
        }
        if (i % 1000 == 0) {
            world_check_free_memory();
        }
    }
    release_all();
    world_check_free_memory();
    world_scrub_all();
    world_check_free_memory();
    assert_int_equal(page_unscrubbed_count(), 0);
    assert_int_equal(world_free_memory_hash(), start_hash);
    assert_int_equal(page_free_count(), FRAMES - HOLE);
    assert_int_equal(page_total_count(), FRAMES - HOLE);
}

// Takes blocks of one order until there is none, and what is left in smaller orders.
static void every_order_can_be_exhausted(void **state)
{
    (void)state;
    for (unsigned int order = ORDER_1G; order >= 12; order -= 3) {
        for (unsigned int smaller = order + 1; smaller-- > 0;) {
            while (allocate(smaller, 0)) {
            }
        }
        assert_int_equal(page_free_count(), 0);
        assert_null(page_alloc(0, 0, 0));
        assert_null(page_alloc(0, 0, ALLOC_DMA32 | ALLOC_NO_SCRUB));
        release_all();
        world_scrub_all();
        assert_int_equal(world_free_memory_hash(), start_hash);
    }
}

static void neighbours_can_be_asked_for(void **state)
{
    mfn_t want = INVALID_MFN;
    struct page *page, *other;

    (void)state;
    // From the start of a free 1 GiB on, whatever others take meanwhile.
    for (unsigned int i = 0; i < 512; i++) {
        page = page_alloc_near(want, ORDER_2M, i ? 0 : ALLOC_BEGIN_1G);
        assert_non_null(page);
        take_ownership(page, ORDER_2M, 0);
        blocks[block_count++] = (struct block){page, ORDER_2M};
        assert_int_equal(page_to_mfn(page).n % WORLD_GIB, i << ORDER_2M);
        assert_true(i == 0 || page_to_mfn(page).n == want.n);
        want = mfn_add(page_to_mfn(page), 1UL << ORDER_2M);
        assert_true(i % 100 || allocate(0, ALLOC_DMA32));
    }
    world_check_free_memory();
    // What is taken, out of line, beyond the end or too high is served from elsewhere.
    page = blocks[0].page;
    for (unsigned int i = 0; i < 4; i++) {
        const mfn_t wishes[] = {page_to_mfn(page), mfn_add(want, 1), MFN(FRAMES), MFN(DMA32_END)};

        other = page_alloc_near(wishes[i], ORDER_2M, ALLOC_DMA32);
        assert_non_null(other);
        take_ownership(other, ORDER_2M, ALLOC_DMA32);
        blocks[block_count++] = (struct block){other, ORDER_2M};
    }
    // In the middle of what is free, of any order.
    for (unsigned int order = 0; order < ORDER_2M; order++) {
        want = mfn_add(page_to_mfn(blocks[0].page), 2 * WORLD_GIB + (3UL << order));
        page = page_alloc_near(want, order, 0);
        assert_non_null(page);
        take_ownership(page, order, 0);
        blocks[block_count++] = (struct block){page, order};
    }
    world_check_free_memory();
    release_all();
    world_scrub_all();
    assert_int_equal(world_free_memory_hash(), start_hash);
}

static void orders_beyond_the_largest_are_refused(void **state)
{
    (void)state;
    assert_null(page_alloc(ORDER_1G + 1, 0, 0));
    assert_null(page_alloc(64, 0, 0));
    assert_null(page_alloc(~0u, 0, 0));
}

static void high_memory_goes_first(void **state)
{
    struct page *page = page_alloc(0, 0, 0);

    (void)state;
    assert_true(page_to_mfn(page).n >= DMA32_END);
    page_free(page, 0);
    world_scrub_all();
}

static void large_blocks_are_not_cleaned_at_once(void **state)
{
    struct page *page = page_alloc(ORDER_1G, 0, 0);
    unsigned int dirty = 0;

    (void)state;
    world_mark_old(page_to_mfn(page).n, WORLD_GIB);
    page_free(page, ORDER_1G);
    assert_int_equal(page_unscrubbed_count(), WORLD_GIB);
    // Only as many as hold no old data; then one that may hold some.
    while (allocate(ORDER_1G, 0)) {
        dirty++;
    }
    assert_true(dirty < 5);
    assert_true(allocate(ORDER_1G, ALLOC_NO_SCRUB));
    release_all();
    world_scrub_all();
    assert_int_equal(world_free_memory_hash(), start_hash);
}

// Threads.

static uint32_t owners[FRAMES]; // of each frame; atomic

static void claim(struct page *page, unsigned int order, uint32_t me)
{
    uint64_t first = page_to_mfn(page).n;

    for (uint64_t i = first; i < first + (1UL << order); i++) {
        if (__atomic_exchange_n(&owners[i], me, __ATOMIC_RELAXED) != 0) {
            abort();
        }
    }
}

static void disclaim(struct page *page, unsigned int order, uint32_t me)
{
    uint64_t first = page_to_mfn(page).n;

    for (uint64_t i = first; i < first + (1UL << order); i++) {
        if (__atomic_exchange_n(&owners[i], 0, __ATOMIC_RELAXED) != me) {
            abort();
        }
    }
    page_free(page, order);
}

static void *thread_use(void *data)
{
    uint32_t me = (uint32_t)(uintptr_t)data;
    struct block mine[64] = {{NULL, 0}};
    uint64_t seed = me * 0x9e3779b97f4a7c15UL;

    world_enter_cpu(me);
    for (unsigned int i = 0; i < 20000; i++) {
        struct block *b;

        seed = seed * 6364136223846793005UL + 1442695040888963407UL;
        b = &mine[seed >> 58];
        if (b->page) {
            disclaim(b->page, b->order, me);
            b->page = NULL;
        } else {
            b->order = seed >> 40 & 7;
            b->page = page_alloc(b->order, 0, seed >> 50 & 3);
            if (b->page) {
                claim(b->page, b->order, me);
            }
        }
        if (i % 64 == 0) {
            page_scrub_some();
        }
    }
    for (size_t i = 0; i < ARRAY_SIZE(mine); i++) {
        if (mine[i].page) {
            disclaim(mine[i].page, mine[i].order, me);
        }
    }
    return NULL;
}

static void run_threads(void *(*fn)(void *data))
{
    pthread_t threads[THREADS];

    for (uintptr_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, fn, (void *)(i + 1)), 0);
    }
    for (unsigned int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
}

static void cpus_do_not_disturb_each_other(void **state)
{
    (void)state;
    run_threads(thread_use);
    world_check_free_memory();
    world_scrub_all();
    world_check_free_memory();
    assert_int_equal(world_free_memory_hash(), start_hash);
}

static uint32_t failures;
static bool finished;

static void *thread_last_block(void *data)
{
    uint32_t me = (uint32_t)(uintptr_t)data;

    world_enter_cpu(me);
    while (me != 1 && !__atomic_load_n(&finished, __ATOMIC_RELAXED)) {
        page_scrub_some();
    }
    for (unsigned int i = 0; me == 1 && i < 500; i++) {
        struct page *page = page_alloc(0, 0, 0);

        failures += !page;
        if (page) {
            page_free(page, 0);
        }
        usleep(world_random(100)); // others may have begun to clean it, or not
    }
    __atomic_store_n(&finished, true, __ATOMIC_RELAXED);
    return NULL;
}

// One frame is left, and it is dirty again and again: it must not seem gone while it is cleaned.
static void memory_being_cleaned_is_not_missing(void **state)
{
    (void)state;
    for (unsigned int order = ORDER_1G + 1; order-- > 0;) {
        while (allocate(order, ALLOC_NO_SCRUB)) {
        }
    }
    assert_int_equal(blocks[block_count - 1].order, 0);
    release(block_count - 1);
    assert_int_equal(page_free_count(), 1);
    world_slow_mapping(true);
    run_threads(thread_last_block);
    world_slow_mapping(false);
    assert_int_equal(failures, 0);
    assert_int_equal(page_free_count(), 1);
    release_all();
    world_scrub_all();
    assert_int_equal(world_free_memory_hash(), start_hash);
}

static int start(void **state)
{
    (void)state;
    owned = calloc(FRAMES, 1);
    world_start(FRAMES, HOLE, false);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_use_returns_to_the_start),
        cmocka_unit_test(every_order_can_be_exhausted),
        cmocka_unit_test(neighbours_can_be_asked_for),
        cmocka_unit_test(orders_beyond_the_largest_are_refused),
        cmocka_unit_test(high_memory_goes_first),
        cmocka_unit_test(large_blocks_are_not_cleaned_at_once),
        cmocka_unit_test(cpus_do_not_disturb_each_other),
        cmocka_unit_test(memory_being_cleaned_is_not_missing),
    };

    return cmocka_run_group_tests(tests, start, NULL);
}
