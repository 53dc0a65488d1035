// SPDX-License-Identifier: Apache-2.0
// What the scheduler promises, checked in simulated time: shares by weight, caps, latency of
// waking, affinity, no starvation, yielding, pausing, CPU pools, the toolstack's parameters.

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include "machine.h"

#include <cmocka.h>

#define HOG ((struct pattern){0})
// A vcpu that sleeps more than its share waits at most for the rate limit of who runs, plus the
// shortest slice when another of its kind is before it.
#define WAKE_BOUND (1 * MS + 500 * US)

static int start(void **state, unsigned int count)
{
    (void)state;
    machine_start(count);
    return 0;
}

static int start1(void **state)
{
    return start(state, 1);
}

static int start2(void **state)
{
    return start(state, 2);
}

static int start4(void **state)
{
    return start(state, 4);
}

static int start8(void **state)
{
    return start(state, 8);
}

static int stop(void **state)
{
    (void)state;
    machine_stop();
    return 0;
}

// a is b within tenths of a percent.
static void assert_close(ns_t a, ns_t b, unsigned int permille)
{
    ns_t difference = a > b ? a - b : b - a;

    if (difference * 1000 > b * permille) {
        fail_msg("%lld is not %lld within %u permille", (long long)a, (long long)b, permille);
    }
}

static void check_weights(unsigned int cpu_total, unsigned int vcpus)
{
    struct domain *d[3];
    ns_t total = 10 * SECOND * cpu_total;

    for (unsigned int i = 0; i < 3; i++) {
        d[i] = machine_domain(vcpus, HOG);
        set_weight(d[i], (uint16_t)(256 << i));
    }
    machine_run(10 * SECOND);
    for (unsigned int i = 0; i < 3; i++) {
        assert_close(domain_ran(d[i]), total * (1 << i) / 7, 20);
    }
}

static void weights_on_one_cpu(void **state)
{
    (void)state;
    check_weights(1, 1);
}

static void weights_on_one_cpu_many_vcpus(void **state)
{
    (void)state;
    check_weights(1, 4);
}

static void weights_on_four_cpus(void **state)
{
    (void)state;
    // With 8 vcpus each no domain is limited by its number of vcpus (4/7 of 4 CPUs is 2.3).
    check_weights(4, 8);
}

static void extreme_weights(void **state)
{
    struct domain *light = machine_domain(1, HOG), *heavy = machine_domain(1, HOG);

    (void)state;
    set_weight(light, 1);
    set_weight(heavy, 65535);
    machine_run(20 * SECOND);
    // Its share is 0.3 ms of 20 s: one slice at most now and then.
    assert_true(domain_ran(light) > 0);
    assert_true(domain_ran(light) < 20 * MS);
    set_weight(light, 65535);
    machine_run(1 * SECOND);
    machine_reset_statistics();
    machine_run(10 * SECOND);
    assert_close(domain_ran(light), 5 * SECOND, 20);
}

static void equal_shares_of_three_on_two(void **state)
{
    struct domain *d[3];

    (void)state;
    for (unsigned int i = 0; i < 3; i++) {
        d[i] = machine_domain(1, HOG);
    }
    machine_run(10 * SECOND);
    for (unsigned int i = 0; i < 3; i++) {
        assert_close(domain_ran(d[i]), 20 * SECOND / 3, 20);
    }
}

static void weights_hold_within_pinned_cpus(void **state)
{
    struct domain *alone = machine_domain(1, HOG), *light = machine_domain(1, HOG),
                  *heavy = machine_domain(1, HOG);

    (void)state;
    set_affinity(task_of(alone, 0), 1, 1);
    set_affinity(task_of(light, 0), 2, 2);
    set_affinity(task_of(heavy, 0), 2, 2);
    set_weight(heavy, 512);
    machine_run(10 * SECOND);
    assert_close(domain_ran(alone), 10 * SECOND, 1);
    // Credit that the lone vcpu's resets give away blurs this one; it is no strict promise.
    assert_close(domain_ran(heavy), 10 * SECOND * 2 / 3, 100);
}

static void lone_run_is_no_debt(void **state)
{
    struct domain *first = machine_domain(1, HOG);
    struct domain *second;

    (void)state;
    machine_run(5 * SECOND);
    assert_close(domain_ran(first), 5 * SECOND, 1);
    second = machine_domain(1, HOG);
    machine_reset_statistics();
    machine_run(100 * MS);
    assert_close(domain_ran(first), 50 * MS, 150);
    assert_close(domain_ran(second), 50 * MS, 150);
}

