// SPDX-License-Identifier: Apache-2.0
// System time from the time stamp counter, whose rate is measured once against the first of: the
// HPET, the ACPI power management timer, the PIT. All results are constant afterwards: no lock.
// A sample of the reference clock is taken between two reads of the counter, several times, and the
// quickest is kept, so that a delay by whatever runs beneath us does not count.

#include <bulkhead/acpi.h>
#include <bulkhead/arch/cpu.h>
#include <bulkhead/console.h>
#include <x86/io_port.h>
#include <x86/paging.h>
#include <x86/registers.h>
#include <x86/time.h>

// How long to measure: the finer a clock's ticks, the shorter.
#define MEASURE_FINE 5000000L // ns
#define MEASURE_COARSE 20000000L
#define FINE_PERIOD 100000000u // femtoseconds
#define SAMPLE_TRIES 8u
#define MAX_POLLS 20000000u // a reference clock that stands still is given up
#define DEFAULT_KHZ 1000000u

#define HPET_SIZE 1024u
#define HPET_CAPABILITIES 0x000
#define HPET_CONFIGURATION 0x010
#define HPET_COUNTER 0x0f0
#define HPET_ENABLE 1u
#define HPET_MAX_PERIOD 100000000u // femtoseconds, by the specification

#define PM_TIMER_HZ 3579545u

#define PIT_HZ 1193182u
#define PIT_CHANNEL_2 0x42
#define PIT_CONTROL 0x43
#define PIT_LATCH_2 0x80
#define PIT_COUNT_2 0xb4 // channel 2, low then high byte, rate generator
#define PIT_GATE 0x61
#define PIT_GATE_ON 0x01
#define PIT_SPEAKER 0x02

// A clock of known rate that counts up modulo mask + 1.
struct reference {
    const char *name;
    uint32_t (*read)(void);
    uint32_t mask;
    uint64_t femtoseconds; // per tick
};

struct sample {
    uint64_t tsc;
    uint32_t clock;
};

struct tsc_scale tsc_scale;
uint64_t tsc_khz;
static struct tsc_scale to_tsc; // from nanoseconds to ticks
static volatile uint8_t *hpet;

// ratio numerator / denominator as mul and shift; both below 2^31.
static void scale_set(struct tsc_scale *scale, uint64_t numerator, uint64_t denominator)
{
    int shift = 0;

    while (numerator >= denominator) {
        denominator <<= 1;
        shift++;
    }
    while (2 * numerator < denominator) {
        numerator <<= 1;
        shift--;
    }
    scale->mul = (uint32_t)((numerator << 32) / denominator);
    scale->shift = (int8_t)shift;
}

static uint64_t scale_apply(const struct tsc_scale *scale, uint64_t value)
{
    value = scale->shift >= 0 ? value << scale->shift : value >> -scale->shift;
    return (uint64_t)((unsigned __int128)value * scale->mul >> 32);
}

void tsc_scale_set(struct tsc_scale *scale, uint64_t khz)
{
    scale_set(scale, 1000000, khz);
}

static uint32_t hpet_read(void)
{
    return mmio_read32(hpet + HPET_COUNTER);
}

static bool use_hpet(struct reference *reference)
{
    uint32_t period;

    if (!acpi_info.hpet_address) {
        return false;
    }
    hpet = hv_ioremap(MADDR(acpi_info.hpet_address), HPET_SIZE);
    if (!hpet) {
        return false;
    }
    period = mmio_read32(hpet + HPET_CAPABILITIES + 4);
    if (period == 0 || period > HPET_MAX_PERIOD) {
        return false;
    }
    mmio_write32(hpet + HPET_CONFIGURATION, mmio_read32(hpet + HPET_CONFIGURATION) | HPET_ENABLE);
    *reference = (struct reference){"HPET", hpet_read, UINT32_MAX, period};
    return true;
}

static uint32_t pm_timer_read(void)
{
    return port_read32(acpi_info.pm_timer_port);
}

static bool use_pm_timer(struct reference *reference)
{
    if (!acpi_info.pm_timer_port) {
        return false;
    }
    *reference = (struct reference){"ACPI PM timer", pm_timer_read, 0xffffff,
                                    1000000000000000 / PM_TIMER_HZ};
    return true;
}

