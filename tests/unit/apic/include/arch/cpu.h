// SPDX-License-Identifier: Apache-2.0
// The test's part of struct cpu.
#ifndef BULKHEAD_X86_CPU_H
#define BULKHEAD_X86_CPU_H

#include <bulkhead/types.h>

struct cpu;

struct arch_cpu {
    uint32_t apic_id;
};

extern struct cpu *test_cpu;

static inline struct cpu *this_cpu(void)
{
    return test_cpu;
}

#endif
