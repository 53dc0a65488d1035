// SPDX-License-Identifier: Apache-2.0
// Virtual I/O APICs: driven by virtual wires, and bound to physical lines.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "machine.h"

#include <xen/hvm/save.h>
#include <x86/ioapic.h>
#include <x86/vioapic.h>

#define LEVEL 0x8000u
#define LOW 0x2000u
#define MASKED 0x10000u
#define REMOTE 0x4000u
#define SECOND 0xfec01000ul // the other chip of domain 0

static struct domain *d;
static struct vcpu *v;

static int setup(void **state)
{
    (void)state;
    machine_reset(0x11);
    d = machine_domain(2);
    v = d->vcpus[0];
    machine_write(v, VLAPIC_DEFAULT_BASE + 0xf0, 4, 0x1ff);
    machine_write(d->vcpus[1], VLAPIC_DEFAULT_BASE + 0xf0, 4, 0x1ff);
    return 0;
}

static int setup_guest(void **state)
{
    setup(state);
    return vioapic_create(d);
}

static int setup_domain0(void **state)
{
    setup(state);
    return vioapic_create_domain0(d);
}

static int teardown(void **state)
{
    (void)state;
    vioapic_destroy(d);
    machine_domain_free(d);
    for (unsigned int gsi = 0; gsi < MACHINE_LINES; gsi++) {
        if (machine_entry(gsi) != 0x10000) {
            return -1; // still bound
        }
    }
    return 0;
}

static uint32_t read_index(uint64_t chip, unsigned int index)
{
    machine_write(v, chip, 4, index);
    return (uint32_t)machine_read(v, chip + 0x10, 4);
}

static void write_index(uint64_t chip, unsigned int index, uint32_t value)
{
    machine_write(v, chip, 4, index);
    machine_write(v, chip + 0x10, 4, value);
}

static void set_entry(unsigned int pin, uint32_t low)
{
    write_index(VIOAPIC_DEFAULT_BASE, 0x11 + 2 * pin, 0);
    write_index(VIOAPIC_DEFAULT_BASE, 0x10 + 2 * pin, low);
}

static uint32_t entry(unsigned int pin)
{
    return read_index(VIOAPIC_DEFAULT_BASE, 0x10 + 2 * pin);
}

static void test_registers(void **state)
{
    const uint64_t chip = VIOAPIC_DEFAULT_BASE;

    (void)state;
    assert_int_equal(read_index(chip, 1), 0x11 | 47 << 16);
    write_index(chip, 0, 0xffffffff);
    assert_int_equal(read_index(chip, 0), 0x0f000000);
    assert_int_equal(read_index(chip, 2), 0x0f000000);
    assert_int_equal(entry(47), MASKED);
    write_index(chip, 0x10 + 96, 0); // behind the last pin
    assert_int_equal(read_index(chip, 0x10 + 96), 0);
    assert_int_equal(read_index(chip, 0xff), 0);
    assert_int_equal(read_index(chip, 5), 0);
    set_entry(3, 0xffffffff);
    assert_int_equal(entry(3), 0x1afff);
    write_index(chip, 0x11 + 6, 0xffffffff);
    assert_int_equal(read_index(chip, 0x11 + 6), 0xff000000);
    machine_write(v, chip, 4, 1);
    assert_int_equal(machine_read(v, chip + 0x10, 1), 0x11);
    assert_int_equal(machine_read(v, chip + 0x12, 2), 47);
    assert_int_equal(machine_read(v, chip + 0x12, 4), 0);
    assert_int_equal(machine_read(v, chip, 1), 1);
    assert_int_equal(machine_read(v, chip + 0x20, 4), 0);
    machine_write(v, chip + 0x40, 4, 0x40); // version 0x11 has no EOI register
}

