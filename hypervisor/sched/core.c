// SPDX-License-Identifier: Apache-2.0
// The scheduler: what each CPU runs next, and what happens when vcpus wake, sleep and yield.
//
// A vcpu is in one place: asleep, in its queue, parked by its domain's cap, or running. It counts
// as running from the moment a CPU chooses it until that CPU has saved its registers after choosing
// another (sched_context_saved); only then is it queued again, so that it never runs twice.
// A CPU goes on with the same vcpu without any timer while nobody else could use the CPU.
// Locking: see run_queue.h. Waits of any length happen only in sched_vcpu_sleep_sync, unlocked.
// Errors: only creation can fail (memory) and undoes what it did.

#include <bulkhead/console.h>
#include <bulkhead/heap.h>

#include "run_queue.h"

struct run_queue *run_queue_lock_domain(struct sched_domain *sd)
{
    for (;;) {
        struct run_queue *rq = __atomic_load_n(&sd->queue, __ATOMIC_ACQUIRE);

        spin_lock(&rq->lock);
        if (likely(rq == sd->queue)) {
            return rq;
        }
        spin_unlock(&rq->lock);
    }
}

// The queue that a CPU serves, locked; NULL if none.
static struct run_queue *lock_cpu_queue(struct sched_cpu *sc)
{
    for (;;) {
        struct run_queue *rq = __atomic_load_n(&sc->queue, __ATOMIC_ACQUIRE);

        if (unlikely(!rq)) {
            return NULL;
        }
        spin_lock(&rq->lock);
        if (likely(rq == sc->queue)) {
            return rq;
        }
        spin_unlock(&rq->lock);
    }
}

static struct sched_vcpu *sched_vcpu_of(const struct vcpu *v)
{
    return v->sched;
}

static bool capped_out(const struct sched_vcpu *sv, ns_t t)
{
    return sv->domain->cap && cap_exhausted(sv->domain, t);
}

// Whether the CPU may go on with the vcpu that it runs.
static bool may_stay(const struct run_queue *rq, const struct sched_cpu *sc,
                     const struct sched_vcpu *sv, ns_t t)
{
    unsigned int cpu = sc->cpu->id;

    if (!vcpu_runnable(sv->vcpu) || !cpumask_test(&sv->allowed, cpu) || capped_out(sv, t)) {
        return false;
    }
    if (rq->null) {
        return sv->home == sc;
    }
    return !sv->has_soft || cpumask_test(&sv->vcpu->soft_affinity, cpu) ||
           find_idle_soft_cpu(rq, sv) == MAX_CPUS;
}

// The waiting vcpu with most credit that the CPU may run; NULL: none.
static struct sched_vcpu *best_waiting(struct run_queue *rq, struct sched_cpu *sc, ns_t t)
{
    struct sched_vcpu *sv, *next;

    if (rq->null) {
        return null_choose(rq, sc);
    }
    list_for_each_safe (sv, next, &rq->waiting, link) {
        if (!cpumask_test(&sv->allowed, sc->cpu->id) || (sv->reserved && sv->reserved != sc)) {
            continue;
        }
        if (!capped_out(sv, t)) {
            return sv;
        }
        queue_remove(sv);
        cap_park(sv);
    }
    return NULL;
}

static struct sched_vcpu *choose(const struct run_queue *rq, const struct sched_cpu *sc,
                                 struct sched_vcpu *staying, struct sched_vcpu *best, ns_t t)
{
    if (!staying || !best) {
        return staying ? staying : best;
    }
    if (staying->yields) {
        return best;
    }
    if (t - sc->run_start >= rq->ratelimit && credit_of(rq, best) > credit_of(rq, staying)) {
        return best;
    }
    return staying;
}

// Sets the slice timer for a CPU that is going to run sv while `rivals` could take its place.
static void start_slice(struct run_queue *rq, struct sched_cpu *sc, struct sched_vcpu *sv,
                        const struct sched_vcpu *const rivals[2], ns_t t)
{
    ns_t end = TIMER_NONE;
    ns_t most = INT64_MIN;

    for (unsigned int i = 0; i < 2; i++) {
        if (rivals[i]) {
            most = MAX(most, credit_of(rq, rivals[i]));
        }
    }
    sc->contended = most != INT64_MIN;
    if (sc->contended) {
        end = MAX(t + credit_to_slice(sv, credit_of(rq, sv) - most), sc->run_start + rq->ratelimit);
    }
    if (sv->domain->cap) {
        end = MIN(end, t + cap_slice(sv->domain, t));
    }
    set_slice_end(sc, end);
}

