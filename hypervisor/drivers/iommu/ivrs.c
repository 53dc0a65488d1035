// SPDX-License-Identifier: Apache-2.0
// IVRS parser. One pass over the blocks finds, for each IOMMU, the block type to use (firmware
// describes one IOMMU in several blocks of rising type; the highest that we know counts); a second
// pass takes those blocks' device entries and the memory blocks. No state, no locks; the first
// error ends the parse.
#include "ivrs.h"

#include <bulkhead/string.h>

#define HEADER_SIZE 48u // ACPI header, IVinfo, 8 reserved bytes

#define BLOCK_IVHD_10 0x10
#define BLOCK_IVHD_11 0x11
#define BLOCK_IVHD_40 0x40
#define BLOCK_IVMD_ALL 0x20
#define BLOCK_IVMD_ONE 0x21
#define BLOCK_IVMD_SPAN 0x22

#define IVHD_10_SIZE 24u
#define IVHD_11_SIZE 40u
#define IVMD_SIZE 32u

#define ENTRY_PAD 0
#define ENTRY_ALL 1
#define ENTRY_SELECT 2
#define ENTRY_RANGE_START 3
#define ENTRY_RANGE_END 4
#define ENTRY_ALIAS_SELECT 66
#define ENTRY_ALIAS_START 67
#define ENTRY_EXTENDED 70
#define ENTRY_EXTENDED_START 71
#define ENTRY_SPECIAL 72
#define ENTRY_ACPI_DEVICE 240

#define IVMD_UNITY 0x01u
#define IVMD_READ 0x02u
#define IVMD_WRITE 0x04u
#define IVMD_EXCLUSION 0x08u

struct parser {
    struct ivrs *out;
    unsigned int unit; // whose entries are being read
    bool in_range;     // a range has begun and not ended
    struct ivrs_range range;
};

static uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static uint64_t get64(const uint8_t *p)
{
    uint64_t value;

    memcpy(&value, p, sizeof(value));
    return value;
}

static unsigned int ivhd_header_size(uint8_t type)
{
    return type == BLOCK_IVHD_10                            ? IVHD_10_SIZE
           : type == BLOCK_IVHD_11 || type == BLOCK_IVHD_40 ? IVHD_11_SIZE
                                                            : 0;
}

static int find_unit(const struct ivrs *ivrs, uint16_t segment, uint16_t device_id)
{
    for (unsigned int i = 0; i < ivrs->unit_count; i++) {
        if (ivrs->units[i].segment == segment && ivrs->units[i].device_id == device_id) {
            return (int)i;
        }
    }
    return -1;
}

// First pass: notes an IOMMU, or a better block for one that is known.
static const char *note_unit(struct ivrs *out, const uint8_t *block, size_t length)
{
    struct ivrs_unit unit = {.address = get64(block + 8),
                             .segment = get16(block + 16),
                             .device_id = get16(block + 4),
                             .capability = get16(block + 6),
                             .flags = block[1],
                             .block_type = block[0]};
    int known = find_unit(out, unit.segment, unit.device_id);

    if (length < ivhd_header_size(block[0])) {
        return "an IOMMU's block is too short";
    }
    if (unit.address == 0 || unit.address & 0x3fff || unit.address >> 52) {
        return "an IOMMU's register address is impossible";
    }
    if (unit.capability < 0x40 || unit.capability > 0xfc || unit.capability & 3) {
        return "an IOMMU's capability offset is impossible";
    }
    for (unsigned int i = 0; i < out->unit_count; i++) {
        if ((int)i != known && out->units[i].address == unit.address) {
            return "two IOMMUs share one register address";
        }
    }
    if (known >= 0) {
        if (unit.block_type > out->units[known].block_type) {
            out->units[known] = unit;
        }
        return NULL;
    }
    if (out->unit_count == IVRS_MAX_UNITS) {
        return "it describes too many IOMMUs";
    }
    out->units[out->unit_count++] = unit;
    return NULL;
}

