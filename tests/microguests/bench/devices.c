// SPDX-License-Identifier: Apache-2.0
// A device's interrupt, from the write to the device that asks for it until the handler has begun,
// by a message through the IOMMU's remapping. The device is QEMU's edu, which domain 0 owns. The
// handler leaves the time at which it began.

#include "apic.h"
#include "bench.h"
#include "edu.h"
#include "pci.h"

#define VECTOR 0x61
#define WAIT_LOOPS 1000000

static volatile uint64_t handler_time;

static void on_interrupt(void)
{
    handler_time = rdtsc();
    edu_end_interrupt();
    apic_write(APIC_EOI, 0);
}

static const char *prepare(void)
{
    unsigned int device = edu_start();

    if (!device) {
        return "there is no edu device";
    }
    apic_enable();
    interrupt_set_handler(VECTOR, on_interrupt);
    return pci_enable_msi(device, VECTOR) ? NULL : "the device can send no messages";
}

static void finish(void)
{
    interrupt_set_handler(VECTOR, NULL);
}

static uint64_t sample(void)
{
    uint64_t start;

    handler_time = 0;
    start = rdtsc();
    edu_raise_interrupt();
    for (unsigned int i = 0; !handler_time && i < WAIT_LOOPS; i++) {
        pause();
    }
    return handler_time ? handler_time - start : sample_failed("no interrupt has arrived");
}

static const struct benchmark benchmarks[] = {
    {"device_interrupt_until_handler", prepare, sample, finish},
};

const struct benchmark_group device_benchmarks = {benchmarks, ARRAY_SIZE(benchmarks)};
