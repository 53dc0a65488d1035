// SPDX-License-Identifier: Apache-2.0
// The test machine's part of struct cpu: each host thread is a CPU.
#ifndef MM_TEST_ARCH_CPU_H
#define MM_TEST_ARCH_CPU_H

#include <bulkhead/types.h>

struct cpu;

struct arch_cpu {
    unsigned int slots_used; // transient mappings, innermost last
    const void *slots[16];
};

extern __thread struct cpu *test_cpu;

static inline struct cpu *this_cpu(void)
{
    return test_cpu;
}

#endif
