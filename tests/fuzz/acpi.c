// SPDX-License-Identifier: Apache-2.0
// Fuzzes the ACPI parser and the builder of domain 0's tables. The input is either physical memory
// from address 0x1000 on, beginning with the RSDP, or (first byte odd) a list of tables, which get
// right lengths, checksums and a root, so that the fuzzer reaches what is behind them.
// tests/unit/acpi builds and runs it.
#include <stdlib.h>
#include <string.h>

#include <bulkhead/boot_info.h>
#include <bulkhead/console.h>

#include "../unit/acpi/memory.h"

#define RSDP_ADDRESS 0x1000u
#define ROOT_ADDRESS 0x2000u
#define TABLES 0x10000u
#define MAX_TABLES 150u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// Each table: one byte selects the signature, one the length of the body in units of 4 bytes.
static void lay_out_tables(const uint8_t *data, size_t size)
{
    static const char signatures[][5] = {"FACP", "APIC", "HPET", "MCFG",
                                         "SRAT", "IVRS", "DSDT", "XSDT"};
    uint8_t rsdp[20] = "RSD PTR ";
    uint32_t entries[MAX_TABLES];
    uint32_t address = TABLES, count = 0;

    while (size >= 2 && count < MAX_TABLES) {
        const char *signature = signatures[data[0] % ARRAY_SIZE(signatures)];
        size_t body = data[1] * 4u;

        data += 2;
        size -= 2;
        body = MIN(body, size);
        entries[count++] = address;
        memory_table(address, signature, data, body);
        address += (uint32_t)body + 36;
        data += body;
        size -= body;
    }
    memory_table(ROOT_ADDRESS, "RSDT", entries, count * sizeof(*entries));
    memcpy(rsdp + 16, &(uint32_t){ROOT_ADDRESS}, 4);
    memory_fix(memory_add(RSDP_ADDRESS, rsdp, sizeof(rsdp)));
}

static bool count_bytes(const char signature[4], maddr_t address, uint32_t length, void *data)
{
    size_t copied;

    (void)address;
    *(uint64_t *)data += length;
    acpi_find_table(signature, 0, &copied);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t buffer[ACPI_DOMAIN0_TABLES_MAX];
    struct acpi_domain0_machine machine = {.vcpu_count = 128};
    struct acpi_region regions[8];
    uint64_t bytes = 0;

    if (size < 1) {
        return 0;
    }
    boot_info.region_count = 2;
    boot_info.regions[0] = (struct boot_region){0x11000, 0x1000, BOOT_REGION_RAM};
    boot_info.regions[1] = (struct boot_region){0x13000, 0x1000, BOOT_REGION_ACPI};
    if (data[0] & 1) {
        lay_out_tables(data + 1, size - 1);
    } else {
        memory_add(RSDP_ADDRESS, data + 1, size - 1);
    }
    if (acpi_again(RSDP_ADDRESS) == 0) {
        acpi_for_each_table(count_bytes, &bytes);
        CHECK(acpi_build_domain0_tables(buffer, sizeof(buffer), 0x100000, &machine) != 0);
        CHECK(acpi_domain0_regions(regions, ARRAY_SIZE(regions)) <= ARRAY_SIZE(regions));
    }
    memory_clear();
    return 0;
}

void panic(const char *format, ...)
{
    (void)format;
    abort();
}
