// SPDX-License-Identifier: Apache-2.0
// The tables that list processors: MADT (interrupt controllers, ACPI 6.5 5.2.12) and SRAT
// (proximity, 5.2.16). Both are a header followed by entries of type and length; an entry shorter
// than its type needs is passed over, an entry that leaves the table ends it.
#include "acpi_tables.h"

#include <bulkhead/console.h>

#define MADT_ENTRIES 44u
#define SRAT_ENTRIES 48u

enum madt_type {
    MADT_LOCAL_APIC = 0,
    MADT_IO_APIC = 1,
    MADT_OVERRIDE = 2,
    MADT_NMI_SOURCE = 3,
    MADT_LOCAL_APIC_NMI = 4,
    MADT_LOCAL_APIC_ADDRESS = 5,
    MADT_X2APIC = 9,
    MADT_X2APIC_NMI = 10,
};

enum srat_type {
    SRAT_LOCAL_APIC = 0,
    SRAT_MEMORY = 1,
    SRAT_X2APIC = 2,
};

// Calls parse for each entry. minimum: by type, the length that the entry must have; 0 for types
// that are of no interest.
static void for_each_entry(struct acpi_bytes table, size_t start, const char *name,
                           const uint8_t *minimum, unsigned int types,
                           void (*parse)(unsigned int type, struct acpi_bytes entry,
                                         struct acpi_info *info),
                           struct acpi_info *info)
{
    size_t offset = start;

    while (offset + 2 <= table.length) {
        unsigned int type = table.data[offset];
        size_t length = table.data[offset + 1];

        if (length < 2 || length > table.length - offset) {
            log_warning("ACPI: %s ends in a broken entry at offset %u", name, (unsigned int)offset);
            return;
        }
        if (type < types && minimum[type]) {
            if (length >= minimum[type]) {
                parse(type, (struct acpi_bytes){table.data + offset, length}, info);
            } else {
                log_warning("ACPI: %s entry at offset %u is too short", name, (unsigned int)offset);
            }
        }
        offset += length;
    }
}

static void add_cpu(struct acpi_info *info, uint32_t apic_id, uint32_t acpi_id, uint64_t flags)
{
    bool enabled = flags & 1, online_capable = flags & 2;

    if (!enabled && !online_capable) {
        return; // a place in the firmware's list, not a processor
    }
    for (unsigned int i = 0; i < info->cpu_count; i++) {
        if (info->cpus[i].apic_id == apic_id) {
            return; // firmware may list one processor in both forms
        }
    }
    if (info->cpu_count == MAX_CPUS) {
        info->cpus_ignored++;
        return;
    }
    info->cpus[info->cpu_count++] = (struct acpi_cpu){
        .apic_id = apic_id,
        .acpi_id = acpi_id,
        .enabled = enabled,
        .online_capable = online_capable,
    };
}

static void add_io_apic(struct acpi_info *info, struct acpi_bytes entry)
{
    struct acpi_io_apic io_apic = {
        .id = (uint8_t)acpi_field(entry, 2, 1),
        .address = (uint32_t)acpi_field(entry, 4, 4),
        .gsi_base = (uint32_t)acpi_field(entry, 8, 4),
    };

    if (io_apic.address == 0 || io_apic.address % 16) {
        log_warning("ACPI: I/O APIC %u at 0x%x is impossible", io_apic.id, io_apic.address);
        return;
    }
    if (info->io_apic_count == ACPI_MAX_IO_APICS) {
        log_warning("ACPI: more than %u I/O APICs", ACPI_MAX_IO_APICS);
        return;
    }
    info->io_apics[info->io_apic_count++] = io_apic;
}

static void add_override(struct acpi_info *info, struct acpi_bytes entry)
{
    uint16_t flags = (uint16_t)acpi_field(entry, 8, 2);
    struct acpi_override override = {
        .irq = (uint8_t)acpi_field(entry, 3, 1),
        .gsi = (uint32_t)acpi_field(entry, 4, 4),
        .level = (flags >> 2 & 3) == 3,
        .active_low = (flags & 3) == 3,
        .flags = flags,
    };

    // Only bus 0 (ISA) exists. The first entry for an interrupt counts.
    if (acpi_field(entry, 2, 1) != 0 || override.irq > 15) {
        return;
    }
    for (unsigned int i = 0; i < info->override_count; i++) {
        if (info->overrides[i].irq == override.irq) {
            return;
        }
    }
    if (info->override_count < ACPI_MAX_OVERRIDES) {
        info->overrides[info->override_count++] = override;
    }
}

static void add_nmi_source(struct acpi_info *info, struct acpi_nmi_source source)
{
    if (info->nmi_source_count < ACPI_MAX_NMI_SOURCES) {
        info->nmi_sources[info->nmi_source_count++] = source;
    }
}

