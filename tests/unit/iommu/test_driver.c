// SPDX-License-Identifier: Apache-2.0
// AMD's driver on a fake unit: what the device table says at each moment, what is flushed, what is
// said about events. The driver's state is set up once, as on a machine; tests run in order.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <bulkhead/errno.h>
#include <x86/ioapic.h>
#include <x86/p2m.h>

#include "fake_unit.h"
#include "iommu_private.h"

#define SECOND_TICKS 1000u // now() advances by a millisecond

extern ns_t now(void);

static struct ivrs_image ivrs;

// Firmware's table is as it has been built.
static int start_with_table(void)
{
    fake_table = ivrs.bytes;
    fake_table_length = ivrs.length;
    return iommu_init();
}

static int before_each(void **state)
{
    (void)state;
    fake_command_count = 0;
    fake_log[0] = 0;
    return 0;
}

static bool was_executed(uint64_t first_word, uint64_t mask)
{
    for (unsigned int i = 0; i < fake_command_count; i++) {
        if ((fake_commands[i].q[0] & mask) == first_word) {
            return true;
        }
    }
    return false;
}

static bool blocks(uint16_t id)
{
    struct amd_dte blocked = amd_dte_blocked();

    return (fake_dte(id)->q[0] & ~0UL) == blocked.q[0] && fake_dte(id)->q[2] == blocked.q[2];
}

// Machines that cannot be used, each said in a sentence.
static void test_refused(void **state)
{
    (void)state;
    fake_work = fake_amd_work;
    assert_int_equal(start_with_table(), -XEN_ENODEV);
    assert_non_null(strstr(fake_log, "has no IOMMU"));
    fake_log[0] = 0;
    ivrs_begin(&ivrs);
    assert_int_equal(start_with_table(), -XEN_EINVAL);
    assert_non_null(strstr(fake_log, "IVRS is wrong: it describes no IOMMU"));
    fake_log[0] = 0;
    ivrs_begin(&ivrs);
    ivrs_unit_block(&ivrs, 0x10, 0x10, 0x7f000000, 0);
    assert_int_equal(start_with_table(), -XEN_EINVAL);
    assert_non_null(strstr(fake_log, "would be in memory"));
    fake_log[0] = 0;
    ivrs_usual(&ivrs);
    assert_int_equal(start_with_table(), -XEN_EINVAL); // no capability yet
    assert_non_null(strstr(fake_log, "is no IOMMU"));
    fake_log[0] = 0;
    ivrs_memory_block(&ivrs, 0x20, 1, 0, 0, 0x1000000, 0x1000);
    assert_int_equal(start_with_table(), -XEN_EINVAL);
    assert_non_null(strstr(fake_log, "usable memory"));
    assert_false(iommu_enabled());
}

static void test_start(void **state)
{
    (void)state;
    fake_device(0x18);
    fake_device(0x20);
    fake_device(0x108);
    fake_device(0x110);
    ivrs_usual(&ivrs);
    ivrs_memory_block(&ivrs, 0x21, 7, 0x20, 0, 0xbf000000, 0x3000);
    fake_config[0x40] = 0x0f;
    fake_config[0x42] = 0x03;
    fake_set_register(AMD_REG_FEATURES, AMD_FEATURE_INVALIDATE_ALL);
    assert_int_equal(start_with_table(), 0);
    assert_true(iommu_enabled());
    assert_true(fake_register(AMD_REG_CONTROL) & AMD_CONTROL_ENABLE);
    assert_true(fake_register(AMD_REG_CONTROL) & AMD_CONTROL_EVENT_INTERRUPT);
    assert_true(was_executed(8UL << 60, ~0UL));
    // Everybody is blocked, named or not.
    assert_true(blocks(0));
    assert_true(blocks(0x18));
    assert_true(blocks(0x108));
    assert_true(blocks(0x1ff));
    assert_true(fake_device(0x10)->hidden);
    // Its interrupt goes straight to the CPU.
    assert_int_equal(*(uint32_t *)&fake_config[0x64], 0xfee02000);
    assert_int_equal(*(uint16_t *)&fake_config[0x68], 0x31);
    assert_int_equal(fake_config[0x62] & 1, 1);
}

