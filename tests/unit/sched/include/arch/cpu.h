// SPDX-License-Identifier: Apache-2.0
// The simulated machine's part of struct cpu: which CPU "we" are is a variable.
#ifndef SCHED_TEST_ARCH_CPU_H
#define SCHED_TEST_ARCH_CPU_H

struct cpu;

struct arch_cpu {
    char nothing;
};

extern struct cpu *simulated_cpu;

static inline struct cpu *this_cpu(void)
{
    return simulated_cpu;
}

#endif
