// SPDX-License-Identifier: Apache-2.0
// The cost of an exit while the guest uses SSE registers, with a check that one stays as it was.

#include "bench.h"

static uint64_t sample_exit(void)
{
    uint64_t expected = rdtsc(), found, start, cycles;

    __asm__ volatile("movq %0, %%xmm7" ::"r"(expected));
    start = rdtsc();
    hypercall(__HYPERVISOR_xen_version, XENVER_version, 0, 0, 0, 0);
    cycles = rdtsc() - start;
    __asm__ volatile("movq %%xmm7, %0" : "=r"(found));
    return found == expected ? cycles : sample_failed("xmm7 has changed over an exit");
}

static const struct benchmark benchmarks[] = {
    {"xen_version_with_sse_in_use", NULL, sample_exit, NULL},
};

const struct benchmark_group fpu_benchmarks = {benchmarks, ARRAY_SIZE(benchmarks)};
