// SPDX-License-Identifier: Apache-2.0
// How often guests left each CPU, by reason, for the person who looks for what costs time. Each CPU
// counts its own exits without a lock; the debug key reads them as they are.

#include <bulkhead/console.h>
#include <bulkhead/cpu.h>
#include <bulkhead/debug_key.h>

#include "vmcb.h"

static const char *reason_name(unsigned int index)
{
    switch (index) {
    case EXIT_INTR:
        return "interrupt";
    case EXIT_NMI:
        return "NMI";
    case EXIT_CPUID:
        return "CPUID";
    case EXIT_HLT:
        return "HLT";
    case EXIT_IO:
        return "port";
    case EXIT_MSR:
        return "MSR";
    case EXIT_VMMCALL:
        return "hypercall";
    case EXIT_XSETBV:
        return "XSETBV";
    case EXIT_COUNT_NPF:
        return "nested page fault";
    case EXIT_COUNT_OTHER:
        return "beyond the table";
    default:
        return "see the manual";
    }
}

static void show_exits(void)
{
    unsigned int cpu;

    for_each_cpu (cpu, &online_cpus) {
        const uint64_t *counts = cpus[cpu]->arch.svm->exit_counts;

        for (unsigned int i = 0; i < EXIT_COUNTS; i++) {
            if (counts[i]) {
                log_error("CPU%u: %lu exits for %x (%s)", cpu, counts[i], i, reason_name(i));
            }
        }
    }
}

void svm_exit_counts_init(void)
{
    debug_key_register('x', "show exits by reason", show_exits);
}