static void test_edge(void **state)
{
    (void)state;
    vioapic_set_line(d, 5, true); // masked: lost
    vioapic_set_line(d, 5, false);
    set_entry(5, 0x51);
    assert_int_equal(machine_inject(v), -1);
    vioapic_set_line(d, 5, true);
    vioapic_set_line(d, 5, true);
    assert_int_equal(machine_inject(v), 0x51);
    vlapic_eoi(v);
    assert_int_equal(machine_inject(v), -1);
    vioapic_set_line(d, 5, false);
    vioapic_set_line(d, 5, true);
    assert_int_equal(machine_inject(v), 0x51);
    assert_int_equal(entry(5), 0x51);
    vioapic_set_line(d, 48, true); // no such lines
    vioapic_set_line(d, ~0u, true);
}

static void test_level(void **state)
{
    (void)state;
    set_entry(20, LEVEL | 0x61);
    vioapic_set_line(d, 20, true);
    assert_int_equal(entry(20), LEVEL | REMOTE | 0x61);
    assert_int_equal(machine_inject(v), 0x61);
    vioapic_set_line(d, 20, false);
    vioapic_set_line(d, 20, true); // not served yet: no second one
    assert_int_equal(machine_inject(v), -1);
    vlapic_eoi(v); // still up
    assert_int_equal(machine_inject(v), 0x61);
    vioapic_set_line(d, 20, false);
    vlapic_eoi(v);
    assert_int_equal(machine_inject(v), -1);
    assert_int_equal(entry(20), LEVEL | 0x61);
    set_entry(20, LEVEL | MASKED | 0x61); // while masked it waits
    vioapic_set_line(d, 20, true);
    assert_int_equal(machine_inject(v), -1);
    set_entry(20, LEVEL | 0x61);
    assert_int_equal(machine_inject(v), 0x61);
    // Software clears a stuck remote IRR by way of an edge.
    set_entry(20, MASKED | 0x61);
    assert_int_equal(entry(20), MASKED | 0x61);
    vioapic_set_line(d, 20, false);
    set_entry(20, LEVEL | 0x61);
    assert_int_equal(entry(20), LEVEL | 0x61);
}

static void test_shared_vector(void **state)
{
    (void)state;
    set_entry(16, LEVEL | 0x70);
    set_entry(17, LEVEL | 0x70);
    vioapic_set_line(d, 16, true);
    vioapic_set_line(d, 17, true);
    assert_int_equal(machine_inject(v), 0x70);
    vioapic_set_line(d, 16, false);
    vlapic_eoi(v);
    assert_int_equal(machine_inject(v), 0x70); // 17 is still up
    vioapic_set_line(d, 17, false);
    vlapic_eoi(v);
    assert_int_equal(machine_inject(v), -1);
}

static void test_delivery_modes(void **state)
{
    (void)state;
    set_entry(1, 0x400);
    vioapic_set_line(d, 1, true);
    assert_int_equal(signals[0].nmis, 1);
    set_entry(2, 0x500); // INIT, by a wire: no
    vioapic_set_line(d, 2, true);
    assert_int_equal(signals[0].inits, 0);
    write_index(VIOAPIC_DEFAULT_BASE, 0x11 + 6, 2 << 24);
    write_index(VIOAPIC_DEFAULT_BASE, 0x10 + 6, 0x44);
    vioapic_set_line(d, 3, true);
    assert_int_equal(machine_inject(d->vcpus[1]), 0x44);
    // Nobody takes it: it waits, not delivered.
    write_index(VIOAPIC_DEFAULT_BASE, 0x11 + 8, 0x80u << 24);
    write_index(VIOAPIC_DEFAULT_BASE, 0x10 + 8, LEVEL | 0x45);
    vioapic_set_line(d, 4, true);
    assert_int_equal(entry(4), LEVEL | 0x45);
    write_index(VIOAPIC_DEFAULT_BASE, 0x11 + 8, 0);
    assert_int_equal(machine_inject(v), 0x45);
}

