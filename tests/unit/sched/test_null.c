// SPDX-License-Identifier: Apache-2.0
// The null policy in simulated time: a CPU for each vcpu, a line for those without, and what makes
// a vcpu give its CPU up. Domain 0 stays in pool 0 (credit2, CPU 0); the tests look at pool 1,
// which has the other CPUs and the null policy.

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>

#include "machine.h"

#include <cmocka.h>

#define HOG ((struct pattern){0})
#define CPUS 4u
#define POOL 1u

static int start(void **state)
{
    (void)state;
    machine_start(CPUS);
    machine_domain(1, HOG);
    machine_run(1 * MS);
    assert_int_equal(
        pool_op_with(XEN_SYSCTL_CPUPOOL_OP_CREATE, POOL, 0, 0, XEN_SCHEDULER_NULL, NULL), POOL);
    for (unsigned int cpu = 1; cpu < CPUS; cpu++) {
        assert_int_equal(pool_op(XEN_SYSCTL_CPUPOOL_OP_RMCPU, 0, cpu, 0, NULL), 0);
        assert_int_equal(pool_op(XEN_SYSCTL_CPUPOOL_OP_ADDCPU, POOL, cpu, 0, NULL), POOL);
    }
    return 0;
}

// Domains of the null pool go back, and the pool goes.
static int stop(void **state)
{
    unsigned int cpu;
    struct cpumask rest;

    (void)state;
    for (domid_t id = 1; domain_get_alive(id); id++) {
        assert_int_equal(pool_op(XEN_SYSCTL_CPUPOOL_OP_MOVEDOMAIN, 0, 0, id, NULL), 0);
    }
    assert_true(pool_op(XEN_SYSCTL_CPUPOOL_OP_INFO, POOL, 0, 0, &rest) == POOL);
    for_each_cpu (cpu, &rest) {
        assert_int_equal(pool_op(XEN_SYSCTL_CPUPOOL_OP_RMCPU, POOL, cpu, 0, NULL), POOL);
    }
    assert_int_equal(pool_op(XEN_SYSCTL_CPUPOOL_OP_DESTROY, POOL, 0, 0, NULL), POOL);
    for (cpu = 1; cpu < CPUS; cpu++) {
        assert_int_equal(pool_op(XEN_SYSCTL_CPUPOOL_OP_ADDCPU, 0, cpu, 0, NULL), 0);
    }
    machine_stop();
    return 0;
}

static struct domain *null_domain(unsigned int vcpus, struct pattern pattern)
{
    struct domain *d = machine_domain(vcpus, pattern);

    assert_int_equal(pool_op(XEN_SYSCTL_CPUPOOL_OP_MOVEDOMAIN, POOL, 0, d->id, NULL), POOL);
    return d;
}

// Runs a while; which of the pool's CPUs the task had all of it; 0: it did not run.
static unsigned int cpu_of(struct task *task)
{
    machine_run(1 * MS);
    machine_reset_statistics();
    machine_run(10 * MS);
    for (unsigned int cpu = 1; cpu < CPUS; cpu++) {
        if (task->ran_on[cpu]) {
            assert_int_equal(task->ran_on[cpu], 10 * MS);
            return cpu;
        }
    }
    assert_int_equal(task->ran, 0);
    return 0;
}

static void each_vcpu_has_a_cpu(void **state)
{
    struct domain *d = null_domain(3, HOG);
    unsigned int seen = 0;

    (void)state;
    machine_run(1 * MS);
    machine_reset_statistics();
    machine_run(10 * SECOND);
    for (unsigned int i = 0; i < 3; i++) {
        struct task *task = task_of(d, i);

        assert_int_equal(task->ran, 10 * SECOND);
        assert_int_equal(task->switches, 0);
        seen |= 1u << d->vcpus[i]->cpu;
    }
    assert_int_equal(seen, 0xe);
}

static void sleepers_keep_their_cpu(void **state)
{
    struct domain *sleepers = null_domain(
        3, (struct pattern){.run = 100 * US, .sleep = 900 * US, .yield_every = 30 * US});
    struct domain *late = null_domain(1, HOG);
    ns_t total = 0;

    (void)state;
    machine_reset_statistics();
    machine_run(1 * SECOND);
    assert_int_equal(domain_ran(late), 0);
    for (unsigned int i = 0; i < 3; i++) {
        struct task *task = task_of(sleepers, i);

        assert_int_equal(task->worst_wake, 0);
        assert_int_equal(task->ran, task->ran_on[sleepers->vcpus[i]->cpu]);
        total += task->ran;
    }
    assert_true(total > 290 * MS && total < 310 * MS);
}

