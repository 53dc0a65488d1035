// SPDX-License-Identifier: Apache-2.0
// The simulated machine, and doubles of the few core services that the scheduler uses: clock,
// timers (a plain list, searched), heap, work bits, pausing.
// One thread: CPUs take turns, lowest number first, at each point in time.

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>

#include <bulkhead/console.h>
#include <bulkhead/heap.h>

#include "machine.h"

#include <cmocka.h>

#define MAX_TASKS 256u
#define MAX_TIMERS 512u

struct simulated {
    struct cpu cpu;
    struct vcpu *saving; // its context is being saved
    ns_t saved_at;
};

struct cpu *simulated_cpu;
struct cpu *cpus[MAX_CPUS];
struct cpumask online_cpus;
ns_t clock_now;
ns_t switch_time;

static struct simulated machine[MAX_SIM_CPU];
static unsigned int cpu_count;
static struct task tasks[MAX_TASKS];
static unsigned int task_count;
static struct domain *domains[MAX_TASKS];
static unsigned int domain_count;
static struct timer *timers[MAX_TIMERS];
static unsigned int timer_count, timers_reserved;
static unsigned int random_state;
static bool initialized;

unsigned int machine_random(unsigned int limit)
{
    random_state = random_state * 1103515245u + 12345u;
    return (random_state >> 8) % limit;
}

// Doubles.

ns_t now(void)
{
    return clock_now;
}

void *heap_alloc(size_t size)
{
    return calloc(1, size);
}

void heap_free(void *p)
{
    free(p);
}

void log_message(enum log_level level, const char *format, ...)
{
    (void)level;
    (void)format;
}

void arch_spin_wait(void)
{
    // One thread: whoever waits here would wait for ever, but for a vcpu to leave its CPU.
    struct cpu *self = simulated_cpu;

    machine_settle();
    for (unsigned int i = 0; i < cpu_count; i++) {
        if (machine[i].saving) {
            simulated_cpu = &machine[i].cpu;
            sched_context_saved(machine[i].saving);
            machine[i].saving = NULL;
        }
    }
    simulated_cpu = self;
}

void cpu_raise_work(unsigned int cpu, uint32_t work)
{
    assert_true(cpu < cpu_count);
    cpus[cpu]->work |= work;
}

void guest_area_write_locked(struct guest_area *area, uint32_t offset, const void *from,
                             uint32_t count)
{
    assert_true(offset + count <= area->size);
    memcpy(area->part[0] + offset, from, count);
}

int timer_reserve(unsigned int count)
{
    timers_reserved += count;
    return 0;
}

void timer_unreserve(unsigned int count)
{
    timers_reserved -= count;
}

void timer_init(struct timer *t, unsigned int cpu, void (*fire)(void *data), void *data)
{
    *t = (struct timer){.cpu = cpu, .fire = fire, .data = data};
}

void timer_stop(struct timer *t)
{
    for (unsigned int i = 0; i < timer_count; i++) {
        if (timers[i] == t) {
            timers[i] = timers[--timer_count];
        }
    }
}

void timer_kill(struct timer *t)
{
    timer_stop(t);
}

void timer_set(struct timer *t, ns_t expires)
{
    timer_stop(t);
    assert_true(timer_count < timers_reserved && timer_count < MAX_TIMERS);
    t->expires = expires;
    timers[timer_count++] = t;
}

bool vcpu_runnable(const struct vcpu *v)
{
    return !v->pause_flags && !v->pause_count && !v->domain->pause_count;
}

void domain_pause(struct domain *d)
{
    d->pause_count++;
    for (unsigned int i = 0; i < d->max_vcpus; i++) {
        sched_vcpu_sleep_sync(d->vcpus[i]);
    }
}

void domain_unpause(struct domain *d)
{
    d->pause_count--;
    for (unsigned int i = 0; i < d->max_vcpus && !d->pause_count; i++) {
        sched_vcpu_wake(d->vcpus[i]);
    }
}

struct domain *domain_get_alive(domid_t id)
{
    return id < domain_count ? domains[id] : NULL;
}

void domain_put(struct domain *d)
{
    (void)d;
}

// The machine.

static struct task *task_for(const struct vcpu *v)
{
    for (unsigned int i = 0; i < task_count; i++) {
        if (tasks[i].vcpu == v) {
            return &tasks[i];
        }
    }
    fail();
    return NULL;
}

struct task *task_of(struct domain *d, unsigned int vcpu)
{
    return task_for(d->vcpus[vcpu]);
}

