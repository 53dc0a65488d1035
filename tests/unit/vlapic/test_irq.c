// SPDX-License-Identifier: Apache-2.0
// Vectors and physical I/O APIC lines.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "machine.h"

#include <bulkhead/cpu.h>
#include <x86/ioapic.h>
#include <x86/irq.h>

#define VECTORS (0xf0 - 0x20)

static unsigned int handled, reprogrammed;

static int setup(void **state)
{
    (void)state;
    machine_reset(0x20);
    handled = reprogrammed = 0;
    ioapic_remap = NULL;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    machine_end();
    return 0;
}

static void handle(void *data)
{
    (*(unsigned int *)data)++;
}

static void reprogram(struct irq *irq, void *data)
{
    (void)irq;
    assert_ptr_equal(data, &handled);
    reprogrammed++;
}

static void test_vectors(void **state)
{
    static struct irq *irqs[MACHINE_CPUS * VECTORS];
    static bool seen[MACHINE_CPUS][256];

    (void)state;
    for (unsigned int i = 0; i < ARRAY_SIZE(irqs); i++) {
        irqs[i] = irq_create(handle, &handled);
        assert_non_null(irqs[i]);
        assert_true(irq_vector(irqs[i]) >= 0x20 && irq_vector(irqs[i]) <= 0xef);
        assert_false(seen[irq_cpu(irqs[i])][irq_vector(irqs[i])]);
        assert_int_equal(irq_destination_apic_id(irqs[i]), 4 * irq_cpu(irqs[i]));
        seen[irq_cpu(irqs[i])][irq_vector(irqs[i])] = true;
        if (i == 3) { // spread over CPUs and priority classes
            assert_int_not_equal(irq_cpu(irqs[0]), irq_cpu(irqs[1]));
            assert_int_not_equal(irq_vector(irqs[0]) >> 4, irq_vector(irqs[2]) >> 4);
        }
    }
    assert_null(irq_create(handle, &handled));
    for (unsigned int i = 0; i < ARRAY_SIZE(irqs); i++) {
        irq_destroy(irqs[i]);
    }
}

static void test_interrupt(void **state)
{
    struct irq *irq = irq_create(handle, &handled);
    uint8_t vector = irq_vector(irq);

    (void)state;
    test_cpu = cpus[irq_cpu(irq)];
    irq_interrupt(vector);
    assert_int_equal(handled, 1);
    assert_int_equal(machine_eois, 1);
    test_cpu = cpus[!irq_cpu(irq)]; // the same vector there is another
    log_lines = 0;
    irq_interrupt(vector);
    assert_int_equal(handled, 1);
    assert_int_equal(machine_eois, 2);
    assert_int_equal(log_lines, 1);
    for (unsigned int i = 0; i < 100000; i++) {
        irq_interrupt(vector);
    }
    assert_true(log_lines < 20);
    test_cpu = cpus[irq_cpu(irq)];
    irq_destroy(irq);
    irq_interrupt(vector);
    assert_int_equal(handled, 1);
}

static void test_affinity(void **state)
{
    struct irq *irq = irq_create(handle, &handled);
    unsigned int from = irq_cpu(irq), to = !from;
    uint8_t vector = irq_vector(irq);

    (void)state;
    assert_int_equal(irq_set_affinity(irq, to), -XEN_EINVAL); // nobody could reprogram it
    irq_set_reprogram(irq, reprogram);
    assert_int_equal(irq_set_affinity(irq, 77), -XEN_EINVAL);
    assert_int_equal(irq_set_affinity(irq, to), 0);
    assert_int_equal(reprogrammed, 1);
    assert_int_equal(irq_cpu(irq), to);
    test_cpu = cpus[from];
    irq_interrupt(vector); // was under way
    test_cpu = cpus[to];
    irq_interrupt(irq_vector(irq));
    assert_int_equal(handled, 2);
    cpus[0]->arch.apic_id = 300; // not to be reached without remapping
    assert_int_equal(irq_set_affinity(irq, 0), to == 0 ? 0 : -XEN_EINVAL);
    irq_allow_wide_destinations();
    assert_int_equal(irq_set_affinity(irq, from), 0);
    cpus[0]->arch.apic_id = 0;
    irq_destroy(irq);
}

static void test_no_memory(void **state)
{
    (void)state;
    heap_allowed = 0;
    assert_null(irq_create(handle, &handled));
    assert_int_equal(ioapic_bind(5, false, false, handle, &handled), -XEN_ENOSPC);
    heap_allowed = ~0u;
    assert_int_equal(ioapic_bind(5, false, false, handle, &handled), 0);
}

static void test_edge_line(void **state)
{
    (void)state;
    assert_int_equal(ioapic_bind(4, false, false, handle, &handled), 0);
    assert_int_equal(machine_entry(4) & 0x1ff00, 0);
    machine_pulse(4);
    machine_pulse(4);
    assert_int_equal(handled, 2);
    ioapic_mask(4);
    machine_pulse(4);
    assert_int_equal(handled, 2);
    ioapic_unmask(4);
    machine_pulse(4);
    assert_int_equal(handled, 3);
    ioapic_unbind(4);
    assert_int_equal(machine_entry(4), 0x10000);
    machine_pulse(4);
    assert_int_equal(handled, 3);
}

