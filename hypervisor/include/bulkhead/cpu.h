// SPDX-License-Identifier: Apache-2.0
// Physical CPUs as the core sees them. Each CPU runs an event loop (cpu_loop): serve work, pick a
// vcpu, run it until it exits with work to do. There is one hypervisor stack per CPU and no stack
// per vcpu: whatever has to wait or be preempted keeps its state in a structure and returns.
#ifndef BULKHEAD_CPU_H
#define BULKHEAD_CPU_H

#include <bulkhead/cpumask.h>
#include <bulkhead/timer.h>
#include <bulkhead/arch/cpu.h>

struct vcpu;

// Bits of struct cpu.work: reasons to leave the guest-entry fast path and come back to cpu_loop.
#define CPU_WORK_SCHEDULE 1u // the scheduler has to choose again
#define CPU_WORK_TIMER 2u    // the timer interrupt has come
#define CPU_WORK_TASKLET 4u  // deferred work is queued (tasklet.h)
#define CPU_WORK_KEY 8u      // a serial character waits for the console

// What the CPU does for a hypercall without letting anything else in (stretch.h).
#define STRETCH_OUTSIDE 0u // a number that no hypercall of this ABI's HVM guests has
#define STRETCH_HYPERCALLS 64u

struct stretch {
    uint64_t begin;
    unsigned int number;
    uint32_t operation;
};

struct stretches {
    struct stretch present;
    uint64_t longest[STRETCH_HYPERCALLS]; // 0: none
    uint32_t operation[STRETCH_HYPERCALLS];
};

struct cpu {
    struct cpu *self; // first: arch code reads it through the CPU's own base register
    unsigned int id;
    uint32_t work;
    struct vcpu *current; // the vcpu whose state is loaded; NULL when idle
    struct timer_queue timers;
    struct list tasklets;
    void *sched; // the scheduler's per-CPU data
    ns_t idle_since;
    ns_t idle_total;
    struct stretches stretches;
    struct arch_cpu arch;
};

extern struct cpu *cpus[MAX_CPUS]; // NULL where there is none
extern struct cpumask online_cpus;

// Enters a CPU, not online yet, into cpus[] with empty queues; self and id are set. 0 or -ENOMEM.
int cpu_register(struct cpu *cpu);

// Adds work for a CPU and makes it notice: an IPI if it is another one.
void cpu_raise_work(unsigned int cpu, uint32_t work);

// The event loop; never returns. Interrupts off, no lock held.
__attribute__((noreturn)) void cpu_loop(void);

// Lets pending interrupts in for a moment, in the middle of a hypercall. No lock may be held.
void interrupt_window(void);
// True when the current hypercall should restart to let other work go first. Opens a window for
// interrupts: no lock may be held.
bool preempt_needed(void);

#endif