static void lone_vcpu_is_left_alone(void **state)
{
    struct domain *d = machine_domain(1, HOG);

    (void)state;
    machine_run(10 * SECOND);
    assert_int_equal(task_of(d, 0)->switches, 1);
}

static void caps_are_kept(void **state)
{
    static const uint16_t caps[] = {10, 50, 75};
    struct domain *d[3], *wide;

    (void)state;
    for (unsigned int i = 0; i < 3; i++) {
        d[i] = machine_domain(1, HOG);
        set_cap(d[i], caps[i]);
    }
    wide = machine_domain(4, HOG);
    set_cap(wide, 150);
    machine_run(10 * SECOND);
    for (unsigned int i = 0; i < 3; i++) {
        assert_close(domain_ran(d[i]), 10 * SECOND * caps[i] / 100, 20);
    }
    assert_close(domain_ran(wide), 15 * SECOND, 20);
    set_cap(wide, 0);
    machine_reset_statistics();
    machine_run(10 * SECOND);
    assert_close(domain_ran(wide), 40 * SECOND, 1);
}

static void caps_are_no_guarantee(void **state)
{
    struct domain *d[3];

    (void)state;
    for (unsigned int i = 0; i < 3; i++) {
        d[i] = machine_domain(1, HOG);
        set_cap(d[i], 50);
    }
    set_weight(d[2], 512);
    machine_run(10 * SECOND);
    for (unsigned int i = 0; i < 3; i++) {
        assert_true(domain_ran(d[i]) <= 10 * SECOND * 51 / 100);
    }
    assert_int_equal(domain_ran(d[0]) + domain_ran(d[1]) + domain_ran(d[2]), 10 * SECOND);
    assert_close(domain_ran(d[2]), 5 * SECOND, 20);
}

static void cap_larger_than_demand(void **state)
{
    struct domain *d = machine_domain(1, (struct pattern){.run = 1 * MS, .sleep = 9 * MS});

    (void)state;
    set_cap(d, 50);
    machine_run(10 * SECOND);
    assert_close(domain_ran(d), 1 * SECOND, 20);
    assert_int_equal(task_of(d, 0)->worst_wake, 0);
}

static void waking_is_prompt(void **state)
{
    struct domain *interactive;

    (void)state;
    for (unsigned int i = 0; i < 8; i++) {
        machine_domain(1, HOG);
    }
    interactive = machine_domain(1, (struct pattern){.run = 100 * US, .sleep = 7 * MS + 13 * US});
    machine_run(100 * MS);
    machine_reset_statistics();
    machine_run(10 * SECOND);
    assert_true(task_of(interactive, 0)->wakes > 1000);
    assert_true(task_of(interactive, 0)->worst_wake <= WAKE_BOUND);
}

static void waking_among_heavy_hogs(void **state)
{
    struct domain *hogs = machine_domain(16, HOG);
    struct domain *interactive =
        machine_domain(4, (struct pattern){.run = 50 * US, .sleep = 3 * MS});

    (void)state;
    set_weight(hogs, 1024);
    machine_run(100 * MS);
    machine_reset_statistics();
    machine_run(5 * SECOND);
    for (unsigned int i = 0; i < 4; i++) {
        assert_true(task_of(interactive, i)->worst_wake <= WAKE_BOUND);
    }
}

static void idle_cpu_is_taken(void **state)
{
    struct domain *hogs = machine_domain(2, HOG);
    struct domain *sleepers = machine_domain(2, (struct pattern){.run = 2 * MS, .sleep = 2 * MS});

    (void)state;
    machine_run(5 * SECOND);
    assert_int_equal(task_of(sleepers, 0)->worst_wake, 0);
    assert_int_equal(task_of(sleepers, 1)->worst_wake, 0);
    assert_int_equal(domain_ran(hogs), 10 * SECOND);
    // Each comes back to the CPU where its cache is warm.
    for (unsigned int i = 0; i < 2; i++) {
        struct task *task = task_of(sleepers, i);

        assert_int_equal(task->ran_on[task->vcpu->cpu], task->ran);
    }
}