static uint32_t pit_read(void)
{
    uint32_t low, high;

    port_write8(PIT_CONTROL, PIT_LATCH_2);
    low = port_read8(PIT_CHANNEL_2);
    high = port_read8(PIT_CHANNEL_2);
    return 0u - (high << 8 | low); // it counts down
}

static void use_pit(struct reference *reference)
{
    port_write8(PIT_GATE, (uint8_t)((port_read8(PIT_GATE) & ~PIT_SPEAKER) | PIT_GATE_ON));
    port_write8(PIT_CONTROL, PIT_COUNT_2);
    port_write8(PIT_CHANNEL_2, 0);
    port_write8(PIT_CHANNEL_2, 0);
    *reference = (struct reference){"PIT", pit_read, 0xffff, 1000000000000000 / PIT_HZ};
}

static struct sample take_sample(uint32_t (*read)(void))
{
    struct sample best = {0, 0};
    uint64_t best_duration = UINT64_MAX;

    for (unsigned int i = 0; i < SAMPLE_TRIES; i++) {
        uint64_t before = read_tsc_ordered();
        uint32_t clock = read();
        uint64_t duration = read_tsc_ordered() - before;

        if (duration < best_duration) {
            best_duration = duration;
            best = (struct sample){before + duration / 2, clock};
        }
    }
    return best;
}

// The counter's rate by this clock; 0 if the clock does not run.
static uint64_t measure_khz(const struct reference *reference)
{
    uint64_t duration = reference->femtoseconds <= FINE_PERIOD ? MEASURE_FINE : MEASURE_COARSE;
    uint64_t target = duration * 1000000 / reference->femtoseconds;
    struct sample first = take_sample(reference->read);
    struct sample last;
    uint64_t ticks, picoseconds;
    unsigned int polls = 0;

    do {
        if (polls++ == MAX_POLLS) {
            return 0;
        }
        cpu_relax();
    } while (((reference->read() - first.clock) & reference->mask) < target);
    last = take_sample(reference->read);
    ticks = (last.clock - first.clock) & reference->mask;
    picoseconds = ticks * reference->femtoseconds / 1000;
    return picoseconds ? (last.tsc - first.tsc) * 1000000000 / picoseconds : 0;
}

static bool calibrate(struct reference *reference)
{
    tsc_khz = measure_khz(reference);
    return tsc_khz != 0;
}

void time_init(void)
{
    struct reference reference;

    if (!(use_hpet(&reference) && calibrate(&reference)) &&
        !(use_pm_timer(&reference) && calibrate(&reference))) {
        use_pit(&reference);
        if (!calibrate(&reference)) {
            log_error("Time: no clock to measure the time stamp counter by; 1 GHz is assumed");
            tsc_khz = DEFAULT_KHZ;
        }
    }
    tsc_scale_set(&tsc_scale, tsc_khz);
    scale_set(&to_tsc, tsc_khz, 1000000);
    log_info("Time: counter at %lu.%03lu MHz by the %s", tsc_khz / 1000, tsc_khz % 1000,
             reference.name);
}

ns_t arch_now(void)
{
    return (ns_t)scale_apply(&tsc_scale, read_tsc_ordered() - tsc_scale.tsc_at_zero);
}

uint64_t time_to_tsc(ns_t t)
{
    if (t < 0) {
        return tsc_scale.tsc_at_zero;
    }
    if (t > INT64_MAX >> 8) {
        return UINT64_MAX;
    }
    return tsc_scale.tsc_at_zero + scale_apply(&to_tsc, (uint64_t)t);
}

void time_delay(ns_t duration)
{
    ns_t end = arch_now() + duration;

    while (arch_now() < end) {
        cpu_relax();
    }
}

uint64_t time_measure_down_counter(uint32_t (*read)(void))
{
    struct sample first = take_sample(read);
    struct sample last;
    uint64_t duration;

    time_delay(MEASURE_FINE);
    last = take_sample(read);
    duration = scale_apply(&tsc_scale, last.tsc - first.tsc);
    return duration ? (uint64_t)(first.clock - last.clock) * 1000000 / duration : 0;
}
