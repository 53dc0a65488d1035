// SPDX-License-Identifier: Apache-2.0
// Finds the ACPI tables and reads FADT, HPET and MCFG (ACPI 6.5 chapter 5, PCI Firmware 3.3 4.1.2).
// Every table is used only through a copy in the heap whose length and checksum were checked;
// fields are fetched by acpi_field, which cannot leave the table. Nothing is followed recursively:
// the root table is read once, and each address is listed once, so tables that overlap or name
// each other do no harm. A table that is wrong is left out with a warning.
#include "acpi_tables.h"

#include <bulkhead/console.h>
#include <bulkhead/heap.h>
#include <bulkhead/string.h>
#include <xen/errno.h>

#define RSDP_V1_LENGTH 20u
#define RSDP_V2_LENGTH 36u
#define RSDP_MAX_LENGTH 128u
#define HEADER_LENGTH 36u
#define FACS_MIN_LENGTH 64u
#define MAX_COPIED_LENGTH (1u << 20) // larger ones are listed, but never read by the hypervisor
#define MAX_LISTED_LENGTH (16u << 20)
#define PHYSICAL_ADDRESSES (1ull << 52)

#define ADDRESS_SPACE_MEMORY 0
#define ADDRESS_SPACE_PORT 1
#define ADDRESS_SPACE_PCI 2

uint64_t acpi_field(struct acpi_bytes bytes, size_t offset, unsigned int size)
{
    uint64_t value = 0;

    if (offset <= bytes.length && size <= bytes.length - offset) {
        memcpy(&value, bytes.data + offset, size);
    }
    return value;
}

uint8_t acpi_sum(const void *data, size_t length)
{
    const uint8_t *bytes = data;
    uint8_t sum = 0;

    for (size_t i = 0; i < length; i++) {
        sum = (uint8_t)(sum + bytes[i]);
    }
    return sum;
}

static bool signature_is(const void *table, const char *signature)
{
    return memcmp(table, signature, 4) == 0;
}

static bool printable(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (text[i] < ' ' || text[i] > '~') {
            return false;
        }
    }
    return true;
}

static bool range_possible(uint64_t address, uint64_t length)
{
    return address != 0 && address < PHYSICAL_ADDRESSES && length <= PHYSICAL_ADDRESSES - address;
}

static bool read_memory(const struct acpi_reader *reader, uint64_t address, void *to, size_t size)
{
    return range_possible(address, size) && reader->read(reader->context, address, to, size);
}

// Copies a whole table into the heap and verifies that it still is what its header said, and its
// checksum. NULL if it is not, or memory is out (*error).
static void *copy_table(const struct acpi_reader *reader, const char *signature, uint64_t address,
                        uint32_t length, int *error)
{
    uint8_t *copy;

    *error = -XEN_ENOENT;
    if (length < HEADER_LENGTH || length > MAX_COPIED_LENGTH) {
        return NULL;
    }
    copy = heap_alloc(length);
    if (!copy) {
        *error = -XEN_ENOMEM;
        return NULL;
    }
    if (!read_memory(reader, address, copy, length) || !signature_is(copy, signature) ||
        acpi_field((struct acpi_bytes){copy, length}, 4, 4) != length || acpi_sum(copy, length)) {
        log_warning("ACPI: %.4s at 0x%llx is damaged: not used", signature,
                    (unsigned long long)address);
        heap_free(copy);
        return NULL;
    }
    *error = 0;
    return copy;
}

// Reads and checks the RSDP (5.2.5.3); on success the addresses of the root tables, 0 if absent.
static bool read_rsdp(const struct acpi_reader *reader, uint64_t address, uint64_t *rsdt,
                      uint64_t *xsdt)
{
    uint8_t buffer[RSDP_MAX_LENGTH] = {0};
    struct acpi_bytes rsdp = {buffer, RSDP_V1_LENGTH};
    uint64_t length;

    if (!read_memory(reader, address, buffer, RSDP_V1_LENGTH) ||
        memcmp(buffer, "RSD PTR ", 8) != 0 || acpi_sum(buffer, RSDP_V1_LENGTH)) {
        return false;
    }
    *rsdt = acpi_field(rsdp, 16, 4);
    *xsdt = 0;
    if (buffer[15] < 2 || !read_memory(reader, address, buffer, RSDP_V2_LENGTH)) {
        return true;
    }
    rsdp.length = RSDP_V2_LENGTH;
    length = acpi_field(rsdp, 20, 4);
    if (length >= RSDP_V2_LENGTH && length <= RSDP_MAX_LENGTH &&
        read_memory(reader, address, buffer, length) && acpi_sum(buffer, length) == 0) {
        *xsdt = acpi_field(rsdp, 24, 8);
    }
    return true;
}

void acpi_directory_add(const struct acpi_reader *reader, uint64_t address,
                        struct acpi_directory *directory)
{
    struct acpi_table *table;
    char header[8];
    uint32_t length;

