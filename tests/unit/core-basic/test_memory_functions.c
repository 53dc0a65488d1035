// SPDX-License-Identifier: Apache-2.0
// x86's memcpy, memmove and memset against the C library's, for all small sizes and overlaps.

#include "testing.h"

void *hv_memcpy(void *to, const void *from, size_t n);
void *hv_memmove(void *to, const void *from, size_t n);
void *hv_memset(void *to, int c, size_t n);

#define SIZE 160

static unsigned char ours[SIZE], theirs[SIZE];

static void fill(void)
{
    for (unsigned int i = 0; i < SIZE; i++) {
        ours[i] = theirs[i] = (unsigned char)(i * 37 + 11);
    }
}

static void memory_copy(void **state)
{
    (void)state;
    for (size_t n = 0; n <= 60; n++) {
        for (size_t offset = 0; offset < 8; offset++) {
            fill();
            assert_ptr_equal(hv_memcpy(ours + 80 + offset, ours + 3, n), ours + 80 + offset);
            memcpy(theirs + 80 + offset, theirs + 3, n);
            assert_memory_equal(ours, theirs, SIZE);
        }
    }
}

static void memory_move(void **state)
{
    (void)state;
    for (size_t n = 0; n <= 60; n++) {
        for (int distance = -40; distance <= 40; distance++) {
            fill();
            assert_ptr_equal(hv_memmove(ours + 50 + distance, ours + 50, n), ours + 50 + distance);
            memmove(theirs + 50 + distance, theirs + 50, n);
            assert_memory_equal(ours, theirs, SIZE);
        }
    }
}

static void memory_set(void **state)
{
    (void)state;
    for (size_t n = 0; n <= 60; n++) {
        fill();
        assert_ptr_equal(hv_memset(ours + 9, 0x1a5, n), ours + 9);
        memset(theirs + 9, 0xa5, n);
        assert_memory_equal(ours, theirs, SIZE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_copy),
        cmocka_unit_test(memory_move),
        cmocka_unit_test(memory_set),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
