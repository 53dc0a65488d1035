// SPDX-License-Identifier: Apache-2.0
// The ACPI table DMAR: which Intel IOMMUs there are and what they translate for (Intel
// Virtualization Technology for Directed I/O, chapter 8). A plain library: reads one buffer, fills
// one structure, trusts no length, says in words what is wrong. Devices are named by paths of
// bridges, which only configuration space can follow: that is the driver's part.
#ifndef BULKHEAD_DMAR_H
#define BULKHEAD_DMAR_H

#include <bulkhead/types.h>

#define DMAR_MAX_UNITS 32u
#define DMAR_MAX_SCOPES 512u
#define DMAR_MAX_REGIONS 64u
#define DMAR_MAX_PATH 8u

#define DMAR_INTERRUPT_REMAPPING 0x01u // flags of the table
#define DMAR_X2APIC_OPT_OUT 0x02u

enum dmar_scope_type {
    DMAR_SCOPE_ENDPOINT = 1,
    DMAR_SCOPE_BRIDGE = 2, // with all that is behind it
    DMAR_SCOPE_IO_APIC = 3,
    DMAR_SCOPE_HPET = 4,
};

// One device: from start_bus through `depth` devices and functions, the last being the device.
struct dmar_scope {
    uint8_t type;   // enum dmar_scope_type
    uint8_t handle; // I/O APIC id or HPET number
    uint8_t start_bus;
    uint8_t depth;               // 1 to DMAR_MAX_PATH
    uint8_t path[DMAR_MAX_PATH]; // device << 3 | function
};

// One IOMMU.
struct dmar_unit {
    uint64_t address; // of its registers, page-aligned
    uint64_t size;    // bytes
    uint16_t segment;
    bool include_all; // everything of the segment that no other unit names
    unsigned int first_scope, scope_count;
};

// Memory that firmware wants some devices to reach at its own address.
struct dmar_region {
    uint64_t start, size; // bytes, page-aligned
    uint16_t segment;
    unsigned int first_scope, scope_count;
};

struct dmar {
    uint8_t flags;
    unsigned int unit_count, scope_count, region_count;
    struct dmar_unit units[DMAR_MAX_UNITS];
    struct dmar_scope scopes[DMAR_MAX_SCOPES];
    struct dmar_region regions[DMAR_MAX_REGIONS];
};

// Parses a table of length bytes (checksum and signature are the caller's). NULL if all is well;
// otherwise a sentence without a full stop that says what is wrong, and *out is not to be used.
const char *dmar_parse(struct dmar *out, const void *table, size_t length);

#endif
