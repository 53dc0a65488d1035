// SPDX-License-Identifier: Apache-2.0
// DMAR parser: one pass over the remapping structures. Units and memory regions are kept with the
// range of device scopes that belongs to them; structures of other kinds are passed over. No state,
// no locks; the first error ends the parse.
#include "dmar.h"

#include <bulkhead/string.h>

#define HEADER_SIZE 48u // ACPI header, address width, flags, 10 reserved bytes
#define FLAGS_OFFSET 37u

#define STRUCTURE_UNIT 0
#define STRUCTURE_REGION 1

#define UNIT_HEADER 16u
#define UNIT_INCLUDE_ALL 0x01u
#define REGION_HEADER 24u
#define SCOPE_HEADER 6u

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

static const char *take_scope(struct dmar *out, const uint8_t *entry, size_t size)
{
    struct dmar_scope scope = {.type = entry[0], .handle = entry[4], .start_bus = entry[5]};
    size_t depth = (size - SCOPE_HEADER) / 2;

    if (scope.type < DMAR_SCOPE_ENDPOINT || scope.type > DMAR_SCOPE_HPET) {
        return NULL; // an ACPI device, or a kind that came after us
    }
    if (depth == 0 || depth > DMAR_MAX_PATH || size % 2) {
        return "a path to a device is impossible";
    }
    for (size_t i = 0; i < depth; i++) {
        const uint8_t *step = entry + SCOPE_HEADER + 2 * i;

        if (step[0] > 31 || step[1] > 7) {
            return "a path to a device is impossible";
        }
        scope.path[i] = (uint8_t)(step[0] << 3 | step[1]);
    }
    scope.depth = (uint8_t)depth;
    if (out->scope_count == DMAR_MAX_SCOPES) {
        return "it names too many devices";
    }
    out->scopes[out->scope_count++] = scope;
    return NULL;
}

static const char *take_scopes(struct dmar *out, const uint8_t *entries, size_t length)
{
    size_t offset = 0;
    const char *error = NULL;

    while (!error && offset < length) {
        size_t left = length - offset;
        size_t size = left < SCOPE_HEADER ? 0 : entries[offset + 1];

        if (size < SCOPE_HEADER || size > left) {
            return "a device entry is cut off";
        }
        error = take_scope(out, entries + offset, size);
        offset += size;
    }
    return error;
}

static const char *check_unit(const struct dmar *out, const struct dmar_unit *unit)
{
    if (unit->address == 0 || unit->address % PAGE_SIZE || unit->address >> 52) {
        return "an IOMMU's register address is impossible";
    }
    for (unsigned int i = 0; i < out->unit_count; i++) {
        const struct dmar_unit *other = &out->units[i];

        if (unit->address < other->address + other->size &&
            other->address < unit->address + unit->size) {
            return "two IOMMUs share one register address";
        }
        if (unit->include_all && other->include_all && unit->segment == other->segment) {
            return "two IOMMUs claim all devices that are left";
        }
    }
    return out->unit_count == DMAR_MAX_UNITS ? "it describes too many IOMMUs" : NULL;
}

static const char *take_unit(struct dmar *out, const uint8_t *s, size_t length)
{
    struct dmar_unit unit = {.first_scope = out->scope_count};
    const char *error;

    if (length < UNIT_HEADER) {
        return "an IOMMU's entry is too short";
    }
    unit.include_all = s[4] & UNIT_INCLUDE_ALL;
    unit.size = PAGE_SIZE << (s[5] & 0xf);
    unit.segment = get16(s + 6);
    unit.address = get64(s + 8);
    error = check_unit(out, &unit);
    if (!error) {
        error = take_scopes(out, s + UNIT_HEADER, length - UNIT_HEADER);
    }
    if (!error) {
        unit.scope_count = out->scope_count - unit.first_scope;
        out->units[out->unit_count++] = unit;
    }
    return error;
}

static const char *take_region(struct dmar *out, const uint8_t *s, size_t length)
{
    struct dmar_region region = {.first_scope = out->scope_count};
    uint64_t last;
    const char *error;

    if (length < REGION_HEADER) {
        return "a memory entry is too short";
    }
    region.segment = get16(s + 6);
    region.start = get64(s + 8);
    last = get64(s + 16);
    if (last < region.start || last >> 52) {
        return "a memory entry's range is impossible";
    }
    region.start = ALIGN_DOWN(region.start, PAGE_SIZE);
    region.size = ALIGN_UP(last + 1, PAGE_SIZE) - region.start;
    if (out->region_count == DMAR_MAX_REGIONS) {
        return "it has too many memory entries";
    }
    error = take_scopes(out, s + REGION_HEADER, length - REGION_HEADER);
    if (!error) {
        region.scope_count = out->scope_count - region.first_scope;
        out->regions[out->region_count++] = region;
    }
    return error;
}

const char *dmar_parse(struct dmar *out, const void *table, size_t length)
{
    const uint8_t *bytes = table;
    size_t offset = HEADER_SIZE;
    const char *error = NULL;

    out->unit_count = out->scope_count = out->region_count = 0;
    if (length < HEADER_SIZE) {
        return "it is too short";
    }
    out->flags = bytes[FLAGS_OFFSET];
    while (!error && offset < length) {
        const uint8_t *s = bytes + offset;
        size_t size = length - offset < 4 ? 0 : get16(s + 2);

        if (size < 4 || size > length - offset) {
            return "an entry is cut off";
        }
        if (get16(s) == STRUCTURE_UNIT) {
            error = take_unit(out, s, size);
        } else if (get16(s) == STRUCTURE_REGION) {
            error = take_region(out, s, size);
        }
        offset += size;
    }
    return !error && out->unit_count == 0 ? "it describes no IOMMU" : error;
}
