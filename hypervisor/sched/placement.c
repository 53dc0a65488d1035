// SPDX-License-Identifier: Apache-2.0
// Which CPU should take a vcpu that became runnable: an idle one (its last, then within soft, then
// within hard affinity), else the one whose vcpu has least credit, if that is clearly less.
// Otherwise the vcpu waits, and that CPU's slice timer is set so that its turn comes.
// Locking: the queue's lock. Only CPUs that serve the queue are told.

#include "run_queue.h"

void update_allowed(struct run_queue *rq, struct sched_vcpu *sv)
{
    struct vcpu *v = sv->vcpu;
    struct cpumask soft;
    bool had_soft = sv->has_soft;

    cpumask_and(&sv->allowed, &v->hard_affinity, &rq->cpus);
    if (sv->pinned < MAX_CPUS && cpumask_test(&rq->cpus, sv->pinned)) {
        cpumask_clear(&sv->allowed);
        cpumask_set(&sv->allowed, sv->pinned);
    } else if (cpumask_empty(&sv->allowed)) {
        sv->allowed = rq->cpus; // the pool has none of its CPUs: better than not to run at all
    }
    cpumask_and(&soft, &sv->allowed, &v->soft_affinity);
    sv->has_soft =
        !rq->null && !cpumask_empty(&soft) && cpumask_weight(&soft) < cpumask_weight(&sv->allowed);
    rq->soft_vcpus += (unsigned int)sv->has_soft - (unsigned int)had_soft;
}

void set_slice_end(struct sched_cpu *sc, ns_t end)
{
    if (end == sc->slice_end) {
        return;
    }
    sc->slice_end = end;
    if (end == TIMER_NONE) {
        timer_stop(&sc->slice);
    } else {
        timer_set(&sc->slice, end);
    }
}

void tell_cpu(struct run_queue *rq, unsigned int cpu)
{
    cpumask_unset(&rq->idle, cpu);
    sched_cpu_of(cpu)->told = true;
    cpu_raise_work(cpu, CPU_WORK_SCHEDULE);
}

static unsigned int first_from(const struct cpumask *mask, unsigned int start)
{
    unsigned int cpu = cpumask_next(mask, start);

    return cpu < MAX_CPUS ? cpu : cpumask_next(mask, 0);
}

unsigned int find_idle_soft_cpu(const struct run_queue *rq, const struct sched_vcpu *sv)
{
    struct cpumask mask;

    cpumask_and(&mask, &rq->idle, &sv->allowed);
    cpumask_and(&mask, &mask, &sv->vcpu->soft_affinity);
    return first_from(&mask, sv->vcpu->cpu);
}

unsigned int find_idle_cpu(const struct run_queue *rq, const struct sched_vcpu *sv)
{
    unsigned int cpu = MAX_CPUS;
    struct cpumask mask;

    if (cpumask_empty(&rq->idle)) {
        return MAX_CPUS;
    }
    if (sv->has_soft) {
        cpu = find_idle_soft_cpu(rq, sv);
    }
    if (cpu == MAX_CPUS) {
        cpumask_and(&mask, &rq->idle, &sv->allowed);
        cpu = first_from(&mask, sv->vcpu->cpu);
    }
    return cpu;
}

// The CPU among `candidates` whose vcpu has least credit; NULL when all have been told to choose.
static struct sched_cpu *find_poorest(struct run_queue *rq, const struct cpumask *candidates,
                                      unsigned int except, ns_t t)
{
    struct sched_cpu *poorest = NULL;
    unsigned int cpu;

    for_each_cpu (cpu, candidates) {
        struct sched_cpu *sc = sched_cpu_of(cpu);

        if (cpu == except || sc->told || !sc->current) {
            continue;
        }
        credit_account(rq, sc->current, t);
        if (!sc->contended) {
            // It ran alone, so nobody is owed what it ran beyond its credit.
            credit_reset_if_spent(rq, sc->current);
        }
        if (!poorest || credit_of(rq, sc->current) < credit_of(rq, poorest->current)) {
            poorest = sc;
        }
    }
    return poorest;
}

