// SPDX-License-Identifier: Apache-2.0
// The simulated machine's part of struct cpu. A CPU is a host thread, or the turn that a
// single-threaded test gives it (sim_cpu_enter).
#ifndef BULKHEAD_SIM_CPU_H
#define BULKHEAD_SIM_CPU_H

#include <bulkhead/types.h>

struct cpu;

struct arch_cpu {
    uint64_t kicks;      // arch_kick_cpu calls
    ns_t deadline;       // what arch_timer_program was last told
    uint32_t slots_used; // transient mappings, innermost last
    const void *slots[16];
};

extern __thread struct cpu *sim_cpu;

static inline struct cpu *this_cpu(void)
{
    return sim_cpu;
}

// The basic blocks that a program's instrumented code has executed, if it counts them.
extern uint64_t sim_cycles;

static inline uint64_t arch_cycles(void)
{
    return sim_cycles;
}

#endif