static void hard_affinity_is_kept(void **state)
{
    struct domain *d[6];

    (void)state;
    for (unsigned int i = 0; i < 6; i++) {
        d[i] = machine_domain(2, i % 2 ? HOG : (struct pattern){.run = 1 * MS, .sleep = 700 * US});
    }
    switch_time = 3 * US;
    for (unsigned int round = 0; round < 500; round++) {
        struct task *task = task_of(d[machine_random(6)], machine_random(2));
        uint64_t mask = 1 + machine_random(15);

        set_affinity(task, mask, 1 + machine_random(15));
        machine_run(1 * MS + machine_random(2000) * US); // which checks it at every event
    }
    set_affinity(task_of(d[1], 0), 4, 15);
    machine_run(1 * MS);
    machine_reset_statistics();
    machine_run(1 * SECOND);
    assert_true(task_of(d[1], 0)->ran_on[2] > 0);
    assert_int_equal(task_of(d[1], 0)->ran_on[2], task_of(d[1], 0)->ran);
    switch_time = 0;
    machine_run(1 * MS);
}

static void impossible_affinity_is_refused(void **state)
{
    struct domain *d = machine_domain(1, HOG);
    struct cpumask none = {{0}}, absent = {{1 << 5}}, all = {{15}};

    (void)state;
    assert_int_equal(sched_set_affinity(d->vcpus[0], &none, &all), -XEN_EINVAL);
    assert_int_equal(sched_set_affinity(d->vcpus[0], &absent, &all), -XEN_EINVAL);
    assert_int_equal(sched_set_affinity(d->vcpus[0], &all, &none), 0);
}

static void soft_affinity_is_preferred(void **state)
{
    struct domain *soft = machine_domain(1, (struct pattern){.run = 3 * MS, .sleep = 2 * MS});
    struct domain *other = machine_domain(1, HOG);
    struct task *task = task_of(soft, 0);

    (void)state;
    set_affinity(task, 15, 8);
    set_affinity(task_of(other, 0), 1, 15);
    machine_run(10 * MS);
    machine_reset_statistics();
    machine_run(1 * SECOND);
    assert_int_equal(task->ran_on[3], task->ran);
    // Its favourite is taken: it goes elsewhere at once, and comes back when that is idle again.
    set_affinity(task_of(other, 0), 8, 15);
    set_weight(other, 2048);
    task->pattern = HOG;
    machine_run(1 * SECOND);
    machine_reset_statistics();
    machine_run(1 * SECOND);
    assert_close(task->ran, 1 * SECOND, 1);
    assert_true(task->ran_on[3] < 600 * MS);
    task_block(task_of(other, 0));
    machine_run(1 * MS);
    machine_reset_statistics();
    machine_run(1 * SECOND);
    assert_int_equal(task->ran_on[3], 1 * SECOND);
}

static void nobody_starves(void **state)
{
    struct domain *d[64];
    ns_t worst = 0;

    (void)state;
    for (unsigned int i = 0; i < 64; i++) {
        d[i] = machine_domain(1, HOG);
    }
    machine_run(1 * SECOND);
    machine_reset_statistics();
    machine_run(10 * SECOND);
    for (unsigned int i = 0; i < 64; i++) {
        assert_close(domain_ran(d[i]), 40 * SECOND / 64, 20);
        worst = MAX(worst, task_of(d[i], 0)->worst_latency);
    }
    assert_true(worst <= 64 / 4 * 10 * MS);
}

static void wakers_do_not_starve_a_hog(void **state)
{
    struct domain *hog = machine_domain(1, HOG);

    (void)state;
    for (unsigned int i = 0; i < 7; i++) {
        machine_domain(1, (struct pattern){.run = 900 * US, .sleep = 100 * US});
    }
    machine_run(1 * SECOND);
    machine_reset_statistics();
    machine_run(10 * SECOND);
    assert_true(domain_ran(hog) > 10 * SECOND / 8 * 98 / 100);
}

static void yielding_gives_way(void **state)
{
    struct domain *polite = machine_domain(1, (struct pattern){.yield_every = 10 * US});
    struct domain *hog = machine_domain(1, HOG);

    (void)state;
    machine_run(1 * SECOND);
    assert_true(domain_ran(polite) > 0);
    assert_true(domain_ran(hog) > 20 * domain_ran(polite));
    assert_true(task_of(polite, 0)->worst_latency <= 11 * MS);
}

static void yielding_alone_costs_nothing(void **state)
{
    struct domain *polite = machine_domain(1, (struct pattern){.yield_every = 100 * US});

    (void)state;
    machine_run(1 * SECOND);
    assert_int_equal(domain_ran(polite), 1 * SECOND);
    assert_int_equal(task_of(polite, 0)->switches, 1);
}