static void test_io_apic(void **state)
{
    struct ioapic_route route = {.vector = 0x55, .destination = 3, .level = true};
    uint64_t rte = 0;

    (void)state;
    assert_non_null(ioapic_remap);
    assert_int_equal(ioapic_remap(0, 16, &route, &rte), 0);
    assert_int_equal(rte & 0x7ff, 16);
    assert_int_equal(rte >> 15 & 1, 1);
    assert_int_equal(fake_remap(0xa0, 16), amd_irte(0x55, 3, 0, false));
    assert_true(was_executed(5UL << 60 | 0xa0, ~0UL));
    assert_int_equal(ioapic_remap(0, 16, NULL, NULL), 0);
    assert_int_equal(fake_remap(0xa0, 16), 0);
    assert_int_equal(ioapic_remap(1, 0, &route, &rte), -XEN_ENODEV);
    // DMA in its name is blocked, NMI and the like pass as the table says.
    assert_int_equal(fake_dte(0xa0)->q[0] >> 61 & 3, 0);
    assert_int_equal(fake_dte(0xa0)->q[2] >> 56 & 7, 7);
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
    assert_int_equal(fake_dte(0x18)->q[0],
                     3 | 4 << 9 | p2m_root(d).a | AMD_DTE_READ | AMD_DTE_WRITE);
    assert_int_equal(fake_dte(0x18)->q[1] & 0xffff, 1);
    assert_true(was_executed(2UL << 60 | 0x18, ~0UL));
    assert_int_equal(iommu_assign(&fake_domains[1], pdev), -XEN_EBUSY);
    // Not covered by any unit, and the IOMMU itself.
    assert_int_equal(iommu_assign(d, fake_device(0x40)), -XEN_ENODEV);
    assert_int_equal(iommu_assign(d, fake_device(0x10)), -XEN_EBUSY);
    // A bridge needs no translation.
    fake_device(0x48)->class_code = 0x060400;
    assert_int_equal(iommu_assign(d, fake_device(0x48)), 0);
    iommu_deassign(fake_device(0x48));
}

static void test_flush(void **state)
{
    (void)state;
    iommu_flush(&fake_domains[0], GFN(0x1234), 1);
    assert_int_equal(fake_command_count, 2);
    assert_int_equal(fake_commands[0].q[0], 3UL << 60 | 1UL << 32);
    assert_int_equal(fake_commands[0].q[1], 0x1234002);
    iommu_flush_all(&fake_domains[0]);
    assert_int_equal(fake_command_count, 4);
    // A domain without devices has nothing to flush.
    iommu_flush(&fake_domains[1], GFN(0), 10);
    assert_int_equal(fake_command_count, 4);
    // The ring wraps.
    for (unsigned int i = 0; i < 1000; i++) {
        iommu_flush(&fake_domains[0], GFN(i), 3);
    }
}

static void test_interrupts(void **state)
{
    struct pci_device *pdev = fake_device(0x18);
    struct interrupt_target target = {.apic_id = 7, .vector = 0x66};
    struct msi_message message;
    int index, other;

    (void)state;
    index = iommu_irq_alloc(pdev, 1);
    other = iommu_irq_alloc(pdev, 8);
    assert_true(index >= 0 && other >= 0 && other % 8 == 0 && other != index);
    assert_int_equal(fake_remap(0x18, (unsigned int)index), 0);
    iommu_irq_set(pdev, (unsigned int)index, &target, &message);
    assert_int_equal(message.address, 0xfee00000);
    assert_int_equal(fake_remap(0x18, message.data & 0x7ff), amd_irte(0x66, 7, 0, false));
    assert_true(was_executed(5UL << 60 | 0x18, ~0UL));
    iommu_irq_block(pdev, (unsigned int)index);
    assert_int_equal(fake_remap(0x18, (unsigned int)index), 0);
    iommu_irq_free(pdev, (unsigned int)index, 1);
    iommu_irq_free(pdev, (unsigned int)other, 8);
    // 32 entries are all that a function without MSI-X gets.
    assert_true(iommu_irq_alloc(pdev, 32) == 0);
    assert_int_equal(iommu_irq_alloc(pdev, 1), -XEN_ENOSPC);
    iommu_irq_free(pdev, 0, 32);
}

// One function has one entry in use: no other index delivers anything, nor does that one for
// others.
static void test_forged_messages(void **state)
{
    struct pci_device *pdev = fake_device(0x18);
    struct interrupt_target target = {.apic_id = 7, .vector = 0x66};
    struct msi_message message;
    int index = iommu_irq_alloc(pdev, 1);
    unsigned int delivered = 0;

    (void)state;
    iommu_irq_set(pdev, (unsigned int)index, &target, &message);
    for (unsigned int i = 0; i < 0x800; i++) {
        delivered += fake_remap(0x18, i) != 0;
        assert_int_equal(fake_remap(0x20, i), 0);
        assert_int_equal(fake_remap(0xa0, i), 0); // the I/O APIC
    }
    assert_int_equal(delivered, 1);
    // INIT, NMI and the like do not pass.
    assert_int_equal(fake_dte(0x18)->q[2] >> 56 & 7, 0);
    iommu_irq_free(pdev, (unsigned int)index, 1);
    assert_int_equal(fake_remap(0x18, message.data), 0);
}

