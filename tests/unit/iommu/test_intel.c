// SPDX-License-Identifier: Apache-2.0
// Intel's driver on a fake unit: what the context and interrupt tables say at each moment, what is
// flushed, what is said about faults. The driver's state is set up once, as on a machine; tests run
// in order.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <bulkhead/errno.h>
#include <x86/ioapic.h>

#include "fake_intel.h"
#include "iommu_private.h"

#define CAP                                                                                        \
    (6UL | INTEL_CAP_39BIT | INTEL_CAP_2M | INTEL_CAP_1G | INTEL_CAP_PAGE_SELECTIVE | 9UL << 48 |  \
     INTEL_CAP_PROTECTED_LOW | INTEL_CAP_CACHING | INTEL_CAP_DRAIN_READS)
#define ECAP (INTEL_ECAP_QUEUE | INTEL_ECAP_REMAPPING)
#define SECOND_TICKS 1000u // now() advances by a millisecond

extern ns_t now(void);

static struct dmar_image dmar;

static int start(uint64_t cap, uint64_t ecap)
{
    fake_table = dmar.bytes;
    fake_table_length = dmar.length;
    fake_intel_start(cap, ecap);
    return iommu_init();
}

static int before_each(void **state)
{
    (void)state;
    fake_descriptor_count = 0;
    fake_log[0] = 0;
    return 0;
}

static bool was_executed(uint64_t low, uint64_t high)
{
    for (unsigned int i = 0; i < fake_descriptor_count; i++) {
        if (fake_descriptors[i].q[0] == low && fake_descriptors[i].q[1] == high) {
            return true;
        }
    }
    return false;
}

static void refused(uint64_t cap, uint64_t ecap, int error, const char *why)
{
    fake_log[0] = 0;
    assert_int_equal(start(cap, ecap), error);
    assert_non_null(strstr(fake_log, why));
    assert_false(iommu_enabled());
}

// Machines that cannot be used, each said in a sentence.
static void test_refused_machines(void **state)
{
    (void)state;
    fake_table_length = 0;
    assert_int_equal(iommu_init(), -XEN_ENODEV);
    dmar_begin(&dmar, 1);
    refused(CAP, ECAP, -XEN_EINVAL, "DMAR is wrong: it describes no IOMMU");
    dmar_begin(&dmar, 0);
    dmar_unit(&dmar, 1, 0, 0xfed80000);
    refused(CAP, ECAP, -XEN_EINVAL, "interrupts cannot be remapped");
    dmar_begin(&dmar, 1);
    dmar_unit(&dmar, 1, 0, 0x7f000000);
    refused(CAP, ECAP, -XEN_EINVAL, "would be in memory");
    dmar_usual(&dmar);
    dmar_region(&dmar, 0, 0x1000000, 0x1000fff);
    refused(CAP, ECAP, -XEN_EINVAL, "usable memory");
    dmar_usual(&dmar);
    refused(~0UL, ~0UL, -XEN_EINVAL, "no registers");
    refused(CAP, INTEL_ECAP_REMAPPING, -XEN_ENODEV, "no invalidation queue");
    refused(CAP, INTEL_ECAP_QUEUE, -XEN_ENODEV, "cannot remap interrupts");
    refused(CAP & ~INTEL_CAP_1G, ECAP, -XEN_ENODEV, "cannot translate by pages of");
    refused(CAP & ~INTEL_CAP_39BIT, ECAP, -XEN_ENODEV, "neither 3 nor 4 levels");
    fake_x2apic = true;
    refused(CAP, ECAP, -XEN_ENODEV, "x2APIC");
    fake_x2apic = false;
    fake_dead = true;
    refused(CAP, ECAP, -XEN_EIO, "does not answer");
    fake_dead = false;
    dmar_begin(&dmar, 1);
    dmar_unit(&dmar, 1, 0, 0xfed80000);
    refused(CAP, ECAP, -XEN_EINVAL, "does not name I/O APIC 0");
}