static void storm_of_pauses(void **state)
{
    struct domain *d[8];
    unsigned int pauses[8] = {0};

    (void)state;
    switch_time = 2 * US;
    for (unsigned int i = 0; i < 8; i++) {
        d[i] =
            machine_domain(2, i % 3 ? HOG : (struct pattern){.run = 300 * US, .sleep = 200 * US});
        set_cap(d[i], i == 4 ? 30 : 0);
    }
    for (unsigned int round = 0; round < 5000; round++) {
        unsigned int i = machine_random(8);

        simulated_cpu = cpus[machine_random(2)];
        if (pauses[i] && machine_random(3)) {
            pauses[i]--;
            domain_unpause(d[i]);
        } else if (pauses[i] < 3) {
            pauses[i]++;
            domain_pause(d[i]);
            assert_false(d[i]->vcpus[0]->running || d[i]->vcpus[1]->running);
        }
        machine_run(machine_random(400) * US);
    }
    for (unsigned int i = 0; i < 8; i++) {
        for (; pauses[i]; pauses[i]--) {
            domain_unpause(d[i]);
        }
    }
    machine_run(1 * SECOND);
    machine_reset_statistics();
    machine_run(5 * SECOND);
    for (unsigned int i = 0; i < 8; i++) {
        assert_true(domain_ran(d[i]) > 500 * MS);
    }
    switch_time = 0;
    machine_run(1 * MS);
}

static void rate_limit_is_kept(void **state)
{
    struct xen_sysctl_scheduler_op op = {.sched_id = XEN_SCHEDULER_CREDIT2,
                                         .cmd = XEN_SYSCTL_SCHEDOP_putinfo};
    struct domain *d = machine_domain(2, HOG);

    (void)state;
    op.u.sched_credit2.ratelimit_us = 5000;
    assert_int_equal(sched_sysctl_op(&op), 0);
    machine_run(2 * SECOND);
    assert_true(task_of(d, 0)->switches + task_of(d, 1)->switches <= 401);
    op.u.sched_credit2.ratelimit_us = XEN_SYSCTL_SCHED_RATELIMIT_MIN - 1;
    assert_int_equal(sched_sysctl_op(&op), -XEN_EINVAL);
    op.u.sched_credit2.ratelimit_us = XEN_SYSCTL_SCHED_RATELIMIT_MAX + 1;
    assert_int_equal(sched_sysctl_op(&op), -XEN_EINVAL);
    op.cmd = XEN_SYSCTL_SCHEDOP_getinfo;
    assert_int_equal(sched_sysctl_op(&op), 0);
    assert_int_equal(op.u.sched_credit2.ratelimit_us, 5000);
    op.cpupool_id = 7;
    assert_int_equal(sched_sysctl_op(&op), -XEN_ESRCH);
    op.cpupool_id = 0;
    op.sched_id = XEN_SCHEDULER_RTDS;
    assert_int_equal(sched_sysctl_op(&op), -XEN_EINVAL);
}

static void parameters_of_a_domain(void **state)
{
    struct domain *d = machine_domain(1, HOG);
    struct xen_domctl_scheduler_op op = {.sched_id = XEN_SCHEDULER_CREDIT2,
                                         .cmd = XEN_DOMCTL_SCHEDOP_getinfo};

    (void)state;
    assert_int_equal(sched_domctl_op(d, &op), 0);
    assert_int_equal(op.u.credit2.weight, 256);
    assert_int_equal(op.u.credit2.cap, 0);
    set_weight(d, 77);
    set_cap(d, 33);
    assert_int_equal(sched_domctl_op(d, &op), 0);
    assert_int_equal(op.u.credit2.weight, 77);
    assert_int_equal(op.u.credit2.cap, 33);
    op.cmd = XEN_DOMCTL_SCHEDOP_getvcpuinfo;
    assert_int_equal(sched_domctl_op(d, &op), -XEN_EINVAL);
    op.sched_id = XEN_SCHEDULER_CREDIT;
    assert_int_equal(sched_domctl_op(d, &op), -XEN_EINVAL);
}

