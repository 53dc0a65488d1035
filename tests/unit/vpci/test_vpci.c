// SPDX-License-Identifier: Apache-2.0
// What a domain sees of its functions: header, BARs, capabilities, access paths.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <bulkhead/errno.h>
#include <xen/physdev.h>

#include "fake_machine.h"

#include "../../../hypervisor/drivers/pci/pci_private.h"

static int start(void **state)
{
    (void)state;
    fake_machine_reset();
    fake_machine_start();
    return 0;
}

static int stop(void **state)
{
    (void)state;
    fake_machine_stop();
    return 0;
}

static void set_decode(pci_sbdf_t sbdf, bool on)
{
    guest_write(sbdf, PCI_COMMAND, 2, on ? PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER : 0);
}

static void test_assigned_decoding(void **state)
{
    (void)state;
    assert_true(fake_maps(NIC_BAR0));
    assert_true(fake_maps(NIC_BAR0 + 0x3000));
    assert_false(fake_maps(NIC_TABLE));
    assert_true(fake_maps(NIC_BAR2 + NIC_BAR2_SIZE - 1));
    assert_false(fake_maps(NIC_ROM)); // its enable bit is clear
    assert_false(fake_maps(DISK_BAR5));
    set_decode(NIC, false);
    assert_int_equal(fake_mapped_frames, 0);
    assert_int_equal(pci_read16(NIC, PCI_COMMAND), 0);
}

static void test_sizing(void **state)
{
    (void)state;
    set_decode(NIC, false);
    guest_write(NIC, PCI_BAR0, 4, ~0u);
    assert_int_equal(guest_read(NIC, PCI_BAR0, 4), (uint32_t) ~(NIC_BAR0_SIZE - 1));
    guest_write(NIC, PCI_BAR0 + 8, 4, ~0u);
    guest_write(NIC, PCI_BAR0 + 12, 4, ~0u);
    assert_int_equal(guest_read(NIC, PCI_BAR0 + 8, 4),
                     (uint32_t)(~(NIC_BAR2_SIZE - 1) | PCI_BAR_TYPE_64 | PCI_BAR_PREFETCH));
    assert_int_equal(guest_read(NIC, PCI_BAR0 + 12, 4), ~0u);
    // The hardware has not moved.
    assert_int_equal(pci_read32(NIC, PCI_BAR0), NIC_BAR0);
    guest_write(NIC, PCI_ROM_DEVICE, 4, PCI_ROM_MASK);
    assert_int_equal(guest_read(NIC, PCI_ROM_DEVICE, 4), 0xffff0000u);
    guest_write(DISK, PCI_BAR0 + 16, 4, ~0u);
    assert_int_equal(guest_read(DISK, PCI_BAR0 + 16, 4), 0xffe1);
    // One that is not there.
    guest_write(NIC, PCI_BAR0 + 4, 4, ~0u);
    assert_int_equal(guest_read(NIC, PCI_BAR0 + 4, 4), 0);
}

static void test_moving(void **state)
{
    (void)state;
    set_decode(NIC, false);
    guest_write(NIC, PCI_BAR0, 4, 0xe8000000);
    guest_write(NIC, PCI_BAR0 + 8, 4, 0x00400000);
    guest_write(NIC, PCI_BAR0 + 12, 4, 0x9);
    set_decode(NIC, true);
    assert_true(fake_maps(0xe8000000));
    assert_false(fake_maps(0xe8002000));
    assert_true(fake_maps(0x900400000));
    assert_false(fake_maps(NIC_BAR0));
    assert_int_equal(pci_read32(NIC, PCI_BAR0), 0xe8000000);
    assert_int_equal(pci_read32(NIC, PCI_BAR0 + 12), 9);
    // While it decodes nothing moves, until decode is turned on again.
    guest_write(NIC, PCI_BAR0, 4, 0xe9000000);
    assert_int_equal(guest_read(NIC, PCI_BAR0, 4), 0xe9000000);
    assert_int_equal(pci_read32(NIC, PCI_BAR0), 0xe8000000);
    assert_true(fake_maps(0xe8000000));
    set_decode(NIC, false);
    set_decode(NIC, true);
    assert_true(fake_maps(0xe9000000));
    assert_false(fake_maps(0xe8000000));
}

