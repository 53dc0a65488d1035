// SPDX-License-Identifier: Apache-2.0
// Runs the benchmarks one by one: "begin NAME", then "bench NAME VALUE" (median of the samples,
// less the cost of measuring) or "bench NAME failed: REASON". A benchmark that raises an exception
// fails alone. One that hangs is skipped by the caller's next run: words of the command line are
// only=NAME:NAME and skip=NAME:NAME. With peer=N (see pair.c) only those between domains run.

#include "bench.h"

#define SAMPLES 400
#define WARM_UP 20

const char *failure_reason;

static uint64_t samples[SAMPLES];
static uint64_t overhead;
static char only[512], skip[512];

const char *hypercall_failed(const char *what, long rc)
{
    static char text[80];
    unsigned int length = 0;

    for (; *what && length < 60; what++) {
        text[length++] = *what;
    }
    for (const char *s = " gives -"; *s; s++) {
        text[length++] = *s;
    }
    rc = rc < 0 ? -rc : rc;
    if (rc >= 1000) {
        text[length++] = '?';
    } else {
        text[length++] = (char)('0' + rc / 100);
        text[length++] = (char)('0' + rc / 10 % 10);
        text[length++] = (char)('0' + rc % 10);
    }
    text[length] = '\0';
    return text;
}

uint64_t sample_failed(const char *reason)
{
    failure_reason = reason;
    return FAILED;
}

static void sort_samples(void)
{
    for (unsigned int i = 1; i < SAMPLES; i++) {
        uint64_t value = samples[i];
        unsigned int at = i;

        for (; at > 0 && samples[at - 1] > value; at--) {
            samples[at] = samples[at - 1];
        }
        samples[at] = value;
    }
}

static void take_samples(void *opaque)
{
    const struct benchmark *benchmark = opaque;

    interrupts_on();
    for (unsigned int i = 0; i < WARM_UP + SAMPLES; i++) {
        uint64_t value = benchmark->sample();

        if (value == FAILED) {
            return;
        }
        if (i >= WARM_UP) {
            samples[i - WARM_UP] = value;
        }
    }
}

static void prepare_benchmark(void *opaque)
{
    const struct benchmark *benchmark = opaque;

    failure_reason = benchmark->prepare();
}

static void finish_benchmark(void *opaque)
{
    ((const struct benchmark *)opaque)->finish();
}

static bool run_step(const struct benchmark *benchmark, void (*step)(void *))
{
    int vector = try_call(step, (void *)benchmark);

    interrupts_off();
    if (vector != NO_EXCEPTION) {
        say("bench %s failed: exception %d, error 0x%lx, address 0x%lx", benchmark->name, vector,
            this_vcpu()->fault_error, this_vcpu()->fault_address);
        return false;
    }
    if (failure_reason) {
        say("bench %s failed: %s", benchmark->name, failure_reason);
        return false;
    }
    return true;
}

static void report(const struct benchmark *benchmark)
{
    uint64_t median;

    sort_samples();
    median = samples[SAMPLES / 2];
    if (string_equal(benchmark->name, "overhead")) {
        overhead = median;
        say("bench overhead %lu", overhead);
        return;
    }
    say("bench %s %lu", benchmark->name, median > overhead ? median - overhead : 0);
}

static void run_benchmark(const struct benchmark *benchmark)
{
    bool ok;

    if ((only[0] && !list_contains(only, benchmark->name) &&
         !string_equal(benchmark->name, "overhead")) ||
        list_contains(skip, benchmark->name)) {
        return;
    }
    say("begin %s", benchmark->name);
    failure_reason = NULL;
    if (benchmark->prepare && !run_step(benchmark, prepare_benchmark)) {
        return;
    }
    ok = run_step(benchmark, take_samples);
    failure_reason = NULL;
    if (benchmark->finish) {
        ok &= run_step(benchmark, finish_benchmark);
    }
    if (ok) {
        report(benchmark);
    }
}

static void copy_option(const char *name, char *to, size_t size)
{
    const char *value = command_line_value(name);
    size_t i = 0;

    for (; value && value[i] && i < size - 1; i++) {
        to[i] = value[i];
    }
    to[i] = '\0';
}

static void run_groups(const struct benchmark_group *const *groups, unsigned int count)
{
    for (unsigned int i = 0; i < count; i++) {
        for (unsigned int j = 0; j < groups[i]->count; j++) {
            run_benchmark(&groups[i]->benchmarks[j]);
        }
    }
}

void program(void)
{
    static const struct benchmark_group *const alone[] = {
        &exit_benchmarks, &event_benchmarks, &memory_benchmarks, &device_benchmarks,
        &fpu_benchmarks,  &smp_benchmarks,   &apic_benchmarks,
    };
    static const struct benchmark_group *const with_partner[] = {&exit_benchmarks,
                                                                 &pair_benchmarks};

    copy_option("only", only, sizeof(only));
    copy_option("skip", skip, sizeof(skip));
    if (command_line_value("peer")) {
        run_groups(with_partner, ARRAY_SIZE(with_partner));
    } else {
        run_groups(alone, ARRAY_SIZE(alone));
    }
}