// Whether sv may preempt there now or, for the sake of the rate limit, a little later.
static bool preempt(struct run_queue *rq, struct sched_cpu *sc, const struct sched_vcpu *sv, ns_t t)
{
    ns_t earliest = sc->run_start + rq->ratelimit;

    if (credit_of(rq, sv) <= credit_of(rq, sc->current) + PREEMPT_MARGIN) {
        return false;
    }
    if (earliest <= t) {
        tell_cpu(rq, sc->cpu->id);
    } else {
        sc->contended = true;
        if (earliest < sc->slice_end) {
            set_slice_end(sc, earliest);
        }
    }
    return true;
}

static void find_cpu_to_preempt(struct run_queue *rq, struct sched_vcpu *sv, unsigned int except,
                                ns_t t)
{
    struct sched_cpu *sc;
    struct cpumask soft;

    if (sv->has_soft) {
        cpumask_and(&soft, &sv->allowed, &sv->vcpu->soft_affinity);
        sc = find_poorest(rq, &soft, except, t);
        credit_clip(rq, sv);
        if (sc && preempt(rq, sc, sv, t)) {
            return;
        }
    }
    sc = find_poorest(rq, &sv->allowed, except, t);
    credit_clip(rq, sv);
    if (sc && !preempt(rq, sc, sv, t)) {
        ns_t more = credit_of(rq, sc->current) - credit_of(rq, sv);
        ns_t end = MAX(t + credit_to_slice(sc->current, more), sc->run_start + rq->ratelimit);

        sc->contended = true;
        if (end < sc->slice_end) {
            set_slice_end(sc, end);
        }
    }
}

void queue_insert(struct run_queue *rq, struct sched_vcpu *sv)
{
    struct list *at = rq->waiting.prev;

    // From the end: who has just run has little credit. Among equals the first come is first.
    while (at != &rq->waiting &&
           list_entry(at, struct sched_vcpu, link)->virtual_time > sv->virtual_time) {
        at = at->prev;
    }
    list_insert_between(&sv->link, at, at->next);
    sv->state = SCHED_WAITING;
}

static void reserve(struct run_queue *rq, struct sched_vcpu *sv, unsigned int cpu)
{
    sv->reserved = sched_cpu_of(cpu);
    sv->reserved->reserved = sv;
    tell_cpu(rq, cpu);
}

bool reserve_idle_cpu(struct run_queue *rq, struct sched_vcpu *sv)
{
    unsigned int cpu = find_idle_cpu(rq, sv);

    if (cpu == MAX_CPUS) {
        return false;
    }
    reserve(rq, sv, cpu);
    return true;
}

void drop_reservation(struct sched_vcpu *sv)
{
    if (sv->reserved) {
        sv->reserved->reserved = NULL;
        sv->reserved = NULL;
    }
}

void queue_add(struct run_queue *rq, struct sched_vcpu *sv, unsigned int except, ns_t t)
{
    unsigned int cpu;

    if (rq->null) {
        null_add(rq, sv);
        return;
    }
    if (sv->domain->cap && cap_exhausted(sv->domain, t)) {
        cap_park(sv);
        return;
    }
    cpu = find_idle_cpu(rq, sv);
    if (cpu == MAX_CPUS && !sv->yields) {
        find_cpu_to_preempt(rq, sv, except, t);
    }
    credit_clip(rq, sv);
    queue_insert(rq, sv);
    sv->yields = false;
    if (cpu != MAX_CPUS) {
        reserve(rq, sv, cpu);
    }
}

void queue_remove(struct sched_vcpu *sv)
{
    drop_reservation(sv);
    list_remove(&sv->link);
    sv->state = SCHED_ASLEEP;
}
