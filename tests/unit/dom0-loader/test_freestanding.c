// SPDX-License-Identifier: Apache-2.0
/*
 * Tests of the loader's own memory functions against the C library's: all sizes and overlaps that
 * matter to the eight-byte steps. The Makefile compiles freestanding.c under these names.
 */
#include "freestanding.h"

#include <stdlib.h>

#include "check.h"

#define SPAN 96

void *loader_memcpy(void *destination, const void *source, size_t size);
void *loader_memmove(void *destination, const void *source, size_t size);
void *loader_memset(void *destination, int value, size_t size);
int loader_memcmp(const void *left, const void *right, size_t size);

static uint8_t ours[SPAN], theirs[SPAN];

void loader_give_up(const char *message)
{
    print_error("%s\n", message);
    abort();
}

static void fill(void)
{
    for (size_t i = 0; i < SPAN; i++) {
        ours[i] = theirs[i] = (uint8_t)(i + 1);
    }
}

static void test_moves_overlapping_memory(void **state)
{
    (void)state;
    for (size_t size = 0; size <= 40; size++) {
        for (size_t from = 0; from < 48; from++) {
            fill();
            assert_ptr_equal(loader_memmove(ours + 24, ours + from, size), ours + 24);
            memmove(theirs + 24, theirs + from, size);
            assert_memory_equal(ours, theirs, SPAN);
        }
    }
}

static void test_copies_memory(void **state)
{
    (void)state;
    for (size_t size = 0; size <= 40; size++) {
        fill();
        assert_ptr_equal(loader_memcpy(ours + 3, ours + 50, size), ours + 3);
        memcpy(theirs + 3, theirs + 50, size);
        assert_memory_equal(ours, theirs, SPAN);
    }
}

static void test_sets_memory(void **state)
{
    (void)state;
    for (size_t size = 0; size <= 40; size++) {
        fill();
        assert_ptr_equal(loader_memset(ours + 5, 0x1a5, size), ours + 5);
        memset(theirs + 5, 0x1a5, size);
        assert_memory_equal(ours, theirs, SPAN);
    }
}

static void test_compares_memory(void **state)
{
    (void)state;
    assert_int_equal(loader_memcmp("same", "same", 5), 0);
    assert_true(loader_memcmp("abc\x80", "abc\x7f", 4) > 0);
    assert_true(loader_memcmp("abca", "abcb", 4) < 0);
    assert_int_equal(loader_memcmp("a", "b", 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_moves_overlapping_memory),
        cmocka_unit_test(test_copies_memory),
        cmocka_unit_test(test_sets_memory),
        cmocka_unit_test(test_compares_memory),
    };

    return cmocka_run_group_tests_name("dom0-loader: freestanding", tests, NULL, NULL);
}