// A CPU goes idle: if some vcpu runs elsewhere against its soft affinity and would rather be here,
// its CPU is told, and gives it up when it sees this one idle.
static void invite_soft(struct run_queue *rq, unsigned int idle)
{
    unsigned int cpu;

    for_each_cpu (cpu, &rq->cpus) {
        struct sched_cpu *sc = sched_cpu_of(cpu);
        struct sched_vcpu *sv = sc->current;

        if (sv && sv->has_soft && !sc->told && !cpumask_test(&sv->vcpu->soft_affinity, cpu) &&
            cpumask_test(&sv->vcpu->soft_affinity, idle) && cpumask_test(&sv->allowed, idle)) {
            sc->told = true;
            cpu_raise_work(cpu, CPU_WORK_SCHEDULE);
            return;
        }
    }
}

static void begin_running(struct run_queue *rq, struct sched_cpu *sc, struct sched_vcpu *sv, ns_t t)
{
    struct vcpu *v = sv->vcpu;

    queue_remove(sv);
    credit_clip(rq, sv);
    sv->state = SCHED_RUNNING;
    sv->accounted = t;
    sc->run_start = t;
    v->cpu = sc->cpu->id;
    // Seen before this CPU looks at any translation of the domain: who changes one looks here after
    // that for the CPUs that may have the old one (p2m.c).
    __atomic_store_n(&v->running, true, __ATOMIC_SEQ_CST);
    runstate_change(v, RUNSTATE_running, t);
}

static void begin_idle(struct run_queue *rq, struct sched_cpu *sc)
{
    set_slice_end(sc, TIMER_NONE);
    sc->contended = false;
    if (cpumask_test(&rq->cpus, sc->cpu->id)) {
        cpumask_set(&rq->idle, sc->cpu->id);
        if (rq->soft_vcpus) {
            invite_soft(rq, sc->cpu->id);
        }
    }
}

// The vcpu for which an idle CPU woke up may have found a better one before it: then another idle
// CPU shall have it, if there is one.
static void pass_on(struct run_queue *rq, struct sched_vcpu *sv)
{
    drop_reservation(sv);
    reserve_idle_cpu(rq, sv);
}

struct vcpu *sched_pick(struct cpu *cpu, struct vcpu *prev)
{
    struct sched_cpu *sc = cpu->sched;
    struct run_queue *rq = lock_cpu_queue(sc);
    struct sched_vcpu *staying = NULL, *best, *next;
    ns_t t = now();

    if (!rq) {
        return NULL;
    }
    sc->told = false;
    cpumask_unset(&rq->idle, cpu->id);
    if (prev) {
        credit_account(rq, sc->current, t);
        staying = may_stay(rq, sc, sc->current, t) ? sc->current : NULL;
    }
    best = best_waiting(rq, sc, t);
    next = choose(rq, sc, staying, best, t);
    if (next && next == staying) {
        next->yields = false;
        credit_reset_if_spent(rq, next);
        start_slice(rq, sc, next, (const struct sched_vcpu *const[2]){best, NULL}, t);
    } else {
        if (prev) {
            runstate_settle(prev, t);
        }
        sc->current = next;
        if (next) {
            begin_running(rq, sc, next, t);
            credit_reset_if_spent(rq, next);
            best = best_waiting(rq, sc, t);
            start_slice(rq, sc, next, (const struct sched_vcpu *const[2]){best, staying}, t);
        } else {
            begin_idle(rq, sc);
        }
    }
    if (unlikely(sc->reserved)) {
        pass_on(rq, sc->reserved);
    }
    spin_unlock(&rq->lock);
    return next ? next->vcpu : NULL;
}

// Under the null policy a vcpu that is offline does not keep a CPU from others.
static void leave_if_offline(struct run_queue *rq, struct sched_vcpu *sv)
{
    if (rq->null && (sv->vcpu->pause_flags & VCPU_DOWN)) {
        null_release(rq, sv);
    }
}

