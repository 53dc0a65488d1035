// SPDX-License-Identifier: Apache-2.0
// Requester ids and groups: a root port with isolation, one without, a switch below it, a bridge to
// conventional PCI, and a device with several functions.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fake_machine.h"

#include "../../../hypervisor/drivers/pci/pci_private.h"

#define PCIE 0x80u
#define ACS 0x100u

static struct fake_function *add_port(unsigned int bus, unsigned int device, unsigned int kind,
                                      unsigned int secondary, unsigned int subordinate)
{
    struct fake_function *f = fake_add(bus, device, 0, 0x000c1b36, 0x060400);

    fake_put(f, PCI_HEADER_TYPE, 1, PCI_HEADER_BRIDGE);
    fake_put(f, PCI_BRIDGE_BUSES, 4, subordinate << 16 | secondary << 8);
    if (kind) {
        fake_capability(f, PCIE, PCI_CAP_PCIE);
        fake_put(f, PCIE + 2, 2, kind << 4 | 2);
    }
    return f;
}

static void offer_acs(struct fake_function *f, uint16_t offered)
{
    fake_extended_capability(f, ACS, PCI_EXT_ACS, 0);
    fake_put(f, ACS + 4, 2, offered);
    fake_writable(f, ACS + 6, 2, offered);
}

static const struct pci_device *at(unsigned int bus, unsigned int device, unsigned int function)
{
    return pci_device_find(PCI_SBDF(0, bus, PCI_DEVFN(device, function)));
}

static int start(void **state)
{
    (void)state;
    fake_machine_reset();
    // Bus 16: behind a port that isolates. Bus 17: behind one that offers too little.
    offer_acs(add_port(0, 8, PCI_PCIE_ROOT_PORT, 16, 16), 0x1f);
    fake_put(fake_add(16, 0, 0, 0x10d38086, 0x020000), PCI_HEADER_TYPE, 1, PCI_HEADER_MULTI);
    fake_add(16, 0, 1, 0x10d38086, 0x020000);
    offer_acs(add_port(0, 9, PCI_PCIE_ROOT_PORT, 17, 18), 0x03);
    fake_add(17, 0, 0, 0x10d38086, 0x020000);
    // Bus 18: conventional, behind a bridge on bus 17. Bus 19: behind a conventional bridge.
    add_port(17, 1, PCI_PCIE_TO_PCI, 18, 18);
    fake_add(18, 3, 0, 0x100e8086, 0x020000);
    add_port(0, 10, 0, 19, 19);
    fake_add(19, 4, 0, 0x100e8086, 0x020000);
    return pci_init();
}

// The fact of that name; "" if the function has none.
static const char *fact(pci_sbdf_t sbdf, const char *wanted)
{
    static char text[PCI_FACT_SIZE];
    const char *name;

    for (unsigned int i = 0; (name = pci_describe(pci_device_find(sbdf), i, text)) != NULL; i++) {
        if (!strcmp(name, wanted)) {
            return text;
        }
    }
    return "";
}

static void test_facts(void **state)
{
    pci_sbdf_t card = PCI_SBDF(0, 16, PCI_DEVFN(0, 1)), behind = PCI_SBDF(0, 18, PCI_DEVFN(3, 0));

    (void)state;
    assert_string_equal(fact(card, "vendor"), "8086");
    assert_string_equal(fact(card, "device"), "10d3");
    assert_string_equal(fact(card, "class"), "020000");
    assert_string_equal(fact(card, "place"), "0000:00:08.0/00.1");
    assert_string_equal(fact(behind, "place"), "0000:00:09.0/01.0/03.0");
    assert_string_equal(fact(NIC, "place"), "0000:00:02.0");
    assert_string_equal(fact(card, "serial"), "");
    pci_device_find(card)->serial = 0x525400ffff123456;
    assert_string_equal(fact(card, "serial"), "52-54-00-ff-ff-12-34-56");
    assert_string_equal(fact(card, "owner"), "");
    fake_domain.id = 7;
    pci_device_find(card)->owner = &fake_domain;
    assert_string_equal(fact(card, "owner"), "7");
    pci_device_find(card)->owner = NULL;
}

static void test_requester_ids(void **state)
{
    (void)state;
    assert_ptr_equal(pci_parent(at(16, 0, 0)), at(0, 8, 0));
    assert_null(pci_parent(at(0, 2, 0)));
    assert_int_equal(pci_requester_alias(at(0, 2, 0)), 0x10);
    assert_int_equal(pci_requester_alias(at(16, 0, 1)), 0x1001);
    assert_int_equal(pci_requester_alias(at(17, 0, 0)), 0x1100);
    assert_int_equal(pci_requester_alias(at(18, 3, 0)), 0x1200); // its bus, device 0
    assert_int_equal(pci_requester_alias(at(19, 4, 0)), 0x50);   // the bridge's own
}

static void test_groups(void **state)
{
    (void)state;
    assert_true(pci_same_group(at(16, 0, 0), at(16, 0, 0)));
    // Two functions of one device that promises nothing.
    assert_true(pci_same_group(at(16, 0, 0), at(16, 0, 1)));
    assert_false(pci_same_group(at(16, 0, 0), at(17, 0, 0)));
    // All that is behind the port without isolation, and the port.
    assert_true(pci_same_group(at(17, 0, 0), at(18, 3, 0)));
    assert_true(pci_same_group(at(17, 0, 0), at(0, 9, 0)));
    assert_false(pci_same_group(at(0, 2, 0), at(0, 3, 0)));
    assert_false(pci_same_group(at(18, 3, 0), at(19, 4, 0)));
}

static void test_isolation_is_turned_on(void **state)
{
    (void)state;
    assert_int_equal(pci_read16(PCI_SBDF(0, 0, PCI_DEVFN(8, 0)), ACS + 6), PCI_ACS_WANTED);
    assert_int_equal(pci_read16(PCI_SBDF(0, 0, PCI_DEVFN(9, 0)), ACS + 6), 0x01);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_facts),
        cmocka_unit_test(test_requester_ids),
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_isolation_is_turned_on),
    };

    return cmocka_run_group_tests(tests, start, NULL);
}
