// SPDX-License-Identifier: Apache-2.0
// Sets of CPUs against an array of flags.

#include "testing.h"

#include <bulkhead/cpumask.h>

static void cpumask_follows_a_model(void **state)
{
    bool model[MAX_CPUS] = {false};
    struct cpumask mask;
    unsigned int seed = 1, cpu;

    (void)state;
    cpumask_clear(&mask);
    for (unsigned int round = 0; round < 2000; round++) {
        unsigned int count = 0, next = 0;

        seed = seed * 1103515245 + 12345;
        cpu = (seed >> 16) % MAX_CPUS;
        model[cpu] = seed & 0x100;
        (model[cpu] ? cpumask_set : cpumask_unset)(&mask, cpu);
        for_each_cpu (cpu, &mask) {
            while (!model[next]) {
                next++;
            }
            assert_int_equal(cpu, next++);
            count++;
        }
        while (next < MAX_CPUS) {
            assert_false(model[next++]);
        }
        assert_int_equal(cpumask_weight(&mask), count);
        assert_int_equal(cpumask_empty(&mask), count == 0);
    }
    assert_false(cpumask_test(&mask, MAX_CPUS));
}

static void cpumask_intersection(void **state)
{
    struct cpumask a, b, both;

    (void)state;
    cpumask_clear(&a);
    cpumask_clear(&b);
    cpumask_set(&a, 3);
    cpumask_set(&a, 200);
    cpumask_set(&b, 200);
    cpumask_set(&b, 201);
    cpumask_and(&both, &a, &b);
    assert_int_equal(cpumask_weight(&both), 1);
    assert_true(cpumask_test(&both, 200));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cpumask_follows_a_model),
        cmocka_unit_test(cpumask_intersection),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