void sched_context_saved(struct vcpu *prev)
{
    struct sched_vcpu *sv = sched_vcpu_of(prev);
    struct run_queue *rq = run_queue_lock_domain(sv->domain);
    ns_t t = now();

    sv->state = SCHED_ASLEEP;
    runstate_settle(prev, t);
    if (vcpu_runnable(prev)) {
        queue_add(rq, sv, this_cpu()->id, t);
    } else {
        leave_if_offline(rq, sv);
    }
    sv->yields = false;
    __atomic_store_n(&prev->running, false, __ATOMIC_RELEASE);
    spin_unlock(&rq->lock);
}

void sched_vcpu_wake(struct vcpu *v)
{
    struct sched_vcpu *sv = sched_vcpu_of(v);
    struct run_queue *rq = run_queue_lock_domain(sv->domain);

    if (sv->state == SCHED_ASLEEP) {
        ns_t t = now();

        runstate_settle(v, t);
        if (vcpu_runnable(v)) {
            queue_add(rq, sv, MAX_CPUS, t);
        }
    }
    spin_unlock(&rq->lock);
}

void sched_vcpu_sleep(struct vcpu *v)
{
    struct sched_vcpu *sv = sched_vcpu_of(v);
    struct run_queue *rq = run_queue_lock_domain(sv->domain);

    if (!vcpu_runnable(v)) {
        if (sv->state == SCHED_RUNNING) {
            cpu_raise_work(v->cpu, CPU_WORK_SCHEDULE);
        } else {
            if (sv->state != SCHED_ASLEEP) {
                queue_remove(sv);
            }
            runstate_settle(v, now());
            leave_if_offline(rq, sv);
        }
    }
    spin_unlock(&rq->lock);
}

void sched_vcpu_sleep_sync(struct vcpu *v)
{
    sched_vcpu_sleep(v);
    while (__atomic_load_n(&v->running, __ATOMIC_ACQUIRE) && !vcpu_runnable(v)) {
        arch_spin_wait();
    }
}

void sched_vcpu_yield(struct vcpu *v)
{
    // Its own CPU reads this when it chooses; nobody else writes it while v runs.
    sched_vcpu_of(v)->yields = true;
    cpu_raise_work(v->cpu, CPU_WORK_SCHEDULE);
}

// After what is allowed has changed: sees that v is where it may be.
static void replace(struct run_queue *rq, struct sched_vcpu *sv)
{
    update_allowed(rq, sv);
    if (rq->null) {
        null_allowed_changed(rq, sv);
    } else if (sv->state == SCHED_WAITING) {
        queue_remove(sv);
        queue_add(rq, sv, MAX_CPUS, now());
    } else if (sv->state == SCHED_RUNNING) {
        cpu_raise_work(sv->vcpu->cpu, CPU_WORK_SCHEDULE);
    }
}

int sched_set_affinity(struct vcpu *v, const struct cpumask *hard, const struct cpumask *soft)
{
    struct sched_vcpu *sv = sched_vcpu_of(v);
    struct run_queue *rq = run_queue_lock_domain(sv->domain);
    struct cpumask usable;
    int error = 0;

    cpumask_and(&usable, hard, &rq->cpus);
    if (cpumask_empty(&usable)) {
        error = -XEN_EINVAL;
    } else {
        v->hard_affinity = *hard;
        v->soft_affinity = *soft;
        replace(rq, sv);
    }
    spin_unlock(&rq->lock);
    return error;
}

int sched_pin_override(struct vcpu *v, int32_t cpu)
{
    struct sched_vcpu *sv = sched_vcpu_of(v);
    struct run_queue *rq = run_queue_lock_domain(sv->domain);
    int error = 0;

    if (cpu < 0 && sv->pinned == MAX_CPUS) {
        error = -XEN_ENOENT;
    } else if (cpu >= 0 && sv->pinned != MAX_CPUS) {
        error = -XEN_EBUSY;
    } else if (cpu >= 0 && !cpumask_test(&rq->cpus, (unsigned int)cpu)) {
        error = -XEN_EINVAL;
    } else {
        sv->pinned = cpu < 0 ? MAX_CPUS : (unsigned int)cpu;
        replace(rq, sv);
    }
    spin_unlock(&rq->lock);
    return error;
}