static void test_bound_line(void **state)
{
    (void)state;
    assert_int_equal(vioapic_bind_line(d, 32, 21), 0);
    assert_int_equal(vioapic_bind_line(d, 32, 22), -XEN_EEXIST);
    assert_int_equal(vioapic_bind_line(d, 33, 21), -XEN_EBUSY);
    assert_int_equal(vioapic_bind_line(d, 48, 22), -XEN_ENOENT);
    set_entry(32, LEVEL | LOW | 0x81);
    machine_line(21, true);
    assert_int_equal(machine_inject(v), 0x81);
    assert_true(machine_entry(21) & MASKED); // until the guest is done
    machine_line(21, false);
    machine_interrupts_off = true;
    vlapic_eoi(v);
    assert_false(machine_entry(21) & MASKED);
    machine_interrupts_off = false;
    assert_int_equal(machine_inject(v), -1);
    machine_line(21, true);
    vlapic_accept(v, 0x81);
    vlapic_eoi(v);          // without having served the device
    machine_line(21, true); // which still asserts
    assert_int_equal(machine_inject(v), 0x81);
    vioapic_unbind_line(d, 32);
    assert_int_equal(machine_entry(21), MASKED);
    assert_int_equal(vioapic_bind_line(d, 33, 21), 0);
}

static void test_domain0_edge(void **state)
{
    (void)state;
    assert_int_equal(vioapic_gsi_count(d), MACHINE_LINES);
    assert_int_equal(read_index(VIOAPIC_DEFAULT_BASE, 1), 0x11 | 23 << 16);
    assert_int_equal(read_index(SECOND, 0), 1 << 24);
    assert_int_equal(machine_entry(8), MASKED); // nothing is bound yet
    set_entry(8, 0x58);
    assert_false(machine_entry(8) & (MASKED | LEVEL));
    machine_pulse(8);
    assert_int_equal(machine_inject(v), 0x58);
    vlapic_eoi(v);
    set_entry(8, MASKED | 0x58);
    machine_pulse(8);
    assert_int_equal(machine_inject(v), -1);
}

static void test_domain0_level(void **state)
{
    (void)state;
    write_index(SECOND, 0x11, 2 << 24);
    write_index(SECOND, 0x10, LEVEL | LOW | 0x99);
    assert_int_equal(machine_entry(MACHINE_PINS) & 0x1a000, LEVEL | LOW);
    machine_line(MACHINE_PINS, true);
    assert_int_equal(machine_inject(d->vcpus[1]), 0x99);
    assert_true(machine_entry(MACHINE_PINS) & MASKED);
    machine_line(MACHINE_PINS, false);
    vlapic_eoi(d->vcpus[1]);
    assert_false(machine_entry(MACHINE_PINS) & MASKED);
    // The kernel masks it while its handler thread works, and acknowledges.
    machine_line(MACHINE_PINS, true);
    assert_int_equal(machine_inject(d->vcpus[1]), 0x99);
    write_index(SECOND, 0x10, LEVEL | LOW | MASKED | 0x99);
    vlapic_eoi(d->vcpus[1]);
    machine_line(MACHINE_PINS, true); // still up, comes in once, and waits
    assert_int_equal(machine_inject(d->vcpus[1]), -1);
    machine_line(MACHINE_PINS, false);
    write_index(SECOND, 0x10, LEVEL | LOW | 0x99);
    assert_int_equal(machine_inject(d->vcpus[1]), 0x99);
    vlapic_eoi(d->vcpus[1]);
    assert_int_equal(machine_inject(d->vcpus[1]), -1);
}

static void test_domain0_trigger_change(void **state)
{
    (void)state;
    set_entry(9, 0x59);
    set_entry(9, LEVEL | 0x59);
    assert_int_equal(machine_entry(9) & 0x1a000, LEVEL);
    machine_line(9, true);
    assert_int_equal(machine_inject(v), 0x59);
    set_entry(9, 0x59); // back to edge before the EOI
    vlapic_eoi(v);
    machine_line(9, false);
    machine_line(9, true);
    assert_int_equal(machine_inject(v), 0x59);
    vlapic_eoi(v);
    machine_line(9, false);
    set_entry(9, LEVEL | 0x59);
    machine_line(9, true);
    assert_int_equal(machine_inject(v), 0x59);
}

