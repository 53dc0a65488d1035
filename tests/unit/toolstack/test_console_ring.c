// SPDX-License-Identifier: Apache-2.0
//
// The console ring: bytes go through in order, over the end of the ring and of the indices, and a
// domain that lies about indices gets nothing out of it.
#include "check.h"

#include <toolstack/console_ring.h>
#include <xen/xen.h>
#include <xen/io/console.h>

// Writes as a guest does; returns how many bytes fitted.
static size_t guest_writes(struct xencons_interface *ring, const char *bytes, size_t size)
{
    size_t written = 0;

    while (written < size && ring->out_prod - ring->out_cons < sizeof(ring->out))
        ring->out[MASK_XENCONS_IDX(ring->out_prod++, ring->out)] = bytes[written++];
    return written;
}

static void output_comes_in_order_over_every_edge(void **state)
{
    // Just before the indices themselves turn over.
    struct xencons_interface ring = {.out_cons = ~0u - 700, .out_prod = ~0u - 700};
    unsigned char next_in = 0;
    unsigned char next_out = 0;

    (void)state;
    for (unsigned int round = 0; round < 200; round++) {
        char bytes[64];
        char taken[48];

        for (unsigned int i = 0; i < sizeof(bytes); i++)
            bytes[i] = (char)(next_in + i);
        next_in = (unsigned char)(next_in + guest_writes(&ring, bytes, sizeof(bytes)));
        size_t size = console_ring_take(&ring, taken, sizeof(taken));

        for (size_t i = 0; i < size; i++)
            assert_int_equal((unsigned char)taken[i], next_out++);
    }
}

static void input_fills_what_room_there_is(void **state)
{
    struct xencons_interface ring = {.in_cons = ~0u - 10, .in_prod = ~0u - 10};
    char bytes[3000];

    (void)state;
    memset(bytes, 'x', sizeof(bytes));
    assert_int_equal(console_ring_room(&ring), 1024);
    assert_int_equal(console_ring_give(&ring, "abc", 3), 3);
    assert_int_equal(ring.in[MASK_XENCONS_IDX(~0u - 8, ring.in)], 'c');
    assert_int_equal(console_ring_give(&ring, bytes, sizeof(bytes)), 1021);
    assert_int_equal(console_ring_give(&ring, bytes, 1), 0);
    ring.in_cons += 5;
    assert_int_equal(console_ring_room(&ring), 5);
}

static void impossible_indices_yield_nothing(void **state)
{
    struct xencons_interface ring = {.out_cons = 5, .out_prod = 5 + 2049};
    char bytes[64];

    (void)state;
    assert_int_equal(console_ring_take(&ring, bytes, sizeof(bytes)), 0);
    assert_int_equal(ring.out_cons, ring.out_prod);
    ring.out_prod = ring.out_cons - 1;
    assert_int_equal(console_ring_take(&ring, bytes, sizeof(bytes)), 0);
    ring.in_prod = 0;
    ring.in_cons = 1;
    assert_int_equal(console_ring_room(&ring), 0);
    assert_int_equal(console_ring_give(&ring, "a", 1), 0);
}

static void a_full_ring_is_taken_whole(void **state)
{
    struct xencons_interface ring = {0};
    char bytes[4096];

    (void)state;
    ring.out_prod = 2048;
    assert_int_equal(console_ring_take(&ring, bytes, sizeof(bytes)), 2048);
    assert_int_equal(console_ring_take(&ring, bytes, sizeof(bytes)), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(output_comes_in_order_over_every_edge),
        cmocka_unit_test(input_fills_what_room_there_is),
        cmocka_unit_test(impossible_indices_yield_nothing),
        cmocka_unit_test(a_full_ring_is_taken_whole),
    };

    return cmocka_run_group_tests_name("console_ring", tests, NULL, NULL);
}
