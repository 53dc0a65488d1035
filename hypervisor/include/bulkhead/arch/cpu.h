// SPDX-License-Identifier: Apache-2.0
// Contract: what a port supplies about its processors. struct arch_cpu and this_cpu come from the
// port's <arch/cpu.h>.
#ifndef BULKHEAD_ARCH_CPU_H
#define BULKHEAD_ARCH_CPU_H

#include <bulkhead/types.h>

struct cpu;
struct cpumask;
struct vcpu;

// The port's own: struct arch_cpu; static inline struct cpu *this_cpu(void); and static inline
// uint64_t arch_cycles(void), a counter that the CPU's work drives, for lengths only.
#include <arch/cpu.h>

// One turn of waiting for another CPU: relaxes and serves cross-CPU calls addressed to this CPU.
void arch_spin_wait(void);
// Runs fn(data) on every CPU of the mask that is online, this one included, and returns when all
// have done so. fn may run while that CPU spins for a lock: it takes no lock. Interrupts off.
void arch_call_cpus(const struct cpumask *mask, void (*fn)(void *data), void *data);
// Makes a CPU leave its guest or wake from idle; it then looks at its work bits.
void arch_kick_cpu(unsigned int cpu);
// Idle until an interrupt: returns at once if work is set. Interrupts off on entry and return.
void arch_idle(struct cpu *cpu);
// Lets pending interrupts in for a moment. No lock held.
void arch_interrupt_window(void);
ns_t arch_now(void);
// Next deadline for this CPU's timer interrupt (CPU_WORK_TIMER), absolute; TIMER_NONE: none.
void arch_timer_program(ns_t deadline);

__attribute__((noreturn)) void arch_halt_machine(void);    // stop all CPUs for ever
__attribute__((noreturn)) void arch_restart_machine(void); // reset
void arch_power_off_machine(void);                         // returns if it does not work

#endif