ns_t domain_ran(struct domain *d)
{
    ns_t sum = 0;

    for (unsigned int i = 0; i < d->max_vcpus; i++) {
        sum += task_of(d, i)->ran;
    }
    return sum;
}

static void check_invariants(void)
{
    for (unsigned int i = 0; i < cpu_count; i++) {
        struct vcpu *v = machine[i].cpu.current;

        for (unsigned int j = 0; v && j < cpu_count; j++) {
            assert_false(j != i && machine[j].cpu.current == v);
            assert_false(machine[j].saving == v);
        }
        if (v) {
            assert_true(v->running);
            assert_int_equal(v->cpu, i);
            assert_int_equal(v->runstate.state, RUNSTATE_running);
        }
        if (v && !machine[i].cpu.work) {
            struct cpumask usable;

            assert_true(vcpu_runnable(v));
            assert_true(cpumask_test(cpupool_cpus(v->domain->pool), i));
            cpumask_and(&usable, &v->hard_affinity, cpupool_cpus(v->domain->pool));
            assert_true(cpumask_empty(&usable) || cpumask_test(&usable, i));
        }
    }
}

static void begin(struct vcpu *v)
{
    struct task *task = task_for(v);

    task->switches++;
    if (task->ready_since != TIMER_NONE) {
        ns_t latency = clock_now - task->ready_since;

        task->worst_latency = MAX(task->worst_latency, latency);
        if (task->woken) {
            task->worst_wake = MAX(task->worst_wake, latency);
        }
    }
    task->woken = false;
    task->ready_since = TIMER_NONE;
}

static void schedule(struct simulated *sim)
{
    struct vcpu *prev = sim->cpu.current, *next;

    simulated_cpu = &sim->cpu;
    sim->cpu.work &= ~CPU_WORK_SCHEDULE;
    next = sched_pick(&sim->cpu, prev);
    if (next == prev) {
        return;
    }
    sim->cpu.current = next;
    if (prev) {
        struct task *task = task_for(prev);

        task->ready_since = vcpu_runnable(prev) ? clock_now : TIMER_NONE;
        if (switch_time) {
            sim->saving = prev;
            sim->saved_at = clock_now + switch_time;
        } else {
            sched_context_saved(prev);
        }
    }
    if (next) {
        begin(next);
    }
}

void task_wake(struct task *task)
{
    struct simulated *waker;

    task->wake_at = TIMER_NONE;
    task->left = task->pattern.sleep ? task->pattern.run : TIMER_NONE;
    task->wakes++;
    task->woken = true;
    task->vcpu->pause_flags &= ~VCPU_BLOCKED;
    if (vcpu_runnable(task->vcpu) && !task->vcpu->running) {
        task->ready_since = clock_now;
    }
    // Some CPU takes the interrupt; if it was idle it looks for work afterwards, told or not.
    waker = &machine[machine_random(cpu_count)];
    simulated_cpu = &waker->cpu;
    sched_vcpu_wake(task->vcpu);
    if (!waker->cpu.current && !waker->saving) {
        schedule(waker);
    }
}

void machine_settle(void)
{
    for (unsigned int rounds = 0; rounds < 100; rounds++) {
        bool quiet = true;

        for (unsigned int i = 0; i < cpu_count; i++) {
            if ((machine[i].cpu.work & CPU_WORK_SCHEDULE) && !machine[i].saving) {
                schedule(&machine[i]);
                quiet = false;
            }
        }
        if (quiet) {
            return;
        }
    }
    fail_msg("the CPUs keep telling each other to choose again");
}

static ns_t next_event(void)
{
    ns_t next = TIMER_NONE;

    for (unsigned int i = 0; i < timer_count; i++) {
        next = MIN(next, timers[i]->expires);
    }
    for (unsigned int i = 0; i < cpu_count; i++) {
        struct simulated *sim = &machine[i];

        if (sim->saving) {
            next = MIN(next, sim->saved_at);
        } else if (sim->cpu.current) {
            struct task *task = task_for(sim->cpu.current);

            if (MIN(task->left, task->yield_left) != TIMER_NONE) {
                next = MIN(next, clock_now + MIN(task->left, task->yield_left));
            }
        }
    }
    for (unsigned int i = 0; i < task_count; i++) {
        next = MIN(next, tasks[i].wake_at);
    }
    return MAX(next, clock_now);
}