static void test_level_line(void **state)
{
    (void)state;
    assert_int_equal(ioapic_bind(40, true, true, handle, &handled), 0);
    assert_int_equal(machine_entry(40) & 0x1a000, 0xa000);
    machine_line(40, true);
    assert_int_equal(handled, 1); // masked: no storm
    assert_true(machine_entry(40) & 0x10000);
    machine_interrupts_off = true;
    ioapic_unmask(40);
    machine_interrupts_off = false;
    machine_line(40, true); // still up: fires again
    assert_int_equal(handled, 2);
    machine_line(40, false);
    ioapic_unmask(40);
    assert_int_equal(handled, 2);
    machine_line(40, true);
    assert_int_equal(handled, 3);
    // Taken away unserved, and bound anew by another.
    ioapic_unbind(40);
    assert_int_equal(ioapic_bind(40, true, true, handle, &handled), 0);
    machine_line(40, true);
    assert_int_equal(handled, 4);
}

static void test_bind_errors(void **state)
{
    (void)state;
    assert_int_equal(ioapic_bind(MACHINE_LINES, true, true, handle, &handled), -XEN_ENOENT);
    assert_int_equal(ioapic_bind(~0u, true, true, handle, &handled), -XEN_ENOENT);
    assert_int_equal(ioapic_bind(7, false, false, handle, &handled), 0);
    assert_int_equal(ioapic_bind(7, false, false, handle, &handled), -XEN_EBUSY);
    assert_int_equal(ioapic_bind_guest(7, false, false, handle, &handled), -XEN_EBUSY);
    // The interval timer's line is the hypervisor's.
    assert_int_equal(ioapic_bind_guest(2, false, false, handle, &handled), -XEN_EPERM);
    assert_int_equal(ioapic_bind(2, false, false, handle, &handled), 0);
    ioapic_unbind(2);
    assert_int_equal(ioapic_bind_guest(2, false, false, handle, &handled), -XEN_EPERM);
    ioapic_unbind(9); // not bound: nothing
    ioapic_mask(9);
    ioapic_unmask(MACHINE_LINES);
    assert_int_equal(ioapic_set_affinity(9, 0), -XEN_ENOENT);
    assert_int_equal(ioapic_set_trigger(9, true, true), -XEN_ENOENT);
}

static void test_change_trigger(void **state)
{
    (void)state;
    assert_int_equal(ioapic_bind(9, false, false, handle, &handled), 0);
    assert_int_equal(ioapic_set_trigger(9, true, false), 0);
    assert_int_equal(machine_entry(9) & 0x1a000, 0x8000);
    machine_line(9, true);
    assert_int_equal(handled, 1);
    assert_int_equal(ioapic_set_trigger(9, false, true), 0);
    assert_int_equal(machine_entry(9) & 0x1e000, 0x2000);
}

static void test_line_affinity(void **state)
{
    (void)state;
    assert_int_equal(ioapic_bind(6, false, false, handle, &handled), 0);
    for (unsigned int cpu = 0; cpu < 2; cpu++) {
        assert_int_equal(ioapic_set_affinity(6, cpu), 0);
        assert_int_equal(machine_entry(6) >> 56, cpu * 4);
        machine_pulse(6);
        assert_int_equal(handled, cpu + 1);
    }
}

// Remapping: the entry holds an index that is not the vector.
static unsigned int remap_entries;

static int remap(uint8_t ioapic_id, unsigned int pin, const struct ioapic_route *route,
                 uint64_t *rte)
{
    if (!route) {
        remap_entries--;
        return 0;
    }
    if (pin == 13) {
        return -XEN_ENOSPC;
    }
    remap_entries += *rte == 0;
    *rte = (uint64_t)ioapic_id << 48 | pin | 0x10000;
    return 0;
}

static void test_remapping(void **state)
{
    (void)state;
    assert_int_equal(ioapic_bind(10, true, true, handle, &handled), 0);
    ioapic_remap = remap;
    ioapic_reprogram();
    assert_int_equal(machine_entry(10) & 0x1ffff, 0xa000 | 10);
    remap_entries = 1;
    assert_int_equal(ioapic_bind(MACHINE_PINS + 11, true, true, handle, &handled), 0);
    assert_int_equal(machine_entry(MACHINE_PINS + 11), 1ull << 48 | 0xa000 | 11);
    assert_int_equal(remap_entries, 2);
    assert_int_equal(ioapic_bind(13, false, false, handle, &handled), -XEN_ENOSPC);
    assert_true(machine_entry(13) & 0x10000);
    ioapic_unbind(10);
    ioapic_unbind(MACHINE_PINS + 11);
    assert_int_equal(remap_entries, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_vectors),     TEST(test_interrupt),      TEST(test_affinity),
        TEST(test_no_memory),   TEST(test_edge_line),      TEST(test_level_line),
        TEST(test_bind_errors), TEST(test_change_trigger), TEST(test_line_affinity),
        TEST(test_remapping),
    };

    return cmocka_run_group_tests_name("device interrupts", tests, NULL, NULL);
}