static void test_debug_keys(void **state)
{
    (void)state;
    domain0 = d;
    set_entry(8, LEVEL | 0x58);
    machine_line(8, true);
    log_lines = 0;
    debug_keys['Z']();
    assert_int_equal(log_lines, 1);
    debug_keys['z'](); // and the line that is reserved
    assert_int_equal(log_lines, 3);
    debug_keys['i'](); // and the sum
    assert_int_equal(log_lines, 5);
}

static void ignore(void *data)
{
    (void)data;
}

static void test_domain0_reserved(void **state)
{
    (void)state;
    assert_int_equal(ioapic_bind(4, false, false, ignore, NULL), 0); // the serial console
    set_entry(4, 0x54);
    machine_pulse(4);
    assert_int_equal(machine_inject(v), -1);
    set_entry(2, 0x52); // the interval timer
    assert_int_equal(machine_entry(2), MASKED);
    assert_int_equal(entry(2), 0x52); // looks like any other
    ioapic_unbind(4);
}

static void test_reset(void **state)
{
    (void)state;
    set_entry(8, LEVEL | 0x58);
    machine_line(8, true);
    vioapic_reset(d);
    assert_int_equal(entry(8), MASKED);
    assert_int_equal(machine_entry(8), MASKED);
    vlapic_reset(v);
    machine_write(v, VLAPIC_DEFAULT_BASE + 0xf0, 4, 0x1ff);
    set_entry(8, LEVEL | 0x58);
    assert_int_equal(machine_inject(v), 0x58); // the line is up all the time
}

static void test_save_and_load(void **state)
{
    struct hvm_hw_vioapic record;

    (void)state;
    set_entry(20, LEVEL | 0x61);
    vioapic_set_line(d, 20, true);
    assert_int_equal(vioapic_save(d, &record), 0);
    assert_int_equal(record.redirtbl[20].bits, LEVEL | REMOTE | 0x61);
    vioapic_set_line(d, 20, false);
    vioapic_reset(d);
    assert_int_equal(vioapic_load(d, &record), 0);
    assert_int_equal(entry(20), LEVEL | REMOTE | 0x61);
    assert_int_equal(machine_inject(v), 0x61);
    vlapic_eoi(v);
    assert_int_equal(entry(20), LEVEL | 0x61);
    record.base_address++;
    assert_int_equal(vioapic_load(d, &record), -XEN_EINVAL);
}

static void test_no_memory(void **state)
{
    unsigned int before = heap_blocks;

    (void)state;
    for (unsigned int allowed = 0; allowed < 3; allowed++) {
        heap_allowed = allowed;
        assert_int_equal(vioapic_create_domain0(d), -XEN_ENOMEM);
        heap_allowed = MIN(allowed, 1u);
        assert_int_equal(vioapic_create(d), -XEN_ENOMEM);
    }
    heap_allowed = ~0u;
    assert_int_equal(heap_blocks, before);
    assert_null(d->arch.vioapic);
}

#define GUEST(name) cmocka_unit_test_setup_teardown(name, setup_guest, teardown)
#define DOMAIN0(name) cmocka_unit_test_setup_teardown(name, setup_domain0, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        GUEST(test_registers),
        GUEST(test_edge),
        GUEST(test_level),
        GUEST(test_shared_vector),
        GUEST(test_delivery_modes),
        GUEST(test_bound_line),
        GUEST(test_save_and_load),
        DOMAIN0(test_domain0_edge),
        DOMAIN0(test_domain0_level),
        DOMAIN0(test_domain0_trigger_change),
        DOMAIN0(test_domain0_reserved),
        DOMAIN0(test_debug_keys),
        DOMAIN0(test_reset),
        cmocka_unit_test_setup_teardown(test_no_memory, setup, teardown),
    };

    return cmocka_run_group_tests_name("vioapic", tests, NULL, NULL);
}