static void who_waits_takes_a_freed_cpu(void **state)
{
    struct domain *first = null_domain(3, HOG), *second = null_domain(2, HOG);
    unsigned int cpu = cpu_of(task_of(first, 1));

    (void)state;
    assert_int_equal(cpu_of(task_of(second, 0)), 0);
    assert_int_equal(second->vcpus[0]->runstate.state, RUNSTATE_runnable);
    task_block(task_of(first, 1)); // asleep: the CPU stays its own
    assert_int_equal(cpu_of(task_of(second, 0)), 0);
    task_wake(task_of(first, 1));
    assert_int_equal(cpu_of(task_of(first, 1)), cpu);
    task_offline(task_of(first, 1));
    assert_int_equal(cpu_of(task_of(second, 0)), cpu);
    task_online(task_of(first, 1)); // now it is last in line
    assert_int_equal(cpu_of(task_of(first, 1)), 0);
    assert_int_equal(cpu_of(task_of(second, 0)), cpu);
    assert_int_equal(pool_op(XEN_SYSCTL_CPUPOOL_OP_MOVEDOMAIN, 0, 0, second->id, NULL), 0);
    assert_int_equal(cpu_of(task_of(first, 1)), cpu);
}

static void offline_while_asleep_gives_way(void **state)
{
    struct domain *first = null_domain(3, HOG), *second = null_domain(1, HOG);

    (void)state;
    machine_run(1 * MS);
    task_block(task_of(first, 0));
    machine_run(1 * MS);
    assert_int_equal(cpu_of(task_of(second, 0)), 0);
    task_offline(task_of(first, 0));
    assert_true(cpu_of(task_of(second, 0)) != 0);
}

static void cpus_come_and_go(void **state)
{
    struct domain *d = null_domain(3, HOG);
    unsigned int cpu = cpu_of(task_of(d, 2));

    (void)state;
    assert_int_equal(pool_op(XEN_SYSCTL_CPUPOOL_OP_RMCPU, POOL, cpu, 0, NULL), POOL);
    assert_int_equal(cpu_of(task_of(d, 2)), 0);
    assert_true(cpu_of(task_of(d, 0)) != 0);
    assert_int_equal(pool_op(XEN_SYSCTL_CPUPOOL_OP_ADDCPU, POOL, cpu, 0, NULL), POOL);
    assert_int_equal(cpu_of(task_of(d, 2)), cpu);
    task_block(task_of(d, 2));
    assert_int_equal(pool_op(XEN_SYSCTL_CPUPOOL_OP_RMCPU, POOL, cpu, 0, NULL), POOL);
    task_wake(task_of(d, 2));
    assert_int_equal(cpu_of(task_of(d, 2)), 0);
    task_offline(task_of(d, 0));
    assert_true(cpu_of(task_of(d, 2)) != 0);
}

static void affinity_is_kept(void **state)
{
    struct domain *d = null_domain(2, HOG);

    (void)state;
    set_affinity(task_of(d, 0), 1 << 3, ~0ull);
    set_affinity(task_of(d, 1), 1 << 3, ~0ull);
    // One has CPU 3, the other waits although two CPUs are free.
    assert_int_equal(cpu_of(task_of(d, 0)) + cpu_of(task_of(d, 1)), 3);
    set_affinity(task_of(d, 0), 1 << 1, ~0ull);
    assert_int_equal(cpu_of(task_of(d, 0)), 1);
    assert_int_equal(cpu_of(task_of(d, 1)), 3);
    // A soft choice counts when a CPU is taken, and moves nobody later.
    set_affinity(task_of(d, 0), ~0ull, 1 << 2);
    assert_int_equal(cpu_of(task_of(d, 0)), 1);
    task_offline(task_of(d, 0));
    machine_run(1 * MS);
    task_online(task_of(d, 0));
    assert_int_equal(cpu_of(task_of(d, 0)), 2);
}

