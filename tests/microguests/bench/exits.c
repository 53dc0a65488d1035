// SPDX-License-Identifier: Apache-2.0
// Single exits and plain hypercalls: one instruction each, no preparation. Hypercalls run on vcpu
// 0.

#include "apic.h"
#include "bench.h"

#include <xen/arch-x86/cpuid.h>

#define UNKNOWN_HYPERCALL 1000
#define PIT_PORT 0x40
#define DELAY_PORT 0x80

// Defines a sample function around one statement.
#define SAMPLE(name, statement)                                                                    \
    static uint64_t name(void)                                                                     \
    {                                                                                              \
        uint64_t start = rdtsc();                                                                  \
                                                                                                   \
        statement;                                                                                 \
        return rdtsc() - start;                                                                    \
    }

static bool uses_vmcall;

static const char *find_instruction(void)
{
    // Intel's vendor string ends in "ntel".
    uses_vmcall = cpuid(0, 0).ecx == 0x6c65746e;
    if (hypercall_instruction(UNKNOWN_HYPERCALL, uses_vmcall) != -XEN_ENOSYS) {
        return "an unknown hypercall does not give ENOSYS";
    }
    return NULL;
}

SAMPLE(sample_nothing, )
SAMPLE(sample_rdtsc, rdtsc())
SAMPLE(sample_cpuid, cpuid(1, 0))
SAMPLE(sample_version, hypercall(__HYPERVISOR_xen_version, XENVER_version, 0, 0, 0, 0))
SAMPLE(sample_unknown, hypercall_instruction(UNKNOWN_HYPERCALL, uses_vmcall))
SAMPLE(sample_yield, hypercall(__HYPERVISOR_sched_op, SCHEDOP_yield, 0, 0, 0, 0))
SAMPLE(sample_apic_memory, apic_memory_read(APIC_VERSION))
SAMPLE(sample_rdmsr, rdmsr(MSR_APIC_BASE))
SAMPLE(sample_rdmsr_patch, rdmsr(MSR_PATCH_LEVEL))
SAMPLE(sample_port, inb(PIT_PORT))
SAMPLE(sample_port_direct, inb(DELAY_PORT))

static uint64_t sample_set_timer(void)
{
    uint64_t when = xen_time() + FAR_FUTURE;
    uint64_t start = rdtsc();
    long rc = hypercall(__HYPERVISOR_set_timer_op, when, 0, 0, 0, 0);
    uint64_t end = rdtsc();

    return rc ? sample_failed(hypercall_failed("set_timer_op", rc)) : end - start;
}

static void stop_timer(void)
{
    hypercall(__HYPERVISOR_set_timer_op, 0, 0, 0, 0, 0);
}

static uint64_t sample_singleshot(void)
{
    struct vcpu_set_singleshot_timer request = {.timeout_abs_ns = xen_time() + FAR_FUTURE};
    uint64_t start = rdtsc();
    long rc = hypercall(__HYPERVISOR_vcpu_op, VCPUOP_set_singleshot_timer, 0,
                        (unsigned long)&request, 0, 0);
    uint64_t end = rdtsc();

    return rc ? sample_failed(hypercall_failed("VCPUOP_set_singleshot_timer", rc)) : end - start;
}

static void stop_singleshot(void)
{
    hypercall(__HYPERVISOR_vcpu_op, VCPUOP_stop_singleshot_timer, 0, 0, 0, 0);
}

static const struct benchmark benchmarks[] = {
    {"overhead", NULL, sample_nothing, NULL},
    {"rdtsc", NULL, sample_rdtsc, NULL},
    {"cpuid", NULL, sample_cpuid, NULL},
    {"xen_version", NULL, sample_version, NULL},
    {"unknown_hypercall", find_instruction, sample_unknown, NULL},
    {"sched_yield", NULL, sample_yield, NULL},
    {"set_timer_op", NULL, sample_set_timer, stop_timer},
    {"set_singleshot_timer", NULL, sample_singleshot, stop_singleshot},
    {"rdmsr_apic_base", NULL, sample_rdmsr, NULL},
    {"rdmsr_patch_level", NULL, sample_rdmsr_patch, NULL},
    {"port_read_0x40", NULL, sample_port, NULL},
    {"port_read_0x80", NULL, sample_port_direct, NULL},
    {"apic_memory_read", NULL, sample_apic_memory, NULL},
};

const struct benchmark_group exit_benchmarks = {benchmarks, ARRAY_SIZE(benchmarks)};
