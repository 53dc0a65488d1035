// SPDX-License-Identifier: Apache-2.0
// The virtual local APIC: priorities, EOI, modes, registers, messages and IPIs.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <string.h>

#include "machine.h"

#include <xen/hvm/save.h>

#define PAGE VLAPIC_DEFAULT_BASE
#define MSR(reg) (VLAPIC_MSR_X2APIC_FIRST + (reg) / 16)
#define ENABLE 0x1ffu

static struct domain *d;
static struct vcpu *v0, *v1;
static unsigned int blocks; // of the heap, before there was a domain

static int setup(void **state)
{
    (void)state;
    machine_reset(0x20);
    blocks = heap_blocks;
    d = machine_domain(4);
    v0 = d->vcpus[0];
    v1 = d->vcpus[1];
    for (unsigned int i = 0; i < 4; i++) {
        machine_write(d->vcpus[i], PAGE + 0xf0, 4, ENABLE);
    }
    kicks = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    machine_domain_free(d);
    return heap_blocks == blocks && machine_timer_slots == 0 && machine_timers() == 0 ? 0 : -1;
}

static uint64_t msr(struct vcpu *v, uint32_t number)
{
    uint64_t value = 0;

    assert_true(vlapic_read_msr(v, number, &value));
    return value;
}

static void to_x2apic(struct vcpu *v)
{
    assert_true(vlapic_write_msr(v, VLAPIC_MSR_BASE, msr(v, VLAPIC_MSR_BASE) | 0x400));
}

static void test_reset_state(void **state)
{
    (void)state;
    vlapic_reset(v1);
    assert_int_equal(msr(v0, VLAPIC_MSR_BASE), 0xfee00900);
    assert_int_equal(msr(v1, VLAPIC_MSR_BASE), 0xfee00800);
    assert_int_equal(machine_read(v1, PAGE + 0x20, 4), 2 << 24);
    assert_int_equal(machine_read(v1, PAGE + 0x30, 4), 0x50014);
    assert_int_equal(machine_read(v1, PAGE + 0xe0, 4), 0xffffffff);
    assert_int_equal(machine_read(v1, PAGE + 0xf0, 4), 0xff);
    for (unsigned int lvt = 0x320; lvt <= 0x370; lvt += 0x10) {
        assert_int_equal(machine_read(v1, PAGE + lvt, 4), 0x10000);
    }
    assert_int_equal(vlapic_pending_vector(v1), -1);
}

static void test_priorities(void **state)
{
    (void)state;
    vlapic_post(v0, 0x31, false);
    vlapic_post(v0, 0x55, false);
    vlapic_post(v0, 0x5f, false);
    assert_int_equal(kicks, 3);
    vlapic_post(v0, 0x31, false);
    assert_int_equal(kicks, 3); // it knows
    assert_int_equal(machine_inject(v0), 0x5f);
    assert_int_equal(machine_read(v0, PAGE + 0xa0, 4), 0x50);
    assert_int_equal(machine_inject(v0), -1); // 0x55 is of the same class
    vlapic_post(v0, 0x60, false);
    assert_int_equal(machine_inject(v0), 0x60);
    assert_int_equal(machine_read(v0, PAGE + 0x120, 4), 1u << 31); // ISR of 0x40 to 0x5f
    assert_int_equal(machine_read(v0, PAGE + 0x130, 4), 1);
    vlapic_eoi(v0);
    assert_int_equal(machine_inject(v0), -1);
    vlapic_eoi(v0);
    assert_int_equal(machine_inject(v0), 0x55);
    vlapic_eoi(v0);
    assert_int_equal(machine_inject(v0), 0x31);
    vlapic_eoi(v0);
    vlapic_eoi(v0); // one too many
    assert_int_equal(machine_inject(v0), -1);
    assert_int_equal(vlapic_highest_pending(v0), -1);
}

