// SPDX-License-Identifier: Apache-2.0
//
// What a domain finds in its memory: layout, start information, ACPI tables, first state. Tables
// are walked as a guest would walk them.
#include "check.h"

#include <toolstack/guest_image.h>
#include <toolstack/host.h>
#include <xen/xen.h>
#include <xen/arch-x86/hvm/start_info.h>
#include <xen/hvm/save.h>

static const struct kernel kernel = {.low = 0x1000000, .high = 0x4200000};

static void lays_out_below_and_above_4_gib(void **state)
{
    const size_t modules[] = {5000, 1};
    struct guest_layout layout;

    (void)state;
    assert_works(guest_lay_out(256ul << 20, false, &kernel, "quiet", modules, 2, &layout));
    assert_int_equal(layout.ram_count, 1);
    assert_int_equal(layout.map[0].size, 256ul << 20);
    assert_int_equal(layout.modules[0], 0x4200000);
    assert_int_equal(layout.modules[1], 0x4202000);
    assert_int_equal(layout.start_info, 0x4203000);
    assert_int_equal(layout.start_info_size, 4096);
    assert_works(guest_lay_out(8ul << 30, false, &kernel, "", NULL, 0, &layout));
    assert_int_equal(layout.ram_count, 2);
    assert_int_equal(layout.map[0].size, LOW_RAM_END);
    assert_int_equal(layout.map[1].address, HIGH_RAM);
    assert_int_equal(layout.map[1].size, (8ul << 30) - LOW_RAM_END);
}

static void map_has_no_overlaps(void **state)
{
    struct guest_layout layout;

    (void)state;
    assert_works(guest_lay_out(8ul << 30, false, &kernel, "", NULL, 0, &layout));
    for (size_t i = 0; i < layout.map_count; i++)
        for (size_t j = 0; j < i; j++)
            assert_true(layout.map[i].address >= layout.map[j].address + layout.map[j].size ||
                        layout.map[j].address >= layout.map[i].address + layout.map[i].size);
}

static void says_how_much_memory_would_do(void **state)
{
    const size_t module = 100ul << 20;
    struct guest_layout layout;
    struct error *error = guest_lay_out(128ul << 20, false, &kernel, "", &module, 1, &layout);

    (void)state;
    assert_non_null(error);
    assert_string_equal(error->advice, "They need 167 MiB before the kernel has any for itself.");
    assert_fails(error, ERROR_VALUE, "128 MiB of memory is too little");
}

static void start_information_points_inside(void **state)
{
    const size_t modules[] = {5000, 77};
    struct guest_layout layout;

    (void)state;
    assert_works(guest_lay_out(256ul << 20, false, &kernel, "root=/dev/xvda", modules, 2, &layout));
    uint8_t *bytes = calloc(1, layout.start_info_size);

    guest_write_start_info(&layout, "root=/dev/xvda", modules, 2, bytes);
    const struct hvm_start_info *info = (const void *)bytes;
    const struct hvm_modlist_entry *list =
        (const void *)(bytes + (info->modlist_paddr - layout.start_info));
    const struct hvm_memmap_table_entry *map =
        (const void *)(bytes + (info->memmap_paddr - layout.start_info));

    assert_int_equal(info->magic, XEN_HVM_START_MAGIC_VALUE);
    assert_int_equal(info->version, 1);
    assert_int_equal(info->nr_modules, 2);
    assert_int_equal(info->rsdp_paddr, ACPI_ADDRESS);
    assert_string_equal((char *)bytes + (info->cmdline_paddr - layout.start_info),
                        "root=/dev/xvda");
    assert_int_equal(list[1].paddr, layout.modules[1]);
    assert_int_equal(list[1].size, 77);
    assert_int_equal(info->memmap_entries, layout.map_count);
    assert_int_equal(map[0].size, 256ul << 20);
    assert_int_equal(map[0].type, XEN_HVM_MEMMAP_TYPE_RAM);
    free(bytes);
}

