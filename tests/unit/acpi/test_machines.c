// SPDX-License-Identifier: Apache-2.0
// The tables of real (emulated) machines, and power off and reset with what they say.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "memory.h"

#include <string.h>

#include <xen/errno.h>

static void start(const char *name)
{
    assert_int_equal(acpi_again(memory_load(name)), 0);
    assert_true(acpi_info.valid);
    port_writes = 0;
}

static void test_q35(void **state)
{
    (void)state;
    start("q35.acpi");
    assert_int_equal(acpi_info.cpu_count, 2);
    assert_int_equal(acpi_info.cpus[0].apic_id, 0);
    assert_int_equal(acpi_info.cpus[1].apic_id, 1);
    assert_true(acpi_info.cpus[1].enabled);
    assert_int_equal(acpi_info.local_apic_address, 0xfee00000);
    assert_true(acpi_info.has_legacy_pic);
    assert_int_equal(acpi_info.io_apic_count, 1);
    assert_int_equal(acpi_info.io_apics[0].address, 0xfec00000);
    assert_int_equal(acpi_info.io_apics[0].gsi_base, 0);
    assert_int_equal(acpi_info.override_count, 5);
    assert_int_equal(acpi_info.nmi_source_count, 1);
    assert_true(acpi_info.nmi_sources[0].local);
    assert_int_equal(acpi_info.nmi_sources[0].acpi_id, ACPI_ANY_CPU);
    assert_int_equal(acpi_info.nmi_sources[0].lint, 1);
    assert_int_equal(acpi_info.sci_irq, 9);
    assert_int_equal(acpi_info.pm_timer_port, 0x608);
    assert_false(acpi_info.pm_timer_32bit);
    assert_int_equal(acpi_info.pm1a_event_port, 0x600);
    assert_int_equal(acpi_info.pm1a_control_port, 0x604);
    assert_int_equal(acpi_info.pm1b_control_port, 0);
    assert_int_equal(acpi_info.century_register, 0x32);
    assert_true(acpi_info.has_reset_register);
    assert_int_equal(acpi_info.reset_register.address, 0xcf9);
    assert_int_equal(acpi_info.reset_value, 0xf);
    assert_int_equal(acpi_info.hpet_address, 0xfed00000);
    assert_int_equal(acpi_info.mcfg_count, 1);
    assert_int_equal(acpi_info.mcfg[0].base, 0xb0000000);
    assert_int_equal(acpi_info.mcfg[0].start_bus, 0);
    assert_int_equal(acpi_info.mcfg[0].end_bus, 255);
    assert_int_equal(acpi_info.dsdt_address, 0x7ffe0040);
    assert_int_equal(acpi_info.facs_address, 0x7ffe0000);
}

static void test_numa(void **state)
{
    (void)state;
    start("numa.acpi");
    assert_int_equal(acpi_info.cpu_count, 4);
    assert_int_equal(acpi_info.cpus[1].proximity, 0);
    assert_int_equal(acpi_info.cpus[2].proximity, 1);
    assert_int_equal(acpi_info.cpus[3].proximity, 1);
    // Node 0 is split at 640 KiB.
    assert_int_equal(acpi_info.memory_affinity_count, 3);
    assert_int_equal(acpi_info.memory_affinities[0].size, 0xa0000);
    assert_int_equal(acpi_info.memory_affinities[2].start, 256 << 20);
    assert_int_equal(acpi_info.memory_affinities[2].size, 256 << 20);
    assert_int_equal(acpi_info.memory_affinities[2].proximity, 1);
}

static void test_pc(void **state)
{
    (void)state;
    start("pc.acpi");
    assert_int_equal(acpi_info.cpu_count, 1);
    assert_int_equal(acpi_info.hpet_address, 0);
    assert_int_equal(acpi_info.mcfg_count, 0);
    assert_int_equal(acpi_info.pm_timer_port, 0x608);
    assert_false(acpi_info.has_reset_register); // its FADT is too short for one
}

static void test_find_table(void **state)
{
    const void *table;
    size_t length = 0;

    (void)state;
    start("q35.acpi");
    table = acpi_find_table("IVRS", 0, &length);
    assert_non_null(table);
    assert_int_equal(length, 104);
    assert_memory_equal(table, memory_find("IVRS")->bytes, length);
    assert_ptr_equal(acpi_find_table("IVRS", 0, &length), table);
    assert_null(acpi_find_table("IVRS", 1, &length));
    assert_null(acpi_find_table("DMAR", 0, &length));
    // Domain 0 may write where the tables are: a table is looked at again when it is first wanted.
    start("q35.acpi");
    memory_find("IVRS")->bytes[50] ^= 1;
    assert_null(acpi_find_table("IVRS", 0, &length));
}