// What is offered to a running guest is in service: it can be posted again, and be taken back.
static void test_offers(void **state)
{
    (void)state;
    vlapic_post(v0, 0x41, false);
    vlapic_accept(v0, 0x41);
    kicks = 0;
    vlapic_post(v0, 0x41, false);
    assert_int_equal(kicks, 1); // the first may have been taken already
    vlapic_eoi(v0);
    assert_int_equal(machine_inject(v0), 0x41);
    vlapic_eoi(v0);
    assert_int_equal(vlapic_highest_pending(v0), -1);

    vlapic_post(v0, 0x51, false);
    vlapic_post(v0, 0x31, false);
    vlapic_accept(v0, 0x51);
    vlapic_retract(v0, 0x51);
    assert_int_equal(machine_read(v0, PAGE + 0xa0, 4), 0);
    assert_int_equal(machine_inject(v0), 0x51);
    vlapic_eoi(v0);
    assert_int_equal(machine_inject(v0), 0x31);
}

static void test_task_priority(void **state)
{
    (void)state;
    vlapic_post(v0, 0x41, false);
    vlapic_set_cr8(v0, 4);
    assert_int_equal(machine_read(v0, PAGE + 0x80, 4), 0x40);
    assert_true(vlapic_may_have_pending(v0));
    assert_int_equal(vlapic_pending_vector(v0), -1);
    assert_int_equal(vlapic_highest_pending(v0), 0x41);
    machine_write(v0, PAGE + 0x80, 4, 0x3f);
    assert_int_equal(vlapic_get_cr8(v0), 3);
    assert_int_equal(machine_read(v0, PAGE + 0xa0, 4), 0x3f);
    assert_int_equal(signals[0].cr8, 3); // CR8 shows what was written to the page
    assert_int_equal(machine_inject(v0), 0x41);
    assert_int_equal(machine_read(v0, PAGE + 0xa0, 4), 0x40);
    assert_false(vlapic_may_have_pending(v0));
    vlapic_init_reset(v0);
    assert_int_equal(signals[0].cr8, 0);
}

static void test_every_vector(void **state)
{
    (void)state;
    for (unsigned int vector = 0; vector < 256; vector++) {
        vlapic_post(v0, (uint8_t)vector, vector & 1);
        if (vector < 16) {
            assert_int_equal(machine_inject(v0), -1);
            continue;
        }
        assert_int_equal((machine_read(v0, PAGE + 0x180 + vector / 32 * 16, 4) >> vector % 32) & 1,
                         vector & 1);
        assert_int_equal(machine_inject(v0), vector);
        machine_write(v0, PAGE + 0xb0, 4, 0);
        assert_int_equal(machine_inject(v0), -1);
    }
    machine_write(v0, PAGE + 0x280, 4, 0);
    assert_int_equal(machine_read(v0, PAGE + 0x280, 4), 0x40); // illegal vectors came
}

static void test_disabled(void **state)
{
    uint64_t value;

    (void)state;
    machine_write(v0, PAGE + 0x350, 4, 0x700);
    machine_write(v0, PAGE + 0xf0, 4, 0xff);
    assert_int_equal(machine_read(v0, PAGE + 0x350, 4), 0x10700); // masked now
    machine_write(v0, PAGE + 0x350, 4, 0x400);
    assert_int_equal(machine_read(v0, PAGE + 0x350, 4), 0x10400); // and stays so
    vlapic_post(v0, 0x40, false);
    assert_int_equal(vlapic_pending_vector(v0), -1);
    assert_int_equal(vlapic_deliver(d, 0, false, VLAPIC_NMI, 0, false), 1);
    assert_int_equal(signals[0].nmis, 1);

    assert_true(vlapic_write_msr(v0, VLAPIC_MSR_BASE, 0xfee00100));
    assert_int_equal(machine_read(v0, PAGE + 0x20, 4), 0xffffffff);
    machine_write(v0, PAGE + 0xf0, 4, ENABLE);
    assert_int_equal(vlapic_deliver(d, 0, false, VLAPIC_NMI, 0, false), 0);
    assert_false(vlapic_read_msr(v0, MSR(0x20), &value));
    assert_false(vlapic_write_msr(v0, VLAPIC_MSR_BASE, 0xfee00d00)); // not from disabled
    assert_true(vlapic_write_msr(v0, VLAPIC_MSR_BASE, 0xfee00900));
    assert_int_equal(machine_read(v0, PAGE + 0xf0, 4), 0xff);
}