static void test_start(void **state)
{
    static const uint8_t storage[] = {4, 0};

    (void)state;
    fake_device(0x18);
    fake_device(0x20);
    dmar_usual(&dmar);
    dmar_region(&dmar, 0, 0xbf000000, 0xbf002fff);
    dmar_scope(&dmar, 1, 0, 0, storage, 1);
    assert_int_equal(start(CAP, ECAP), 0);
    assert_true(iommu_enabled());
    assert_int_equal(fake_register(INTEL_REG_COMMAND) >> 32 & 0xffffffff,
                     INTEL_TRANSLATION | INTEL_QUEUE | INTEL_REMAPPING | INTEL_SET_ROOT |
                         INTEL_SET_IRT);
    // Everything is forgotten and everybody is blocked.
    assert_true(was_executed(0x11, 0));
    assert_true(was_executed(0x12 | INTEL_DRAIN_READS, 0));
    assert_true(was_executed(4, 0));
    assert_int_equal(fake_context(0x18).q[0], 0);
    // Tables are shared with the processor, in its own format, by a unit that reads memory itself
    // and remembers what is absent.
    assert_false(fake_rules.amd_fields);
    assert_true(fake_rules.flush_lines);
    assert_true(fake_rules.flush_new);
    // Its own interrupt goes straight to the CPU.
    assert_int_equal(fake_register(INTEL_REG_FAULT_CONTROL), 0x31UL << 32);
    assert_int_equal(fake_register(INTEL_REG_FAULT_ADDRESS), 0xfee02000);
}

static void test_io_apic(void **state)
{
    struct ioapic_route route = {.vector = 0x55, .destination = 3, .level = true};
    uint64_t rte = 0, entry, address;

    (void)state;
    assert_int_equal(ioapic_remap(0, 16, &route, &rte), 0);
    assert_int_equal(rte & 0xff, 0x55);
    assert_int_equal(rte >> 48 & 1, 1);
    address = 0xfee00010UL | (rte >> 49) << 5;
    entry = fake_interrupt_entry(0xff00, address, 0);
    assert_int_equal(entry, 1 | 1 << 4 | 0x55 << 16 | 3UL << 40);
    assert_int_equal(fake_interrupt_entry(0x18, address, 0), 0); // another's
    assert_int_equal(ioapic_remap(0, 16, NULL, NULL), 0);
    assert_int_equal(fake_interrupt_entry(0xff00, address, 0), 0);
    assert_true(was_executed(4 | 1 << 4 | (rte >> 49) << 32, 0));
    assert_int_equal(ioapic_remap(1, 0, &route, &rte), -XEN_ENODEV);
    assert_int_equal(ioapic_remap(0, 24, &route, &rte), -XEN_ENODEV);
}

static void test_assign(void **state)
{
    struct pci_device *pdev = fake_device(0x18);
    struct domain *d = &fake_domains[0];

    (void)state;
    d->privileged = true;
    fake_domains[1].id = 1;
    assert_int_equal(iommu_assign(d, pdev), 0);
    assert_ptr_equal(pdev->owner, d);
    assert_int_equal(fake_context(0x18).q[0], 1 | 0x1800000); // the 3-level part of the tables
    assert_int_equal(fake_context(0x18).q[1], 1 | 1 << 8);
    assert_true(was_executed(0x31 | 0x18UL << 32, 0)); // remembered as absent
    assert_true(was_executed(0x22 | INTEL_DRAIN_READS | 1 << 16, 0));
    assert_int_equal(iommu_assign(&fake_domains[1], pdev), -XEN_EBUSY);
    assert_int_equal(fake_context(0x19).q[0], 0);
}

static void test_flush(void **state)
{
    (void)state;
    iommu_flush(&fake_domains[0], GFN(0x1234), 1);
    assert_true(was_executed(0x32 | INTEL_DRAIN_READS | 1 << 16, 0x1234000));
    iommu_flush(&fake_domains[0], GFN(0x1234), 3); // a block of 4 holds it
    assert_true(was_executed(0x32 | INTEL_DRAIN_READS | 1 << 16, 0x1234002));
    before_each(state);
    iommu_flush(&fake_domains[0], GFN(0x200), 0x400); // more than the unit takes at a time
    iommu_flush_all(&fake_domains[0]);
    assert_int_equal(fake_descriptor_count, 4);
    assert_int_equal(fake_descriptors[0].q[0], 0x22 | INTEL_DRAIN_READS | 1 << 16);
    assert_int_equal(fake_descriptors[2].q[0], 0x22 | INTEL_DRAIN_READS | 1 << 16);
    // A domain without devices has nothing to flush.
    iommu_flush(&fake_domains[1], GFN(0), 10);
    assert_int_equal(fake_descriptor_count, 4);
    // The queue wraps.
    for (unsigned int i = 0; i < 1000; i++) {
        iommu_flush(&fake_domains[0], GFN(i), 1);
    }
}

