// SPDX-License-Identifier: Apache-2.0
// libFuzzer target: any bytes as an IVRS table. A table that is accepted must be consistent.
#include <stdlib.h>
#include <string.h>

#include "ivrs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct ivrs *ivrs)
{
    if (ivrs->unit_count == 0 || ivrs->unit_count > IVRS_MAX_UNITS) {
        abort();
    }
    for (unsigned int i = 0; i < ivrs->range_count; i++) {
        if (ivrs->ranges[i].first > ivrs->ranges[i].last ||
            ivrs->ranges[i].unit >= ivrs->unit_count) {
            abort();
        }
    }
    for (unsigned int i = 0; i < ivrs->special_count; i++) {
        if (!ivrs_find(ivrs, ivrs->units[ivrs->special[i].unit].segment, ivrs->special[i].id)) {
            abort();
        }
    }
    for (unsigned int i = 0; i < ivrs->region_count; i++) {
        if (ivrs->regions[i].size == 0 || ivrs->regions[i].start % PAGE_SIZE) {
            abort();
        }
    }
    ivrs_highest_id(ivrs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct ivrs ivrs;
    uint8_t *copy = malloc(size + 48); // its own allocation: overruns are seen

    // A header, so that inputs get to the blocks at once.
    memset(copy, 0, 48);
    memcpy(copy + 48, data, size);
    if (!ivrs_parse(&ivrs, copy, size + 48)) {
        check(&ivrs);
    }
    free(copy);
    return 0;
}