static void runstate_adds_up(void **state)
{
    struct domain *d = machine_domain(1, (struct pattern){.run = 3 * MS, .sleep = 1 * MS});
    struct vcpu *v = d->vcpus[0];
    struct vcpu_runstate_info info, area = {0};
    ns_t created = clock_now;
    uint64_t sum = 0;

    (void)state;
    machine_domain(1, HOG);
    v->runstate_area.size = sizeof(area);
    v->runstate_area.part[0] = (uint8_t *)&area;
    d->runstate_update_flag = true;
    machine_run(1 * SECOND);
    runstate_get(v, &info);
    for (unsigned int i = 0; i < 4; i++) {
        sum += info.time[i];
    }
    assert_int_equal(sum, clock_now - created);
    assert_int_equal(info.time[RUNSTATE_running], domain_ran(d));
    assert_true(info.time[RUNSTATE_runnable] > 0);
    assert_memory_equal(&area, &v->runstate, sizeof(area));
    domain_pause(d);
    assert_true(v->runstate.state != RUNSTATE_running && v->runstate.state != RUNSTATE_runnable);
    assert_memory_equal(&area, &v->runstate, sizeof(area));
    domain_unpause(d);
    v->runstate_area.part[0] = NULL;
}

static void pools(void **state)
{
    struct domain *control = machine_domain(4, HOG), *moved = machine_domain(2, HOG);
    struct cpumask mask;

    (void)state;
    machine_run(10 * MS);
    assert_int_equal(pool_op(XEN_SYSCTL_CPUPOOL_OP_CREATE, ~0u, 0, 0, NULL), 1);
    assert_int_equal(pool_op(XEN_SYSCTL_CPUPOOL_OP_CREATE, 1, 0, 0, NULL), -XEN_EEXIST);
    assert_int_equal(pool_op(XEN_SYSCTL_CPUPOOL_OP_ADDCPU, 1, 2, 0, NULL), -XEN_ENODEV);
    assert_int_equal(pool_op(XEN_SYSCTL_CPUPOOL_OP_ADDCPU, 1, 9, 0, NULL), -XEN_EINVAL);
    assert_int_equal(pool_op(XEN_SYSCTL_CPUPOOL_OP_MOVEDOMAIN, 1, 0, 1, NULL), -XEN_EBUSY);
    assert_int_equal(pool_op(XEN_SYSCTL_CPUPOOL_OP_RMCPU, 0, 2, 0, NULL), 0);
    assert_int_equal(pool_op(XEN_SYSCTL_CPUPOOL_OP_RMCPU, 0, ~0u, 0, NULL), 0);
    assert_int_equal(pool_op(XEN_SYSCTL_CPUPOOL_OP_RMCPU, 0, 3, 0, NULL), -XEN_ENODEV);
    assert_int_equal(pool_op(XEN_SYSCTL_CPUPOOL_OP_FREEINFO, 0, 0, 0, &mask), 0);
    assert_int_equal(mask.bits[0], 0xc);
    assert_int_equal(pool_op(XEN_SYSCTL_CPUPOOL_OP_ADDCPU, 1, ~0u, 0, NULL), 1);
    assert_int_equal(pool_op(XEN_SYSCTL_CPUPOOL_OP_MOVEDOMAIN, 1, 0, 1, NULL), 1);
    machine_run(1 * MS);
    machine_reset_statistics();
    machine_run(1 * SECOND);
    assert_int_equal(domain_ran(control), 2 * SECOND);
    assert_int_equal(domain_ran(moved), 1 * SECOND);
    assert_int_equal(task_of(moved, 0)->ran_on[2] + task_of(moved, 1)->ran_on[2], 1 * SECOND);
    assert_int_equal(pool_op(XEN_SYSCTL_CPUPOOL_OP_INFO, 1, 0, 0, &mask), 1);
    assert_int_equal(mask.bits[0], 4);
    assert_int_equal(pool_op(XEN_SYSCTL_CPUPOOL_OP_INFO, 2, 0, 0, &mask), -XEN_ENOENT);
    assert_int_equal(pool_op(XEN_SYSCTL_CPUPOOL_OP_RMCPU, 1, 2, 0, NULL), -XEN_EBUSY);
    assert_int_equal(pool_op(XEN_SYSCTL_CPUPOOL_OP_DESTROY, 1, 0, 0, NULL), -XEN_EBUSY);
    assert_int_equal(pool_op(XEN_SYSCTL_CPUPOOL_OP_MOVEDOMAIN, 0, 0, 1, NULL), 0);
    assert_int_equal(pool_op(XEN_SYSCTL_CPUPOOL_OP_RMCPU, 1, 2, 0, NULL), 1);
    assert_int_equal(pool_op(XEN_SYSCTL_CPUPOOL_OP_DESTROY, 1, 0, 0, NULL), 1);
    assert_int_equal(pool_op(XEN_SYSCTL_CPUPOOL_OP_ADDCPU, 0, 2, 0, NULL), 0);
    assert_int_equal(pool_op(XEN_SYSCTL_CPUPOOL_OP_ADDCPU, 0, 3, 0, NULL), 0);
    assert_int_equal(pool_op(99, 0, 3, 0, NULL), -XEN_ENOSYS);
    machine_run(1 * MS);
    machine_reset_statistics();
    machine_run(1 * SECOND);
    assert_int_equal(domain_ran(control) + domain_ran(moved), 4 * SECOND);
}