static void test_rom(void **state)
{
    (void)state;
    guest_write(NIC, PCI_ROM_DEVICE, 4, NIC_ROM | PCI_ROM_ENABLE);
    assert_true(fake_maps(NIC_ROM));
    assert_int_equal(pci_read32(NIC, PCI_ROM_DEVICE), NIC_ROM | PCI_ROM_ENABLE);
    guest_write(NIC, PCI_ROM_DEVICE, 1, 0);
    assert_false(fake_maps(NIC_ROM));
    assert_int_equal(guest_read(NIC, PCI_ROM_DEVICE, 4), NIC_ROM);
}

// Memory, interrupt controllers, the IOMMU, configuration space, hidden functions.
static void test_forbidden_places(void **state)
{
    static const uint32_t places[] = {0x00010000, 0x7fff0000, 0xfee00000, 0xfec00000, 0xfed00000,
                                      0xfed80000, 0xb0000000, UNIT_BAR0,  0};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        set_decode(NIC, false);
        guest_write(NIC, PCI_BAR0, 4, places[i]);
        set_decode(NIC, true);
        assert_false(fake_maps(places[i]));
        assert_int_equal(guest_read(NIC, PCI_BAR0, 4), places[i] & ~(NIC_BAR0_SIZE - 1));
    }
    set_decode(NIC, false);
    guest_write(NIC, PCI_BAR0 + 12, 4, ~0u);
    guest_write(NIC, PCI_BAR0 + 8, 4, ~0u);
    set_decode(NIC, true);
    assert_int_equal(fake_mapped_frames, 0);
}