// Two functions behind a bridge use one requester id: one domain for both.
static void test_alias(void **state)
{
    struct pci_device *first = fake_device(0x108), *second = fake_device(0x110);
    struct domain *d = &fake_domains[0];

    (void)state;
    assert_int_equal(iommu_assign(d, first), 0);
    assert_int_equal(iommu_assign(&fake_domains[1], second), -XEN_EBUSY);
    assert_int_equal(iommu_assign(d, second), 0);
    assert_int_equal(fake_dte(0x100)->q[0], fake_dte(0x18)->q[0]);
    assert_int_equal(fake_dte(0x108)->q[0], fake_dte(0x18)->q[0]);
    assert_int_equal(fake_dte(0x110)->q[2], fake_dte(0x100)->q[2]);
    iommu_deassign(first);
    assert_int_equal(fake_dte(0x100)->q[0], fake_dte(0x18)->q[0]);
    assert_int_equal(fake_dte(0x108)->q[0] >> 61 & 3, 0);
    iommu_deassign(second);
    assert_int_equal(fake_dte(0x100)->q[0] >> 61 & 3, 0);
    assert_int_equal(fake_dte(0x110)->q[0] >> 61 & 3, 0);
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

static void test_events(void **state)
{
    (void)state;
    pass_a_second();
    fake_log_event(2UL << 60 | 0x20UL << 48 | 0x18, 0xabc000);
    fake_log_event(2UL << 60 | 0x19, 0xdef000);
    fake_log_event(5UL << 60, 0x1000);
    fake_interrupt();
    assert_non_null(strstr(fake_log, "refused DMA: device 0000:00:03.0, of domain 0, write to "
                                     "address abc000"));
    assert_non_null(strstr(fake_log, "0000:00:03.1, which nobody owns"));
    assert_non_null(strstr(fake_log, "illegal command"));
    assert_int_equal(fake_register(AMD_REG_EVENT_HEAD), 48);
    // As QEMU 7.2 writes it: neither code nor address.
    fake_log_event(0x0480000000000018, 0);
    fake_log_event(0x0500000000000018, 0);
    fake_interrupt();
    assert_non_null(strstr(fake_log, "refused DMA: device 0000:00:03.0, of domain 0, read from "
                                     "address unknown"));
    assert_non_null(strstr(fake_log, "refused DMA: device 0000:00:03.0, of domain 0, write to "
                                     "address unknown"));
}

static void test_flood(void **state)
{
    (void)state;
    pass_a_second();
    for (unsigned int i = 0; i < 250; i++) {
        fake_log_event(2UL << 60 | 0x18, 0x1000 * i);
    }
    fake_interrupt();
    assert_non_null(strstr(fake_log, "floods the event log: silenced"));
    assert_int_equal(fake_dte(0x18)->q[1] >> 34 & 1, 1);
    assert_true(strlen(fake_log) < 3000); // not one line each
    // One that nobody owns, too.
    for (unsigned int i = 0; i < 250; i++) {
        fake_log_event(2UL << 60 | 0x21, 0x1000 * i);
    }
    fake_interrupt();
    assert_int_equal(fake_dte(0x21)->q[1] >> 34 & 1, 1);
    assert_int_equal(fake_dte(0x21)->q[0], amd_dte_blocked().q[0]);
    pass_a_second();
    fake_log_event(2UL << 60 | 0x20, 0);
    fake_interrupt();
    assert_non_null(strstr(fake_log, "more events not shown"));
}

static void test_overflow(void **state)
{
    (void)state;
    pass_a_second();
    fake_log_event(2UL << 60 | 0x18, 0x5000);
    fake_set_register(AMD_REG_STATUS, AMD_STATUS_EVENT_OVERFLOW);
    fake_interrupt();
    assert_non_null(strstr(fake_log, "overflowed"));
    assert_int_equal(fake_register(AMD_REG_EVENT_HEAD), 0);
    assert_true(fake_register(AMD_REG_CONTROL) & AMD_CONTROL_EVENT_LOG);
    fake_set_register(AMD_REG_STATUS, 0);
    fake_log[0] = 0;
    fake_log_event(2UL << 60 | 0x18, 0x777000);
    fake_interrupt();
    assert_non_null(strstr(fake_log, "777000"));
}

static void test_deassign(void **state)
{
    (void)state;
    iommu_deassign(fake_device(0x18));
    iommu_deassign(fake_device(0x20));
    assert_null(fake_device(0x18)->owner);
    assert_int_equal(fake_dte(0x18)->q[0], amd_dte_blocked().q[0]);
    assert_true(was_executed(2UL << 60 | 0x18, ~0UL));
    iommu_flush(&fake_domains[0], GFN(0), 1);
    iommu_domain_destroy(&fake_domains[0]);
    iommu_domain_destroy(&fake_domains[1]);
    assert_null(fake_domains[0].arch.iommu);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_refused, before_each),
        cmocka_unit_test_setup(test_start, before_each),
        cmocka_unit_test_setup(test_io_apic, before_each),
        cmocka_unit_test_setup(test_assign, before_each),
        cmocka_unit_test_setup(test_flush, before_each),
        cmocka_unit_test_setup(test_interrupts, before_each),
        cmocka_unit_test_setup(test_forged_messages, before_each),
        cmocka_unit_test_setup(test_alias, before_each),
        cmocka_unit_test_setup(test_firmware_memory, before_each),
        cmocka_unit_test_setup(test_events, before_each),
        cmocka_unit_test_setup(test_flood, before_each),
        cmocka_unit_test_setup(test_overflow, before_each),
        cmocka_unit_test_setup(test_deassign, before_each),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
