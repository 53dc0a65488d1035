// SPDX-License-Identifier: Apache-2.0
// The local APIC in x2APIC mode, on vcpu 0. Switches the vcpu to that mode for good, so these come
// after what needs the memory-mapped registers. The handler of the self-IPI leaves its times here.

#include "apic.h"
#include "bench.h"

#define SELF_VECTOR 0x60
#define WAIT_LOOPS 1000000

static volatile uint64_t handler_time, eoi_cycles;

static void on_interrupt(void)
{
    uint64_t start = rdtsc();

    handler_time = start;
    start = rdtsc();
    x2apic_write(APIC_EOI, 0);
    eoi_cycles = rdtsc() - start;
}

static const char *prepare(void)
{
    if (!(cpuid(1, 0).ecx & 1u << 21)) {
        return "CPUID offers no x2APIC";
    }
    apic_enable();
    apic_enable_x2apic();
    interrupt_set_handler(SELF_VECTOR, on_interrupt);
    return NULL;
}

static uint64_t sample_read(void)
{
    uint64_t start = rdtsc();

    x2apic_read(APIC_VERSION);
    return rdtsc() - start;
}

static uint64_t sample_eoi(void)
{
    uint64_t start = rdtsc();

    x2apic_write(APIC_EOI, 0);
    return rdtsc() - start;
}

static uint64_t self_ipi(void)
{
    uint64_t start;

    handler_time = 0;
    start = rdtsc();
    x2apic_write(APIC_ICR_LOW, ICR_SELF | ICR_ASSERT | SELF_VECTOR);
    for (unsigned int i = 0; !handler_time && i < WAIT_LOOPS; i++) {
        pause();
    }
    return handler_time ? handler_time - start : sample_failed("no interrupt has arrived");
}

static uint64_t sample_eoi_in_service(void)
{
    return self_ipi() == FAILED ? FAILED : eoi_cycles;
}

static const struct benchmark benchmarks[] = {
    {"x2apic_read", prepare, sample_read, NULL},
    {"x2apic_eoi_idle", prepare, sample_eoi, NULL},
    {"x2apic_self_ipi", prepare, self_ipi, NULL},
    {"x2apic_eoi_in_service", prepare, sample_eoi_in_service, NULL},
};

const struct benchmark_group apic_benchmarks = {benchmarks, ARRAY_SIZE(benchmarks)};