static uint64_t read_number(const uint8_t *at, unsigned int size)
{
    uint64_t number = 0;

    memcpy(&number, at, size);
    return number;
}

static void check_sum(const uint8_t *table, size_t size)
{
    uint8_t sum = 0;

    for (size_t i = 0; i < size; i++)
        sum = (uint8_t)(sum + table[i]);
    assert_int_equal(sum, 0);
}

// A table by its guest-physical address, with its signature and checksum.
static const uint8_t *table_at(const uint8_t *acpi, uint64_t address, const char *signature)
{
    assert_in_range(address, ACPI_ADDRESS, ACPI_ADDRESS + ACPI_SIZE - 36);
    const uint8_t *table = acpi + (address - ACPI_ADDRESS);

    assert_memory_equal(table, signature, 4);
    assert_true(read_number(table + 4, 4) <= ACPI_SIZE - (address - ACPI_ADDRESS));
    check_sum(table, read_number(table + 4, 4));
    return table;
}

static void acpi_describes_every_vcpu(void **state)
{
    (void)state;
    for (unsigned int vcpus = 1; vcpus <= GUEST_VCPUS_MAX; vcpus++) {
        uint8_t *acpi = calloc(1, ACPI_SIZE);

        assert_true(guest_write_acpi(vcpus, false, acpi) <= ACPI_SIZE);
        assert_memory_equal(acpi, "RSD PTR ", 8);
        check_sum(acpi, 20);
        check_sum(acpi, 36);
        const uint8_t *xsdt = table_at(acpi, read_number(acpi + 24, 8), "XSDT");
        const uint8_t *fadt = table_at(acpi, read_number(xsdt + 36, 8), "FACP");
        const uint8_t *madt = table_at(acpi, read_number(xsdt + 44, 8), "APIC");

        table_at(acpi, read_number(fadt + 140, 8), "DSDT");
        assert_int_equal(read_number(fadt + 4, 4), 276);
        assert_true(read_number(fadt + 112, 4) & 1u << 20); // no fixed hardware
        assert_int_equal(read_number(madt + 4, 4), 44 + 8 * vcpus);
        for (unsigned int vcpu = 0; vcpu < vcpus; vcpu++) {
            const uint8_t *entry = madt + 44 + vcpu * 8;

            assert_int_equal(entry[0], 0);
            assert_int_equal(entry[2], vcpu);
            assert_int_equal(entry[3], 2 * vcpu);
            assert_int_equal(read_number(entry + 4, 4), 1);
        }
        free(acpi);
    }
}

static void acpi_describes_the_pci_bus(void **state)
{
    uint8_t *acpi = calloc(1, ACPI_SIZE);

    (void)state;
    assert_true(guest_write_acpi(GUEST_VCPUS_MAX, true, acpi) <= ACPI_SIZE);
    const uint8_t *xsdt = table_at(acpi, read_number(acpi + 24, 8), "XSDT");

    assert_int_equal(read_number(xsdt + 4, 4), 36 + 4 * 8);
    const uint8_t *mcfg = table_at(acpi, read_number(xsdt + 52, 8), "MCFG");

    assert_int_equal(read_number(mcfg + 4, 4), 60);
    assert_int_equal(read_number(mcfg + 44, 8), ECAM_ADDRESS);
    assert_int_equal(read_number(mcfg + 52, 4), 0); // segment 0, bus 0 to bus 0
    table_at(acpi, read_number(xsdt + 60, 8), "SSDT");
    free(acpi);
}

static void configuration_space_has_no_memory_behind_it(void **state)
{
    struct guest_layout layout;

    (void)state;
    assert_works(guest_lay_out(8ul << 30, true, &kernel, "", NULL, 0, &layout));
    assert_int_equal(layout.map_count, layout.backed_count + 1);
    assert_int_equal(layout.map[layout.backed_count].address, ECAM_ADDRESS);
    assert_int_equal(layout.map[layout.backed_count].type, XEN_HVM_MEMMAP_TYPE_RESERVED);
    assert_true(layout.map[0].size <= ECAM_ADDRESS);
}

