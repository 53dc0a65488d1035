// SPDX-License-Identifier: Apache-2.0
// The ACPI parser as a plain library: reads physical memory through a callback and allocates from
// the heap, so that tests and the fuzzer build it as it is.
#ifndef BULKHEAD_DRIVERS_ACPI_TABLES_H
#define BULKHEAD_DRIVERS_ACPI_TABLES_H

#include <bulkhead/acpi.h>

struct acpi_reader {
    // Copies size bytes of physical memory; false when the address cannot be read.
    bool (*read)(void *context, uint64_t address, void *to, size_t size);
    void *context;
};

struct acpi_table {
    char signature[4];
    uint32_t length;
    uint64_t address;
    void *copy; // checked; made when first wanted
};

// Every table that the root table names, plus DSDT and FACS, each once.
struct acpi_directory {
    char oem[28]; // bytes 8 to 35 of the root table: revision to creator revision
    unsigned int count;
    struct acpi_table tables[ACPI_MAX_TABLES];
};

// Reads RSDP and root table and lists the tables whose headers make sense. 0, -XEN_ENOENT when
// there is no valid root, -XEN_ENOMEM.
int acpi_directory_read(const struct acpi_reader *reader, uint64_t rsdp,
                        struct acpi_directory *directory);
// Adds one table by its address if its header makes sense and it is not listed yet.
void acpi_directory_add(const struct acpi_reader *reader, uint64_t address,
                        struct acpi_directory *directory);
// The index-th table with this signature, copied and its checksum verified; NULL if there is none.
// Tables with a wrong checksum are passed over.
const void *acpi_directory_find(const struct acpi_reader *reader, struct acpi_directory *directory,
                                const char signature[4], unsigned int index, size_t *length);
void acpi_directory_free(struct acpi_directory *directory);

// Fills info from the tables of the directory, and adds DSDT and FACS to it.
void acpi_parse(const struct acpi_reader *reader, struct acpi_directory *directory,
                struct acpi_info *info);

// One table (or a part of one) as bytes; what lies outside reads as zero.
struct acpi_bytes {
    const uint8_t *data;
    size_t length;
};

uint64_t acpi_field(struct acpi_bytes bytes, size_t offset, unsigned int size);
uint8_t acpi_sum(const void *data, size_t length);

// The MADT's part of acpi_parse and the affinities of SRAT, acpi_madt.c.
void acpi_parse_madt(struct acpi_bytes table, struct acpi_info *info);
void acpi_parse_srat(struct acpi_bytes table, struct acpi_info *info);

// The machine's tables, acpi.c.
extern struct acpi_directory acpi_directory;

#endif