static void test_interrupts(void **state)
{
    struct pci_device *pdev = fake_device(0x18);
    struct interrupt_target target = {.apic_id = 7, .vector = 0x66};
    struct msi_message message;
    int index, block;

    (void)state;
    index = iommu_irq_alloc(pdev, 1);
    block = iommu_irq_alloc(pdev, 8);
    assert_true(index >= 0 && block >= 0 && block % 8 == 0 && block != index);
    iommu_irq_set(pdev, (unsigned int)index, &target, &message);
    assert_int_equal(fake_interrupt_entry(0x18, message.address, message.data),
                     1 | 0x66 << 16 | 7UL << 40);
    assert_int_equal(fake_interrupt_entry(0x20, message.address, message.data), 0);
    assert_int_equal(fake_interrupt_entry(0x18, 0xfee07000, 0x66), 0); // not remappable
    // The fourth of several messages, by the data that the device makes of the first.
    iommu_irq_set(pdev, (unsigned int)block, &target, &message);
    target.vector = 0x67;
    iommu_irq_set(pdev, (unsigned int)block + 3, &target, &(struct msi_message){0});
    assert_int_equal(fake_interrupt_entry(0x18, message.address, message.data | 3) >> 16 & 0xff,
                     0x67);
    iommu_irq_block(pdev, (unsigned int)block);
    assert_int_equal(fake_interrupt_entry(0x18, message.address, message.data), 0);
    iommu_irq_free(pdev, (unsigned int)index, 1);
    iommu_irq_free(pdev, (unsigned int)block, 8);
    assert_int_equal(fake_interrupt_entry(0x18, message.address, message.data | 3), 0);
    assert_int_equal(iommu_irq_alloc(pdev, 8), index);
    iommu_irq_free(pdev, (unsigned int)index, 8);
}

// One function has one entry in use: no other index delivers anything, and that one for nobody
// else.
static void test_forged_messages(void **state)
{
    struct pci_device *pdev = fake_device(0x18);
    struct interrupt_target target = {.apic_id = 7, .vector = 0x66};
    struct msi_message message;
    int index = iommu_irq_alloc(pdev, 1);
    unsigned int delivered = 0;

    (void)state;
    iommu_irq_set(pdev, (unsigned int)index, &target, &message);
    for (unsigned int i = 0; i < 0x10000; i++) {
        uint64_t address = 0xfee00010UL | (i & 0x7fff) << 5 | (i & 0x8000 ? 4 : 0);

        delivered += fake_interrupt_entry(0x18, address, 0) != 0;
        assert_int_equal(fake_interrupt_entry(0x20, address, 0), 0);
        assert_int_equal(fake_interrupt_entry(0x19, address, 0), 0);
    }
    assert_int_equal(delivered, 1);
    iommu_irq_free(pdev, (unsigned int)index, 1);
    assert_int_equal(fake_interrupt_entry(0x18, message.address, message.data), 0);
}

// A conventional function behind a bridge: the bridge signs for it.
static void test_behind_a_bridge(void **state)
{
    struct pci_device *bridge = fake_device(0xf0);
    struct pci_device *first = fake_device(0x508), *second = fake_device(0x510);
    struct interrupt_target target = {.apic_id = 1, .vector = 0x70};
    struct msi_message message;
    int index;

    (void)state;
    bridge->header_type = 1;
    bridge->class_code = 0x060400;
    bridge->is_pcie = true;
    bridge->pcie_type = 7;
    bridge->secondary = bridge->subordinate = 5;
    assert_int_equal(iommu_assign(&fake_domains[0], first), 0);
    assert_int_equal(iommu_assign(&fake_domains[1], second), -XEN_EBUSY);
    assert_int_equal(iommu_assign(&fake_domains[0], second), 0);
    assert_int_equal(fake_context(0x500).q[0], fake_context(0x18).q[0]);
    assert_int_equal(fake_context(0x508).q[0], fake_context(0x18).q[0]);
    index = iommu_irq_alloc(first, 1);
    iommu_irq_set(first, (unsigned int)index, &target, &message);
    assert_int_not_equal(fake_interrupt_entry(0x500, message.address, message.data), 0);
    assert_int_equal(fake_interrupt_entry(0x600, message.address, message.data), 0);
    iommu_irq_free(first, (unsigned int)index, 1);
    iommu_deassign(first);
    assert_int_equal(fake_context(0x508).q[0], 0);
    assert_int_equal(fake_context(0x500).q[0], fake_context(0x18).q[0]);
    iommu_deassign(second);
    assert_int_equal(fake_context(0x500).q[0], 0);
    assert_int_equal(fake_context(0x510).q[0], 0);
}