static bool count_table(const char signature[4], maddr_t address, uint32_t length, void *data)
{
    unsigned int *count = data;

    assert_true(address.a != 0 && length >= 36);
    (*count)++;
    return memcmp(signature, "HPET", 4) != 0;
}

static void test_for_each_table(void **state)
{
    unsigned int count = 0;

    (void)state;
    start("pc.acpi"); // FACP, APIC, WAET, DSDT, FACS
    acpi_for_each_table(count_table, &count);
    assert_int_equal(count, 5);
    start("q35.acpi"); // FACP, APIC, HPET: stops there
    count = 0;
    acpi_for_each_table(count_table, &count);
    assert_int_equal(count, 3);
}

static void test_isa_interrupts(void **state)
{
    bool level, active_low;
    uint32_t gsi;

    (void)state;
    start("q35.acpi");
    acpi_isa_irq_to_gsi(0, &gsi, &level, &active_low);
    assert_int_equal(gsi, 2);
    assert_false(level || active_low);
    acpi_isa_irq_to_gsi(4, &gsi, &level, &active_low);
    assert_int_equal(gsi, 4);
    assert_false(level || active_low);
    acpi_isa_irq_to_gsi(9, &gsi, &level, &active_low);
    assert_int_equal(gsi, 9);
    assert_true(level);
    assert_false(active_low); // so says the override
}

// The same tables behind a version 2 RSDP and an XSDT, with one more table.
static void test_xsdt(void **state)
{
    uint8_t rsdp[36] = "RSD PTR ";
    uint64_t entries[16], xsdt = 0x123450ff8; // crosses a page
    size_t count = 0;

    (void)state;
    memory_load("q35.acpi");
    for (unsigned int i = 0; i < memory_count(); i++) {
        const struct piece *piece = memory_at(i);

        if (memcmp(piece->bytes, "RS", 2) && memcmp(piece->bytes, "FACS", 4) &&
            memcmp(piece->bytes, "DSDT", 4)) {
            entries[count++] = piece->address;
        }
    }
    entries[count++] = 0x200000004;
    memory_table(0x200000004, "SSDT", "aml", 3);
    memory_table(xsdt, "XSDT", entries, count * 8);
    rsdp[15] = 2;
    rsdp[20] = sizeof(rsdp);
    memcpy(rsdp + 24, &xsdt, 8);
    for (unsigned int i = 0; i < 20; i++) {
        rsdp[8] = (uint8_t)(rsdp[8] - rsdp[i] * (i != 8));
    }
    for (unsigned int i = 0; i < 36; i++) {
        rsdp[32] = (uint8_t)(rsdp[32] - rsdp[i] * (i != 32));
    }
    memory_add(0xe0000, rsdp, sizeof(rsdp));
    assert_int_equal(acpi_again(0xe0000), 0);
    assert_int_equal(acpi_info.cpu_count, 2);
    assert_non_null(acpi_find_table("SSDT", 0, &count));
}

static void test_sleep_and_reset(void **state)
{
    (void)state;
    start("q35.acpi");
    assert_int_equal(acpi_enter_sleep(5 << 10, 0), -XEN_EIO);
    assert_int_equal(port_writes, 1); // there is no PM1b
    assert_int_equal(port_write[0].port, 0x604);
    assert_int_equal(port_write[0].size, 2);
    assert_int_equal(port_write[0].value, 5 << 10 | 1 << 13);
    port_writes = 0;
    assert_false(acpi_reset());
    assert_int_equal(port_writes, 1);
    assert_int_equal(port_write[0].port, 0xcf9);
    assert_int_equal(port_write[0].value, 0xf);

    acpi_info.reset_register = (struct acpi_address){.space = 0, .address = 0xfed80000};
    assert_false(acpi_reset());
    assert_int_equal(mapped_register, 0xf);
    port_writes = 0;
    acpi_info.reset_register =
        (struct acpi_address){.space = 2, .address = 0x1full << 32 | 3u << 16 | 0x41};
    assert_false(acpi_reset());
    assert_int_equal(port_writes, 2);
    assert_int_equal(port_write[0].value, 0x80000000 | 0x1f << 11 | 3 << 8 | 0x40);
    assert_int_equal(port_write[1].port, 0xcfd);

    start("pc.acpi");
    assert_false(acpi_reset());
    assert_int_equal(port_writes, 0);
    acpi_info.pm1a_control_port = 0;
    assert_int_equal(acpi_enter_sleep(0, 0), -XEN_ENODEV);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_q35),
        cmocka_unit_test(test_numa),
        cmocka_unit_test(test_pc),
        cmocka_unit_test(test_find_table),
        cmocka_unit_test(test_for_each_table),
        cmocka_unit_test(test_isa_interrupts),
        cmocka_unit_test(test_xsdt),
        cmocka_unit_test(test_sleep_and_reset),
    };

    return cmocka_run_group_tests_name("acpi machines", tests, NULL, NULL);
}
