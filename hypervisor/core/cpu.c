// SPDX-License-Identifier: Apache-2.0
// The event loop that every CPU runs for ever, and the table of CPUs.
// cpus[] and online_cpus only grow, at boot. struct cpu.work is the one field that other CPUs
// write: bits are set by anybody with an atomic or, and taken by the CPU itself.

#include <bulkhead/console.h>
#include <bulkhead/cpu.h>
#include <bulkhead/debug_key.h>
#include <bulkhead/domain.h>
#include <bulkhead/heap.h>
#include <bulkhead/page.h>
#include <bulkhead/sched.h>
#include <bulkhead/stretch.h>
#include <bulkhead/tasklet.h>

struct cpu *cpus[MAX_CPUS];
struct cpumask online_cpus;

int cpu_register(struct cpu *cpu)
{
    int error = timer_queue_init(&cpu->timers);

    if (error) {
        return error;
    }
    list_init(&cpu->tasklets);
    __atomic_store_n(&cpus[cpu->id], cpu, __ATOMIC_RELEASE);
    return 0;
}

void cpu_raise_work(unsigned int cpu, uint32_t work)
{
    uint32_t before = __atomic_fetch_or(&cpus[cpu]->work, work, __ATOMIC_SEQ_CST);

    // Work that is set already has been told of, and is looked at again after it was taken.
    if ((before & work) != work) {
        arch_kick_cpu(cpu);
    }
}

void interrupt_window(void)
{
    stretch_cut();
    arch_interrupt_window();
    stretch_restart();
}

bool preempt_needed(void)
{
    interrupt_window();
    return __atomic_load_n(&this_cpu()->work, __ATOMIC_RELAXED) != 0;
}

// Takes the work bits and serves all but the scheduler's, which are returned.
static uint32_t serve_work(struct cpu *cpu)
{
    uint32_t work;

    if (!__atomic_load_n(&cpu->work, __ATOMIC_RELAXED)) {
        return 0;
    }
    work = __atomic_exchange_n(&cpu->work, 0, __ATOMIC_SEQ_CST);
    if (work & CPU_WORK_TIMER) {
        timers_run();
    }
    if (work & CPU_WORK_TASKLET) {
        tasklets_run();
    }
    if (work & CPU_WORK_KEY) {
        console_serve_input();
    }
    return work & CPU_WORK_SCHEDULE;
}

static void account_idle(struct cpu *cpu, bool idle)
{
    if (idle && !cpu->idle_since) {
        cpu->idle_since = now();
    } else if (!idle && cpu->idle_since) {
        cpu->idle_total += now() - cpu->idle_since;
        cpu->idle_since = 0;
    }
}

static void choose_vcpu(struct cpu *cpu)
{
    struct vcpu *prev = cpu->current;
    struct vcpu *next = sched_pick(cpu, prev);

    if (next == prev) {
        return;
    }
    arch_vcpu_switch(prev, next);
    cpu->current = next;
    if (prev) {
        sched_context_saved(prev);
    }
    account_idle(cpu, !next);
}

void cpu_loop(void)
{
    struct cpu *cpu = this_cpu();

    account_idle(cpu, true);
    for (;;) {
        uint32_t schedule = serve_work(cpu);

        if (schedule || !cpu->current || !vcpu_runnable(cpu->current)) {
            choose_vcpu(cpu);
        }
        if (cpu->current) {
            arch_vcpu_run(cpu->current);
        } else if (heap_trim() || page_scrub_some()) {
            arch_interrupt_window();
        } else {
            arch_idle(cpu);
        }
    }
}