static void pass_time(ns_t until)
{
    for (unsigned int i = 0; i < cpu_count; i++) {
        struct vcpu *v = machine[i].cpu.current;

        if (v && !machine[i].saving) {
            struct task *task = task_for(v);
            ns_t spent = until - clock_now;

            task->ran += spent;
            task->ran_on[i] += spent;
            task->left -= task->left == TIMER_NONE ? 0 : spent;
            task->yield_left -= task->yield_left == TIMER_NONE ? 0 : spent;
        }
    }
    clock_now = until;
}

static void fire_timers(void)
{
    for (unsigned int i = 0; i < timer_count;) {
        struct timer *t = timers[i];

        if (t->expires > clock_now) {
            i++;
            continue;
        }
        timers[i] = timers[--timer_count];
        simulated_cpu = cpus[t->cpu];
        t->fire(t->data);
        i = 0;
    }
}

void task_block(struct task *task)
{
    task->vcpu->pause_flags |= VCPU_BLOCKED;
    task->wake_at = TIMER_NONE;
    task->ready_since = TIMER_NONE;
    sched_vcpu_sleep(task->vcpu);
}

static void act(struct simulated *sim)
{
    struct task *task = task_for(sim->cpu.current);

    simulated_cpu = &sim->cpu;
    if (task->left == 0) {
        task_block(task);
        task->wake_at = clock_now + task->pattern.sleep;
    } else if (task->yield_left == 0) {
        task->yield_left = task->pattern.yield_every;
        sched_vcpu_yield(task->vcpu);
    }
}

void machine_run(ns_t duration)
{
    ns_t end = clock_now + duration;

    machine_settle();
    while (clock_now < end) {
        pass_time(MIN(next_event(), end));
        for (unsigned int i = 0; i < cpu_count; i++) {
            if (machine[i].saving && machine[i].saved_at <= clock_now) {
                simulated_cpu = &machine[i].cpu;
                sched_context_saved(machine[i].saving);
                machine[i].saving = NULL;
            }
        }
        fire_timers();
        for (unsigned int i = 0; i < cpu_count; i++) {
            if (machine[i].cpu.current && !machine[i].saving) {
                act(&machine[i]);
            }
        }
        for (unsigned int i = 0; i < task_count; i++) {
            if (tasks[i].wake_at <= clock_now) {
                task_wake(&tasks[i]);
            }
        }
        machine_settle();
        check_invariants();
    }
}

void machine_start(unsigned int count)
{
    cpu_count = count;
    random_state = 1;
    clock_now = SECOND;
    switch_time = 0;
    if (!initialized) {
        assert_int_equal(sched_init(), 0);
        initialized = true;
    }
    for (unsigned int i = 0; i < count; i++) {
        struct cpu *cpu = &machine[i].cpu;

        memset(&machine[i], 0, sizeof(machine[i]));
        cpu->self = cpu;
        cpu->id = i;
        cpus[i] = cpu;
        cpumask_set(&online_cpus, i);
        simulated_cpu = cpu;
        assert_int_equal(sched_cpu_online(cpu), 0);
    }
    machine_settle();
}

struct domain *machine_domain(unsigned int vcpus, struct pattern pattern)
{
    struct domain *d = heap_new(struct domain);

    d->id = (domid_t)domain_count;
    domains[domain_count++] = d;
    d->max_vcpus = vcpus;
    d->vcpus = calloc(vcpus, sizeof(*d->vcpus));
    assert_int_equal(sched_domain_create(d), 0);
    for (unsigned int i = 0; i < vcpus; i++) {
        struct vcpu *v = heap_new(struct vcpu);
        struct task *task = &tasks[task_count++];

        v->id = i;
        v->domain = d;
        v->pause_flags = VCPU_BLOCKED;
        memset(&v->hard_affinity, 0xff, sizeof(v->hard_affinity));
        memset(&v->soft_affinity, 0xff, sizeof(v->soft_affinity));
        assert_int_equal(sched_vcpu_create(v), 0);
        d->vcpus[i] = v;
        *task = (struct task){.vcpu = v, .pattern = pattern};
        task->yield_left = pattern.yield_every ? pattern.yield_every : TIMER_NONE;
        task_wake(task);
    }
    return d;
}

static void remove_cpus(void)
{
    for (unsigned int i = 0; i < cpu_count; i++) {
        struct xen_sysctl_cpupool_op op = {.op = XEN_SYSCTL_CPUPOOL_OP_RMCPU, .cpu = i};
        struct cpumask mask;

        assert_null(machine[i].cpu.current);
        assert_int_equal(sched_cpupool_op(&op, &mask), 0);
        free(machine[i].cpu.sched);
        cpus[i] = NULL;
    }
}

