// SPDX-License-Identifier: Apache-2.0
// Tables that lie: nothing is read outside them, nothing is believed that cannot be.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "memory.h"

#include <string.h>

#include <xen/errno.h>

static uint64_t rsdp;

static int setup(void **state)
{
    (void)state;
    rsdp = memory_load("q35.acpi");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    memory_clear();
    heap_allowed = ~0u;
    acpi_again(0);
    return heap_blocks == 0 ? 0 : -1; // nothing leaks
}

static void put32(struct piece *piece, size_t offset, uint32_t value)
{
    memcpy(piece->bytes + offset, &value, sizeof(value));
    memory_fix(piece);
}

// The root names this MADT instead of the one it has.
static struct piece *replace_madt(const void *body, size_t length)
{
    struct piece *old = memory_find("APIC"), *rsdt = memory_find("RSDT");
    struct piece *madt = memory_table(old->address + 0x10000000, "APIC", body, length);

    for (size_t offset = 36; offset + 4 <= rsdt->length; offset += 4) {
        if (memcmp(rsdt->bytes + offset, &(uint32_t){(uint32_t)old->address}, 4) == 0) {
            put32(rsdt, offset, (uint32_t)madt->address);
        }
    }
    memset(old->bytes, 0, 4);
    return madt;
}

static void test_no_rsdp(void **state)
{
    (void)state;
    assert_int_equal(acpi_again(0), -XEN_ENOENT);
    assert_int_equal(acpi_again(0x1000), -XEN_ENOENT);
    assert_int_equal(acpi_again(~0ull), -XEN_ENOENT);
    assert_int_equal(acpi_again((1ull << 52) - 10), -XEN_ENOENT);
    memory_find("RSD PTR ")->bytes[8] ^= 1;
    assert_int_equal(acpi_again(rsdp), -XEN_ENOENT);
    assert_false(acpi_info.valid && acpi_find_table("APIC", 0, &(size_t){0}));
}

static void test_root_length(void **state)
{
    static const uint32_t lengths[] = {0, 1, 35, 1u << 21, 0x7fffffff, 0xffffffff};
    struct piece *rsdt = memory_find("RSDT");

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
        put32(rsdt, 4, lengths[i]);
        assert_int_equal(acpi_again(rsdp), -XEN_ENOENT);
    }
    put32(rsdt, 4, 36); // an empty root is a root
    rsdt->length = 36;
    memory_fix(rsdt);
    assert_int_equal(acpi_again(rsdp), 0);
    assert_int_equal(acpi_info.cpu_count, 0);
}

static void test_root_names_itself(void **state)
{
    struct piece *rsdt = memory_find("RSDT");
    unsigned int entries = (unsigned int)(rsdt->length - 36) / 4;

    (void)state;
    for (unsigned int i = 1; i < entries; i++) {
        put32(rsdt, 36 + 4 * i, (uint32_t)rsdt->address);
    }
    assert_int_equal(acpi_again(rsdp), 0);
    assert_int_equal(acpi_info.pm_timer_port, 0x608); // the first entry is the FADT
    assert_int_equal(acpi_info.cpu_count, 0);
}

static void test_too_many_tables(void **state)
{
    uint32_t entries[300];
    uint8_t small[36] = "OEM1";
    struct piece *root;

    (void)state;
    small[4] = 36;
    for (unsigned int i = 0; i < 300; i++) {
        entries[i] = 0x100000 + i; // overlapping
    }
    memset(memory_find("RSDT")->bytes, 0, 4);
    memory_add(0x100000, small, sizeof(small));
    root = memory_table(0x200000, "RSDT", entries, sizeof(entries));
    put32(memory_find("RSD PTR "), 16, (uint32_t)root->address);
    assert_int_equal(acpi_again(rsdp), 0);
}

static void test_bad_checksum(void **state)
{
    (void)state;
    memory_find("APIC")->bytes[50] ^= 0x80;
    assert_int_equal(acpi_again(rsdp), 0);
    assert_int_equal(acpi_info.cpu_count, 0);
    assert_int_equal(acpi_info.hpet_address, 0xfed00000); // the others are used
}

static void test_short_tables(void **state)
{
    static const char *const names[] = {"FACP", "APIC", "HPET", "MCFG", "IVRS"};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        struct piece *piece;
        size_t whole;

        setup(NULL);
        piece = memory_find(names[i]);
        whole = piece->length;
        for (size_t length = 36; length < whole; length++) {
            piece->length = length;
            put32(piece, 4, (uint32_t)length);
            assert_int_equal(acpi_again(rsdp), 0);
        }
    }
}

