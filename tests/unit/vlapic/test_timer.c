// SPDX-License-Identifier: Apache-2.0
// The virtual local APIC's timer in its three modes.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "machine.h"

#define PAGE VLAPIC_DEFAULT_BASE
#define LVT (PAGE + 0x320)
#define INITIAL (PAGE + 0x380)
#define CURRENT (PAGE + 0x390)
#define DIVIDE (PAGE + 0x3e0)
#define BY_1 0xb
#define PERIODIC 0x20000
#define DEADLINE 0x40000
#define MASKED 0x10000
#define VECTOR 0xec

static struct domain *d;
static struct vcpu *v;

static int setup(void **state)
{
    (void)state;
    machine_reset(0x20);
    machine_time = 1000000000;
    d = machine_domain(1);
    v = d->vcpus[0];
    machine_write(v, PAGE + 0xf0, 4, 0x1ff);
    machine_write(v, DIVIDE, 4, BY_1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    machine_domain_free(d);
    return machine_timers() == 0 ? 0 : -1;
}

// Lets time pass; how many interrupts came (each is served at once).
static unsigned int pass(ns_t duration)
{
    unsigned int count = 0;
    ns_t end = machine_time + duration;

    while (machine_time < end) {
        machine_run_until(MIN(machine_time + 1000, end));
        while (machine_inject(v) == VECTOR) {
            vlapic_eoi(v);
            count++;
        }
    }
    return count;
}

static void test_one_shot(void **state)
{
    (void)state;
    machine_write(v, LVT, 4, VECTOR);
    machine_write(v, INITIAL, 4, 1000); // of 10 ns
    assert_int_equal(machine_read(v, CURRENT, 4), 1000);
    assert_int_equal(pass(4000), 0);
    assert_int_equal(machine_read(v, CURRENT, 4), 600);
    assert_int_equal(pass(5999), 0);
    assert_int_equal(pass(1), 1);
    assert_int_equal(machine_read(v, CURRENT, 4), 0);
    assert_int_equal(machine_read(v, INITIAL, 4), 1000);
    assert_int_equal(pass(1000000), 0);
    machine_write(v, INITIAL, 4, 1000);
    machine_write(v, INITIAL, 4, 0); // stops
    assert_int_equal(pass(1000000), 0);
}

static void test_divide(void **state)
{
    static const struct {
        uint32_t code, divisor;
    } codes[] = {{0, 2}, {1, 4}, {2, 8}, {3, 16}, {8, 32}, {9, 64}, {0xa, 128}, {0xb, 1}};

    (void)state;
    machine_write(v, LVT, 4, VECTOR);
    for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
        machine_write(v, DIVIDE, 4, codes[i].code);
        assert_int_equal(machine_read(v, DIVIDE, 4), codes[i].code);
        machine_write(v, INITIAL, 4, 100);
        assert_int_equal(pass(1000 * codes[i].divisor - 1), 0);
        assert_int_equal(pass(1), 1);
    }
    // Changed while it runs, the rest of the count takes the new time.
    machine_write(v, INITIAL, 4, 100);
    assert_int_equal(pass(500), 0);
    machine_write(v, DIVIDE, 4, 0);
    assert_int_equal(machine_read(v, CURRENT, 4), 50);
    assert_int_equal(pass(999), 0);
    assert_int_equal(pass(1), 1);
}

static void test_periodic(void **state)
{
    (void)state;
    machine_write(v, LVT, 4, PERIODIC | VECTOR);
    machine_write(v, INITIAL, 4, 100000); // 1 ms
    assert_int_equal(pass(10000000), 10);
    assert_int_equal(pass(500000), 0);
    assert_int_equal(machine_read(v, CURRENT, 4), 50000);
    machine_write(v, LVT, 4, PERIODIC | MASKED | VECTOR);
    assert_int_equal(pass(2000000), 0);
    machine_write(v, LVT, 4, PERIODIC | VECTOR);
    assert_int_equal(pass(2000000), 2); // it has gone on
    machine_write(v, LVT, 4, VECTOR);   // one-shot: the last one
    assert_int_equal(pass(5000000), 1);
}

