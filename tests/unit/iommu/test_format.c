// SPDX-License-Identifier: Apache-2.0
// Encodings of AMD's IOMMU, bit by bit against the specification's figures.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "amd_format.h"

static uint64_t field(const uint64_t *words, unsigned int high, unsigned int low)
{
    return words[low / 64] >> low % 64 & (high - low == 63 ? ~0UL : (1UL << (high - low + 1)) - 1);
}

static void test_blocked(void **state)
{
    struct amd_dte dte = amd_dte_blocked();

    (void)state;
    assert_int_equal(field(dte.q, 1, 0), 3);     // V, TV
    assert_int_equal(field(dte.q, 11, 9), 0);    // no tables
    assert_int_equal(field(dte.q, 62, 61), 0);   // neither read nor write
    assert_int_equal(field(dte.q, 98, 98), 1);   // SA: faults are not logged
    assert_int_equal(field(dte.q, 128, 128), 1); // IV
    assert_int_equal(field(dte.q, 189, 188), 0); // IntCtl: abort
    assert_int_equal(field(dte.q, 186, 184), 0); // no NMI, INIT, ExtINT
    assert_int_equal(field(dte.q, 191, 190), 0); // no LINT
}

static void test_given(void **state)
{
    struct amd_dte dte = amd_dte_blocked();

    (void)state;
    amd_dte_set_dma(&dte, MADDR(0x123456789000), 0x7ff0);
    amd_dte_set_interrupts(&dte, MADDR(0x3456780), 512, 0xb5);
    assert_int_equal(field(dte.q, 1, 0), 3);
    assert_int_equal(field(dte.q, 11, 9), 4);
    assert_int_equal(field(dte.q, 51, 12), 0x123456789);
    assert_int_equal(field(dte.q, 62, 61), 3);
    assert_int_equal(field(dte.q, 63, 63), 0);
    assert_int_equal(field(dte.q, 79, 64), 0x7ff0);
    assert_int_equal(field(dte.q, 96, 96), 0); // no translation requests from the device
    assert_int_equal(field(dte.q, 98, 98), 0);
    assert_int_equal(field(dte.q, 105, 104), 3); // SysMgt
    assert_int_equal(field(dte.q, 128, 128), 1);
    assert_int_equal(field(dte.q, 132, 129), 9);
    assert_int_equal(field(dte.q, 179, 134), 0x3456780 >> 6);
    assert_int_equal(field(dte.q, 186, 184), 5);
    assert_int_equal(field(dte.q, 189, 188), 2);
    assert_int_equal(field(dte.q, 191, 190), 2);
    assert_int_equal(dte.q[3], 0);
}

static void test_irte(void **state)
{
    (void)state;
    assert_int_equal(amd_irte(0x41, 0x05, 0, false), 0x00410501);
    assert_int_equal(amd_irte(0xff, 0xff, 1, true), 0x00ffff45);
}

static void test_commands(void **state)
{
    struct amd_command c = amd_completion_wait(MADDR(0x12345678), 77);

    (void)state;
    assert_int_equal(field(c.q, 63, 60), 1);
    assert_int_equal(field(c.q, 51, 3), 0x12345678 >> 3);
    assert_int_equal(field(c.q, 2, 0), 1); // store, no interrupt, no flush of later ones
    assert_int_equal(c.q[1], 77);
    c = amd_invalidate_dte(0xabcd);
    assert_int_equal(c.q[0], 0x200000000000abcd);
    assert_int_equal(c.q[1], 0);
    c = amd_invalidate_interrupts(0x12);
    assert_int_equal(c.q[0], 0x5000000000000012);
    c = amd_invalidate_all();
    assert_int_equal(c.q[0], 0x8000000000000000);
}

// The range that a command covers, from its address and size bit.
static void covered(const struct amd_command *c, uint64_t *first, uint64_t *last)
{
    uint64_t frame = c->q[1] >> 12, size = 1;

    if (c->q[1] & 1) {
        while (frame & size) {
            size *= 2;
        }
        size *= 2;
    }
    *first = frame & ~(size - 1);
    *last = *first + size - 1;
}

static void check_pages(uint64_t first, uint64_t count, uint64_t at_most)
{
    struct amd_command c = amd_invalidate_pages(5, first, count);
    uint64_t from, to;

    assert_int_equal(field(c.q, 63, 60), 3);
    assert_int_equal(field(c.q, 47, 32), 5);
    assert_int_equal(c.q[1] & 0xffe, 2); // page directories too, no guest tables
    covered(&c, &from, &to);
    assert_true(from <= first && to >= first + count - 1);
    assert_true(to - from + 1 <= at_most);
}

static void test_pages(void **state)
{
    (void)state;
    check_pages(0, 1, 1);
    check_pages(0x12345, 1, 1);
    check_pages(0x12344, 2, 2);
    check_pages(0x12345, 2, 4);
    check_pages(0, 512, 512);
    check_pages(511, 2, 1024);
    check_pages(0x40000, 0x40000, 0x40000);
    for (uint64_t first = 0; first < 70; first++) {
        for (uint64_t count = 1; count < 70; count++) {
            check_pages(first, count, 256);
        }
    }
    assert_int_equal(amd_invalidate_pages(1, 0, ~0UL).q[1], 0x7ffffffffffff003);
    assert_int_equal(amd_invalidate_pages(1, 1UL << 39, 1).q[1], 0x7ffffffffffff003);
    assert_int_equal(amd_invalidate_pages(1, 100, ~0UL - 10).q[1], 0x7ffffffffffff003);
}

static void test_events(void **state)
{
    struct amd_event e = {{0x2028000500001234, 0xdead000}};

    (void)state;
    assert_int_equal(amd_event_code(&e), AMD_EVENT_PAGE_FAULT);
    assert_int_equal(amd_event_device(&e), 0x1234);
    assert_true(amd_event_is_write(&e));
    assert_true(amd_event_is_interrupt(&e));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocked), cmocka_unit_test(test_given),
        cmocka_unit_test(test_irte),    cmocka_unit_test(test_commands),
        cmocka_unit_test(test_pages),   cmocka_unit_test(test_events),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