static void test_base_msr(void **state)
{
    static const uint64_t refused[] = {0,          0xfee00500,           0xfee01900,    0xfec00900,
                                       0xfee00901, 0x1000000fee00900ull, 0x1fee00900ull};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
        assert_false(vlapic_write_msr(v0, VLAPIC_MSR_BASE, refused[i]));
    }
    to_x2apic(v0);
    assert_false(vlapic_write_msr(v0, VLAPIC_MSR_BASE, 0xfee00900)); // not back to xAPIC
    assert_int_equal(msr(v0, VLAPIC_MSR_BASE), 0xfee00d00);
    assert_true(vlapic_write_msr(v0, VLAPIC_MSR_BASE, 0xfee00000));
    assert_int_equal(msr(v0, VLAPIC_MSR_BASE), 0xfee00100); // the BSP stays it
}

static void test_x2apic(void **state)
{
    struct vcpu *v3 = d->vcpus[3];

    (void)state;
    to_x2apic(v3);
    assert_int_equal(machine_read(v3, PAGE + 0x20, 4), 0xffffffff); // no page any more
    assert_int_equal(msr(v3, MSR(0x20)), 6);
    assert_int_equal(msr(v3, MSR(0xd0)), 1 << 6);
    assert_int_equal(msr(v3, MSR(0xf0)), ENABLE); // kept
    assert_true(vlapic_write_msr(v3, MSR(0x3f0), 0x77));
    assert_int_equal(machine_inject(v3), 0x77);
    assert_true(vlapic_write_msr(v3, VLAPIC_MSR_X2APIC_EOI, 0));
    assert_int_equal(machine_inject(v3), -1);
}

static void test_x2apic_faults(void **state)
{
    static const struct {
        uint32_t reg;
        uint64_t value;
    } refused[] = {
        {0x20, 0},           {0x30, 0},         {0xa0, 0},         {0xb0, 1},
        {0xd0, 0},           {0xe0, 0},         {0x80, 0x100},     {0xf0, ~0u},
        {0x100, 0},          {0x280, 1},        {0x310, 0},        {0x300, 0x2000},
        {0x300, 1u << 20},   {0x320, 1u << 19}, {0x350, 1u << 17}, {0x370, 0x100},
        {0x380, 1ull << 32}, {0x390, 0},        {0x3e0, 0x10},     {0x3f0, 0x100},
        {0x2f0, 0},          {0x400, 0},        {0xff0, 0},
    };
    static const uint32_t unreadable[] = {0x00, 0x90, 0xb0, 0xc0, 0xe0, 0x2f0, 0x310, 0x3f0, 0xff0};
    uint64_t value;

    (void)state;
    assert_false(vlapic_read_msr(v0, MSR(0x20), &value)); // in xAPIC mode none
    assert_false(vlapic_write_msr(v0, MSR(0xb0), 0));
    to_x2apic(v0);
    for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
        assert_false(vlapic_write_msr(v0, MSR(refused[i].reg), refused[i].value));
    }
    for (size_t i = 0; i < ARRAY_SIZE(unreadable); i++) {
        assert_false(vlapic_read_msr(v0, MSR(unreadable[i]), &value));
    }
}

static void test_page_accesses(void **state)
{
    (void)state;
    assert_int_equal(machine_read(v1, PAGE + 0x23, 1), 2);
    assert_int_equal(machine_read(v1, PAGE + 0x32, 2), 5);
    assert_int_equal(machine_read(v1, PAGE + 0x24, 4), 0);
    machine_write(v1, PAGE + 0x81, 1, 0xff);
    machine_write(v1, PAGE + 0x84, 4, 0xff);
    machine_write(v1, PAGE + 0x80, 8, 0xff);
    machine_write(v1, PAGE + 0x20, 4, 0xff000000); // the id is fixed
    assert_int_equal(machine_read(v1, PAGE + 0x80, 4), 0);
    assert_int_equal(machine_read(v1, PAGE + 0x20, 4), 2 << 24);
    machine_write(v1, PAGE + 0x370, 4, 0xfe);
    assert_int_equal(machine_read(v1, PAGE + 0x3f0, 4), 0); // there is no such register
    assert_int_equal(machine_inject(v1), 0xfe);             // the error interrupt says so
    machine_write(v1, PAGE + 0x280, 4, 0);
    assert_int_equal(machine_read(v1, PAGE + 0x280, 4), 0x80);
    machine_write(v1, PAGE + 0x280, 4, 0);
    assert_int_equal(machine_read(v1, PAGE + 0x280, 4), 0);
}