// A reset behind our back clears the command register and the BARs; the domain restores them.
static void test_reset_behind(void **state)
{
    (void)state;
    fake_put(&fake_functions[1], PCI_COMMAND, 2, 0);
    fake_put(&fake_functions[1], PCI_BAR0, 4, 0);
    assert_int_equal(guest_read(NIC, PCI_COMMAND, 2), 0);
    guest_write(NIC, PCI_BAR0, 4, NIC_BAR0);
    set_decode(NIC, true);
    assert_int_equal(pci_read32(NIC, PCI_BAR0), NIC_BAR0);
    assert_int_equal(pci_read16(NIC, PCI_COMMAND), PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    assert_true(fake_maps(NIC_BAR0));
}

static void test_status_and_command_together(void **state)
{
    (void)state;
    fake_put(&fake_functions[1], PCI_STATUS, 2, 0x2010);
    guest_write(NIC, PCI_COMMAND, 4, 0x20000000 | PCI_COMMAND_MASTER);
    assert_int_equal(pci_read16(NIC, PCI_STATUS), 0x0010);
    assert_int_equal(guest_read(NIC, PCI_COMMAND, 2), PCI_COMMAND_MASTER);
    assert_false(fake_maps(NIC_BAR0));
}

static void test_hidden_capabilities(void **state)
{
    (void)state;
    // PCIe, (EA), PM: the one between is skipped and its bytes are gone.
    assert_int_equal(guest_read(DISK, 0x41, 1), 0xa0);
    assert_int_equal(guest_read(DISK, 0x80, 4), 0);
    assert_int_equal(guest_read(DISK, 0xa0, 1), PCI_CAP_PM);
    // (ATS), AER, (SR-IOV), serial number.
    assert_int_equal(guest_read(DISK, 0x100, 4), 0x14000000);
    assert_int_equal(guest_read(DISK, 0x140, 4), 0x20010001);
    assert_int_equal(guest_read(DISK, 0x180, 4), 0);
    guest_write(DISK, 0x188, 2, 0xffff);
    assert_int_equal(pci_read16(DISK, 0x188), 0);
    // Conventional functions have no extended space.
    assert_int_equal(guest_read(NIC, 0x100, 4), ~0u);
}

static void test_hidden_function(void **state)
{
    unsigned int writes = fake_functions[5].writes;

    (void)state;
    assert_int_equal(guest_read(UNIT, 0, 4), ~0u);
    assert_int_equal(guest_read(UNIT, 0x40, 1), 0xff);
    guest_write(UNIT, PCI_BAR0, 4, 0x1000);
    guest_write(UNIT, PCI_COMMAND, 2, 0);
    assert_int_equal(fake_functions[5].writes, writes);
}

static void test_host_bridge_is_read_only(void **state)
{
    unsigned int writes = fake_functions[0].writes;

    (void)state;
    assert_int_equal(guest_read(ROOT, 0, 4), 0x29c08086);
    guest_write(ROOT, 0x60, 4, ~0u);
    guest_write(ROOT, 0x3c, 1, 5);
    assert_int_equal(fake_functions[0].writes, writes);
}

static void test_bus_numbers(void **state)
{
    (void)state;
    assert_int_equal(guest_read(BRIDGE, PCI_BRIDGE_BUSES, 4), 0x00010100);
    guest_write(BRIDGE, PCI_BRIDGE_BUSES, 4, 0x00050500);
    assert_int_equal(pci_read32(BRIDGE, PCI_BRIDGE_BUSES), 0x00010100);
    guest_write(BRIDGE, PCI_BRIDGE_BUSES + 1, 1, 0);
    assert_int_equal(pci_read32(BRIDGE, PCI_BRIDGE_BUSES), 0x00010100);
    // Windows are the domain's.
    guest_write(BRIDGE, 0x20, 4, 0xe010e000);
    assert_int_equal(pci_read32(BRIDGE, 0x20), 0xe010e000);
}

// Two small BARs in one page: turning one off must not take the page from the other.
static void test_shared_page(void **state)
{
    struct fake_function *f = fake_add(0, 7, 0, 0x22221234, 0x0c0500);

    (void)state;
    fake_bar(f, 0, 0xe0040000, 0x100, false);
    assert_int_equal(guest_read(f->sbdf, 0, 4), 0x22221234); // found now, and given
    set_decode(BEHIND, true);
    set_decode(f->sbdf, true);
    assert_true(fake_maps(0xe0040000));
    set_decode(BEHIND, false);
    assert_true(fake_maps(0xe0040000));
    set_decode(f->sbdf, false);
    assert_false(fake_maps(0xe0040000));
}

static void test_ports(void **state)
{
    (void)state;
    guest_port_write(0xcf8, 4, 0x80001000);
    assert_int_equal(guest_port_read(0xcf8, 4), 0x80001000);
    assert_int_equal(guest_port_read(0xcfc, 4), 0x10d38086);
    assert_int_equal(guest_port_read(0xcfe, 2) & 0xffff, 0x10d3);
    assert_int_equal(guest_port_read(0xcff, 1) & 0xff, 0x10);
    // Bytes 1 and 2, which no aligned access can read at once.
    assert_int_equal(guest_port_read(0xcfd, 2) & 0xffff, 0xd380);
    guest_port_write(0xcf8, 4, 0x8000103c);
    guest_port_write(0xcfc, 1, 0x0b);
    assert_int_equal(guest_port_read(0xcfc, 1) & 0xff, 0x0b);
    // Narrow writes to the address register change nothing.
    guest_port_write(0xcf8, 1, 0);
    guest_port_write(0xcf9, 1, 6);
    assert_int_equal(guest_port_read(0xcf8, 4), 0x8000103c);
    guest_port_write(0xcf8, 4, 0x00001000);
    assert_int_equal(guest_port_read(0xcfc, 4), ~0u);
    guest_port_write(0xcf8, 4, 0x81001000);
    assert_int_equal(guest_port_read(0xcfc, 4), ~0u);
}

static void test_ecam(void **state)
{
    uint64_t nic = 0xb0000000 + (2 << 15), value;

    (void)state;
    assert_true(guest_memory_read(nic, 4, &value));
    assert_int_equal(value & 0xffffffff, 0x10d38086);
    assert_true(guest_memory_read(nic, 8, &value));
    assert_int_equal(value & 0xffffffff, 0x10d38086);
    assert_int_equal(value >> 32 & 0xffff, PCI_COMMAND_MEMORY);
    assert_true(guest_memory_read(nic + 1, 2, &value)); // not aligned
    assert_int_equal(value, ~0UL);
    assert_true(guest_memory_write(nic + 0x3c, 1, 7));
    assert_int_equal(pci_read8(NIC, 0x3c), 7);
    assert_true(guest_memory_read(0xb0000000 + (1 << 20), 4, &value));
    assert_int_equal(value & 0xffffffff, 0x11111234);
    assert_false(guest_memory_read(0xb0000000 + (256 << 20), 4, &value));
}

static void test_physdev(void **state)
{
    struct fake_function *f = fake_add(0, 8, 0, 0x33331234, 0x010802);
    struct physdev_pci_device_add add = {.bus = 0, .devfn = f->sbdf.devfn};
    struct physdev_pci_device gone = {.bus = 0, .devfn = f->sbdf.devfn};

    (void)state;
    assert_int_equal(pci_physdev_op(PHYSDEVOP_pci_device_add, (uintptr_t)&add), 0);
    assert_int_equal(guest_read(f->sbdf, 0, 4), 0x33331234);
    assert_int_equal(pci_physdev_op(PHYSDEVOP_pci_device_add, (uintptr_t)&add), 0);
    assert_int_equal(pci_physdev_op(PHYSDEVOP_pci_device_remove, (uintptr_t)&gone), 0);
    assert_int_equal(guest_read(f->sbdf, 4, 4), ~0u);
    assert_int_equal(pci_physdev_op(PHYSDEVOP_pci_device_remove, (uintptr_t)&gone), -XEN_ENODEV);
    assert_int_equal(pci_physdev_op(PHYSDEVOP_pci_device_add, (uintptr_t)&add), 0);
    assert_int_equal(guest_read(f->sbdf, 0, 4), 0x33331234);
    // A rescan finds what was removed without being told.
    assert_int_equal(pci_physdev_op(PHYSDEVOP_pci_device_remove, (uintptr_t)&gone), 0);
    assert_int_equal(guest_read(f->sbdf, 0, 4), 0x33331234);
    add.devfn = 0xf8;
    assert_int_equal(pci_physdev_op(PHYSDEVOP_pci_device_add, (uintptr_t)&add), -XEN_ENODEV);
    add.flags = XEN_PCI_DEV_VIRTFN;
    assert_int_equal(pci_physdev_op(PHYSDEVOP_pci_device_add, (uintptr_t)&add), -XEN_EOPNOTSUPP);
    assert_int_equal(pci_physdev_op(PHYSDEVOP_pci_device_add, 0), -XEN_EFAULT);
    assert_int_equal(pci_physdev_op(PHYSDEVOP_eoi, (uintptr_t)&add), -XEN_ENOSYS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_assigned_decoding, start, stop),
        cmocka_unit_test_setup_teardown(test_sizing, start, stop),
        cmocka_unit_test_setup_teardown(test_moving, start, stop),
        cmocka_unit_test_setup_teardown(test_rom, start, stop),
        cmocka_unit_test_setup_teardown(test_forbidden_places, start, stop),
        cmocka_unit_test_setup_teardown(test_reset_behind, start, stop),
        cmocka_unit_test_setup_teardown(test_status_and_command_together, start, stop),
        cmocka_unit_test_setup_teardown(test_hidden_capabilities, start, stop),
        cmocka_unit_test_setup_teardown(test_hidden_function, start, stop),
        cmocka_unit_test_setup_teardown(test_host_bridge_is_read_only, start, stop),
        cmocka_unit_test_setup_teardown(test_bus_numbers, start, stop),
        cmocka_unit_test_setup_teardown(test_shared_page, start, stop),
        cmocka_unit_test_setup_teardown(test_ports, start, stop),
        cmocka_unit_test_setup_teardown(test_ecam, start, stop),
        cmocka_unit_test_setup_teardown(test_physdev, start, stop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
