// SPDX-License-Identifier: Apache-2.0
// Checks and their groups. A group ends early at an exception that it does not expect.
#ifndef MICROGUEST_SELFTEST_H
#define MICROGUEST_SELFTEST_H

#include "cpu.h"
#include "guest.h"
#include "interrupts.h"
#include "print.h"
#include "xen.h"

// An address that the microguest's tables do not map.
#define UNMAPPED 0x4000000000ul

// Prints "PASS what" or "FAIL what" and counts; returns @condition.
bool check(bool condition, const char *what);

// The same for a number, which a failure shows.
bool check_equal(long value, long expected, const char *what);

bool second_vcpu_runs(void);

// Gives vcpu 1 a task and wakes it.
void run_on_second_vcpu(void (*work)(void));

// code32.S: a hypercall by the 32-bit convention.
long hypercall_32(uint32_t number, uint32_t a1, uint32_t a2);

void check_identity(void);
void check_hypercalls(void);
void check_time(void);
void check_timers(void);
void check_events(void);
void check_memory(void);
void check_grants(void);
void check_exceptions(void);
void check_apic_memory(void);
void check_apic_interrupts(void);
void check_vcpus(void);
void check_extended_state(void);
void check_fifo_events(void);
void check_control_registers(void);
void check_apic_priority(void);

#endif