static void test_destinations(void **state)
{
    (void)state;
    assert_int_equal(vlapic_deliver(d, 2, false, VLAPIC_FIXED, 0x50, false), 1);
    assert_int_equal(machine_inject(v1), 0x50);
    assert_int_equal(vlapic_deliver(d, 1, false, VLAPIC_FIXED, 0x50, false), 0);
    assert_int_equal(vlapic_deliver(d, 200, false, VLAPIC_FIXED, 0x50, false), 0);
    assert_int_equal(vlapic_deliver(d, 0xff, false, VLAPIC_FIXED, 0x61, false), 4);
    assert_int_equal(vlapic_deliver(d, 0xffffffff, false, VLAPIC_FIXED, 0x62, false), 0);
    to_x2apic(v1);
    assert_int_equal(vlapic_deliver(d, 0xff, false, VLAPIC_FIXED, 0x63, false), 4);
    assert_int_equal(vlapic_deliver(d, 0xffffffff, false, VLAPIC_FIXED, 0x64, false), 1);
    assert_int_equal(vlapic_deliver(d, 0, false, VLAPIC_SMI, 0, false), 0);
    assert_int_equal(vlapic_deliver(d, 0, false, VLAPIC_EXTINT, 0, false), 0);
    assert_int_equal(vlapic_deliver(d, 0, false, 3, 0x50, false), 0);
}

static void test_logical_destinations(void **state)
{
    (void)state;
    for (unsigned int i = 0; i < 4; i++) { // flat
        machine_write(d->vcpus[i], PAGE + 0xd0, 4, 1u << (24 + i));
    }
    assert_int_equal(vlapic_deliver(d, 0x5, true, VLAPIC_FIXED, 0x50, false), 2);
    assert_int_equal(machine_inject(d->vcpus[2]), 0x50);
    assert_int_equal(machine_inject(v1), -1);
    for (unsigned int i = 0; i < 4; i++) { // cluster: 1.0, 1.1, 2.0, 2.1
        machine_write(d->vcpus[i], PAGE + 0xe0, 4, 0);
        machine_write(d->vcpus[i], PAGE + 0xd0, 4, (1 + i / 2) << 28 | 1u << (24 + i % 2));
    }
    assert_int_equal(vlapic_deliver(d, 0x23, true, VLAPIC_FIXED, 0x51, false), 2);
    assert_int_equal(vlapic_deliver(d, 0x12, true, VLAPIC_FIXED, 0x52, false), 1);
    assert_int_equal(vlapic_deliver(d, 0xff, true, VLAPIC_FIXED, 0x53, false), 4);
    machine_write(v0, PAGE + 0xe0, 4, 0x70000000); // no model
    assert_int_equal(vlapic_deliver(d, 0x11, true, VLAPIC_FIXED, 0x54, false), 0);
    to_x2apic(v0);
    to_x2apic(v1);
    assert_int_equal(vlapic_deliver(d, 0x5, true, VLAPIC_FIXED, 0x55, false), 2);
    assert_int_equal(vlapic_deliver(d, 0x10005, true, VLAPIC_FIXED, 0x55, false), 0);
}