    for (unsigned int i = 0; i < directory->count; i++) {
        if (directory->tables[i].address == address) {
            return;
        }
    }
    if (directory->count == ACPI_MAX_TABLES) {
        log_warning("ACPI: more than %u tables: the rest is not used", ACPI_MAX_TABLES);
        return;
    }
    if (!read_memory(reader, address, header, sizeof(header))) {
        return;
    }
    memcpy(&length, header + 4, sizeof(length));
    if (!printable(header, 4) || length > MAX_LISTED_LENGTH ||
        length < (signature_is(header, "FACS") ? FACS_MIN_LENGTH : HEADER_LENGTH) ||
        !range_possible(address, length)) {
        log_warning("ACPI: no table at 0x%llx", (unsigned long long)address);
        return;
    }
    table = &directory->tables[directory->count++];
    memcpy(table->signature, header, 4);
    table->length = length;
    table->address = address;
    table->copy = NULL;
}

// Lists what one root table names. entry_size: 4 for the RSDT, 8 for the XSDT.
static int read_root(const struct acpi_reader *reader, uint64_t address, const char *signature,
                     unsigned int entry_size, struct acpi_directory *directory)
{
    char header[8];
    uint32_t length;
    uint8_t *copy;
    int error;

    if (!read_memory(reader, address, header, sizeof(header)) || !signature_is(header, signature)) {
        return -XEN_ENOENT;
    }
    memcpy(&length, header + 4, sizeof(length));
    copy = copy_table(reader, signature, address, length, &error);
    if (!copy) {
        return error;
    }
    memcpy(directory->oem, copy + 8, sizeof(directory->oem));
    for (size_t offset = HEADER_LENGTH; offset + entry_size <= length; offset += entry_size) {
        if (directory->count == ACPI_MAX_TABLES) {
            log_warning("ACPI: more than %u tables: the rest is not used", ACPI_MAX_TABLES);
            break;
        }
        acpi_directory_add(
            reader, acpi_field((struct acpi_bytes){copy, length}, offset, entry_size), directory);
    }
    heap_free(copy);
    return 0;
}

int acpi_directory_read(const struct acpi_reader *reader, uint64_t rsdp,
                        struct acpi_directory *directory)
{
    uint64_t rsdt, xsdt;
    int error;

    memset(directory, 0, sizeof(*directory));
    if (!read_rsdp(reader, rsdp, &rsdt, &xsdt)) {
        return -XEN_ENOENT;
    }
    error = read_root(reader, xsdt, "XSDT", 8, directory);
    if (error == -XEN_ENOENT) {
        error = read_root(reader, rsdt, "RSDT", 4, directory);
    }
    return error;
}

const void *acpi_directory_find(const struct acpi_reader *reader, struct acpi_directory *directory,
                                const char signature[4], unsigned int index, size_t *length)
{
    int error;

    for (unsigned int i = 0; i < directory->count; i++) {
        struct acpi_table *table = &directory->tables[i];

        if (!signature_is(table->signature, signature)) {
            continue;
        }
        if (!table->copy) {
            table->copy =
                copy_table(reader, table->signature, table->address, table->length, &error);
        }
        if (!table->copy) {
            continue;
        }
        if (index-- == 0) {
            *length = table->length;
            return table->copy;
        }
    }
    return NULL;
}

void acpi_directory_free(struct acpi_directory *directory)
{
    for (unsigned int i = 0; i < directory->count; i++) {
        heap_free(directory->tables[i].copy);
    }
    directory->count = 0;
}

// Finds one table for the parser; false if there is none.
static bool find_bytes(const struct acpi_reader *reader, struct acpi_directory *directory,
                       const char *signature, struct acpi_bytes *bytes)
{
    bytes->data = acpi_directory_find(reader, directory, signature, 0, &bytes->length);
    return bytes->data != NULL;
}

static struct acpi_address generic_address(struct acpi_bytes table, size_t offset)
{
    return (struct acpi_address){
        .space = (uint8_t)acpi_field(table, offset, 1),
        .bit_width = (uint8_t)acpi_field(table, offset + 1, 1),
        .bit_offset = (uint8_t)acpi_field(table, offset + 2, 1),
        .access_size = (uint8_t)acpi_field(table, offset + 3, 1),
        .address = acpi_field(table, offset + 4, 8),
    };
}

// A register block's port: the 64-bit field if it is a port, else the old 32-bit one. 0: none.
static uint16_t register_port(struct acpi_bytes fadt, size_t offset, size_t extended_offset)
{
    struct acpi_address extended = generic_address(fadt, extended_offset);
    uint64_t port = acpi_field(fadt, offset, 4);

    if (extended.address != 0 && extended.space == ADDRESS_SPACE_PORT) {
        port = extended.address;
    }
    return port < 0xfff0 ? (uint16_t)port : 0;
}