bool sched_pinned(struct vcpu *v)
{
    return sched_vcpu_of(v)->pinned != MAX_CPUS;
}

int sched_domain_create(struct domain *d)
{
    struct sched_domain *sd = heap_new(struct sched_domain);
    struct run_queue *rq = &pool0->queue;

    if (!sd) {
        return -XEN_ENOMEM;
    }
    if (cap_create(sd)) {
        heap_free(sd);
        return -XEN_ENOMEM;
    }
    sd->domain = d;
    sd->weight = WEIGHT_DEFAULT;
    list_init(&sd->vcpus);
    d->sched = sd;
    spin_lock(&rq->lock);
    d->pool = pool0;
    pool0->domain_count++;
    sd->queue = rq;
    list_add_tail(&rq->domains, &sd->link);
    credit_update_weights(rq);
    spin_unlock(&rq->lock);
    return 0;
}

void sched_domain_destroy(struct domain *d)
{
    struct sched_domain *sd = d->sched;
    struct run_queue *rq;

    if (!sd) {
        return; // creation did not come that far
    }
    rq = run_queue_lock_domain(sd);
    list_remove(&sd->link);
    credit_update_weights(rq);
    d->pool->domain_count--;
    spin_unlock(&rq->lock);
    cap_destroy(sd);
    heap_free(sd);
    d->sched = NULL;
}

// Spreads the vcpus of a domain over the CPUs of its queue.
static unsigned int first_cpu_for(const struct run_queue *rq, unsigned int id)
{
    unsigned int skip = id % MAX(cpumask_weight(&rq->cpus), 1u);
    unsigned int cpu = cpumask_next(&rq->cpus, 0);

    while (skip--) {
        cpu = cpumask_next(&rq->cpus, cpu + 1);
    }
    return cpu < MAX_CPUS ? cpu : this_cpu()->id;
}

int sched_vcpu_create(struct vcpu *v)
{
    struct sched_domain *sd = v->domain->sched;
    struct sched_vcpu *sv = heap_new(struct sched_vcpu);
    struct run_queue *rq;

    if (!sv) {
        return -XEN_ENOMEM;
    }
    sv->vcpu = v;
    sv->domain = sd;
    sv->state = SCHED_ASLEEP;
    sv->pinned = MAX_CPUS;
    list_init(&sv->link);
    rq = run_queue_lock_domain(sd);
    sv->virtual_time = rq->base - CREDIT_RESET;
    list_add_tail(&sd->vcpus, &sv->domain_link);
    update_allowed(rq, sv);
    v->cpu = first_cpu_for(rq, v->id);
    v->runstate.state = RUNSTATE_offline;
    v->runstate.state_entry_time = (uint64_t)now();
    v->sched = sv;
    spin_unlock(&rq->lock);
    return 0;
}

void sched_vcpu_destroy(struct vcpu *v)
{
    struct sched_vcpu *sv = sched_vcpu_of(v);
    struct run_queue *rq = run_queue_lock_domain(sv->domain);

    if (sv->state != SCHED_ASLEEP) {
        queue_remove(sv);
    }
    if (rq->null) {
        null_release(rq, sv);
    }
    rq->soft_vcpus -= sv->has_soft;
    list_remove(&sv->domain_link);
    spin_unlock(&rq->lock);
    heap_free(sv);
    v->sched = NULL;
}

static void slice_over(void *data)
{
    struct sched_cpu *sc = data;

    cpu_raise_work(sc->cpu->id, CPU_WORK_SCHEDULE);
}

int sched_init(void)
{
    return cpupool_init();
}

int sched_cpu_online(struct cpu *cpu)
{
    struct sched_cpu *sc = heap_new(struct sched_cpu);

    if (!sc) {
        return -XEN_ENOMEM;
    }
    if (timer_reserve(1)) {
        heap_free(sc);
        return -XEN_ENOMEM;
    }
    sc->cpu = cpu;
    sc->slice_end = TIMER_NONE;
    timer_init(&sc->slice, cpu->id, slice_over, sc);
    cpu->sched = sc;
    cpupool_add_boot_cpu(sc);
    return 0;
}
