// SPDX-License-Identifier: Apache-2.0
// The tables that domain 0 is given, read back by the same parser.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "memory.h"

#include <string.h>

#include <bulkhead/boot_info.h>

#define TABLES_GPA 0x7fff0000u

static uint8_t buffer[ACPI_DOMAIN0_TABLES_MAX];

static void start(void)
{
    boot_info = (struct boot_info){
        .region_count = 4,
        .regions = {{0, 0x9fc00, BOOT_REGION_RAM},
                    {0x100000, 0x7ffe0000 - 0x100000, BOOT_REGION_RAM},
                    {0x7ffe0000, 0x20000, BOOT_REGION_RESERVED},
                    {0x7fff0000, 0x1000, BOOT_REGION_NVS}},
    };
    assert_int_equal(acpi_again(memory_load("q35.acpi")), 0);
}

static void test_read_back(void **state)
{
    const struct acpi_domain0_machine machine = {.vcpu_count = 3};
    static const char *const hidden[] = {"HPET", "IVRS"};
    size_t used, length;

    (void)state;
    start();
    used = acpi_build_domain0_tables(buffer, sizeof(buffer), TABLES_GPA, &machine);
    assert_true(used > 0 && used < sizeof(buffer));
    memory_add(TABLES_GPA, buffer, used);
    assert_int_equal(acpi_again(TABLES_GPA), 0);
    assert_int_equal(acpi_info.cpu_count, 3);
    assert_int_equal(acpi_info.cpus[2].apic_id, 4);
    assert_int_equal(acpi_info.cpus[2].acpi_id, 2);
    assert_false(acpi_info.has_legacy_pic);
    assert_int_equal(acpi_info.io_apic_count, 1);
    assert_int_equal(acpi_info.io_apics[0].address, 0xfec00000);
    assert_int_equal(acpi_info.override_count, 5);
    assert_int_equal(acpi_info.overrides[0].gsi, 2);
    assert_int_equal(acpi_info.mcfg_count, 1);
    assert_int_equal(acpi_info.pm1a_control_port, 0x604);
    assert_int_equal(acpi_info.dsdt_address, 0x7ffe0040);
    for (size_t i = 0; i < ARRAY_SIZE(hidden); i++) {
        assert_null(acpi_find_table(hidden[i], 0, &length));
    }
}

static void test_many_vcpus(void **state)
{
    struct acpi_domain0_machine machine = {.vcpu_count = 200};
    size_t used;

    (void)state;
    start();
    used = acpi_build_domain0_tables(buffer, sizeof(buffer), TABLES_GPA, &machine);
    assert_true(used > 0);
    memory_add(TABLES_GPA, buffer, used);
    assert_int_equal(acpi_again(TABLES_GPA), 0);
    assert_int_equal(acpi_info.cpu_count, 200);
    assert_int_equal(acpi_info.cpus[127].apic_id, 254);
    assert_int_equal(acpi_info.cpus[128].apic_id, 256);
    assert_int_equal(acpi_info.cpus[199].apic_id, 398);
    assert_int_equal(acpi_info.cpus[199].acpi_id, 199);
}

static void test_small_buffer(void **state)
{
    const struct acpi_domain0_machine machine = {.vcpu_count = 2};
    size_t needed;

    (void)state;
    start();
    needed = acpi_build_domain0_tables(buffer, sizeof(buffer), TABLES_GPA, &machine);
    for (size_t size = 0; size < needed; size++) {
        assert_int_equal(acpi_build_domain0_tables(buffer, size, TABLES_GPA, &machine), 0);
    }
    assert_int_equal(acpi_build_domain0_tables(buffer, needed, TABLES_GPA, &machine), needed);
}

static void test_regions(void **state)
{
    struct acpi_region regions[8];

    (void)state;
    start();
    assert_int_equal(acpi_domain0_regions(regions, 8), 2);
    assert_int_equal(regions[0].start, 0x7ffe0000);
    assert_int_equal(regions[0].size, 0x3000);
    assert_int_equal(regions[1].start, 0x7fff0000);
    assert_int_equal(regions[1].size, 0x1000);
    // Adjacent ones become one, whatever the order.
    boot_info.regions[3].start = 0x7ffe3000;
    assert_int_equal(acpi_domain0_regions(regions, 8), 1);
    assert_int_equal(regions[0].size, 0x4000);
    boot_info.regions[3].start = 0x1000;
    assert_int_equal(acpi_domain0_regions(regions, 8), 2);
    assert_int_equal(regions[0].start, 0x1000);
    assert_int_equal(acpi_domain0_regions(regions, 1), 1);
}

// Tables in memory that the page allocator has are nobody's to show.
static void test_tables_in_ram(void **state)
{
    const struct acpi_domain0_machine machine = {.vcpu_count = 1};
    struct acpi_region regions[8];
    size_t used;

    (void)state;
    start();
    boot_info.regions[2].type = BOOT_REGION_RAM;
    assert_int_equal(acpi_domain0_regions(regions, 8), 1);
    used = acpi_build_domain0_tables(buffer, sizeof(buffer), TABLES_GPA, &machine);
    assert_true(used > 0);
    memory_add(TABLES_GPA, buffer, used);
    assert_int_equal(acpi_again(TABLES_GPA), 0);
    assert_int_equal(acpi_info.cpu_count, 1);
    assert_int_equal(acpi_info.mcfg_count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read_back),     cmocka_unit_test(test_many_vcpus),
        cmocka_unit_test(test_small_buffer),  cmocka_unit_test(test_regions),
        cmocka_unit_test(test_tables_in_ram),
    };

    return cmocka_run_group_tests_name("acpi domain 0", tests, NULL, NULL);
}
