// SPDX-License-Identifier: Apache-2.0
// Simulated processors: which one the calling thread is, waiting, the clock.
//
// Calls to other CPUs run in the caller's thread under the other CPU's name: what they change (a
// TLB flush, work bits) belongs to no thread. Nothing here runs guests by itself.

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bulkhead/arch/cpu.h>
#include <bulkhead/cpu.h>
#include <bulkhead/heap.h>
#include <sim/machine.h>
#include "sim_internal.h"

__thread struct cpu *sim_cpu;
uint64_t sim_cycles;
static bool threads;
static unsigned int interrupt_interval, interrupt_countdown;
static ns_t clock_now;

void sim_die(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    abort();
}

void sim_machine_start(uint64_t frames, unsigned int count)
{
    sim_memory_start(frames);
    heap_init();
    for (unsigned int i = 0; i < count; i++) {
        struct cpu *cpu = calloc(1, sizeof(*cpu));

        cpu->self = cpu;
        cpu->id = i;
        cpu->arch.deadline = TIMER_NONE;
        if (cpu_register(cpu)) {
            sim_die("CPU %u does not start", i);
        }
        cpumask_set(&online_cpus, i);
    }
    sim_cpu_enter(0, NULL);
}

void sim_cpu_enter(unsigned int cpu, struct vcpu *v)
{
    sim_cpu = cpus[cpu];
    sim_cpu->current = v;
}

void sim_set_threaded(bool threaded)
{
    threads = threaded;
}

void sim_set_time(ns_t time)
{
    clock_now = time;
}

void arch_spin_wait(void)
{
    if (!threads) {
        sim_die("waiting for a lock that nobody will release");
    }
    syscall(SYS_sched_yield); // the C library's name for it is the scheduler's here
}

void arch_call_cpus(const struct cpumask *mask, void (*fn)(void *data), void *data)
{
    struct cpu *self = sim_cpu;
    unsigned int i;

    for_each_cpu (i, mask) {
        if (cpumask_test(&online_cpus, i)) {
            sim_cpu = cpus[i];
            fn(data);
        }
    }
    sim_cpu = self;
}

void arch_kick_cpu(unsigned int cpu)
{
    __atomic_fetch_add(&cpus[cpu]->arch.kicks, 1, __ATOMIC_RELAXED);
}

// The next thing that happens on an idle CPU is its timer.
void arch_idle(struct cpu *cpu)
{
    if (!__atomic_load_n(&cpu->work, __ATOMIC_SEQ_CST) && cpu->arch.deadline != TIMER_NONE) {
        clock_now = MAX(clock_now, cpu->arch.deadline);
        __atomic_fetch_or(&cpu->work, CPU_WORK_TIMER, __ATOMIC_SEQ_CST);
    }
}

void sim_interrupt_every(unsigned int windows)
{
    interrupt_interval = interrupt_countdown = windows;
}

void arch_interrupt_window(void)
{
    if (interrupt_interval && --interrupt_countdown == 0) {
        interrupt_countdown = interrupt_interval;
        __atomic_fetch_or(&sim_cpu->work, CPU_WORK_SCHEDULE, __ATOMIC_SEQ_CST);
    }
}

ns_t arch_now(void)
{
    return clock_now;
}

void arch_timer_program(ns_t deadline)
{
    this_cpu()->arch.deadline = deadline;
}

void arch_halt_machine(void)
{
    sim_die("the machine halts");
}

void arch_restart_machine(void)
{
    sim_die("the machine restarts");
}

void arch_power_off_machine(void)
{
    sim_die("the machine is switched off");
}