static const char *add_range(struct parser *p, const struct ivrs_range *range)
{
    const struct ivrs *ivrs = p->out;

    for (unsigned int i = 0; i < ivrs->range_count; i++) {
        const struct ivrs_range *other = &ivrs->ranges[i];

        if (other->unit != p->unit && range->first <= other->last && other->first <= range->last &&
            ivrs->units[other->unit].segment == ivrs->units[p->unit].segment) {
            return "two IOMMUs claim one device";
        }
    }
    if (ivrs->range_count == IVRS_MAX_RANGES) {
        return "it has too many device entries";
    }
    p->out->ranges[p->out->range_count++] = *range;
    return NULL;
}

static const char *add_special(struct parser *p, const uint8_t *entry)
{
    struct ivrs_special special = {.kind = entry[7],
                                   .handle = entry[4],
                                   .id = get16(entry + 5),
                                   .unit = (uint8_t)p->unit,
                                   .settings = entry[3]};
    struct ivrs_range range = {
        .first = special.id, .last = special.id, .unit = (uint8_t)p->unit, .settings = entry[3]};

    if (special.kind != IVRS_SPECIAL_IO_APIC && special.kind != IVRS_SPECIAL_HPET) {
        return NULL; // a kind that came after us
    }
    for (unsigned int i = 0; i < p->out->special_count; i++) {
        if (p->out->special[i].kind == special.kind &&
            p->out->special[i].handle == special.handle) {
            return "it names an I/O APIC or HPET twice";
        }
    }
    if (p->out->special_count == IVRS_MAX_SPECIAL) {
        return "it has too many special devices";
    }
    p->out->special[p->out->special_count++] = special;
    return add_range(p, &range);
}

static const char *end_range(struct parser *p, uint16_t last)
{
    if (!p->in_range) {
        return "a range of devices ends that has not begun";
    }
    p->in_range = false;
    p->range.last = last;
    if (p->range.first > last) {
        return "a range of devices ends before it begins";
    }
    return add_range(p, &p->range);
}

// Bytes of the entry at entry, of which `left` are there; 0 if it does not fit.
static size_t entry_size(const uint8_t *entry, size_t left)
{
    size_t size = 4u << (entry[0] >> 6);

    if (entry[0] == ENTRY_ACPI_DEVICE) {
        size = left < 22 ? 22 : 22u + entry[21];
    }
    return size <= left ? size : 0;
}

static const char *take_entry(struct parser *p, const uint8_t *entry)
{
    uint16_t id = get16(entry + 1);
    struct ivrs_range range = {
        .first = id, .last = id, .unit = (uint8_t)p->unit, .settings = entry[3]};
    bool begins = false;

    switch (entry[0]) {
    case ENTRY_PAD:
        return NULL;
    case ENTRY_ALL:
        range.first = 0;
        range.last = 0xffff;
        break;
    case ENTRY_SELECT:
    case ENTRY_EXTENDED:
    case ENTRY_ACPI_DEVICE:
        break;
    case ENTRY_ALIAS_SELECT:
        range.alias = get16(entry + 5);
        range.has_alias = true;
        break;
    case ENTRY_RANGE_START:
    case ENTRY_EXTENDED_START:
        begins = true;
        break;
    case ENTRY_ALIAS_START:
        range.alias = get16(entry + 5);
        range.has_alias = true;
        begins = true;
        break;
    case ENTRY_RANGE_END:
        return end_range(p, id);
    case ENTRY_SPECIAL:
        return add_special(p, entry);
    default:
        return NULL; // a later revision's; its size is in its type
    }
    if (p->in_range) {
        return "a range of devices does not end";
    }
    if (begins) {
        p->in_range = true;
        p->range = range;
        return NULL;
    }
    return add_range(p, &range);
}