static void test_lowest_priority(void **state)
{
    unsigned int taken[4] = {0};

    (void)state;
    vlapic_set_tpr(d->vcpus[0], 0x20);
    vlapic_set_tpr(d->vcpus[3], 0x10);
    for (unsigned int i = 0; i < 10; i++) {
        assert_int_equal(vlapic_deliver(d, 0xff, false, VLAPIC_LOWEST_PRIORITY, 0x41, false), 1);
        for (unsigned int n = 0; n < 4; n++) {
            if (machine_inject(d->vcpus[n]) == 0x41) {
                taken[n]++;
                vlapic_eoi(d->vcpus[n]);
            }
        }
    }
    assert_int_equal(taken[0] + taken[3], 0);
    assert_true(taken[1] >= 3 && taken[2] >= 3); // in turns
    for (unsigned int n = 0; n < 4; n++) {
        machine_write(d->vcpus[n], PAGE + 0xf0, 4, 0xff);
    }
    assert_int_equal(vlapic_deliver(d, 0xff, false, VLAPIC_LOWEST_PRIORITY, 0x41, false), 0);
}

static void test_msi(void **state)
{
    (void)state;
    assert_int_equal(vlapic_deliver_msi(d, 0xfee02000, 0x4071), 1);
    assert_int_equal(machine_inject(v1), 0x71);
    assert_int_equal(vlapic_deliver_msi(d, 0xfee02020, 0x4071), 0); // destination 0x102
    assert_int_equal(vlapic_deliver_msi(d, 0xfed00000, 0x4071), -XEN_EINVAL);
    assert_int_equal(vlapic_deliver_msi(d, 0x1fee00000ull, 0x4071), -XEN_EINVAL);
    assert_int_equal(vlapic_deliver_msi(d, 0xfee00000, 0x400), 1);
    assert_int_equal(signals[0].nmis, 1);
}

static void test_ipis(void **state)
{
    (void)state;
    machine_write(v0, PAGE + 0x310, 4, 2 << 24);
    machine_write(v0, PAGE + 0x300, 4, 0x4500);
    assert_int_equal(signals[1].inits, 1);
    machine_write(v0, PAGE + 0x300, 4, 0x8500); // level de-assert
    assert_int_equal(signals[1].inits, 1);
    machine_write(v0, PAGE + 0x300, 4, 0x4608);
    assert_int_equal(signals[1].starts, 1);
    assert_int_equal(signals[1].start_vector, 8);
    machine_write(v0, PAGE + 0x300, 4, 0x40f1);
    assert_int_equal(machine_inject(v1), 0xf1);
    assert_int_equal(machine_read(v0, PAGE + 0x300, 4), 0x40f1);
    machine_write(v0, PAGE + 0x300, 4, 0x440f0); // self
    assert_int_equal(machine_inject(v0), 0xf0);
    machine_write(v0, PAGE + 0x300, 4, 0x840f2); // all
    machine_write(v0, PAGE + 0x300, 4, 0xc4400); // NMI to all others
    for (unsigned int i = 0; i < 4; i++) {
        assert_int_equal(vlapic_highest_pending(d->vcpus[i]), 0xf2);
        assert_int_equal(signals[i].nmis, i != 0);
    }
    machine_write(v0, PAGE + 0x300, 4, 0x4008); // no such vector
    machine_write(v0, PAGE + 0x280, 4, 0);
    assert_int_equal(machine_read(v0, PAGE + 0x280, 4), 0x20);
}

static void test_x2apic_ipi(void **state)
{
    (void)state;
    for (unsigned int i = 0; i < 4; i++) {
        to_x2apic(d->vcpus[i]);
    }
    assert_true(vlapic_write_msr(v0, MSR(0x300), 4ull << 32 | 0x40f3));
    assert_int_equal(machine_inject(d->vcpus[2]), 0xf3);
    assert_int_equal(msr(v0, MSR(0x300)), 4ull << 32 | 0x40f3);
    assert_true(vlapic_write_msr(v0, MSR(0x300), 0x44ull << 32 | 0x48f4)); // logical
    assert_int_equal(machine_inject(v1), 0xf4);
    assert_int_equal(vlapic_pending_vector(d->vcpus[2]), -1); // 0xf3 is in service
    assert_true(vlapic_write_msr(v0, MSR(0x3f0), 0x01));      // an illegal vector to itself
    assert_true(vlapic_write_msr(v0, MSR(0x280), 0));
    assert_int_equal(msr(v0, MSR(0x280)), 0x20);
}

