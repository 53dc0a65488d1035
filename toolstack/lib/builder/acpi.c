// SPDX-License-Identifier: Apache-2.0
//
// ACPI tables of a PVH domain (ACPI 6.4, chapter 5.2): RSDP, XSDT, FADT of a machine without legacy
// hardware, MADT with a local APIC for each vcpu, and the DSDT that iasl has compiled. struct
// tables is the buffer and how far it is filled; each table is written where the last one ended,
// aligned to 16 bytes, and gets its length and checksum when it is complete.
#include <toolstack/guest_image.h>

#include <string.h>

// Made from dsdt.asl and pci_bus.asl.
#include <dsdt.h>
#include <pci_bus.h>

enum {
    HEADER_SIZE = 36,
    RSDP_SIZE = 36,
    FADT_SIZE = 276,
    MADT_FIXED = 44,
    LOCAL_APIC_SIZE = 8,
    MCFG_SIZE = 60,
};

// FADT: what the machine does not have (5.2.9.3), and that it has no fixed hardware (5.2.9).
#define BOOT_NO_VGA (1u << 2)
#define BOOT_NO_RTC (1u << 5)
#define FADT_WBINVD (1u << 0)
#define FADT_NO_POWER_BUTTON (1u << 4)
#define FADT_NO_SLEEP_BUTTON (1u << 5)
#define FADT_APIC_PHYSICAL (1u << 19)
#define FADT_HARDWARE_REDUCED (1u << 20)

struct tables {
    uint8_t *bytes;
    size_t size;
};

static void put(uint8_t *at, uint64_t value, unsigned int bytes)
{
    for (unsigned int i = 0; i < bytes; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

static uint8_t negative_sum(const uint8_t *bytes, size_t size)
{
    uint8_t sum = 0;

    for (size_t i = 0; i < size; i++)
        sum = (uint8_t)(sum + bytes[i]);
    return (uint8_t)-sum;
}

// Begins a table of a size and returns its offset.
static size_t begin(struct tables *tables, const char *signature, unsigned int revision,
                    size_t size)
{
    size_t offset = (tables->size + 15) & ~15ul;
    uint8_t *header = tables->bytes + offset;

    memcpy(header, signature, 4);
    put(header + 4, size, 4);
    header[8] = (uint8_t)revision;
    memcpy(header + 10, "BULKHD", 6);
    memcpy(header + 16, "PVH     ", 8);
    put(header + 24, 1, 4);
    memcpy(header + 28, "BLKH", 4);
    put(header + 32, 1, 4);
    tables->size = offset + size;
    return offset;
}

static void finish(struct tables *tables, size_t offset)
{
    uint8_t *table = tables->bytes + offset;

    table[9] = 0;
    table[9] = negative_sum(table, tables->size - offset);
}

// A table that iasl has made.
static size_t write_compiled(struct tables *tables, const unsigned char *code, size_t size)
{
    size_t offset = (tables->size + 15) & ~15ul;

    memcpy(tables->bytes + offset, code, size);
    tables->size = offset + size;
    return offset;
}

static size_t write_fadt(struct tables *tables, size_t dsdt)
{
    size_t offset = begin(tables, "FACP", 6, FADT_SIZE);
    uint8_t *table = tables->bytes + offset;

    put(table + 40, ACPI_ADDRESS + dsdt, 4);
    table[45] = 4; // an enterprise server
    put(table + 109, BOOT_NO_VGA | BOOT_NO_RTC, 2);
    put(table + 112,
        FADT_WBINVD | FADT_NO_POWER_BUTTON | FADT_NO_SLEEP_BUTTON | FADT_APIC_PHYSICAL |
            FADT_HARDWARE_REDUCED,
        4);
    table[131] = 4; // minor version
    put(table + 140, ACPI_ADDRESS + dsdt, 8);
    finish(tables, offset);
    return offset;
}

static size_t write_madt(struct tables *tables, unsigned int vcpus)
{
    size_t offset = begin(tables, "APIC", 5, MADT_FIXED + vcpus * LOCAL_APIC_SIZE);
    uint8_t *table = tables->bytes + offset;

    put(table + 36, 0xfee00000, 4);
    for (unsigned int vcpu = 0; vcpu < vcpus; vcpu++) {
        uint8_t *entry = table + MADT_FIXED + vcpu * LOCAL_APIC_SIZE;

        entry[0] = 0; // processor local APIC
        entry[1] = LOCAL_APIC_SIZE;
        entry[2] = (uint8_t)vcpu;
        entry[3] = (uint8_t)guest_apic_id(vcpu);
        put(entry + 4, 1, 4); // enabled
    }
    finish(tables, offset);
    return offset;
}

// Where the configuration space of bus 0 lies (PCI Firmware Specification, 4.1.2).
static size_t write_mcfg(struct tables *tables)
{
    size_t offset = begin(tables, "MCFG", 1, MCFG_SIZE);

    put(tables->bytes + offset + 44, ECAM_ADDRESS, 8);
    finish(tables, offset);
    return offset;
}

static size_t write_xsdt(struct tables *tables, const size_t *offsets, size_t count)
{
    size_t offset = begin(tables, "XSDT", 1, HEADER_SIZE + 8 * count);

    for (size_t i = 0; i < count; i++)
        put(tables->bytes + offset + HEADER_SIZE + 8 * i, ACPI_ADDRESS + offsets[i], 8);
    finish(tables, offset);
    return offset;
}

size_t guest_write_acpi(unsigned int vcpus, bool pci, uint8_t *buffer)
{
    struct tables tables = {.bytes = buffer, .size = RSDP_SIZE};
    size_t dsdt = write_compiled(&tables, dsdt_aml_code, sizeof(dsdt_aml_code));
    size_t listed[4];
    size_t count = 0;

    listed[count++] = write_fadt(&tables, dsdt);
    listed[count++] = write_madt(&tables, vcpus);
    if (pci) {
        listed[count++] = write_mcfg(&tables);
        listed[count++] = write_compiled(&tables, pci_bus_aml_code, sizeof(pci_bus_aml_code));
    }
    size_t xsdt = write_xsdt(&tables, listed, count);

    memcpy(buffer, "RSD PTR ", 8);
    memcpy(buffer + 9, "BULKHD", 6);
    buffer[15] = 2; // revision
    put(buffer + 20, RSDP_SIZE, 4);
    put(buffer + 24, ACPI_ADDRESS + xsdt, 8);
    buffer[8] = negative_sum(buffer, 20);
    buffer[32] = negative_sum(buffer, RSDP_SIZE);
    return tables.size;
}
