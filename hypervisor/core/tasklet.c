// SPDX-License-Identifier: Apache-2.0
// Deferred work: a list for each CPU (struct cpu.tasklets) and a lock for each list, which is held
// for list operations only. A tasklet's `queued` flag decides who may link it: whoever sets it.

#include <bulkhead/cpu.h>
#include <bulkhead/spinlock.h>
#include <bulkhead/tasklet.h>

static struct spinlock locks[MAX_CPUS];

void tasklet_init(struct tasklet *t, void (*run)(void *data), void *data)
{
    list_init(&t->link);
    t->run = run;
    t->data = data;
    t->queued = false;
}

void tasklet_schedule(struct tasklet *t, unsigned int cpu)
{
    if (__atomic_exchange_n(&t->queued, true, __ATOMIC_ACQ_REL)) {
        return;
    }
    spin_lock(&locks[cpu]);
    list_add_tail(&cpus[cpu]->tasklets, &t->link);
    spin_unlock(&locks[cpu]);
    cpu_raise_work(cpu, CPU_WORK_TASKLET);
}

static struct tasklet *take_first(struct cpu *cpu)
{
    struct tasklet *t = NULL;

    spin_lock(&locks[cpu->id]);
    if (!list_empty(&cpu->tasklets)) {
        t = list_entry(cpu->tasklets.next, struct tasklet, link);
        list_remove(&t->link);
        // From here on it may be queued again, on any CPU; its function then runs once more.
        __atomic_store_n(&t->queued, false, __ATOMIC_RELEASE);
    }
    spin_unlock(&locks[cpu->id]);
    return t;
}

void tasklets_run(void)
{
    struct cpu *cpu = this_cpu();
    struct tasklet *t = take_first(cpu);

    if (!t) {
        return;
    }
    t->run(t->data);
    // One at a time, so that other work gets its turn between two.
    if (!list_empty(&cpu->tasklets)) {
        cpu_raise_work(cpu->id, CPU_WORK_TASKLET);
    }
}
