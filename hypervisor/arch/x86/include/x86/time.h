// SPDX-License-Identifier: Apache-2.0
// System time: the time stamp counter, calibrated against a clock of known rate.
#ifndef BULKHEAD_X86_TIME_H
#define BULKHEAD_X86_TIME_H

#include <bulkhead/types.h>

// As in the public vcpu_time_info: ns = ((tsc - tsc_at_zero) << shift) * mul >> 32, where a
// negative shift is one to the right.
struct tsc_scale {
    uint32_t mul;
    int8_t shift;
    uint64_t tsc_at_zero;
};

extern struct tsc_scale tsc_scale; // constant after time_init
extern uint64_t tsc_khz;

// Fills mul and shift for a counter of this frequency.
void tsc_scale_set(struct tsc_scale *scale, uint64_t khz);
// Calibrates; boot CPU, after acpi_init. System time starts at zero when the hypervisor did.
void time_init(void);
// The counter's value at a system time; saturates.
uint64_t time_to_tsc(ns_t t);
// Busy waiting, for hardware's sake: at most a few milliseconds. After time_init.
void time_delay(ns_t duration);
// The rate in kHz of a 32-bit counter that runs down, measured over some milliseconds.
uint64_t time_measure_down_counter(uint32_t (*read)(void));

// Seconds since 1970 by the machine's real time clock; 0 if it gives no sensible date.
int64_t rtc_read(void);

#endif
