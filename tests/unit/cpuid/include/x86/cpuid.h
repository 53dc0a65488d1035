// SPDX-License-Identifier: Apache-2.0
// Stands in for the CPUID instruction: processor.c answers.
#ifndef BULKHEAD_X86_CPUID_H
#define BULKHEAD_X86_CPUID_H

#include <bulkhead/types.h>

struct cpuid_leaf {
    uint32_t eax, ebx, ecx, edx;
};

struct cpuid_leaf cpuid(uint32_t leaf, uint32_t subleaf);

#endif
