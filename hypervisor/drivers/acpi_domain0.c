// SPDX-License-Identifier: Apache-2.0
// The ACPI tables that a PVH domain 0 sees: RSDP, XSDT and MADT of our own in a buffer, which name
// the machine's other tables where they are. Built once at boot; no lock. Running out of space in
// the buffer is noticed at the write that does not fit, and the whole build fails.
// What is not in the list of passed tables is not shown. Of those that machines have, these are
// left out on purpose:
//   APIC: ours instead, because domain 0's vcpus are not the machine's processors
//   DMAR, IVRS, VIOT: the IOMMUs are the hypervisor's
//   HPET, SPCR, DBG2, DBGP: so are timer and serial port; domain 0 would put its console there
//   SRAT, SLIT, HMAT, MPST, PMTT, MSCT, PPTT: a layout of memory and processors not domain 0's
//   HEST, ERST, EINJ, BERT: errors of the machine are reported to the hypervisor
//   BGRT, FPDT: point into memory that the firmware no longer owns
//   NFIT, CEDT: memory that domain 0 was not given
//   UEFI, ASF!, WSMT, S3PT, RASF: nobody uses them, and there is memory behind them
#include "acpi_tables.h"

#include <bulkhead/boot_info.h>
#include <bulkhead/console.h>
#include <bulkhead/string.h>

#define HEADER_LENGTH 36u
#define CHECKSUM 9u // offset in a table
#define RSDP_LENGTH 36u
#define XSDT_REVISION 1u
#define MADT_REVISION 4u
#define MADT_ENABLED 1u
#define NARROW_APIC_ID 255u
#define LOCAL_APIC 0xfee00000u

static const char passed_tables[][4] = {
    "FACP",         // fixed registers: power button, sleep, PM timer
    "SSDT", "PSDT", // AML beside the DSDT
    "ECDT",         // embedded controller
    "MCFG",         // the windows that vPCI serves
    "MSDM", "SLIC", // licence keys
    "SBST",         // battery
    "TCPA", "TPM2", // a TPM's log and interface
    "WAET",         // hints about emulated devices
    "WDAT", "WDRT", // watchdog
    "BOOT",         // where in CMOS to say that a boot failed
};

struct builder {
    uint8_t *data;
    size_t size, used;
    bool overflow;
};

static void put(struct builder *b, const void *bytes, size_t length)
{
    if (length > b->size - b->used) {
        b->overflow = true;
        return;
    }
    memcpy(b->data + b->used, bytes, length);
    b->used += length;
}

static void put_number(struct builder *b, uint64_t value, unsigned int bytes)
{
    put(b, &value, bytes); // little-endian, as ACPI is
}

// Begins a table with its length and checksum still zero; returns its offset.
static size_t begin_table(struct builder *b, const char *signature, uint8_t revision)
{
    size_t start;

    while (b->used % 16 && !b->overflow) {
        put_number(b, 0, 1);
    }
    start = b->used;
    put(b, signature, 4);
    put_number(b, 0, 4);
    put_number(b, revision, 1);
    put_number(b, 0, 1);
    put(b, acpi_directory.oem + 2, HEADER_LENGTH - 10); // OEM and creator as the machine has them
    return start;
}

static void end_table(struct builder *b, size_t start)
{
    uint32_t length = (uint32_t)(b->used - start);

    if (b->overflow) {
        return;
    }
    memcpy(b->data + start + 4, &length, sizeof(length));
    b->data[start + CHECKSUM] = (uint8_t)-acpi_sum(b->data + start, length);
}

static void put_rsdp(struct builder *b)
{
    uint8_t rsdp[RSDP_LENGTH] = "RSD PTR ";

    memcpy(rsdp + 9, acpi_directory.oem + 2, 6);
    rsdp[15] = 2; // revision
    rsdp[20] = RSDP_LENGTH;
    put(b, rsdp, sizeof(rsdp));
}

static void finish_rsdp(struct builder *b, uint64_t xsdt)
{
    if (b->overflow) {
        return;
    }
    memcpy(b->data + 24, &xsdt, sizeof(xsdt));
    b->data[8] = (uint8_t)-acpi_sum(b->data, 20);
    b->data[32] = (uint8_t)-acpi_sum(b->data, RSDP_LENGTH);
}

static void put_vcpu(struct builder *b, unsigned int vcpu)
{
    uint32_t apic_id = vcpu * 2;

    if (apic_id < NARROW_APIC_ID) {
        put_number(b, 0, 1); // local APIC
        put_number(b, 8, 1);
        put_number(b, vcpu, 1);
        put_number(b, apic_id, 1);
        put_number(b, MADT_ENABLED, 4);
    } else {
        put_number(b, 9, 1); // local x2APIC
        put_number(b, 16, 1);
        put_number(b, 0, 2);
        put_number(b, apic_id, 4);
        put_number(b, MADT_ENABLED, 4);
        put_number(b, vcpu, 4);
    }
}

