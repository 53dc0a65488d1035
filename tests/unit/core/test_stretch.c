// SPDX-License-Identifier: Apache-2.0
// The longest stretches of hypercalls: what ends one, whose it is, and that the longest is kept.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <bulkhead/hypercall.h>
#include <bulkhead/stretch.h>
#include <sim/machine.h>

#include <cmocka.h>

// Numbers that no other test of this file uses, so that each begins without a record.
#define FIRST 40u
#define BATCH 41u
#define INNER 42u
#define CPUS 43u

static void work(unsigned int cycles)
{
    sim_cycles += cycles;
}

static void assert_longest(unsigned int number, uint64_t length, uint32_t operation)
{
    struct stretch_record longest = stretch_longest(number);

    assert_int_equal(longest.length, length);
    assert_int_equal(longest.operation, operation);
}

static void a_window_ends_a_stretch(void **state)
{
    struct stretch outer = stretch_begin(FIRST, 6);

    (void)state;
    work(100);
    interrupt_window();
    work(70);
    preempt_needed();
    work(50);
    stretch_end(outer);
    assert_longest(FIRST, 100, 6);
    outer = stretch_begin(FIRST, 0);
    stretch_set_operation(9);
    work(101);
    stretch_end(outer);
    assert_longest(FIRST, 101, 9);
}

static void parts_of_a_batch_are_their_own(void **state)
{
    struct stretch outside = stretch_begin(BATCH, 0), batch;

    (void)state;
    work(10);
    batch = stretch_begin(INNER, 3);
    work(30);
    stretch_end(batch);
    work(20);
    stretch_end(outside);
    assert_longest(INNER, 30, 3);
    assert_longest(BATCH, 20, 0);
}

static void what_is_no_hypercalls_is_not_kept(void **state)
{
    (void)state;
    work(1000);
    interrupt_window();
    assert_longest(STRETCH_OUTSIDE, 0, 0);
}

static void the_longest_of_all_cpus_counts(void **state)
{
    (void)state;
    for (unsigned int cpu = 0; cpu < 2; cpu++) {
        struct stretch outer;

        sim_cpu_enter(cpu, NULL);
        outer = stretch_begin(CPUS, cpu);
        work(cpu ? 7 : 8);
        stretch_end(outer);
    }
    sim_cpu_enter(0, NULL);
    assert_longest(CPUS, 8, 0);
}

static int start(void **state)
{
    (void)state;
    sim_machine_start(64, 2);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_window_ends_a_stretch),
        cmocka_unit_test(parts_of_a_batch_are_their_own),
        cmocka_unit_test(what_is_no_hypercalls_is_not_kept),
        cmocka_unit_test(the_longest_of_all_cpus_counts),
    };

    return cmocka_run_group_tests(tests, start, NULL);
}
