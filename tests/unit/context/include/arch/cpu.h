// SPDX-License-Identifier: Apache-2.0
// The test machine's part of struct cpu: which CPU "we" are is a variable.
#ifndef BULKHEAD_X86_CPU_H
#define BULKHEAD_X86_CPU_H

#include <bulkhead/types.h>

struct cpu;
struct svm_cpu;

struct arch_cpu {
    uint32_t apic_id;
    struct svm_cpu *svm;
};

extern struct cpu *test_cpu;

static inline struct cpu *this_cpu(void)
{
    return test_cpu;
}

#endif
