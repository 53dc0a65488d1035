// SPDX-License-Identifier: Apache-2.0
// The IVRS parser: what firmware writes, and what lies.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "build_ivrs.h"
#include "ivrs.h"

static struct ivrs ivrs;
static struct ivrs_image image;

static const char *parse(void)
{
    return ivrs_parse(&ivrs, image.bytes, image.length);
}

static void test_usual(void **state)
{
    const struct ivrs_range *range;

    (void)state;
    ivrs_usual(&image);
    assert_null(parse());
    assert_int_equal(ivrs.unit_count, 1);
    assert_int_equal(ivrs.units[0].address, 0xfed80000);
    assert_int_equal(ivrs.units[0].device_id, 0x10);
    assert_int_equal(ivrs.units[0].capability, 0x40);
    assert_int_equal(ivrs.special_count, 1);
    assert_int_equal(ivrs.special[0].kind, IVRS_SPECIAL_IO_APIC);
    assert_int_equal(ivrs.special[0].id, 0xa0);
    assert_int_equal(ivrs.special[0].settings, 0xd7);
    assert_non_null(ivrs_find(&ivrs, 0, 0));
    assert_null(ivrs_find(&ivrs, 0, 1));
    assert_non_null(ivrs_find(&ivrs, 0, 0x18));
    assert_non_null(ivrs_find(&ivrs, 0, 0x20));
    assert_non_null(ivrs_find(&ivrs, 0, 0x27));
    assert_null(ivrs_find(&ivrs, 0, 0x28));
    assert_null(ivrs_find(&ivrs, 1, 0));
    range = ivrs_find(&ivrs, 0, 0x108);
    assert_true(range->has_alias);
    assert_int_equal(range->alias, 0x100);
    assert_int_equal(ivrs_highest_id(&ivrs), 0x110);
}

// The highest block type that we know describes the unit; lower ones are not read.
static void test_best_block(void **state)
{
    (void)state;
    ivrs_begin(&image);
    ivrs_unit_block(&image, 0x10, 0x10, 0xfed80000, 0);
    ivrs_entry4(&image, 99, 0, 0); // nonsense that must not matter
    ivrs_entry4(&image, 4, 0, 0);
    ivrs_unit_block(&image, 0x11, 0x10, 0xfed80000, 0);
    ivrs_entry4(&image, 2, 8, 0);
    ivrs_unit_block(&image, 0x40, 0x10, 0xfed80000, 0);
    ivrs_entry4(&image, 1, 0, 0);
    ivrs_acpi_entry(&image, 0xa5, 7);
    ivrs_entry4(&image, 0, 0, 0);
    assert_null(parse());
    assert_int_equal(ivrs.unit_count, 1);
    assert_int_equal(ivrs.units[0].block_type, 0x40);
    assert_int_equal(ivrs.range_count, 2);
    assert_int_equal(ivrs_highest_id(&ivrs), 0xffff);
}

static void test_two_units(void **state)
{
    (void)state;
    ivrs_begin(&image);
    ivrs_unit_block(&image, 0x11, 0x02, 0xf0000000, 0);
    ivrs_entry4(&image, 3, 0, 0);
    ivrs_entry4(&image, 4, 0x3fff, 0);
    ivrs_unit_block(&image, 0x11, 0x4002, 0xf1000000, 0);
    ivrs_entry4(&image, 3, 0x4000, 0);
    ivrs_entry4(&image, 4, 0x7fff, 0);
    assert_null(parse());
    assert_int_equal(ivrs_find(&ivrs, 0, 0x3fff)->unit, 0);
    assert_int_equal(ivrs_find(&ivrs, 0, 0x4000)->unit, 1);
    // One device, two masters.
    ivrs_entry4(&image, 2, 0x10, 0);
    assert_string_equal(parse(), "two IOMMUs claim one device");
}

static void test_memory(void **state)
{
    (void)state;
    ivrs_usual(&image);
    ivrs_memory_block(&image, 0x20, 0x07, 0, 0, 0xbf000800, 0x1000);
    ivrs_memory_block(&image, 0x21, 0x03, 0x18, 0, 0xbf800000, 0x2000);
    ivrs_memory_block(&image, 0x22, 0x08, 0x18, 0x1f, 0xbfc00000, 0x1000);
    ivrs_memory_block(&image, 0x22, 0x06, 0x18, 0x1f, 0xbfc00000, 0x1000); // asks for nothing
    assert_null(parse());
    assert_int_equal(ivrs.region_count, 3);
    assert_int_equal(ivrs.regions[0].start, 0xbf000000);
    assert_int_equal(ivrs.regions[0].size, 0x2000);
    assert_int_equal(ivrs.regions[0].last, 0xffff);
    assert_false(ivrs.regions[1].write);
    assert_int_equal(ivrs.regions[1].last, 0x18);
    assert_true(ivrs.regions[2].write);
}

static void expect(const char *sentence)
{
    const char *error = parse();

    assert_non_null(error);
    assert_string_equal(error, sentence);
}

