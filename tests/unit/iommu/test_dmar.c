// SPDX-License-Identifier: Apache-2.0
// The DMAR parser: what firmware writes, and what lies.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "build_dmar.h"
#include "dmar.h"

static struct dmar dmar;
static struct dmar_image image;

static const char *parse(void)
{
    return dmar_parse(&dmar, image.bytes, image.length);
}

static void refused(const char *why)
{
    const char *error = parse();

    assert_non_null(error);
    assert_non_null(strstr(error, why));
}

static void test_usual_dmar(void **state)
{
    (void)state;
    dmar_usual(&image);
    assert_null(parse());
    assert_int_equal(dmar.flags, DMAR_INTERRUPT_REMAPPING);
    assert_int_equal(dmar.unit_count, 1);
    assert_true(dmar.units[0].include_all);
    assert_int_equal(dmar.units[0].address, 0xfed80000);
    assert_int_equal(dmar.units[0].size, 0x1000);
    assert_int_equal(dmar.units[0].scope_count, 1);
    assert_int_equal(dmar.scopes[0].type, DMAR_SCOPE_IO_APIC);
    assert_int_equal(dmar.scopes[0].start_bus, 0xff);
    assert_int_equal(dmar.scopes[0].depth, 1);
}

static void test_units_and_regions(void **state)
{
    static const uint8_t graphics[] = {2, 0};
    static const uint8_t behind[] = {0x1c, 3, 0, 1};

    (void)state;
    dmar_begin(&image, 3);
    dmar_unit(&image, 0, 0, 0xfed90000);
    dmar_scope(&image, 1, 0, 0, graphics, 1);
    dmar_scope(&image, 2, 0, 0, behind, 2);
    dmar_unit(&image, 1, 0, 0xfed91000);
    dmar_region(&image, 0, 0xbf000000, 0xbf7fffff);
    dmar_scope(&image, 1, 0, 0, graphics, 1);
    image.bytes[image.length++] = 77; // a structure that came after us: four bytes
    image.bytes[image.length++] = 0;
    image.bytes[image.length++] = 4;
    image.bytes[image.length++] = 0;
    assert_null(parse());
    assert_int_equal(dmar.unit_count, 2);
    assert_int_equal(dmar.units[0].scope_count, 2);
    assert_int_equal(dmar.scopes[1].path[0], 0x1c << 3 | 3);
    assert_int_equal(dmar.scopes[1].path[1], 1);
    assert_int_equal(dmar.region_count, 1);
    assert_int_equal(dmar.regions[0].start, 0xbf000000);
    assert_int_equal(dmar.regions[0].size, 0x800000);
    assert_int_equal(dmar.regions[0].first_scope, 2);
    assert_int_equal(dmar.regions[0].scope_count, 1);
}

static void test_wrong_units(void **state)
{
    (void)state;
    dmar_begin(&image, 1);
    refused("no IOMMU");
    dmar_unit(&image, 1, 0, 0xfed90800);
    refused("register address is impossible");
    dmar_begin(&image, 1);
    dmar_unit(&image, 1, 0, 0);
    refused("register address is impossible");
    dmar_begin(&image, 1);
    dmar_unit(&image, 1, 0, 0xfed90000);
    dmar_unit(&image, 0, 0, 0xfed90000);
    refused("share one register address");
    dmar_begin(&image, 1);
    dmar_unit(&image, 1, 0, 0xfed90000);
    dmar_unit(&image, 1, 0, 0xfed91000);
    refused("claim all devices");
    dmar_begin(&image, 1);
    for (unsigned int i = 0; i <= DMAR_MAX_UNITS; i++) {
        dmar_unit(&image, 0, 0, 0xfed00000 + i * 0x1000UL);
    }
    refused("too many IOMMUs");
}

static void test_wrong_devices(void **state)
{
    static const uint8_t impossible[] = {32, 0};
    uint8_t path[2 * (DMAR_MAX_PATH + 1)] = {0};

    (void)state;
    dmar_usual(&image);
    dmar_scope(&image, 1, 0, 0, impossible, 1);
    refused("path to a device");
    dmar_usual(&image);
    dmar_scope(&image, 1, 0, 0, path, 0);
    refused("path to a device");
    dmar_usual(&image);
    dmar_scope(&image, 1, 0, 0, path, DMAR_MAX_PATH + 1);
    refused("path to a device");
    dmar_usual(&image);
    image.bytes[image.length - 7] = 200; // a scope longer than what is left
    refused("cut off");
    dmar_usual(&image);
    image.bytes[image.length - 7] = 0; // and one that would not end
    refused("cut off");
}

static void test_wrong_memory(void **state)
{
    (void)state;
    dmar_usual(&image);
    dmar_region(&image, 0, 0x2000, 0x1000);
    refused("range is impossible");
    dmar_usual(&image);
    dmar_region(&image, 0, 0, ~0UL);
    refused("range is impossible");
    dmar_usual(&image);
    for (unsigned int i = 0; i <= DMAR_MAX_REGIONS; i++) {
        dmar_region(&image, 0, 0x1000, 0x1fff);
    }
    refused("too many memory entries");
}

// Every prefix of a table, in an allocation of its own length: no read goes past the end.
static void test_cut_off(void **state)
{
    (void)state;
    dmar_usual(&image);
    for (size_t length = 0; length < image.length; length++) {
        uint8_t *copy = test_malloc(length + 1);

        memcpy(copy, image.bytes, length);
        assert_non_null(dmar_parse(&dmar, copy, length));
        test_free(copy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_usual_dmar),   cmocka_unit_test(test_units_and_regions),
        cmocka_unit_test(test_wrong_units),  cmocka_unit_test(test_wrong_devices),
        cmocka_unit_test(test_wrong_memory), cmocka_unit_test(test_cut_off),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