static void test_save_and_load(void **state)
{
    struct hvm_hw_lapic saved, bad;
    struct hvm_hw_lapic_regs page, bad_page;

    (void)state;
    to_x2apic(v1);
    vlapic_set_tpr(v1, 0x20);
    vlapic_post(v1, 0x41, true);
    vlapic_post(v1, 0x95, false);
    assert_int_equal(machine_inject(v1), 0x95);
    assert_true(vlapic_write_msr(v1, MSR(0x3e0), 0xb)); // by 1
    assert_true(vlapic_write_msr(v1, MSR(0x320), 0x200ee));
    assert_true(vlapic_write_msr(v1, MSR(0x380), 100000)); // 1 ms
    machine_run_until(machine_time + 300000);
    vlapic_save(v1, &saved, &page);
    assert_int_equal(saved.apic_base_msr, 0xfee00c00);
    assert_int_equal(saved.timer_divisor, 1);
    assert_int_equal(saved.disabled, 0);

    vlapic_reset(v1);
    assert_int_equal(machine_timers(), 0);
    bad = saved;
    bad.apic_base_msr = 0xfee00400;
    assert_int_equal(vlapic_load(v1, &bad, NULL), -XEN_EINVAL);
    bad_page = page;
    bad_page.data[0x200] = 1;
    assert_int_equal(vlapic_load(v1, &saved, &bad_page), -XEN_EINVAL);
    assert_int_equal(msr(v1, VLAPIC_MSR_BASE), 0xfee00800); // nothing was taken

    assert_int_equal(vlapic_load(v1, &saved, NULL), 0);
    assert_int_equal(vlapic_load(v1, NULL, &page), 0);
    assert_int_equal(msr(v1, MSR(0x20)), 2);
    assert_int_equal(vlapic_get_tpr(v1), 0x20);
    assert_int_equal(vlapic_pending_vector(v1), -1);
    vlapic_eoi(v1);
    assert_int_equal(msr(v1, MSR(0x1a0)), 2); // TMR of 0x41
    assert_int_equal(machine_inject(v1), 0x41);
    vlapic_eoi(v1);
    machine_run_until(machine_time + 699000);
    assert_int_equal(machine_inject(v1), -1);
    machine_run_until(machine_time + 1000); // 1 ms after the start
    assert_int_equal(machine_inject(v1), 0xee);
}

// Posters on other threads, the vcpu on this one: nothing stays in IRR without being found.
#define POSTS 200000u

static void *post_many(void *data)
{
    uint32_t random = (uint32_t)(uintptr_t)data;

    for (unsigned int i = 0; i < POSTS; i++) {
        random = random * 1664525 + 1013904223;
        vlapic_post(v0, (uint8_t)(16 + (random >> 24) % 240), false);
    }
    return NULL;
}

static void test_concurrent_posts(void **state)
{
    pthread_t threads[2];
    unsigned int taken = 0;

    (void)state;
    for (uintptr_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, post_many, (void *)(i + 1)), 0);
    }
    for (unsigned int i = 0; i < POSTS; i++) {
        while (machine_inject(v0) >= 0) {
            vlapic_eoi(v0);
            taken++;
        }
    }
    for (unsigned int i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    while (machine_inject(v0) >= 0) {
        vlapic_eoi(v0);
        taken++;
    }
    // Each kick is one interrupt that was not pending before.
    assert_int_equal(taken, kicks);
    for (unsigned int i = 0; i < 8; i++) {
        assert_int_equal(machine_read(v0, PAGE + 0x200 + i * 16, 4), 0);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_reset_state),     TEST(test_priorities),    TEST(test_offers),
        TEST(test_task_priority),   TEST(test_every_vector),  TEST(test_disabled),
        TEST(test_base_msr),        TEST(test_x2apic),        TEST(test_x2apic_faults),
        TEST(test_page_accesses),   TEST(test_destinations),  TEST(test_logical_destinations),
        TEST(test_lowest_priority), TEST(test_msi),           TEST(test_ipis),
        TEST(test_x2apic_ipi),      TEST(test_save_and_load), TEST(test_concurrent_posts),
    };

    return cmocka_run_group_tests_name("vlapic", tests, NULL, NULL);
}
