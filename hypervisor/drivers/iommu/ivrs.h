// SPDX-License-Identifier: Apache-2.0
// The ACPI table IVRS: which AMD IOMMUs there are and what they translate for (AMD I/O
// Virtualization Technology (IOMMU) Specification, revision 3, chapter 5). A plain library: reads
// one buffer, fills one structure, trusts no length, says in words what is wrong.
#ifndef BULKHEAD_IVRS_H
#define BULKHEAD_IVRS_H

#include <bulkhead/types.h>

#define IVRS_MAX_UNITS 32u
#define IVRS_MAX_RANGES 1024u
#define IVRS_MAX_SPECIAL 64u
#define IVRS_MAX_REGIONS 64u

// One IOMMU.
struct ivrs_unit {
    uint64_t address; // of its registers, 16 KiB aligned
    uint16_t segment;
    uint16_t device_id;  // its own PCI function
    uint16_t capability; // offset of its capability there
    uint8_t flags;       // IVRS_UNIT_*
    uint8_t block_type;  // of the block that was used: 0x10, 0x11 or 0x40
};

#define IVRS_UNIT_HT_TUNNEL 0x01u
#define IVRS_UNIT_PASS_PW 0x02u
#define IVRS_UNIT_RESPONSE_PASSPW 0x04u
#define IVRS_UNIT_ISOCHRONOUS 0x08u
#define IVRS_UNIT_COHERENT 0x20u

// Requester ids first to last of one unit. Later ranges win over earlier ones of the same unit.
struct ivrs_range {
    uint16_t first, last;
    uint16_t alias; // the id that their requests carry; meaningful if has_alias
    bool has_alias;
    uint8_t unit;     // index
    uint8_t settings; // DTE settings byte: which system interrupts pass
};

enum ivrs_special_kind { IVRS_SPECIAL_IO_APIC = 1, IVRS_SPECIAL_HPET = 2 };

// A device that is no PCI function but raises interrupts under a requester id.
struct ivrs_special {
    uint8_t kind;   // enum ivrs_special_kind
    uint8_t handle; // I/O APIC id or HPET number
    uint16_t id;
    uint8_t unit;
    uint8_t settings;
};

// Memory that firmware wants some devices to reach at its own address.
struct ivrs_region {
    uint64_t start, size; // bytes, page-aligned
    uint16_t first, last; // requester ids
    bool read, write;
};

struct ivrs {
    unsigned int unit_count, range_count, special_count, region_count;
    struct ivrs_unit units[IVRS_MAX_UNITS];
    struct ivrs_range ranges[IVRS_MAX_RANGES];
    struct ivrs_special special[IVRS_MAX_SPECIAL];
    struct ivrs_region regions[IVRS_MAX_REGIONS];
};

// Parses a table of length bytes (checksum and signature are the caller's). NULL if all is well;
// otherwise a sentence without a full stop that says what is wrong, and *out is not to be used.
const char *ivrs_parse(struct ivrs *out, const void *table, size_t length);

// The range that decides about a requester id of a segment, or NULL: no IOMMU translates for it.
const struct ivrs_range *ivrs_find(const struct ivrs *ivrs, uint16_t segment, uint16_t id);
// The highest requester id that is named at all.
uint16_t ivrs_highest_id(const struct ivrs *ivrs);

#endif
