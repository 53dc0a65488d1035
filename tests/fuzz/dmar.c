// SPDX-License-Identifier: Apache-2.0
// libFuzzer target: any bytes as a DMAR table. A table that is accepted must be consistent.
#include <stdlib.h>
#include <string.h>

#include "dmar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static void check(const struct dmar *dmar)
{
    require(dmar->unit_count > 0 && dmar->unit_count <= DMAR_MAX_UNITS);
    require(dmar->scope_count <= DMAR_MAX_SCOPES && dmar->region_count <= DMAR_MAX_REGIONS);
    for (unsigned int i = 0; i < dmar->unit_count; i++) {
        const struct dmar_unit *unit = &dmar->units[i];

        require(unit->address && unit->address % PAGE_SIZE == 0 && unit->size >= PAGE_SIZE);
        require(unit->first_scope + unit->scope_count <= dmar->scope_count);
    }
    for (unsigned int i = 0; i < dmar->scope_count; i++) {
        require(dmar->scopes[i].depth > 0 && dmar->scopes[i].depth <= DMAR_MAX_PATH);
    }
    for (unsigned int i = 0; i < dmar->region_count; i++) {
        const struct dmar_region *region = &dmar->regions[i];

        require(region->size && region->start % PAGE_SIZE == 0 && region->size % PAGE_SIZE == 0);
        require(region->first_scope + region->scope_count <= dmar->scope_count);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct dmar dmar;
    uint8_t *copy = malloc(size + 48); // its own allocation: overruns are seen

    // A header, so that inputs get to the structures at once.
    memset(copy, 0, 48);
    memcpy(copy + 48, data, size);
    if (!dmar_parse(&dmar, copy, size + 48)) {
        check(&dmar);
    }
    free(copy);
    return 0;
}
