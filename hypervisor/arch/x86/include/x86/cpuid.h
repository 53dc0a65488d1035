// SPDX-License-Identifier: Apache-2.0
// The CPUID instruction.
#ifndef BULKHEAD_X86_CPUID_H
#define BULKHEAD_X86_CPUID_H

#include <bulkhead/types.h>

struct cpuid_leaf {
    uint32_t eax, ebx, ecx, edx;
};

static inline struct cpuid_leaf cpuid(uint32_t leaf, uint32_t subleaf)
{
    struct cpuid_leaf r;

    __asm__ volatile("cpuid"
                     : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
                     : "a"(leaf), "c"(subleaf));
    return r;
}

#endif