static const char *take_ivhd(struct ivrs *out, const uint8_t *block, size_t length)
{
    struct parser parser = {.out = out};
    int unit = find_unit(out, get16(block + 16), get16(block + 4));
    size_t offset = ivhd_header_size(block[0]);

    if (out->units[unit].block_type != block[0]) {
        return NULL;
    }
    parser.unit = (unsigned int)unit;
    while (offset < length) {
        size_t left = length - offset;
        size_t size = left < 4 ? 0 : entry_size(block + offset, left);
        const char *error;

        if (size == 0) {
            return "a device entry is cut off";
        }
        error = take_entry(&parser, block + offset);
        if (error) {
            return error;
        }
        offset += size;
    }
    return parser.in_range ? "a range of devices does not end" : NULL;
}

static const char *take_ivmd(struct ivrs *out, const uint8_t *block, size_t length)
{
    uint64_t start, size;
    struct ivrs_region region = {.first = 0, .last = 0xffff};

    if (length < IVMD_SIZE) {
        return "a memory block is too short";
    }
    start = get64(block + 16);
    size = get64(block + 24);
    if (size == 0 || start + size < start || (start + size - 1) >> 52) {
        return "a memory block's range is impossible";
    }
    if (block[0] != BLOCK_IVMD_ALL) {
        region.first = get16(block + 4);
        region.last = block[0] == BLOCK_IVMD_ONE ? region.first : get16(block + 6);
    }
    if (region.first > region.last) {
        return "a memory block's devices end before they begin";
    }
    // An exclusion range passes untranslated: for us that is the same as a unity mapping, which
    // keeps the rights of other devices out of it.
    region.read = block[1] & IVMD_EXCLUSION || block[1] & IVMD_READ;
    region.write = block[1] & IVMD_EXCLUSION || block[1] & IVMD_WRITE;
    if (!(block[1] & (IVMD_UNITY | IVMD_EXCLUSION))) {
        return NULL;
    }
    region.start = ALIGN_DOWN(start, PAGE_SIZE);
    region.size = ALIGN_UP(start + size, PAGE_SIZE) - region.start;
    if (out->region_count == IVRS_MAX_REGIONS) {
        return "it has too many memory blocks";
    }
    out->regions[out->region_count++] = region;
    return NULL;
}

// Calls one of the passes for each block.
static const char *for_each_block(struct ivrs *out, const uint8_t *table, size_t length, bool first)
{
    size_t offset = HEADER_SIZE;
    const char *error = NULL;

    while (!error && offset < length) {
        const uint8_t *block = table + offset;
        size_t size = length - offset < 4 ? 0 : get16(block + 2);

        if (size < IVHD_10_SIZE || size > length - offset) {
            return "a block is cut off";
        }
        if (ivhd_header_size(block[0])) {
            error = first ? note_unit(out, block, size) : take_ivhd(out, block, size);
        } else if (!first && block[0] >= BLOCK_IVMD_ALL && block[0] <= BLOCK_IVMD_SPAN) {
            error = take_ivmd(out, block, size);
        }
        offset += size;
    }
    return error;
}

const char *ivrs_parse(struct ivrs *out, const void *table, size_t length)
{
    const char *error;

    out->unit_count = out->range_count = out->special_count = out->region_count = 0;
    if (length < HEADER_SIZE) {
        return "it is too short";
    }
    error = for_each_block(out, table, length, true);
    if (!error && out->unit_count == 0) {
        error = "it describes no IOMMU";
    }
    return error ? error : for_each_block(out, table, length, false);
}

const struct ivrs_range *ivrs_find(const struct ivrs *ivrs, uint16_t segment, uint16_t id)
{
    for (unsigned int i = ivrs->range_count; i-- > 0;) {
        const struct ivrs_range *range = &ivrs->ranges[i];

        if (id >= range->first && id <= range->last &&
            ivrs->units[range->unit].segment == segment) {
            return range;
        }
    }
    return NULL;
}

uint16_t ivrs_highest_id(const struct ivrs *ivrs)
{
    uint16_t highest = 0;

    for (unsigned int i = 0; i < ivrs->range_count; i++) {
        const struct ivrs_range *range = &ivrs->ranges[i];

        highest = MAX(highest, range->last);
        if (range->has_alias) {
            highest = MAX(highest, range->alias);
        }
    }
    return highest;
}
