// SPDX-License-Identifier: Apache-2.0
// The machine's ACPI tables: binds the parser to physical memory, a frame at a time through a
// transient mapping, and keeps what it found. Written once by the boot CPU (acpi_find_table may add
// a copy later, also on the boot CPU while it starts drivers), so there is no lock.
#include "acpi_tables.h"

#include <bulkhead/console.h>
#include <bulkhead/mapping.h>
#include <bulkhead/string.h>
#include <xen/errno.h>

struct acpi_info acpi_info;
struct acpi_directory acpi_directory;

static bool read_physical(void *context, uint64_t address, void *to, size_t size)
{
    uint8_t *out = to;

    (void)context;
    while (size) {
        size_t offset = address % PAGE_SIZE;
        size_t chunk = MIN(size, (size_t)PAGE_SIZE - offset);
        const uint8_t *frame = map_frame(maddr_to_mfn(MADDR(address)));

        memcpy(out, frame + offset, chunk);
        unmap_frame(frame);
        out += chunk;
        address += chunk;
        size -= chunk;
    }
    return true;
}

static const struct acpi_reader machine_reader = {.read = read_physical};

int acpi_init(maddr_t rsdp)
{
    int error = acpi_directory_read(&machine_reader, rsdp.a, &acpi_directory);

    if (error) {
        log_error("ACPI: no usable tables (RSDP at 0x%llx)", (unsigned long long)rsdp.a);
        return error;
    }
    acpi_parse(&machine_reader, &acpi_directory, &acpi_info);
    log_info("ACPI: %u tables, %u processors, %u I/O APICs", acpi_directory.count,
             acpi_info.cpu_count, acpi_info.io_apic_count);
    return 0;
}

const void *acpi_find_table(const char signature[4], unsigned int index, size_t *length)
{
    return acpi_directory_find(&machine_reader, &acpi_directory, signature, index, length);
}

void acpi_for_each_table(bool (*fn)(const char signature[4], maddr_t address, uint32_t length,
                                    void *data),
                         void *data)
{
    for (unsigned int i = 0; i < acpi_directory.count; i++) {
        const struct acpi_table *table = &acpi_directory.tables[i];

        if (!fn(table->signature, MADDR(table->address), table->length, data)) {
            return;
        }
    }
}

void acpi_isa_irq_to_gsi(uint16_t irq, uint32_t *gsi, bool *level, bool *active_low)
{
    *gsi = irq;
    // ISA lines are edge-triggered and active high, but the SCI is shared: level and low
    // (ACPI 6.5, 5.2.9 SCI_INT).
    *level = *active_low = irq == acpi_info.sci_irq;
    for (unsigned int i = 0; i < acpi_info.override_count; i++) {
        const struct acpi_override *override = &acpi_info.overrides[i];

        if (override->irq != irq) {
            continue;
        }
        *gsi = override->gsi;
        if (override->flags & 3) {
            *active_low = override->active_low;
        }
        if (override->flags >> 2 & 3) {
            *level = override->level;
        }
        return;
    }
}