static void test_firmware_memory(void **state)
{
    struct pci_device *pdev = fake_device(0x20);

    (void)state;
    assert_int_equal(iommu_assign(&fake_domains[1], pdev), -XEN_EPERM);
    assert_int_equal(fake_p2m_sets, 0);
    assert_int_equal(iommu_assign(&fake_domains[0], pdev), 0);
    assert_int_equal(fake_p2m_sets, 3);
}

static void pass_a_second(void)
{
    for (unsigned int i = 0; i < SECOND_TICKS + 10; i++) {
        now();
    }
}

static void test_faults(void **state)
{
    (void)state;
    pass_a_second();
    fake_fault(0x18, 5, 0xabc000, true);
    fake_fault(0x19, 2, 0xdef000, false);
    fake_fault(0x20, 5, 0x1000, true); // finds no record free
    fake_interrupt();
    assert_non_null(strstr(fake_log, "refused DMA: device 0000:00:03.0, of domain 0, write to "
                                     "address abc000"));
    assert_non_null(strstr(fake_log, "device 0000:00:03.1, which nobody owns, read from address "
                                     "def000"));
    assert_non_null(strstr(fake_log, "more faults than it could record"));
    assert_int_equal(fake_register(INTEL_REG_FAULT_STATUS) & INTEL_FAULT_OVERFLOW, 0);
    fake_fault(0x18, 0x26, 77UL << 48, true);
    fake_interrupt();
    assert_non_null(strstr(fake_log, "another device's entry): device 0000:00:03.0, of domain 0, "
                                     "interrupt entry 4d"));
}

static void test_flood(void **state)
{
    (void)state;
    pass_a_second();
    for (unsigned int i = 0; i < 125; i++) {
        fake_fault(0x18, 5, 0x1000UL * i, true);
        fake_fault(0x18, 5, 0x1000UL * i, true);
        fake_interrupt();
    }
    assert_non_null(strstr(fake_log, "0000:00:03.0 floods the event log: silenced"));
    assert_int_equal(fake_context(0x18).q[0], 1 | INTEL_CONTEXT_SILENT | 0x1800000);
    assert_true(strlen(fake_log) < 3000); // not one line each
    // One that nobody owns, too.
    for (unsigned int i = 0; i < 250; i++) {
        fake_fault(0x19, 2, 0x1000UL * i, true);
        fake_interrupt();
    }
    assert_int_equal(fake_context(0x19).q[0], INTEL_CONTEXT_SILENT);
    pass_a_second();
    fake_fault(0x20, 5, 0, true);
    fake_interrupt();
    assert_non_null(strstr(fake_log, "more events not shown"));
}

static void test_deassign(void **state)
{
    (void)state;
    iommu_deassign(fake_device(0x18));
    iommu_deassign(fake_device(0x20));
    assert_null(fake_device(0x18)->owner);
    assert_int_equal(fake_context(0x18).q[0] & 1, 0);
    assert_true(was_executed(0x31 | 1 << 16 | 0x18UL << 32, 0));
    assert_true(was_executed(0x22 | INTEL_DRAIN_READS | 1 << 16, 0));
    before_each(state);
    iommu_flush(&fake_domains[0], GFN(0), 1);
    assert_int_equal(fake_descriptor_count, 0);
    // Whoever comes next gets the tag that is free again.
    iommu_domain_destroy(&fake_domains[0]);
    assert_int_equal(iommu_assign(&fake_domains[1], fake_device(0x18)), 0);
    assert_int_equal(fake_context(0x18).q[1] >> 8, fake_domains[1].arch.iommu->id);
    iommu_deassign(fake_device(0x18));
    iommu_domain_destroy(&fake_domains[1]);
    assert_null(fake_domains[1].arch.iommu);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_refused_machines, before_each),
        cmocka_unit_test_setup(test_start, before_each),
        cmocka_unit_test_setup(test_io_apic, before_each),
        cmocka_unit_test_setup(test_assign, before_each),
        cmocka_unit_test_setup(test_flush, before_each),
        cmocka_unit_test_setup(test_interrupts, before_each),
        cmocka_unit_test_setup(test_forged_messages, before_each),
        cmocka_unit_test_setup(test_behind_a_bridge, before_each),
        cmocka_unit_test_setup(test_firmware_memory, before_each),
        cmocka_unit_test_setup(test_faults, before_each),
        cmocka_unit_test_setup(test_flood, before_each),
        cmocka_unit_test_setup(test_deassign, before_each),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
