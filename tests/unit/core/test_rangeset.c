// SPDX-License-Identifier: Apache-2.0
// Range sets against a bitmap that says the same, and what happens when memory is out.

#include "world.h"

#include <stdlib.h>

#include <bulkhead/rangeset.h>

#define NUMBERS 256u

static bool model[NUMBERS];

static int check_ranges(uint64_t first, uint64_t last, void *data)
{
    int64_t *previous = data;

    // In order, apart from each other, and full.
    assert_true((int64_t)first > *previous + 1);
    for (uint64_t i = (uint64_t)(*previous + 1); i < first; i++) {
        assert_false(model[i]);
    }
    for (uint64_t i = first; i <= last; i++) {
        assert_true(model[i]);
    }
    *previous = (int64_t)last;
    return 0;
}

static void compare(struct rangeset *set)
{
    int64_t previous = -2;

    assert_int_equal(rangeset_for_each(set, check_ranges, &previous), 0);
    for (uint64_t i = (uint64_t)(previous < 0 ? 0 : previous + 1); i < NUMBERS; i++) {
        assert_false(model[i]);
    }
}

static void compare_queries(struct rangeset *set, unsigned int first, unsigned int last)
{
    bool all = true, any = false;

    for (unsigned int i = first; i <= last; i++) {
        all = all && model[i];
        any = any || model[i];
    }
    assert_int_equal(rangeset_contains(set, first, last), all);
    assert_int_equal(rangeset_overlaps(set, first, last), any);
}

static void test_random_against_bitmap(void **state)
{
    struct rangeset *set = rangeset_create();

    (void)state;
    srand(1);
    for (unsigned int i = 0; i < NUMBERS; i++) {
        model[i] = false;
    }
    for (unsigned int round = 0; round < 20000; round++) {
        unsigned int first = (unsigned int)rand() % NUMBERS;
        unsigned int last = MIN(first + (unsigned int)rand() % 12, NUMBERS - 1);
        bool add = rand() % 2;

        assert_int_equal(add ? rangeset_add(set, first, last) : rangeset_remove(set, first, last),
                         0);
        for (unsigned int i = first; i <= last; i++) {
            model[i] = add;
        }
        compare(set);
        first = (unsigned int)rand() % NUMBERS;
        compare_queries(set, first, MIN(first + (unsigned int)rand() % 12, NUMBERS - 1));
    }
    rangeset_free(set);
}

static int count_ranges(uint64_t first, uint64_t last, void *data)
{
    (void)first;
    (void)last;
    return ++*(int *)data == 3 ? 42 : 0;
}

static void test_ends_of_the_number_line(void **state)
{
    struct rangeset *set = rangeset_create();

    (void)state;
    assert_int_equal(rangeset_add(set, UINT64_MAX, UINT64_MAX), 0);
    assert_int_equal(rangeset_add(set, 0, 0), 0);
    assert_true(rangeset_contains(set, UINT64_MAX, UINT64_MAX));
    assert_false(rangeset_contains(set, 0, 1));
    assert_int_equal(rangeset_add(set, 1, UINT64_MAX - 1), 0);
    assert_true(rangeset_contains(set, 0, UINT64_MAX));
    assert_int_equal(rangeset_remove(set, 0, UINT64_MAX), 0);
    assert_false(rangeset_overlaps(set, 0, UINT64_MAX));
    assert_int_equal(rangeset_add(set, 5, 4), -XEN_EINVAL);
    assert_int_equal(rangeset_remove(set, 5, 4), -XEN_EINVAL);
    assert_false(rangeset_contains(set, 5, 4));
    rangeset_free(set);
    rangeset_free(NULL);
}

static void test_out_of_memory_changes_nothing(void **state)
{
    struct rangeset *set = rangeset_create();
    uint64_t count = 0;
    int seen = 0, error = 0;

    (void)state;
    // The array grows when it is full: let that fail.
    for (; !error; count++) {
        sim_heap_fail_at(count ? 1 : 2);
        error = rangeset_add(set, 10 * count, 10 * count + 1);
    }
    sim_heap_fail_at(0);
    assert_int_equal(error, -XEN_ENOMEM);
    count--;
    assert_true(rangeset_contains(set, 10 * (count - 1), 10 * (count - 1) + 1));
    assert_false(rangeset_overlaps(set, 10 * count, 10 * count + 1));
    assert_int_equal(rangeset_add(set, 10 * count, 10 * count + 1), 0);
    assert_int_equal(rangeset_for_each(set, count_ranges, &seen), 42);
    rangeset_free(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_against_bitmap),
        cmocka_unit_test(test_ends_of_the_number_line),
        cmocka_unit_test(test_out_of_memory_changes_nothing),
    };

    return cmocka_run_group_tests_name("rangeset", tests, world_start, NULL);
}