void machine_stop(void)
{
    struct xen_sysctl_scheduler_op op = {.sched_id = XEN_SCHEDULER_CREDIT2,
                                         .cmd = XEN_SYSCTL_SCHEDOP_putinfo};

    op.u.sched_credit2.ratelimit_us = 1000;
    assert_int_equal(sched_sysctl_op(&op), 0);
    simulated_cpu = cpus[0];
    for (unsigned int i = 0; i < domain_count; i++) {
        struct domain *d = domains[i];

        domain_pause(d);
        for (unsigned int j = 0; j < d->max_vcpus; j++) {
            assert_false(d->vcpus[j]->running);
            sched_vcpu_destroy(d->vcpus[j]);
            free(d->vcpus[j]);
        }
        sched_domain_destroy(d);
        free(d->vcpus);
        free(d);
    }
    domain_count = task_count = 0;
    machine_settle();
    assert_int_equal(timer_count, 0);
    assert_int_equal(timers_reserved, cpu_count);
    remove_cpus();
    timers_reserved = 0;
    cpumask_clear(&online_cpus);
}

void machine_reset_statistics(void)
{
    for (unsigned int i = 0; i < task_count; i++) {
        struct task *task = &tasks[i];

        task->ran = task->worst_latency = task->worst_wake = 0;
        memset(task->ran_on, 0, sizeof(task->ran_on));
        task->wakes = task->switches = 0;
    }
}

void machine_become_domain(domid_t id)
{
    for (unsigned int tries = 0; tries < 10000; tries++) {
        for (unsigned int i = 0; i < cpu_count; i++) {
            if (machine[i].cpu.current && machine[i].cpu.current->domain->id == id) {
                simulated_cpu = &machine[i].cpu;
                return;
            }
        }
        machine_run(100 * US); // it may be its turn later
    }
    fail_msg("domain %u does not run", id);
}

void set_weight(struct domain *d, uint16_t weight)
{
    struct xen_domctl_scheduler_op op = {.sched_id = XEN_SCHEDULER_CREDIT2,
                                         .cmd = XEN_DOMCTL_SCHEDOP_putinfo};

    op.u.credit2.weight = weight;
    op.u.credit2.cap = 0xffff;
    assert_int_equal(sched_domctl_op(d, &op), 0);
}

void set_cap(struct domain *d, uint16_t cap)
{
    struct xen_domctl_scheduler_op op = {.sched_id = XEN_SCHEDULER_CREDIT2,
                                         .cmd = XEN_DOMCTL_SCHEDOP_putinfo};

    op.u.credit2.cap = cap;
    assert_int_equal(sched_domctl_op(d, &op), 0);
}

void set_affinity(struct task *task, uint64_t hard, uint64_t soft)
{
    struct cpumask hard_mask = {{hard}}, soft_mask = {{soft}};

    assert_int_equal(sched_set_affinity(task->vcpu, &hard_mask, &soft_mask), 0);
}

int pool_op_with(uint32_t op, uint32_t pool, uint32_t cpu, uint32_t domid, uint32_t policy,
                 struct cpumask *mask)
{
    struct xen_sysctl_cpupool_op request = {
        .op = op, .cpupool_id = pool, .cpu = cpu, .domid = domid, .sched_id = policy};
    struct cpumask unused;
    int error;

    for (unsigned int tries = 0; tries < 3; tries++) {
        machine_become_domain(0);
        error = sched_cpupool_op(&request, mask ? mask : &unused);
        if (error != -XEN_ERESTART) {
            break;
        }
        machine_run(10 * US);
    }
    return error ? error : (int)request.cpupool_id;
}

int pool_op(uint32_t op, uint32_t pool, uint32_t cpu, uint32_t domid, struct cpumask *mask)
{
    return pool_op_with(op, pool, cpu, domid, sched_id(), mask);
}

void task_offline(struct task *task)
{
    task->vcpu->pause_flags |= VCPU_DOWN;
    task->ready_since = TIMER_NONE;
    sched_vcpu_sleep(task->vcpu);
}

void task_online(struct task *task)
{
    task->vcpu->pause_flags &= ~VCPU_DOWN;
    task->ready_since = clock_now;
    sched_vcpu_wake(task->vcpu);
}
