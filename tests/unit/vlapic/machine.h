// SPDX-License-Identifier: Apache-2.0
// A machine for the interrupt controllers' code: two CPUs, two I/O APICs whose registers and lines
// are simulated, timers of a clock that the test turns, and a domain with vcpus that never run.
#ifndef TESTS_UNIT_VLAPIC_MACHINE_H
#define TESTS_UNIT_VLAPIC_MACHINE_H

#include <bulkhead/domain.h>
#include <bulkhead/io.h>
#include <x86/vlapic.h>

#define MACHINE_CPUS 2u
#define MACHINE_PINS 24u // of each I/O APIC; the second's lines begin at GSI 24
#define MACHINE_LINES (2 * MACHINE_PINS)

// Everything back to the beginning; I/O APICs of the given version.
void machine_reset(uint8_t ioapic_version);
void machine_end(void);
// Drives a physical line; whatever interrupts come of it have been handled on return.
void machine_line(uint32_t gsi, bool up);
// An edge on it.
void machine_pulse(uint32_t gsi);
uint64_t machine_entry(uint32_t gsi); // redirection entry
extern unsigned int machine_eois;     // that the hypervisor gave its local APIC
extern bool machine_interrupts_off;   // lines that rise wait

void machine_run_until(ns_t time); // timers fire
extern ns_t machine_time;
unsigned int machine_timers(void); // set ones
extern unsigned int machine_timer_slots;

struct domain *machine_domain(unsigned int vcpus);
// Called before a vcpu gets its local APIC; a program may have its own.
void machine_prepare_vcpu(struct vcpu *v);
void machine_domain_free(struct domain *d);

// What reached a vcpu from its local APIC's code.
extern unsigned int kicks;
extern struct signals {
    unsigned int inits, starts, nmis;
    uint8_t start_vector;
    uint8_t cr8; // what it shows
} signals[DOMAIN_MAX_VCPUS];

// Takes the interrupt that would be injected now: its vector, or -1.
int machine_inject(struct vcpu *v);

uint64_t machine_read(struct vcpu *v, uint64_t address, unsigned int size);
void machine_write(struct vcpu *v, uint64_t address, unsigned int size, uint64_t value);

extern unsigned int heap_blocks, heap_allowed;
extern unsigned int log_lines;
extern void (*debug_keys[128])(void);

#endif
