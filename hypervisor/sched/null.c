// SPDX-License-Identifier: Apache-2.0
// The null policy: one vcpu for each CPU, no time slices, no preemption.
//
// A vcpu takes a CPU (sched_cpu.owner, sched_vcpu.home) when it first becomes runnable, and keeps
// it while it sleeps; it gives it up when it goes offline, is destroyed, moves to another pool or
// may not run there any more. A vcpu that finds all CPUs taken stands in run_queue.waiting, first
// come first served, until one becomes free; who has a CPU never stands there. A CPU may have a new
// owner while it still runs the old one, which leaves at once. Locking: the queue's lock. Nothing
// here fails.

#include "run_queue.h"

static void take_cpu(struct sched_cpu *sc, struct sched_vcpu *sv)
{
    sc->owner = sv;
    sv->home = sc;
}

// A CPU without owner that sv may have, its last one or one of its soft choices first; NULL: none.
static struct sched_cpu *find_unowned(const struct run_queue *rq, const struct sched_vcpu *sv)
{
    unsigned int cpu, last = sv->vcpu->cpu;
    struct sched_cpu *found = NULL;
    bool found_soft = false;

    for_each_cpu (cpu, &sv->allowed) {
        struct sched_cpu *sc = sched_cpu_of(cpu);
        bool soft = cpumask_test(&sv->vcpu->soft_affinity, cpu);

        if (sc->owner || !cpumask_test(&rq->cpus, cpu)) {
            continue;
        }
        if (!found || (soft && !found_soft) || (soft == found_soft && cpu == last)) {
            found = sc;
            found_soft = soft;
        }
    }
    return found;
}

void null_add(struct run_queue *rq, struct sched_vcpu *sv)
{
    if (!sv->home) {
        struct sched_cpu *sc = find_unowned(rq, sv);

        if (sc) {
            take_cpu(sc, sv);
        }
    }
    sv->yields = false;
    sv->state = SCHED_WAITING;
    if (sv->home) {
        tell_cpu(rq, sv->home->cpu->id);
    } else {
        list_add_tail(&rq->waiting, &sv->link);
    }
}

struct sched_vcpu *null_choose(struct run_queue *rq, struct sched_cpu *sc)
{
    struct sched_vcpu *sv;

    if (!sc->owner) {
        list_for_each (sv, &rq->waiting, link) {
            if (cpumask_test(&sv->allowed, sc->cpu->id)) {
                list_remove(&sv->link);
                take_cpu(sc, sv);
                break;
            }
        }
    }
    return sc->owner && sc->owner->state == SCHED_WAITING ? sc->owner : NULL;
}

void null_release(struct run_queue *rq, struct sched_vcpu *sv)
{
    struct sched_cpu *sc = sv->home;

    if (!sc) {
        return;
    }
    sv->home = NULL;
    sc->owner = NULL;
    if (sv->state == SCHED_WAITING) {
        list_add_tail(&rq->waiting, &sv->link);
    }
    // It stops running sv, or takes one that waits.
    tell_cpu(rq, sc->cpu->id);
}

void null_allowed_changed(struct run_queue *rq, struct sched_vcpu *sv)
{
    if (sv->home && !cpumask_test(&sv->allowed, sv->home->cpu->id)) {
        null_release(rq, sv);
    }
    if (!sv->home && sv->state == SCHED_WAITING) {
        queue_remove(sv);
        null_add(rq, sv);
    }
}
