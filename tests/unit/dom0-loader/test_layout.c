// SPDX-License-Identifier: Apache-2.0
/*
 * Tests of the layout of domain 0's memory and of the error sentences' formatting.
 */
#include "layout.h"

#include "check.h"

#define MIB 0x100000ul
#define GIB 0x40000000ul

static const struct hvm_memmap_table_entry map[] = {
    {.addr = 0, .size = 640 * 1024, .type = XEN_HVM_MEMMAP_TYPE_RAM},
    {.addr = 640 * 1024, .size = 384 * 1024, .type = XEN_HVM_MEMMAP_TYPE_RESERVED},
    {.addr = 4 * GIB, .size = 124 * GIB, .type = XEN_HVM_MEMMAP_TYPE_RAM},
    {.addr = 2 * MIB, .size = 62 * MIB, .type = XEN_HVM_MEMMAP_TYPE_RAM},
    {.addr = MIB, .size = MIB, .type = XEN_HVM_MEMMAP_TYPE_RAM},
    {.addr = UINT64_MAX - MIB, .size = 2 * MIB, .type = XEN_HVM_MEMMAP_TYPE_RAM},
};

static struct layout layout;
static struct load_error error;

static int set_up(void **state)
{
    (void)state;
    layout = (struct layout){.map = map, .map_entries = sizeof(map) / sizeof(map[0])};
    return 0;
}

static void test_takes_only_ram(void **state)
{
    (void)state;
    assert_true(layout_take(&layout, MIB, 63 * MIB, "all of it", &error));
    assert_false(layout_take(&layout, 640 * 1024, 1, "a hole", &error));
    assert_says(&error, "has no RAM (below 64 GiB) at all of 0xa0000 to 0xa0001, where a hole");
    assert_false(layout_take(&layout, 64 * MIB - 1, 2, "the end", &error));
    assert_false(layout_take(&layout, 64 * GIB - 1, 2, "beyond reach", &error));
    assert_true(layout_take(&layout, 64 * GIB - 1, 1, "within reach", &error));
    assert_false(layout_take(&layout, UINT64_MAX - 1, 8, "a wrap", &error));
    assert_false(layout_take(&layout, 1, UINT64_MAX, "a wrap", &error));
    assert_true(layout_take(&layout, UINT64_MAX, 0, "nothing", &error));
}

static void test_takes_nothing_twice(void **state)
{
    (void)state;
    assert_true(layout_take(&layout, 4 * MIB, MIB, "the first", &error));
    assert_false(layout_take(&layout, 5 * MIB - 1, 1, "the second", &error));
    assert_says(&error,
                "from 0x4fffff to 0x500000, where the second belongs, is taken by the first");
    assert_true(layout_take(&layout, 5 * MIB, MIB, "the third", &error));
    assert_false(layout_is_free(&layout, (struct range){3 * MIB, 4 * MIB + 1}));
    assert_true(layout_is_free(&layout, (struct range){3 * MIB, 4 * MIB}));
    assert_false(layout_is_free(&layout, (struct range){63 * MIB, 65 * MIB}));
}

static void test_bounds_the_taken(void **state)
{
    (void)state;
    for (unsigned i = 0; i < LAYOUT_TAKEN_MAX; i++) {
        assert_true(layout_take(&layout, MIB + 16ul * i, 1, "a byte", &error));
    }
    assert_false(layout_take(&layout, 32 * MIB, 1, "one more", &error));
    assert_says(&error, "cannot keep track of more than 164 ranges");
}

static void test_finds_highest_room(void **state)
{
    uint64_t start;

    (void)state;
    assert_true(layout_find_free(&layout, MIB + 1, 4 * GIB, &start));
    assert_int_equal(start, 63 * MIB - 4096);
    assert_true(layout_take(&layout, 40 * MIB, 1, "in the way", &error));
    assert_true(layout_take(&layout, 60 * MIB, 1, "in the way", &error));
    assert_true(layout_find_free(&layout, 8 * MIB, 4 * GIB, &start));
    assert_int_equal(start, 52 * MIB);
    assert_true(layout_find_free(&layout, 30 * MIB, 4 * GIB, &start));
    assert_int_equal(start, 10 * MIB);
    assert_true(layout_find_free(&layout, 30 * MIB, 64 * GIB, &start));
    assert_int_equal(start, 64 * GIB - 30 * MIB);
    assert_false(layout_find_free(&layout, 39 * MIB, 4 * GIB, &start));
    assert_false(layout_find_free(&layout, UINT64_MAX, 4 * GIB, &start));
    assert_false(layout_find_free(&layout, 4096, 0, &start));
}

static void test_formats_sentences(void **state)
{
    char longer[2 * LOAD_MESSAGE_SIZE];

    (void)state;
    assert_false(load_fail(&error, "%s: %lu of %lu, 0x%lx, 100%%", "text", 0ul, UINT64_MAX,
                           0xfedcba9876543210ul));
    assert_string_equal(error.message, "text: 0 of 18446744073709551615, 0xfedcba9876543210, 100%");
    memset(longer, 'x', sizeof(longer));
    longer[sizeof(longer) - 1] = '\0';
    load_fail(&error, "%s", longer);
    assert_int_equal(strlen(error.message), LOAD_MESSAGE_SIZE - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_takes_only_ram, set_up),
        cmocka_unit_test_setup(test_takes_nothing_twice, set_up),
        cmocka_unit_test_setup(test_bounds_the_taken, set_up),
        cmocka_unit_test_setup(test_finds_highest_room, set_up),
        cmocka_unit_test(test_formats_sentences),
    };

    return cmocka_run_group_tests_name("dom0-loader: layout", tests, NULL, NULL);
}
