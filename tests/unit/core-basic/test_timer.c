// SPDX-License-Identifier: Apache-2.0
// Timers and tasklets on two CPUs with a clock that the test turns.

#include "testing.h"

#include <bulkhead/console.h>
#include <bulkhead/cpu.h>
#include <bulkhead/heap.h>
#include <bulkhead/tasklet.h>

#define CPUS 2u
#define TIMERS 300u

__thread struct cpu *sim_cpu;
struct cpu *cpus[MAX_CPUS];
struct cpumask online_cpus;

static struct cpu machine[CPUS];
static ns_t clock_now, programmed[CPUS];
static struct timer timers[TIMERS];
static unsigned int fired[TIMERS];
static ns_t last_fired;
static bool heap_is_empty;

ns_t arch_now(void)
{
    return clock_now;
}

void arch_timer_program(ns_t deadline)
{
    programmed[sim_cpu->id] = deadline;
}

void arch_spin_wait(void)
{
    fail_msg("waits for a lock that nobody will release");
}

void cpu_raise_work(unsigned int cpu, uint32_t work)
{
    cpus[cpu]->work |= work;
}

void *heap_alloc_array(size_t n, size_t size)
{
    return heap_is_empty ? NULL : calloc(n, size);
}

void heap_free(void *p)
{
    free(p);
}

void panic(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    abort();
}

static void fire(void *data)
{
    struct timer *t = data;

    assert_true(t->expires <= clock_now);
    assert_true(t->expires >= last_fired);
    assert_ptr_equal(sim_cpu, &machine[t->cpu]);
    last_fired = t->expires;
    fired[t - timers]++;
}

static int start(void **state)
{
    (void)state;
    clock_now = 0;
    last_fired = 0;
    heap_is_empty = false;
    memset(fired, 0, sizeof(fired));
    for (unsigned int i = 0; i < CPUS; i++) {
        memset(&machine[i], 0, sizeof(machine[i]));
        machine[i].self = &machine[i];
        machine[i].id = i;
        list_init(&machine[i].tasklets);
        assert_int_equal(timer_queue_init(&machine[i].timers), 0);
        cpus[i] = &machine[i];
        programmed[i] = TIMER_NONE;
    }
    sim_cpu = &machine[0];
    assert_int_equal(timer_reserve(TIMERS), 0);
    for (unsigned int i = 0; i < TIMERS; i++) {
        timer_init(&timers[i], 0, fire, &timers[i]);
    }
    return 0;
}

static int stop(void **state)
{
    (void)state;
    for (unsigned int i = 0; i < TIMERS; i++) {
        timer_kill(&timers[i]);
    }
    timer_unreserve(TIMERS);
    for (unsigned int i = 0; i < CPUS; i++) {
        free(machine[i].timers.heap);
    }
    return 0;
}

static void timers_fire_in_order(void **state)
{
    unsigned int seed = 7;

    (void)state;
    for (unsigned int i = 0; i < TIMERS; i++) {
        seed = seed * 1103515245 + 12345;
        timer_set(&timers[i], 1 + (seed >> 8) % 10000);
    }
    for (clock_now = 0; clock_now <= 10000; clock_now += 100) {
        timers_run();
        for (unsigned int i = 0; i < TIMERS; i++) {
            assert_int_equal(fired[i], timers[i].expires <= clock_now);
        }
    }
    assert_int_equal(programmed[0], TIMER_NONE);
}

// Random settings, moves and stops against the plain meaning.
static void timers_follow_a_model(void **state)
{
    ns_t model[TIMERS];
    unsigned int expected[TIMERS] = {0}, seed = 3;

    (void)state;
    for (unsigned int i = 0; i < TIMERS; i++) {
        model[i] = TIMER_NONE;
    }
    for (unsigned int round = 0; round < 20000; round++) {
        unsigned int i;

        seed = seed * 1103515245 + 12345;
        i = (seed >> 8) % TIMERS;
        if (seed & 0x80000000) {
            timer_stop(&timers[i]);
            model[i] = TIMER_NONE;
        } else {
            model[i] = clock_now + 1 + (seed >> 4) % 500;
            timer_set(&timers[i], model[i]);
        }
        clock_now += seed & 1;
        last_fired = 0;
        timers_run();
        for (i = 0; i < TIMERS; i++) {
            if (model[i] <= clock_now) {
                expected[i]++;
                model[i] = TIMER_NONE;
            }
            assert_int_equal(fired[i], expected[i]);
        }
    }
}

