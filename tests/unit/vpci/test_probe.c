// SPDX-License-Identifier: Apache-2.0
// Finding functions: sizes, capabilities, lying lists, the option hide=.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_machine.h"

#include "../../../hypervisor/drivers/pci/pci_private.h"

static int reset(void **state)
{
    (void)state;
    fake_machine_reset();
    return 0;
}

static void test_scan(void **state)
{
    struct pci_device *nic, *disk;

    (void)state;
    assert_int_equal(pci_init(), 0);
    nic = pci_device_find(NIC);
    disk = pci_device_find(DISK);
    assert_non_null(nic);
    assert_int_equal(nic->vendor, 0x8086);
    assert_int_equal(nic->class_code, 0x020000);
    assert_int_equal(nic->bars[0].type, PCI_BAR_MEMORY32);
    assert_int_equal(nic->bars[0].size, NIC_BAR0_SIZE);
    assert_int_equal(nic->bars[2].type, PCI_BAR_MEMORY64);
    assert_int_equal(nic->bars[2].address, NIC_BAR2);
    assert_int_equal(nic->bars[2].size, NIC_BAR2_SIZE);
    assert_int_equal(nic->bars[3].type, PCI_BAR_MEMORY64_HIGH);
    assert_int_equal(nic->rom.size, 0x10000);
    assert_int_equal(nic->msi, NIC_MSI);
    assert_int_equal(nic->msix, NIC_MSIX);
    assert_int_equal(nic->msix_count, 16);
    assert_int_equal(nic->config_size, 256);
    assert_int_equal(disk->bars[4].type, PCI_BAR_IO);
    assert_int_equal(disk->bars[4].size, 32);
    assert_int_equal(disk->config_size, 4096);
    assert_int_equal(disk->ats, 0x100);
    assert_int_equal(disk->sriov, 0x180);
    // A function behind the bridge, and one that is hidden because it is an IOMMU.
    assert_non_null(pci_device_find(BEHIND));
    assert_true(pci_is_hidden(UNIT));
    assert_null(pci_device_find(PCI_SBDF(0, 2, 0)));
}

// Probing must leave the function as it was.
static void test_probe_restores(void **state)
{
    (void)state;
    pci_init();
    assert_int_equal(pci_read32(NIC, PCI_BAR0), NIC_BAR0);
    assert_int_equal(pci_read16(NIC, PCI_COMMAND), PCI_COMMAND_MEMORY);
    assert_int_equal(pci_read32(NIC, PCI_ROM_DEVICE), NIC_ROM);
}

static void test_looping_lists(void **state)
{
    struct fake_function *f = fake_add(0, 6, 0, 0x12345678, 0x030000);
    pci_sbdf_t sbdf = f->sbdf;

    (void)state;
    fake_capability(f, 0x40, 0x09);
    fake_put(f, 0x41, 1, 0x40); // leads to itself
    fake_extended_capability(f, 0x100, 0x1111, 0);
    fake_extended_capability(f, 0x100, 0x1111, 0x100);
    assert_int_equal(pci_find_capability(sbdf, PCI_CAP_MSI), 0);
    assert_int_equal(pci_find_extended_capability(sbdf, PCI_EXT_ATS), 0);
    fake_put(f, PCI_CAPABILITY_LIST, 1, 0x10); // into the header
    assert_int_equal(pci_find_capability(sbdf, PCI_CAP_MSI), 0);
    fake_put(f, PCI_CAPABILITY_LIST, 1, 0xff);
    assert_int_equal(pci_find_capability(sbdf, PCI_CAP_MSI), 0);
}

// A bridge whose secondary bus is its own must not send the walk in circles.
static void test_looping_bridges(void **state)
{
    struct fake_function *f = fake_add(1, 1, 0, 0x000c1b36, 0x060400);

    (void)state;
    fake_put(f, PCI_HEADER_TYPE, 1, PCI_HEADER_BRIDGE);
    fake_put(f, PCI_BRIDGE_BUSES, 4, 0x00010101);
    assert_int_equal(pci_init(), 0);
    assert_non_null(pci_device_find(f->sbdf));
}

static void test_names(void **state)
{
    static const char *const wrong[] = {
        "",      "0",      "00:1f",        "00:20.0", "00:1f.8", "100:00.0", "10000:00:00.0",
        ":00.0", "00:00.", "00:00:00:00.0"};
    const char *end;
    pci_sbdf_t sbdf;

    (void)state;
    assert_true(pci_parse_sbdf("00:1f.2,rest", &end, &sbdf));
    assert_int_equal(*end, ',');
    assert_true(pci_sbdf_equal(sbdf, PCI_SBDF(0, 0, PCI_DEVFN(0x1f, 2))));
    assert_true(pci_parse_sbdf("12ab:c0:03.7", &end, &sbdf));
    assert_true(pci_sbdf_equal(sbdf, PCI_SBDF(0x12ab, 0xc0, PCI_DEVFN(3, 7))));
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        assert_false(pci_parse_sbdf(wrong[i], &end, &sbdf));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_scan, reset),
        cmocka_unit_test_setup(test_probe_restores, reset),
        cmocka_unit_test_setup(test_looping_lists, reset),
        cmocka_unit_test_setup(test_looping_bridges, reset),
        cmocka_unit_test_setup(test_names, reset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