static void affinity_survives_a_lost_cpu(void **state)
{
    struct domain *d = machine_domain(1, HOG);

    (void)state;
    set_affinity(task_of(d, 0), 2, 15);
    machine_run(10 * MS);
    assert_int_equal(pool_op(XEN_SYSCTL_CPUPOOL_OP_RMCPU, 0, 1, 0, NULL), 0);
    machine_run(1 * MS);
    machine_reset_statistics();
    machine_run(100 * MS);
    assert_int_equal(domain_ran(d), 100 * MS);
    assert_int_equal(d->vcpus[0]->hard_affinity.bits[0], 2);
    assert_int_equal(pool_op(XEN_SYSCTL_CPUPOOL_OP_ADDCPU, 0, 1, 0, NULL), 0);
    machine_run(1 * MS);
    machine_reset_statistics();
    machine_run(100 * MS);
    assert_int_equal(task_of(d, 0)->ran_on[1], 100 * MS);
}

static void random_everything(void **state)
{
    struct domain *d[10];

    (void)state;
    switch_time = 1 * US;
    for (unsigned int i = 0; i < 10; i++) {
        d[i] = machine_domain(1 + i % 4,
                              (struct pattern){.run = (1 + machine_random(5000)) * US,
                                               .sleep = machine_random(3) * 700 * US,
                                               .yield_every = machine_random(2) * 333 * US});
    }
    for (unsigned int round = 0; round < 2000; round++) {
        struct domain *it = d[machine_random(10)];
        struct task *task = task_of(it, machine_random(it->max_vcpus));

        simulated_cpu = cpus[machine_random(4)];
        switch (machine_random(4)) {
        case 0:
            set_weight(it, (uint16_t)(1 + machine_random(65535)));
            break;
        case 1:
            set_cap(it, (uint16_t)(machine_random(2) * machine_random(400)));
            break;
        case 2:
            set_affinity(task, 1 + machine_random(15), machine_random(16));
            break;
        case 3:
            domain_pause(it);
            machine_run(machine_random(50) * US);
            simulated_cpu = cpus[0];
            domain_unpause(it);
            break;
        }
        machine_run(machine_random(3000) * US);
    }
    switch_time = 0;
    machine_run(1 * MS);
}

#define TEST(name, cpu_total) cmocka_unit_test_setup_teardown(name, start##cpu_total, stop)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(weights_on_one_cpu, 1),
        TEST(weights_on_one_cpu_many_vcpus, 1),
        TEST(weights_on_four_cpus, 4),
        TEST(extreme_weights, 1),
        TEST(equal_shares_of_three_on_two, 2),
        TEST(weights_hold_within_pinned_cpus, 2),
        TEST(lone_run_is_no_debt, 1),
        TEST(lone_vcpu_is_left_alone, 1),
        TEST(caps_are_kept, 8),
        TEST(caps_are_no_guarantee, 1),
        TEST(cap_larger_than_demand, 1),
        TEST(waking_is_prompt, 1),
        TEST(waking_is_prompt, 2),
        TEST(waking_is_prompt, 4),
        TEST(waking_among_heavy_hogs, 4),
        TEST(idle_cpu_is_taken, 4),
        TEST(hard_affinity_is_kept, 4),
        TEST(impossible_affinity_is_refused, 4),
        TEST(soft_affinity_is_preferred, 4),
        TEST(nobody_starves, 4),
        TEST(wakers_do_not_starve_a_hog, 1),
        TEST(yielding_gives_way, 1),
        TEST(yielding_alone_costs_nothing, 1),
        TEST(storm_of_pauses, 2),
        TEST(rate_limit_is_kept, 1),
        TEST(parameters_of_a_domain, 1),
        TEST(runstate_adds_up, 1),
        TEST(pools, 4),
        TEST(affinity_survives_a_lost_cpu, 2),
        TEST(random_everything, 4),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