struct own_state {
    struct hvm_save_descriptor header_descriptor;
    struct hvm_save_header header;
    struct hvm_save_descriptor mtrr_descriptor;
    struct hvm_hw_mtrr mtrr;
    struct hvm_save_descriptor end;
};

static void state_starts_the_first_vcpu(void **state)
{
    struct own_state own = {
        .header_descriptor = {1, 0, sizeof(own.header)},
        .header = {.magic = HVM_FILE_MAGIC, .changeset = 77},
        .mtrr_descriptor = {HVM_SAVE_CODE(MTRR), 0, sizeof(own.mtrr)},
        .mtrr = {.msr_pat_cr = 0x1234, .msr_mtrr_cap = 8},
    };
    uint8_t *bytes;
    size_t size;

    (void)state;
    assert_works(
        guest_make_state((uint8_t *)&own, sizeof(own), 1, 0x1000b20, 0x4200000, &bytes, &size));
    const struct hvm_save_header *header = guest_find_record(bytes, size, 1, 0, sizeof(*header));
    const struct hvm_hw_cpu *cpu =
        guest_find_record(bytes, size, HVM_SAVE_CODE(CPU), 0, sizeof(*cpu));
    const struct hvm_hw_mtrr *mtrr =
        guest_find_record(bytes, size, HVM_SAVE_CODE(MTRR), 0, sizeof(*mtrr));

    assert_int_equal(header->changeset, 77);
    assert_int_equal(cpu->rip, 0x1000b20);
    assert_int_equal(cpu->rbx, 0x4200000);
    assert_int_equal(cpu->cr0, 0x11);
    assert_int_equal(mtrr->msr_pat_cr, 0x1234);
    assert_int_equal(mtrr->msr_mtrr_def_type, 0x806);
    free(bytes);
}

static void damaged_state_is_refused(void **state)
{
    struct own_state own = {.header_descriptor = {1, 0, 5000}};
    uint8_t *bytes;
    size_t size;

    (void)state;
    assert_fails(guest_make_state((uint8_t *)&own, sizeof(own), 1, 0, 0, &bytes, &size),
                 ERROR_HYPERVISOR, "no header");
    assert_null(guest_find_record((uint8_t *)&own, 3, 1, 0, 4));
}

static void cpu_sets_read_and_print(void **state)
{
    static const char *const texts[][2] = {{"0-3,^2", "0-1,3"}, {"all", "all"},    {"none", "none"},
                                           {"7", "7"},          {"^0", "1-7"},     {"1,2,3", "1-3"},
                                           {"all,^7", "0-6"},   {"0,2,4", "0,2,4"}};
    static const char *const bad[] = {"", "8", "3-1", "x", "1,", "1-", "^", "1 2"};
    struct cpu_set set;

    (void)state;
    cpu_set_make(&set, 8);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_works(cpu_set_parse(&set, texts[i][0]));
        char *text = cpu_set_format(&set, 8);

        assert_string_equal(text, texts[i][1]);
        free(text);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct error *error = cpu_set_parse(&set, bad[i]);

        assert_non_null(error);
        error_free(error);
    }
    cpu_set_free(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lays_out_below_and_above_4_gib),
        cmocka_unit_test(map_has_no_overlaps),
        cmocka_unit_test(says_how_much_memory_would_do),
        cmocka_unit_test(start_information_points_inside),
        cmocka_unit_test(acpi_describes_every_vcpu),
        cmocka_unit_test(acpi_describes_the_pci_bus),
        cmocka_unit_test(configuration_space_has_no_memory_behind_it),
        cmocka_unit_test(state_starts_the_first_vcpu),
        cmocka_unit_test(damaged_state_is_refused),
        cmocka_unit_test(cpu_sets_read_and_print),
    };

    return cmocka_run_group_tests_name("guest_image", tests, NULL, NULL);
}
