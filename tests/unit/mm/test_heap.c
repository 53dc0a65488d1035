// SPDX-License-Identifier: Apache-2.0
// The heap: random use with patterns, alignment, exhaustion, and that everything goes back.

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <bulkhead/heap.h>

#include "world.h"

#include <cmocka.h>

#define FRAMES (24UL << ORDER_2M)
#define HOLE (1UL << ORDER_2M)
#define BLOCK_FRAMES (1UL << ORDER_2M)
#define MAX_OBJECTS 2048u

struct object {
    unsigned char *p;
    size_t size;
    unsigned int order; // pages: of 2^order; ~0: an object of size bytes
    unsigned char fill;
};

static struct object objects[MAX_OBJECTS];
static unsigned int object_count;
static uint64_t start_free;

static bool all_are(const unsigned char *p, size_t size, unsigned char value)
{
    return size == 0 || (p[0] == value && memcmp(p, p + 1, size - 1) == 0);
}

static bool keep(void *p, size_t size, unsigned int order)
{
    struct object *o = &objects[object_count];

    if (!p) {
        return false;
    }
    assert_true(all_are(p, size, 0));
    *o = (struct object){p, size, order, (unsigned char)(1 + world_random(255))};
    memset(p, o->fill, size);
    object_count++;
    return true;
}

static bool take_object(size_t size)
{
    void *p;

    if (object_count == MAX_OBJECTS) {
        return false;
    }
    p = heap_alloc(size);
    assert_int_equal((uintptr_t)p % (size >= PAGE_SIZE ? PAGE_SIZE : 16), 0);
    return keep(p, size, ~0u);
}

static bool take_pages(unsigned int order, unsigned int flags)
{
    void *p;

    if (object_count == MAX_OBJECTS) {
        return false;
    }
    p = heap_alloc_pages(order, flags);
    assert_int_equal((uintptr_t)p % (PAGE_SIZE << order), 0);
    if (p) {
        mfn_t mfn = heap_mfn(p);

        assert_int_equal(mfn_to_page(mfn)->state, PAGE_STATE_HEAP);
        assert_ptr_equal(heap_from_mfn(mfn), p);
        assert_int_equal(heap_maddr((char *)p + 5).a, (mfn.n << PAGE_SHIFT) + 5);
    }
    return keep(p, PAGE_SIZE << order, order);
}

static void give_back(unsigned int index)
{
    struct object o = objects[index];

    objects[index] = objects[--object_count];
    assert_true(all_are(o.p, o.size, o.fill));
    if (o.order == ~0u) {
        heap_free(o.p);
    } else {
        heap_free_pages(o.p, o.order);
    }
}

static void give_all_back(void)
{
    while (object_count) {
        give_back((unsigned int)world_random(object_count));
    }
    // One block stays in reserve.
    assert_true(heap_pages_in_use() <= BLOCK_FRAMES);
    assert_int_equal(page_free_count() + heap_pages_in_use(), start_free);
    heap_trim();
    assert_false(heap_trim());
    assert_int_equal(page_free_count(), start_free);
}

static size_t random_size(void)
{
    uint64_t n = world_random(100);

    return n < 70 ? world_random(600) : n < 90 ? world_random(5000) : world_random(200000);
}

static void random_use_keeps_every_byte(void **state)
{
    (void)state;
    for (unsigned int i = 0; i < 60000; i++) {
        uint64_t what = world_random(100);

        if (what < 45) {
            take_object(random_size());
        } else if (what < 55) {
            take_pages((unsigned int)world_random(i % 16 ? 3 : 9),
                       world_random(2) ? ALLOC_DMA32 : 0);
        } else if (object_count) {
            give_back((unsigned int)world_random(object_count));
        }
    }
    give_all_back();
    world_check_free_memory();
}

static void every_size_class_is_filled_and_emptied(void **state)
{
    (void)state;
    for (size_t size = 1; size <= 4 * PAGE_SIZE; size = size * 5 / 4 + 1) {
        while (object_count < 600 && take_object(size)) {
        }
        give_all_back();
    }
}

static void exhaustion_is_told_and_undone(void **state)
{
    (void)state;
    for (unsigned int order = 0; order < ORDER_2M; order++) {
        while (take_pages(order, 0)) {
        }
        if (object_count < MAX_OBJECTS) {
            assert_null(heap_alloc(PAGE_SIZE << order));
        }
        give_all_back();
    }
    while (take_pages(8, 0)) {
    }
    while (take_pages(0, 0)) {
    }
    while (take_object(1000)) {
    }
    give_all_back();
    world_check_free_memory();
}

static void unreasonable_requests_fail(void **state)
{
    (void)state;
    assert_null(heap_alloc(PAGE_SIZE * BLOCK_FRAMES));
    assert_null(heap_alloc(SIZE_MAX));
    assert_null(heap_alloc_array(SIZE_MAX / 2, 3));
    assert_null(heap_alloc_array(1UL << 33, 1UL << 33));
    assert_null(heap_alloc_pages(ORDER_2M, 0));
    assert_null(heap_alloc_pages(~0u, 0));
    heap_free(NULL);
    heap_free_pages(NULL, 3);
    assert_true(take_object(0));
    give_all_back();
}

// A heap that has one block too many and one too few gives none back and takes none each time.
static void the_edge_is_not_crossed_all_the_time(void **state)
{
    uint64_t before;

    (void)state;
    assert_true(take_pages(8, 0));
    before = page_free_count();
    for (unsigned int i = 0; i < 100; i++) {
        void *p = heap_alloc_pages(8, 0);

        if (i == 0) {
            before = page_free_count();
        }
        assert_int_equal(page_free_count(), before);
        heap_free_pages(p, 8);
    }
    give_all_back();
}

static int start(void **state)
{
    (void)state;
    world_start(FRAMES, HOLE, true);
    start_free = page_free_count();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_use_keeps_every_byte),
        cmocka_unit_test(every_size_class_is_filled_and_emptied),
        cmocka_unit_test(exhaustion_is_told_and_undone),
        cmocka_unit_test(unreasonable_requests_fail),
        cmocka_unit_test(the_edge_is_not_crossed_all_the_time),
    };

    return cmocka_run_group_tests(tests, start, NULL);
}
