// SPDX-License-Identifier: Apache-2.0
// Virtual PCI of a domain other than domain 0: a bus of its own, BARs where it wants them, and of
// the hardware no more than is known to be safe.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <bulkhead/errno.h>

#include "fake_machine.h"

#include "../../../hypervisor/drivers/pci/pci_private.h"

#define HOST PCI_SBDF(0, 0, 0)
#define FIRST PCI_SBDF(0, 0, PCI_DEVFN(1, 0))  // the NIC
#define SECOND PCI_SBDF(0, 0, PCI_DEVFN(2, 0)) // the disk; where the machine has the NIC
#define HERE 0x20000000UL
#define THERE 0x30000000UL
#define TABLE_PAGE 0x2000UL

static int before_each(void **state)
{
    (void)state;
    fake_machine_reset();
    fake_guest_start();
    return 0;
}

static int after_each(void **state)
{
    (void)state;
    fake_machine_stop();
    return 0;
}

static void test_its_own_bus(void **state)
{
    (void)state;
    assert_int_equal(guest_read(HOST, PCI_VENDOR_ID, 4), 0x00081b36);
    assert_int_equal(guest_read(HOST, PCI_CLASS_REVISION + 2, 2), PCI_CLASS_BRIDGE_HOST);
    assert_int_equal(guest_read(HOST, PCI_HEADER_TYPE, 1), 0);
    assert_int_equal(guest_read(HOST, 0x100, 4), 0xffffffff);
    assert_int_equal(guest_read(FIRST, PCI_VENDOR_ID, 4), 0x10d38086);
    assert_int_equal(guest_read(SECOND, PCI_VENDOR_ID, 4), 0x29228086);
    assert_int_equal(guest_read(PCI_SBDF(0, 0, PCI_DEVFN(3, 0)), PCI_VENDOR_ID, 4), 0xffffffff);
    assert_int_equal(guest_read(BEHIND, PCI_VENDOR_ID, 4), 0xffffffff);
    guest_port_write(0xcf8, 4, 0x80000800);
    assert_int_equal(guest_port_read(0xcfc, 4), 0x10d38086);
}

static void test_ecam(void **state)
{
    uint64_t value;

    (void)state;
    assert_true(guest_memory_read(VPCI_GUEST_ECAM + (1 << 15), 4, &value));
    assert_int_equal(value, 0x10d38086);
    assert_true(guest_memory_read(VPCI_GUEST_ECAM + (1 << 15) + 0x100, 4, &value));
    assert_int_equal(value, 0xffffffff);
    assert_false(guest_memory_read(VPCI_GUEST_ECAM + (1 << 20), 4, &value));
}

// No write reaches the hardware but those that are emulated.
static void test_writes_are_filtered(void **state)
{
    unsigned int before = fake_functions[2].writes;

    (void)state;
    for (unsigned int offset = 0x0c; offset < 0x100; offset += 4) {
        if (offset != PCI_BAR0 + 20) {
            guest_write(SECOND, offset, 4, 0xffffffff);
        }
    }
    for (unsigned int offset = 0x100; offset < 0x1000; offset += 4) {
        guest_write(SECOND, offset, 4, 0xffffffff);
    }
    assert_int_equal(fake_functions[2].writes, before);
    guest_write(HOST, PCI_COMMAND, 2, 0xffff);
    // The interrupt line is the domain's to keep something in.
    assert_int_equal(guest_read(SECOND, PCI_INTERRUPT_LINE, 1), 0xff);
}

static void test_command(void **state)
{
    (void)state;
    guest_write(FIRST, PCI_COMMAND, 2, 0xffff & ~PCI_COMMAND_INTX_OFF);
    assert_int_equal(pci_read16(NIC, PCI_COMMAND),
                     PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_OFF |
                         (fake_functions[1].writable[PCI_COMMAND] & PCI_COMMAND_PARITY) |
                         (fake_functions[1].writable[PCI_COMMAND + 1] << 8 & PCI_COMMAND_SERR));
}