static size_t put_madt(struct builder *b, unsigned int vcpu_count)
{
    size_t start = begin_table(b, "APIC", MADT_REVISION);

    put_number(b, LOCAL_APIC, 4);
    put_number(b, 0, 4); // no legacy PIC
    for (unsigned int i = 0; i < vcpu_count; i++) {
        put_vcpu(b, i);
    }
    for (unsigned int i = 0; i < acpi_info.io_apic_count; i++) {
        put_number(b, 1, 1);
        put_number(b, 12, 1);
        put_number(b, acpi_info.io_apics[i].id, 1);
        put_number(b, 0, 1);
        put_number(b, acpi_info.io_apics[i].address, 4);
        put_number(b, acpi_info.io_apics[i].gsi_base, 4);
    }
    for (unsigned int i = 0; i < acpi_info.override_count; i++) {
        put_number(b, 2, 1);
        put_number(b, 10, 1);
        put_number(b, 0, 1); // ISA
        put_number(b, acpi_info.overrides[i].irq, 1);
        put_number(b, acpi_info.overrides[i].gsi, 4);
        put_number(b, acpi_info.overrides[i].flags, 2);
    }
    end_table(b, start);
    return start;
}

// Whether any of the range is RAM, which may be anybody's by now.
static bool in_ram(uint64_t start, uint64_t size)
{
    for (unsigned int i = 0; i < boot_info.region_count; i++) {
        const struct boot_region *region = &boot_info.regions[i];

        if (region->type == BOOT_REGION_RAM && start < region->start + region->size &&
            region->start < start + size) {
            return true;
        }
    }
    return false;
}

static bool is_listed(const char *signature)
{
    for (size_t i = 0; i < ARRAY_SIZE(passed_tables); i++) {
        if (memcmp(signature, passed_tables[i], 4) == 0) {
            return true;
        }
    }
    return false;
}

// Whether domain 0 sees the machine's table, by whatever way leads to it.
static bool is_shown(const struct acpi_table *table)
{
    bool named_by_fadt =
        table->address == acpi_info.dsdt_address || table->address == acpi_info.facs_address;

    return (named_by_fadt || is_listed(table->signature)) && !in_ram(table->address, table->length);
}

size_t acpi_build_domain0_tables(void *buffer, size_t size, uint64_t gpa,
                                 const struct acpi_domain0_machine *machine)
{
    struct builder b = {.data = buffer, .size = size};
    size_t madt, xsdt;

    if (!acpi_info.valid) {
        return 0;
    }
    put_rsdp(&b);
    madt = put_madt(&b, machine->vcpu_count);
    xsdt = begin_table(&b, "XSDT", XSDT_REVISION);
    for (unsigned int i = 0; i < acpi_directory.count; i++) {
        const struct acpi_table *table = &acpi_directory.tables[i];

        if (!is_shown(table)) {
            log_info("ACPI: %.4s is not shown to domain 0%s", table->signature,
                     in_ram(table->address, table->length) ? ": it lies in RAM" : "");
        } else if (is_listed(table->signature)) {
            put_number(&b, table->address, 8);
        }
    }
    put_number(&b, gpa + madt, 8);
    end_table(&b, xsdt);
    finish_rsdp(&b, gpa + xsdt);
    return b.overflow ? 0 : b.used;
}

// Adds a range to a sorted, disjoint list, merging what touches it. Returns the new count; when the
// list is full the range is left out.
static unsigned int add_region(struct acpi_region *regions, unsigned int count, unsigned int max,
                               uint64_t start, uint64_t size)
{
    uint64_t first = ALIGN_DOWN(start, PAGE_SIZE), end = ALIGN_UP(start + size, PAGE_SIZE);
    unsigned int at = 0, merged;

    while (at < count && regions[at].start + regions[at].size < first) {
        at++;
    }
    for (merged = at; merged < count && regions[merged].start <= end; merged++) {
        first = MIN(first, regions[merged].start);
        end = MAX(end, regions[merged].start + regions[merged].size);
    }
    if (merged == at && count == max) {
        log_warning("ACPI: more than %u regions for domain 0", max);
        return count;
    }
    memmove(&regions[at + 1], &regions[merged], (count - merged) * sizeof(*regions));
    regions[at] = (struct acpi_region){.start = first, .size = end - first};
    return count - (merged - at) + 1;
}

unsigned int acpi_domain0_regions(struct acpi_region *regions, unsigned int max)
{
    unsigned int count = 0;

    for (unsigned int i = 0; i < boot_info.region_count; i++) {
        const struct boot_region *region = &boot_info.regions[i];

        if (region->type == BOOT_REGION_ACPI || region->type == BOOT_REGION_NVS) {
            count = add_region(regions, count, max, region->start, region->size);
        }
    }
    for (unsigned int i = 0; i < acpi_directory.count; i++) {
        const struct acpi_table *table = &acpi_directory.tables[i];

        if (is_shown(table)) {
            count = add_region(regions, count, max, table->address, table->length);
        }
    }
    return count;
}