static void timers_program_the_earliest(void **state)
{
    (void)state;
    timer_set(&timers[0], 500);
    assert_int_equal(programmed[0], 500);
    timer_set(&timers[1], 300);
    assert_int_equal(programmed[0], 300);
    timer_set(&timers[2], 400);
    assert_int_equal(programmed[0], 300);
    timer_stop(&timers[1]);
    clock_now = 300; // the interrupt comes all the same
    timers_run();
    assert_int_equal(programmed[0], 400);
    timer_set(&timers[2], TIMER_NONE);
    timers_run();
    assert_int_equal(programmed[0], 500);
}

static void timers_of_other_cpus(void **state)
{
    (void)state;
    timer_set(&timers[0], 100);
    timer_migrate(&timers[0], 1);
    assert_int_equal(timers[0].cpu, 1);
    assert_true(machine[1].work & CPU_WORK_TIMER);
    clock_now = 200;
    timers_run();
    assert_int_equal(fired[0], 0);
    sim_cpu = &machine[1];
    timers_run();
    assert_int_equal(fired[0], 1);
    timer_migrate(&timers[0], 0); // idle ones move too
    assert_int_equal(timers[0].cpu, 0);
}

static struct timer again;
static unsigned int again_count;

static void fire_again(void *data)
{
    (void)data;
    again_count++;
    timer_set(&again, clock_now);
}

// A callback that is due again at once does not keep the CPU.
static void timers_run_ends(void **state)
{
    (void)state;
    assert_int_equal(timer_reserve(1), 0);
    timer_init(&again, 0, fire_again, NULL);
    timer_set(&again, 10);
    clock_now = 10;
    again_count = 0;
    timers_run();
    assert_int_equal(again_count, 1);
    assert_int_equal(programmed[0], 10);
    timer_kill(&again);
    timer_unreserve(1);
}

static void timer_reserve_fails_cleanly(void **state)
{
    (void)state;
    timer_set(&timers[0], 50);
    heap_is_empty = true;
    assert_int_not_equal(timer_reserve(100000), 0);
    heap_is_empty = false;
    assert_int_equal(timer_reserve(100000), 0); // the queue moves to a larger array
    heap_is_empty = true;
    timer_unreserve(50000);
    timer_unreserve(50000); // the array stays
    assert_true(cpus[0]->timers.capacity > 100000);
    heap_is_empty = false;
    assert_int_equal(timer_reserve(1), 0);
    timer_unreserve(1); // and now moves to a small one
    assert_true(cpus[0]->timers.capacity < 1000);
    clock_now = 50;
    timers_run();
    assert_int_equal(fired[0], 1);
}

static unsigned int tasklet_runs;

static void run_tasklet(void *data)
{
    tasklet_runs++;
    if (data) {
        tasklet_schedule(data, sim_cpu->id);
    }
}

static void tasklets_run_once_each(void **state)
{
    struct tasklet a, b;

    (void)state;
    tasklet_runs = 0;
    tasklet_init(&a, run_tasklet, NULL);
    tasklet_init(&b, run_tasklet, &b); // schedules itself again
    tasklet_schedule(&a, 1);
    tasklet_schedule(&a, 0); // is queued already
    tasklet_schedule(&b, 1);
    assert_true(machine[1].work & CPU_WORK_TASKLET);
    tasklets_run();
    assert_int_equal(tasklet_runs, 0);
    sim_cpu = &machine[1];
    for (unsigned int i = 1; i <= 5; i++) {
        machine[1].work = 0;
        tasklets_run();
        assert_int_equal(tasklet_runs, i);
        assert_true(machine[1].work & CPU_WORK_TASKLET);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(timers_fire_in_order, start, stop),
        cmocka_unit_test_setup_teardown(timers_follow_a_model, start, stop),
        cmocka_unit_test_setup_teardown(timers_program_the_earliest, start, stop),
        cmocka_unit_test_setup_teardown(timers_of_other_cpus, start, stop),
        cmocka_unit_test_setup_teardown(timers_run_ends, start, stop),
        cmocka_unit_test_setup_teardown(timer_reserve_fails_cleanly, start, stop),
        cmocka_unit_test_setup_teardown(tasklets_run_once_each, start, stop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
