// SPDX-License-Identifier: Apache-2.0
// Sets of physical CPUs, by the hypervisor's CPU number (dense from 0).
#ifndef BULKHEAD_CPUMASK_H
#define BULKHEAD_CPUMASK_H

#include <bulkhead/types.h>

#define MAX_CPUS 256u

struct cpumask {
    uint64_t bits[MAX_CPUS / 64];
};

static inline void cpumask_clear(struct cpumask *m)
{
    *m = (struct cpumask){{0}};
}

static inline void cpumask_set(struct cpumask *m, unsigned int cpu)
{
    __atomic_fetch_or(&m->bits[cpu / 64], 1UL << (cpu % 64), __ATOMIC_SEQ_CST);
}

static inline void cpumask_unset(struct cpumask *m, unsigned int cpu)
{
    __atomic_fetch_and(&m->bits[cpu / 64], ~(1UL << (cpu % 64)), __ATOMIC_SEQ_CST);
}

static inline bool cpumask_test(const struct cpumask *m, unsigned int cpu)
{
    return cpu < MAX_CPUS && (m->bits[cpu / 64] >> (cpu % 64)) & 1;
}

// The first member at or after cpu, or MAX_CPUS.
static inline unsigned int cpumask_next(const struct cpumask *m, unsigned int cpu)
{
    for (; cpu < MAX_CPUS; cpu = (cpu | 63) + 1) {
        uint64_t rest = m->bits[cpu / 64] >> (cpu % 64);

        if (rest) {
            return cpu + (unsigned int)__builtin_ctzl(rest);
        }
    }
    return MAX_CPUS;
}

static inline void cpumask_and(struct cpumask *out, const struct cpumask *a,
                               const struct cpumask *b)
{
    for (size_t i = 0; i < ARRAY_SIZE(out->bits); i++) {
        out->bits[i] = a->bits[i] & b->bits[i];
    }
}

static inline bool cpumask_empty(const struct cpumask *m)
{
    return cpumask_next(m, 0) == MAX_CPUS;
}

static inline unsigned int cpumask_weight(const struct cpumask *m)
{
    unsigned int n = 0;

    for (size_t i = 0; i < ARRAY_SIZE(m->bits); i++) {
        // Not the builtin: without a popcount instruction it would need the compiler's library.
        for (uint64_t rest = m->bits[i]; rest; rest &= rest - 1) {
            n++;
        }
    }
    return n;
}

#define for_each_cpu(cpu, mask)                                                                    \
    for (cpu = cpumask_next(mask, 0); cpu < MAX_CPUS; cpu = cpumask_next(mask, cpu + 1))

#endif