static void test_madt_entries(void **state)
{
    uint8_t body[8 + 64] = {0, 0, 0xe0, 0xfe};
    static const struct {
        uint8_t bytes[16];
        size_t length;
    } entries[] = {
        {{0, 0}, 2},                           // no length
        {{0, 1}, 2},                           // shorter than its head
        {{0, 200, 1, 1, 1}, 8},                // leaves the table
        {{0, 4, 1, 1}, 4},                     // too short for its type
        {{1, 12, 7, 0, 0, 0, 0, 0}, 12},       // I/O APIC at 0
        {{1, 12, 7, 0, 3, 0, 0xc0, 0xfe}, 12}, // and at an odd place
        {{2, 10, 5, 4, 4}, 10},                // override of another bus
        {{2, 10, 0, 77, 4}, 10},               // or of no ISA interrupt
        {{0, 8, 0, 0, 0}, 8},                  // processor that is not there
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(entries); i++) {
        memset(body + 8, 0xff, 64);
        memcpy(body + 8, entries[i].bytes, entries[i].length);
        replace_madt(body, 8 + entries[i].length);
        assert_int_equal(acpi_again(rsdp), 0);
        assert_int_equal(acpi_info.cpu_count, 0);
        assert_int_equal(acpi_info.io_apic_count, 0);
        assert_int_equal(acpi_info.override_count, 0);
    }
}

static void test_many_processors(void **state)
{
    static uint8_t body[8 + 400 * 16];
    struct piece *madt;

    (void)state;
    for (unsigned int i = 0; i < 400; i++) {
        uint8_t *entry = body + 8 + 16 * i;

        entry[0] = 9;
        entry[1] = 16;
        memcpy(entry + 4, &(uint32_t){i / 2 * 3}, 4); // each id twice
        entry[8] = 1;
    }
    madt = replace_madt(body, sizeof(body));
    assert_int_equal(acpi_again(rsdp), 0);
    assert_int_equal(acpi_info.cpu_count, 200);
    for (unsigned int i = 0; i < 400; i++) {
        memcpy(body + 8 + 16 * i + 4, &(uint32_t){i}, 4);
    }
    memcpy(madt->bytes + 36, body, sizeof(body));
    memory_fix(madt);
    assert_int_equal(acpi_again(rsdp), 0);
    assert_int_equal(acpi_info.cpu_count, MAX_CPUS);
    assert_int_equal(acpi_info.cpus_ignored, 400 - MAX_CPUS);
}

static void test_mcfg_entries(void **state)
{
    struct piece *mcfg = memory_find("MCFG");

    (void)state;
    put32(mcfg, 44, 0xb0000001); // not aligned
    assert_int_equal(acpi_again(rsdp), 0);
    assert_int_equal(acpi_info.mcfg_count, 0);
    put32(mcfg, 44, 0xb0000000);
    put32(mcfg, 48, 0xffffffff); // beyond what can be addressed
    assert_int_equal(acpi_again(rsdp), 0);
    assert_int_equal(acpi_info.mcfg_count, 0);
    put32(mcfg, 48, 0);
    put32(mcfg, 52, 0x01020000); // last bus before the first
    assert_int_equal(acpi_again(rsdp), 0);
    assert_int_equal(acpi_info.mcfg_count, 0);
}

static void test_fadt_pointers(void **state)
{
    struct piece *fadt = memory_find("FACP");

    (void)state;
    put32(fadt, 40, (uint32_t)fadt->address); // the DSDT is the FADT itself
    put32(fadt, 36, 0xffffffff);
    assert_int_equal(acpi_again(rsdp), 0);
    assert_int_equal(acpi_info.cpu_count, 2);
}

static void test_no_memory(void **state)
{
    (void)state;
    for (unsigned int allowed = 0; allowed < 8; allowed++) {
        heap_allowed = allowed;
        assert_int_equal(acpi_again(rsdp), allowed ? 0 : -XEN_ENOMEM);
    }
}

// Every byte of every table takes a few values, with the checksum made right again: the sanitizers
// watch.
static void test_every_byte(void **state)
{
    static const uint8_t values[] = {0, 1, 2, 0x7f, 0x80, 0xff};

    (void)state;
    for (unsigned int i = 0; i < memory_count(); i++) {
        struct piece *piece = memory_at(i);

        for (size_t n = 0; n < piece->length * ARRAY_SIZE(values); n++) {
            uint8_t *byte = &piece->bytes[n / ARRAY_SIZE(values)], old = *byte;

            *byte = values[n % ARRAY_SIZE(values)];
            memory_fix(piece);
            acpi_again(rsdp);
            acpi_find_table("IVRS", 0, &(size_t){0});
            *byte = old;
        }
        memory_fix(piece);
    }
    assert_int_equal(acpi_again(rsdp), 0);
    assert_int_equal(acpi_info.cpu_count, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_no_rsdp),         TEST(test_root_length),     TEST(test_root_names_itself),
        TEST(test_too_many_tables), TEST(test_bad_checksum),    TEST(test_short_tables),
        TEST(test_madt_entries),    TEST(test_many_processors), TEST(test_mcfg_entries),
        TEST(test_fadt_pointers),   TEST(test_no_memory),       TEST(test_every_byte),
    };

    return cmocka_run_group_tests_name("acpi hostile", tests, NULL, NULL);
}
