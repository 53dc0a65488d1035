// SPDX-License-Identifier: Apache-2.0
// What a benchmark is, and the groups of them.
#ifndef MICROGUEST_BENCH_H
#define MICROGUEST_BENCH_H

#include "cpu.h"
#include "guest.h"
#include "interrupts.h"
#include "print.h"
#include "xen.h"

// A sample that did not come about; failure_reason says why when it is set.
#define FAILED UINT64_MAX

struct benchmark {
    const char *name;
    // Makes ready; returns NULL, or why the benchmark cannot run. May be NULL.
    const char *(*prepare)(void);
    // Takes one sample, interrupts on: the time stamp counter's difference around what is measured.
    uint64_t (*sample)(void);
    // Undoes prepare; runs whenever prepare had succeeded. May be NULL.
    void (*finish)(void);
};

struct benchmark_group {
    const struct benchmark *benchmarks;
    unsigned int count;
};

// In the order in which they run: those by memory-mapped APIC come before those in x2APIC mode.
extern const struct benchmark_group exit_benchmarks, event_benchmarks, memory_benchmarks,
    device_benchmarks, apic_benchmarks, smp_benchmarks, fpu_benchmarks;

// Those that need a partner, another domain.
extern const struct benchmark_group pair_benchmarks;

// Text for a hypercall's error, in a static buffer.
const char *hypercall_failed(const char *what, long rc);

// The text of the last sample that failed, set by it.
extern const char *failure_reason;

uint64_t sample_failed(const char *reason);

// Takes the page at @page out of the domain, or puts one there; returns 1 or what went wrong.
long change_reservation(unsigned int operation, const void *page);

// One sample: maps the grant at @place, where the domain has no page, and unmaps it.
uint64_t map_and_unmap(domid_t domid, grant_ref_t reference, const void *place);

#endif
