// SPDX-License-Identifier: Apache-2.0
// The processor of processor.h. Its figures are those of no particular model.

#include <stdlib.h>
#include <string.h>

#include "processor.h"

struct row {
    uint32_t leaf, subleaf; // subleaf ~0: for all
    struct cpuid_leaf value;
};

static const struct row original[] = {
    {0, ~0u, {0x10, 0x68747541, 0x444d4163, 0x69746e65}},
    {1, ~0u, {0x00a10f11, 0x07400800, 0xffffffff, 0xffffffff}},
    {2, ~0u, {0, 0, 0, 0}},
    {5, ~0u, {0x40, 0x40, 3, 0x11}},
    {6, ~0u, {4, 0, 1, 0}},
    {7, 0, {2, 0xffffffff, 0xffffffff, 0xffffffff}},
    {7, 1, {0xffffffff, 0, 0, 0}},
    {0xd, 0, {0x2e7, 2432, 2440, 0}},
    {0xd, 1, {0xff, 2432, 0x1800, 0}},
    {0xd, 2, {256, 576, 0, 0}},
    {0xd, 5, {64, 832, 0, 0}},
    {0xd, 6, {512, 896, 0, 0}},
    {0xd, 7, {1024, 1408, 0, 0}},
    {0xd, 9, {8, 2432, 0, 0}},
    {0x10, 0, {0, 2, 0, 0}},
    {0x80000000, ~0u, {0x80000028, 0x68747541, 0x444d4163, 0x69746e65}},
    {0x80000001, ~0u, {0x00a10f11, 0x40000000, 0xffffffff, 0xffffffff}},
    {0x80000002, ~0u, {0x54534554, 0x20202020, 0, 0}},
    {0x80000003, ~0u, {0, 0, 0, 0}},
    {0x80000004, ~0u, {0, 0, 0, 0}},
    {0x80000005, ~0u, {0xff48ff40, 0xff48ff40, 0x20080140, 0x20080140}},
    {0x80000006, ~0u, {0x5c002200, 0x6c004200, 0x04006140, 0x01009140}},
    {0x80000007, ~0u, {0, 0x3b, 0, 0x6799}},
    {0x80000008, ~0u, {0x00003034, 0xffffffff, 0x0000707f, 0x00010007}},
    {0x8000000a, ~0u, {1, 0x8000, 0, 0x1ebfbcff}},
    {0x8000001f, ~0u, {0x01780fbf, 0x00004173, 0x1fd, 0x80}},
};

static struct row rows[sizeof(original) / sizeof(original[0])];

void processor_reset(void)
{
    memcpy(rows, original, sizeof(rows));
}

struct cpuid_leaf *processor_leaf(uint32_t leaf, uint32_t subleaf)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].leaf == leaf && (rows[i].subleaf == subleaf || rows[i].subleaf == ~0u)) {
            return &rows[i].value;
        }
    }
    return NULL;
}

struct cpuid_leaf cpuid(uint32_t leaf, uint32_t subleaf)
{
    const struct cpuid_leaf *found = processor_leaf(leaf, subleaf);

    return found ? *found : (struct cpuid_leaf){0, 0, 0, 0};
}