static void test_capabilities(void **state)
{
    unsigned int offset = guest_read(FIRST, PCI_CAPABILITY_LIST, 1);

    (void)state;
    assert_int_equal(offset, NIC_MSI);
    offset = guest_read(FIRST, NIC_MSI + 1, 1);
    assert_int_equal(offset, NIC_MSIX);
    assert_int_equal(guest_read(FIRST, NIC_MSIX + 1, 1), 0);
    // Of the disk's, PCI Express is shown, as of a function without a port; power management and
    // what moves BARs are not.
    assert_int_equal(guest_read(SECOND, PCI_CAPABILITY_LIST, 1), 0x40);
    assert_int_equal(guest_read(SECOND, 0x41, 1), 0);
    assert_int_equal(guest_read(SECOND, 0x42, 2) >> 4 & 0xf, PCI_PCIE_INTEGRATED);
    assert_int_equal(guest_read(SECOND, 0x80, 4), 0);
    assert_int_equal(guest_read(SECOND, 0xa0, 4), 0);
    assert_int_equal(guest_read(SECOND, 0x100, 4), 0xffffffff);
}

static void place_nic(uint64_t address)
{
    guest_write(FIRST, PCI_COMMAND, 2, 0);
    guest_write(FIRST, PCI_BAR0, 4, (uint32_t)address);
    guest_write(FIRST, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

static void test_bars_are_sized_and_moved(void **state)
{
    (void)state;
    assert_int_equal(guest_read(FIRST, PCI_BAR0, 4), 0);
    guest_write(FIRST, PCI_BAR0, 4, 0xffffffff);
    assert_int_equal(guest_read(FIRST, PCI_BAR0, 4), (uint32_t)-NIC_BAR0_SIZE);
    guest_write(FIRST, PCI_BAR0 + 12, 4, 0xffffffff);
    assert_int_equal(guest_read(FIRST, PCI_BAR0 + 12, 4), 0xffffffff);
    assert_int_equal(guest_read(FIRST, PCI_ROM_DEVICE, 4), 0);
    guest_write(FIRST, PCI_BAR0 + 12, 4, 0);
    place_nic(HERE);
    assert_int_equal(pci_read32(NIC, PCI_BAR0), NIC_BAR0);
    assert_true(fake_maps_to(HERE, NIC_BAR0));
    assert_true(fake_maps_to(HERE + 0x3000, NIC_BAR0 + 0x3000));
    assert_false(fake_maps(HERE + TABLE_PAGE));
    place_nic(THERE);
    assert_false(fake_maps(HERE));
    assert_true(fake_maps_to(THERE + NIC_BAR0_SIZE - 1, NIC_BAR0 + NIC_BAR0_SIZE - 1));
    // Without turning decode off.
    guest_write(FIRST, PCI_BAR0, 4, (uint32_t)HERE);
    assert_true(fake_maps_to(HERE, NIC_BAR0));
    assert_false(fake_maps(THERE));
    // A large one, for which the addresses fit to large pages.
    guest_write(FIRST, PCI_COMMAND, 2, 0);
    guest_write(FIRST, PCI_BAR0 + 8, 4, 0x40000000);
    guest_write(FIRST, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
    assert_true(fake_maps_to(0x40000000 + NIC_BAR2_SIZE - 1, NIC_BAR2 + NIC_BAR2_SIZE - 1));
}

static void test_ports_are_not_given(void **state)
{
    (void)state;
    guest_write(SECOND, PCI_BAR0 + 16, 4, 0xffffffff);
    assert_int_equal(guest_read(SECOND, PCI_BAR0 + 16, 4), 0);
}

static void test_msix(void **state)
{
    uint64_t table = THERE + TABLE_PAGE, value;
    uint32_t *hardware = (uint32_t *)(fake_memory + (NIC_TABLE - FAKE_MEMORY_START));

    (void)state;
    place_nic(THERE);
    assert_true(guest_memory_write(table, 4, 0xfee01000));
    assert_true(guest_memory_write(table + 4, 4, 0));
    assert_true(guest_memory_write(table + 8, 4, 0x41));
    guest_write(FIRST, NIC_MSIX + 2, 2, PCI_MSIX_ENABLE);
    assert_true(guest_memory_write(table + 12, 4, 0));
    assert_int_equal(hardware[3], 0);
    // The hardware has a message of ours, the domain gets its own.
    assert_int_not_equal(hardware[2], 0x41 | hardware[0]);
    assert_true(fake_raise(hardware[0], hardware[2]));
    assert_int_equal(fake_delivered, 1);
    assert_int_equal(fake_address, 0xfee01000);
    assert_int_equal(fake_data, 0x41);
    assert_true(guest_memory_read(table + 8, 4, &value));
    assert_int_equal(value, 0x41);
}

static void test_line_interrupt(void **state)
{
    (void)state;
    assert_int_equal(vpci_bind_line(&fake_domain, 1, 0, 17), -XEN_ENODEV); // no I/O APIC
    fake_domain.arch.vioapic = (struct vioapic *)&fake_domain;
    fake_put(&fake_functions[1], PCI_INTERRUPT_PIN, 1, 2);
    assert_int_equal(guest_read(FIRST, PCI_INTERRUPT_PIN, 1), 0);
    assert_int_equal(vpci_bind_line(&fake_domain, 1, 0, 17), -XEN_EINVAL); // it has INTB
    assert_int_equal(vpci_bind_line(&fake_domain, 1, 5, 17), -XEN_EINVAL);
    assert_int_equal(vpci_bind_line(&fake_domain, 7, 1, 17), -XEN_ENODEV);
    assert_int_equal(vpci_bind_line(&fake_domain, 200, 1, 17), -XEN_ENODEV);
    assert_int_equal(vpci_bind_line(&fake_domain, 1, 1, 17), 0);
    assert_int_equal(vpci_bind_line(&fake_domain, 1, 1, 17), -XEN_EBUSY);
    assert_int_equal(fake_line_guest, 16 + 4 + 1);
    assert_int_equal(fake_line_machine, 17);
    assert_int_equal(guest_read(FIRST, PCI_INTERRUPT_PIN, 1), 2);
    guest_write(FIRST, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
    assert_int_equal(pci_read16(NIC, PCI_COMMAND) & PCI_COMMAND_INTX_OFF, 0);
    assert_int_equal(vpci_unbind_line(&fake_domain, 1, 0), -XEN_EINVAL);
    assert_int_equal(vpci_unbind_line(&fake_domain, 1, 1), 0);
    assert_int_equal(pci_read16(NIC, PCI_COMMAND) & PCI_COMMAND_INTX_OFF, PCI_COMMAND_INTX_OFF);
    // What is bound when the function goes is unbound; after_each looks.
    assert_int_equal(vpci_bind_line(&fake_domain, 1, 1, 17), 0);
}

static void test_what_cannot_be_given(void **state)
{
    struct pci_device *bridge = pci_device_find(BRIDGE), *small = pci_device_find(BEHIND);

    (void)state;
    assert_int_equal(iommu_assign(&fake_domain, bridge), 0);
    assert_int_equal(vpci_assign(&fake_domain, bridge), -XEN_EINVAL);
    iommu_deassign(bridge);
    // A BAR that shares its page is not shown.
    assert_int_equal(iommu_assign(&fake_domain, small), 0);
    assert_int_equal(vpci_assign(&fake_domain, small), 0);
    guest_write(PCI_SBDF(0, 0, PCI_DEVFN(3, 0)), PCI_BAR0, 4, 0xffffffff);
    assert_int_equal(guest_read(PCI_SBDF(0, 0, PCI_DEVFN(3, 0)), PCI_BAR0, 4), 0);
    vpci_deassign(small);
    iommu_deassign(small);
    assert_int_equal(guest_read(PCI_SBDF(0, 0, PCI_DEVFN(3, 0)), PCI_VENDOR_ID, 4), 0xffffffff);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_its_own_bus, before_each, after_each),
        cmocka_unit_test_setup_teardown(test_ecam, before_each, after_each),
        cmocka_unit_test_setup_teardown(test_writes_are_filtered, before_each, after_each),
        cmocka_unit_test_setup_teardown(test_command, before_each, after_each),
        cmocka_unit_test_setup_teardown(test_capabilities, before_each, after_each),
        cmocka_unit_test_setup_teardown(test_bars_are_sized_and_moved, before_each, after_each),
        cmocka_unit_test_setup_teardown(test_ports_are_not_given, before_each, after_each),
        cmocka_unit_test_setup_teardown(test_msix, before_each, after_each),
        cmocka_unit_test_setup_teardown(test_line_interrupt, before_each, after_each),
        cmocka_unit_test_setup_teardown(test_what_cannot_be_given, before_each, after_each),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