// The hypervisor does not run more often than each 200 us for it.
static void test_short_period(void **state)
{
    (void)state;
    machine_write(v, LVT, 4, PERIODIC | VECTOR);
    machine_write(v, INITIAL, 4, 1);
    assert_true(pass(1000000) <= 6);
    assert_true(machine_read(v, CURRENT, 4) <= 1);
}

// A callback that comes late makes up one tick, not all of them.
static void test_missed_periods(void **state)
{
    struct timer *timer = &v->arch.vlapic->timer;

    (void)state;
    machine_write(v, LVT, 4, PERIODIC | VECTOR);
    machine_write(v, INITIAL, 4, 100000);
    timer_stop(timer);
    machine_time += 50500000;
    timer->fire(timer->data);
    assert_int_equal(pass(1), 1);
    assert_int_equal(pass(500000), 1); // in step again
}

// A callback of a setting that is no more does nothing.
static void test_stale_callback(void **state)
{
    struct timer *timer = &v->arch.vlapic->timer;

    (void)state;
    machine_write(v, LVT, 4, VECTOR);
    machine_write(v, INITIAL, 4, 1000);
    machine_write(v, INITIAL, 4, 2000);
    machine_time += 10000;
    timer->fire(timer->data);
    assert_int_equal(pass(9999), 0);
    assert_int_equal(pass(1), 1);
    timer->fire(timer->data);
    assert_int_equal(pass(1), 0);
}

static uint64_t deadline(void)
{
    uint64_t value;

    assert_true(vlapic_read_msr(v, VLAPIC_MSR_TSC_DEADLINE, &value));
    return value;
}

static void test_deadline(void **state)
{
    uint64_t tsc = hvm_guest_tsc(v);

    (void)state;
    assert_true(vlapic_write_msr(v, VLAPIC_MSR_TSC_DEADLINE, tsc + 1000)); // not in this mode
    assert_int_equal(deadline(), 0);
    machine_write(v, LVT, 4, DEADLINE | VECTOR);
    machine_write(v, INITIAL, 4, 1000); // nor this in that
    assert_int_equal(machine_read(v, INITIAL, 4), 0);
    assert_int_equal(machine_timers(), 0);
    assert_true(vlapic_write_msr(v, VLAPIC_MSR_TSC_DEADLINE, tsc + 4000));
    assert_int_equal(deadline(), tsc + 4000);
    assert_int_equal(machine_read(v, CURRENT, 4), 0);
    assert_int_equal(pass(1999), 0);
    assert_int_equal(pass(1), 1);
    assert_int_equal(deadline(), 0);
    assert_true(vlapic_write_msr(v, VLAPIC_MSR_TSC_DEADLINE, 1)); // long gone: at once
    assert_int_equal(pass(1), 1);
    assert_true(vlapic_write_msr(v, VLAPIC_MSR_TSC_DEADLINE, tsc + 1000000));
    machine_write(v, LVT, 4, VECTOR); // leaving the mode disarms
    assert_int_equal(machine_timers(), 0);
    assert_int_equal(deadline(), 0);
}

static void test_follows_cpu(void **state)
{
    (void)state;
    machine_write(v, LVT, 4, VECTOR);
    machine_write(v, INITIAL, 4, 1000);
    v->cpu = 1;
    vlapic_migrate_timer(v);
    assert_int_equal(v->arch.vlapic->timer.cpu, 1);
    assert_int_equal(pass(10000), 1);
    v->cpu = 0;
    vlapic_migrate_timer(v); // nothing is set
    machine_write(v, INITIAL, 4, 1000);
    assert_int_equal(v->arch.vlapic->timer.cpu, 0);
}

static void test_reset_stops(void **state)
{
    (void)state;
    machine_write(v, LVT, 4, PERIODIC | VECTOR);
    machine_write(v, INITIAL, 4, 100000);
    vlapic_init_reset(v);
    assert_int_equal(machine_timers(), 0);
    assert_int_equal(machine_read(v, INITIAL, 4), 0);
    assert_int_equal(machine_read(v, LVT, 4), MASKED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_one_shot),     TEST(test_divide),         TEST(test_periodic),
        TEST(test_short_period), TEST(test_missed_periods), TEST(test_stale_callback),
        TEST(test_deadline),     TEST(test_follows_cpu),    TEST(test_reset_stops),
    };

    return cmocka_run_group_tests_name("vlapic timer", tests, NULL, NULL);
}