// The firmware's 64-bit pointer if there is one, else the 32-bit one (5.2.9).
static uint64_t table_pointer(struct acpi_bytes fadt, size_t offset, size_t extended_offset)
{
    uint64_t extended = acpi_field(fadt, extended_offset, 8);

    return extended ? extended : acpi_field(fadt, offset, 4);
}

static bool reset_register_usable(const struct acpi_address *address)
{
    switch (address->space) {
    case ADDRESS_SPACE_MEMORY:
    case ADDRESS_SPACE_PCI:
        return address->address != 0;
    case ADDRESS_SPACE_PORT:
        return address->address != 0 && address->address <= 0xffff;
    default:
        return false;
    }
}

// Offsets and flags: ACPI 6.5 table 5.9.
static void parse_fadt(struct acpi_bytes fadt, struct acpi_info *info)
{
    uint64_t flags = acpi_field(fadt, 112, 4);
    uint64_t boot_flags = acpi_field(fadt, 109, 2);

    info->facs_address = table_pointer(fadt, 36, 132);
    info->dsdt_address = table_pointer(fadt, 40, 140);
    info->sci_irq = (uint16_t)acpi_field(fadt, 46, 2);
    info->pm1a_event_port = register_port(fadt, 56, 148);
    info->pm1b_event_port = register_port(fadt, 60, 160);
    info->pm1a_control_port = register_port(fadt, 64, 172);
    info->pm1b_control_port = register_port(fadt, 68, 184);
    info->pm_timer_port = register_port(fadt, 76, 208);
    if (acpi_field(fadt, 91, 1) != 4) { // PM_TMR_LEN
        info->pm_timer_port = 0;
    }
    info->pm_timer_32bit = flags >> 8 & 1;
    info->hardware_reduced = flags >> 20 & 1;
    info->century_register = (uint8_t)acpi_field(fadt, 108, 1);
    info->no_legacy_vga = boot_flags >> 2 & 1;
    info->no_msi = boot_flags >> 3 & 1;
    info->no_aspm = boot_flags >> 4 & 1;
    info->reset_register = generic_address(fadt, 116);
    info->reset_value = (uint8_t)acpi_field(fadt, 128, 1);
    info->has_reset_register = (flags >> 10 & 1) && reset_register_usable(&info->reset_register);
}

// IA-PC HPET specification 1.0a, 3.2.4.
static void parse_hpet(struct acpi_bytes hpet, struct acpi_info *info)
{
    struct acpi_address address = generic_address(hpet, 40);

    if (address.space == ADDRESS_SPACE_MEMORY && range_possible(address.address, 1024)) {
        info->hpet_address = address.address;
        info->hpet_minimum_tick = (uint16_t)acpi_field(hpet, 53, 2);
    }
}

static void parse_mcfg(struct acpi_bytes mcfg, struct acpi_info *info)
{
    for (size_t offset = 44; offset + 16 <= mcfg.length; offset += 16) {
        struct acpi_mcfg_segment segment = {
            .base = acpi_field(mcfg, offset, 8),
            .segment = (uint16_t)acpi_field(mcfg, offset + 8, 2),
            .start_bus = (uint8_t)acpi_field(mcfg, offset + 10, 1),
            .end_bus = (uint8_t)acpi_field(mcfg, offset + 11, 1),
        };

        if (segment.start_bus > segment.end_bus || segment.base % (1u << 20) ||
            !range_possible(segment.base, (segment.end_bus + 1ull) << 20)) {
            log_warning("ACPI: MCFG entry at offset %u is impossible: not used",
                        (unsigned int)offset);
            continue;
        }
        if (info->mcfg_count == ACPI_MAX_MCFG_SEGMENTS) {
            log_warning("ACPI: more than %u MCFG segments", ACPI_MAX_MCFG_SEGMENTS);
            return;
        }
        info->mcfg[info->mcfg_count++] = segment;
    }
}

void acpi_parse(const struct acpi_reader *reader, struct acpi_directory *directory,
                struct acpi_info *info)
{
    struct acpi_bytes table;

    memset(info, 0, sizeof(*info));
    if (find_bytes(reader, directory, "FACP", &table)) {
        parse_fadt(table, info);
        if (info->dsdt_address) {
            acpi_directory_add(reader, info->dsdt_address, directory);
        }
        if (info->facs_address) {
            acpi_directory_add(reader, info->facs_address, directory);
        }
    }
    if (find_bytes(reader, directory, "APIC", &table)) {
        acpi_parse_madt(table, info);
    }
    if (find_bytes(reader, directory, "HPET", &table)) {
        parse_hpet(table, info);
    }
    if (find_bytes(reader, directory, "MCFG", &table)) {
        parse_mcfg(table, info);
    }
    if (find_bytes(reader, directory, "SRAT", &table)) {
        acpi_parse_srat(table, info);
    }
    info->valid = true;
}