static void parse_madt_entry(unsigned int type, struct acpi_bytes entry, struct acpi_info *info)
{
    uint32_t acpi_id;

    switch (type) {
    case MADT_LOCAL_APIC:
        add_cpu(info, entry.data[3], entry.data[2], acpi_field(entry, 4, 4));
        break;
    case MADT_X2APIC:
        add_cpu(info, (uint32_t)acpi_field(entry, 4, 4), (uint32_t)acpi_field(entry, 12, 4),
                acpi_field(entry, 8, 4));
        break;
    case MADT_IO_APIC:
        add_io_apic(info, entry);
        break;
    case MADT_OVERRIDE:
        add_override(info, entry);
        break;
    case MADT_NMI_SOURCE:
        add_nmi_source(info, (struct acpi_nmi_source){
                                 .gsi = (uint32_t)acpi_field(entry, 4, 4),
                                 .flags = (uint16_t)acpi_field(entry, 2, 2),
                             });
        break;
    case MADT_LOCAL_APIC_NMI:
        acpi_id = entry.data[2];
        add_nmi_source(info, (struct acpi_nmi_source){
                                 .local = true,
                                 .acpi_id = acpi_id == 0xff ? ACPI_ANY_CPU : acpi_id,
                                 .lint = entry.data[5] & 1,
                                 .flags = (uint16_t)acpi_field(entry, 3, 2),
                             });
        break;
    case MADT_X2APIC_NMI:
        add_nmi_source(info, (struct acpi_nmi_source){
                                 .local = true,
                                 .acpi_id = (uint32_t)acpi_field(entry, 4, 4),
                                 .lint = entry.data[8] & 1,
                                 .flags = (uint16_t)acpi_field(entry, 2, 2),
                             });
        break;
    case MADT_LOCAL_APIC_ADDRESS:
        info->local_apic_address = acpi_field(entry, 4, 8);
        break;
    }
}

void acpi_parse_madt(struct acpi_bytes table, struct acpi_info *info)
{
    static const uint8_t minimum[] = {
        [MADT_LOCAL_APIC] = 8, [MADT_IO_APIC] = 12,       [MADT_OVERRIDE] = 10,
        [MADT_NMI_SOURCE] = 8, [MADT_LOCAL_APIC_NMI] = 6, [MADT_LOCAL_APIC_ADDRESS] = 12,
        [MADT_X2APIC] = 16,    [MADT_X2APIC_NMI] = 12,
    };

    info->local_apic_address = acpi_field(table, 36, 4);
    info->has_legacy_pic = acpi_field(table, 40, 4) & 1;
    for_each_entry(table, MADT_ENTRIES, "MADT", minimum, ARRAY_SIZE(minimum), parse_madt_entry,
                   info);
    if (info->cpus_ignored) {
        log_warning("ACPI: %u processors beyond the first %u are not used", info->cpus_ignored,
                    MAX_CPUS);
    }
}

static void set_proximity(struct acpi_info *info, uint32_t apic_id, uint32_t proximity)
{
    for (unsigned int i = 0; i < info->cpu_count; i++) {
        if (info->cpus[i].apic_id == apic_id) {
            info->cpus[i].proximity = proximity;
        }
    }
}

static void add_memory_affinity(struct acpi_info *info, struct acpi_bytes entry)
{
    uint64_t flags = acpi_field(entry, 28, 4);
    struct acpi_memory_affinity affinity = {
        .start = acpi_field(entry, 8, 8),
        .size = acpi_field(entry, 16, 8),
        .proximity = (uint32_t)acpi_field(entry, 2, 4),
        .hot_pluggable = flags & 2,
        .non_volatile = flags & 4,
    };

    if (!(flags & 1) || affinity.size == 0) {
        return;
    }
    if (affinity.start + affinity.size < affinity.start) {
        log_warning("ACPI: SRAT memory at 0x%llx wraps around", (unsigned long long)affinity.start);
        return;
    }
    if (info->memory_affinity_count < ACPI_MAX_MEMORY_AFFINITIES) {
        info->memory_affinities[info->memory_affinity_count++] = affinity;
    }
}

static void parse_srat_entry(unsigned int type, struct acpi_bytes entry, struct acpi_info *info)
{
    switch (type) {
    case SRAT_LOCAL_APIC:
        if (acpi_field(entry, 4, 4) & 1) {
            set_proximity(info, entry.data[3],
                          (uint32_t)(acpi_field(entry, 9, 3) << 8 | entry.data[2]));
        }
        break;
    case SRAT_X2APIC:
        if (acpi_field(entry, 12, 4) & 1) {
            set_proximity(info, (uint32_t)acpi_field(entry, 8, 4),
                          (uint32_t)acpi_field(entry, 4, 4));
        }
        break;
    case SRAT_MEMORY:
        add_memory_affinity(info, entry);
        break;
    }
}

void acpi_parse_srat(struct acpi_bytes table, struct acpi_info *info)
{
    static const uint8_t minimum[] = {
        [SRAT_LOCAL_APIC] = 16, [SRAT_MEMORY] = 40, [SRAT_X2APIC] = 24};

    for_each_entry(table, SRAT_ENTRIES, "SRAT", minimum, ARRAY_SIZE(minimum), parse_srat_entry,
                   info);
}