static void no_parameters_and_no_caps(void **state)
{
    struct xen_domctl_scheduler_op op = {.cmd = XEN_DOMCTL_SCHEDOP_getinfo};
    struct xen_sysctl_scheduler_op pool = {.cpupool_id = POOL, .cmd = XEN_SYSCTL_SCHEDOP_getinfo};
    struct xen_sysctl_cpupool_op info = {.op = XEN_SYSCTL_CPUPOOL_OP_INFO, .cpupool_id = POOL};
    struct domain *d = machine_domain(1, HOG);
    struct cpumask cpus_there;

    (void)state;
    set_cap(d, 10);
    set_weight(d, 500);
    assert_int_equal(pool_op(XEN_SYSCTL_CPUPOOL_OP_MOVEDOMAIN, POOL, 0, d->id, NULL), POOL);
    assert_true(cpu_of(task_of(d, 0)) != 0); // all of the time, without a cap
    op.sched_id = pool.sched_id = XEN_SCHEDULER_CREDIT2;
    assert_int_equal(sched_domctl_op(d, &op), -XEN_EINVAL);
    assert_int_equal(sched_sysctl_op(&pool), -XEN_EINVAL);
    op.sched_id = pool.sched_id = XEN_SCHEDULER_NULL;
    assert_int_equal(sched_domctl_op(d, &op), -XEN_EOPNOTSUPP);
    assert_int_equal(sched_sysctl_op(&pool), -XEN_EOPNOTSUPP);
    assert_int_equal(sched_cpupool_op(&info, &cpus_there), 0);
    assert_int_equal(info.sched_id, XEN_SCHEDULER_NULL);
    assert_int_equal(pool_op(XEN_SYSCTL_CPUPOOL_OP_MOVEDOMAIN, 0, 0, d->id, NULL), 0);
    op.sched_id = XEN_SCHEDULER_CREDIT2;
    assert_int_equal(sched_domctl_op(d, &op), 0);
    assert_int_equal(op.u.credit2.weight, 500);
    assert_int_equal(op.u.credit2.cap, 0);
    assert_int_equal(pool_op_with(XEN_SYSCTL_CPUPOOL_OP_CREATE, 2, 0, 0, XEN_SCHEDULER_RTDS, NULL),
                     -XEN_EINVAL);
}

// How many of the pool's CPUs run somebody.
static unsigned int busy_cpus(struct domain *const d[], unsigned int count)
{
    unsigned int busy = 0;

    for (unsigned int i = 0; i < count; i++) {
        for (unsigned int j = 0; j < d[i]->max_vcpus; j++) {
            busy += d[i]->vcpus[j]->running && d[i]->vcpus[j]->cpu != 0;
        }
    }
    return busy;
}

static void disturb(struct domain *d)
{
    struct task *task = task_of(d, machine_random(d->max_vcpus));
    unsigned int cpu = 1 + machine_random(CPUS - 1);
    struct cpumask hard = {{2u << machine_random(3) | machine_random(8) << 1}};
    struct cpumask soft = {{machine_random(16)}};

    machine_become_domain(0);
    switch (machine_random(6)) {
    case 0:
        if (task->vcpu->pause_flags & VCPU_DOWN) {
            task_online(task);
        } else {
            task_offline(task);
        }
        break;
    case 1:
        sched_set_affinity(task->vcpu, &hard, &soft); // refused if the pool has none of them now
        break;
    case 2:
        domain_pause(d);
        machine_run(machine_random(50) * US);
        machine_become_domain(0);
        domain_unpause(d);
        break;
    case 3:
        pool_op(XEN_SYSCTL_CPUPOOL_OP_MOVEDOMAIN, machine_random(2), 0, d->id, NULL);
        break;
    case 4:
        pool_op(XEN_SYSCTL_CPUPOOL_OP_RMCPU, POOL, cpu, 0, NULL);
        break;
    default:
        pool_op(XEN_SYSCTL_CPUPOOL_OP_ADDCPU, POOL, cpu, 0, NULL);
    }
}

static void random_everything_wastes_no_cpu(void **state)
{
    struct domain *d[4];

    (void)state;
    switch_time = 1 * US;
    for (unsigned int i = 0; i < 4; i++) {
        d[i] = null_domain(1 + i % 3, HOG);
    }
    for (unsigned int round = 0; round < 5000; round++) {
        disturb(d[machine_random(4)]);
        machine_run(machine_random(300) * US);
    }
    for (unsigned int cpu = 1; cpu < CPUS; cpu++) {
        pool_op(XEN_SYSCTL_CPUPOOL_OP_ADDCPU, POOL, cpu, 0, NULL);
    }
    for (unsigned int i = 0; i < 4; i++) {
        pool_op(XEN_SYSCTL_CPUPOOL_OP_MOVEDOMAIN, POOL, 0, d[i]->id, NULL);
        for (unsigned int j = 0; j < d[i]->max_vcpus; j++) {
            set_affinity(task_of(d[i], j), ~0ull, ~0ull);
            task_online(task_of(d[i], j));
        }
    }
    machine_run(1 * MS);
    assert_int_equal(busy_cpus(d, 4), CPUS - 1);
    switch_time = 0;
    machine_run(1 * MS);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(each_vcpu_has_a_cpu),
        TEST(sleepers_keep_their_cpu),
        TEST(who_waits_takes_a_freed_cpu),
        TEST(offline_while_asleep_gives_way),
        TEST(cpus_come_and_go),
        TEST(affinity_is_kept),
        TEST(no_parameters_and_no_caps),
        TEST(random_everything_wastes_no_cpu),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