static void test_wrong_units(void **state)
{
    (void)state;
    ivrs_begin(&image);
    expect("it describes no IOMMU");
    image.length = 40;
    expect("it is too short");
    ivrs_begin(&image);
    ivrs_unit_block(&image, 0x10, 2, 0, 0);
    expect("an IOMMU's register address is impossible");
    ivrs_begin(&image);
    ivrs_unit_block(&image, 0x10, 2, 0xfed80800, 0);
    expect("an IOMMU's register address is impossible");
    ivrs_begin(&image);
    ivrs_unit_block(&image, 0x10, 2, 0xfed80000, 0);
    ivrs_unit_block(&image, 0x10, 3, 0xfed80000, 0);
    expect("two IOMMUs share one register address");
    ivrs_begin(&image);
    ivrs_unit_block(&image, 0x10, 2, 0xfed80000, 0);
    image.bytes[48 + 6] = 0x3c;
    expect("an IOMMU's capability offset is impossible");
    ivrs_begin(&image);
    ivrs_unit_block(&image, 0x11, 2, 0xfed80000, 0);
    image.bytes[48 + 2] = 24;
    image.length = 48 + 24;
    expect("an IOMMU's block is too short");
    ivrs_begin(&image);
    for (unsigned int i = 0; i <= IVRS_MAX_UNITS; i++) {
        ivrs_unit_block(&image, 0x10, (uint16_t)i, 0xf0000000 + i * 0x80000, 0);
    }
    expect("it describes too many IOMMUs");
}

static void test_wrong_lengths(void **state)
{
    (void)state;
    ivrs_usual(&image);
    image.length -= 1;
    expect("a block is cut off");
    ivrs_usual(&image);
    image.bytes[48 + 2] = 0;
    expect("a block is cut off");
    ivrs_usual(&image);
    image.length += 3;
    expect("a block is cut off");
    ivrs_usual(&image);
    image.bytes[48 + 2] -= 6; // ends in the middle of the last entry
    image.length -= 6;
    expect("a device entry is cut off");
    ivrs_begin(&image);
    ivrs_unit_block(&image, 0x40, 2, 0xfed80000, 0);
    ivrs_acpi_entry(&image, 3, 4);
    image.bytes[image.length - 5] = 200; // the UID's length
    expect("a device entry is cut off");
}

static void test_wrong_ranges(void **state)
{
    (void)state;
    ivrs_usual(&image);
    ivrs_entry4(&image, 3, 0x200, 0);
    expect("a range of devices does not end");
    ivrs_entry4(&image, 2, 0x210, 0);
    expect("a range of devices does not end");
    ivrs_usual(&image);
    ivrs_entry4(&image, 4, 0x200, 0);
    expect("a range of devices ends that has not begun");
    ivrs_usual(&image);
    ivrs_entry4(&image, 3, 0x200, 0);
    ivrs_entry4(&image, 4, 0x1ff, 0);
    expect("a range of devices ends before it begins");
    ivrs_usual(&image);
    ivrs_entry8(&image, 72, 0, 0, 0, 0xa8, 1);
    expect("it names an I/O APIC or HPET twice");
}

static void test_wrong_memory(void **state)
{
    (void)state;
    ivrs_usual(&image);
    ivrs_memory_block(&image, 0x20, 1, 0, 0, 0x1000, 0);
    expect("a memory block's range is impossible");
    ivrs_usual(&image);
    ivrs_memory_block(&image, 0x20, 1, 0, 0, ~0UL << 12, 0x2000);
    expect("a memory block's range is impossible");
    ivrs_usual(&image);
    ivrs_memory_block(&image, 0x22, 1, 9, 8, 0x1000, 0x1000);
    expect("a memory block's devices end before they begin");
}

static void test_many_entries(void **state)
{
    static uint8_t big[48 + 24 + 4 * (IVRS_MAX_RANGES + 1)];
    uint16_t size = (uint16_t)(sizeof(big) - 48);

    (void)state;
    ivrs_begin(&image);
    ivrs_unit_block(&image, 0x10, 2, 0xfed80000, 0);
    memcpy(big, image.bytes, 72);
    memcpy(big + 48 + 2, &size, 2);
    for (unsigned int i = 0; i <= IVRS_MAX_RANGES; i++) {
        big[72 + i * 4] = 2;
        big[72 + i * 4 + 1] = (uint8_t)i;
        big[72 + i * 4 + 2] = (uint8_t)(i >> 8);
    }
    assert_string_equal(ivrs_parse(&ivrs, big, sizeof(big)), "it has too many device entries");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_usual),        cmocka_unit_test(test_best_block),
        cmocka_unit_test(test_two_units),    cmocka_unit_test(test_memory),
        cmocka_unit_test(test_wrong_units),  cmocka_unit_test(test_wrong_lengths),
        cmocka_unit_test(test_wrong_ranges), cmocka_unit_test(test_wrong_memory),
        cmocka_unit_test(test_many_entries),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
