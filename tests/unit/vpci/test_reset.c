// SPDX-License-Identifier: Apache-2.0
// The reset engine on functions that offer one method or another, which work or only pretend to.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <bulkhead/errno.h>

#include "fake_machine.h"

#include "../../../hypervisor/drivers/pci/pci_private.h"

#define PORT PCI_SBDF(0, 0, PCI_DEVFN(6, 0))
#define CARD PCI_SBDF(0, 7, PCI_DEVFN(0, 0))
#define SIBLING PCI_SBDF(0, 7, PCI_DEVFN(0, 1))
#define CARD_PCIE 0x80u
#define CARD_PM 0x60u
#define CARD_AF 0x68u
#define PORT_PCIE 0x80u
#define BRIDGE_CONTROL 0x3eu

static struct fake_function *port, *card, *sibling;
static bool flr_works, af_works, pm_works, bus_works, power_works;
static unsigned int flr_tries;

static void power_on_state(struct fake_function *f)
{
    fake_put(f, PCI_COMMAND, 2, 0);
    fake_put(f, PCI_BAR0, 4, 0);
}

static void device(struct fake_function *f, unsigned int offset, uint32_t value)
{
    bool d0 = f == card && offset == CARD_PM + 4 && (value & 3) == 0;

    if (f == card && offset == CARD_PCIE + 8 && value & 0x8000) {
        flr_tries++;
        fake_put(card, CARD_PCIE + 8, 2, value & ~0x8000u);
    }
    if ((f == card && offset == CARD_PCIE + 8 && value & 0x8000 && flr_works) ||
        (f == card && offset == CARD_AF + 4 && value & 1 && af_works) || (d0 && pm_works) ||
        (f == port && offset == BRIDGE_CONTROL && value & 0x40 && bus_works) ||
        (f == port && offset == PORT_PCIE + 24 && value & 0x400 && power_works)) {
        power_on_state(card);
    }
}

static void add_port(void)
{
    port = fake_add(0, 6, 0, 0x000c1b36, 0x060400);
    fake_put(port, PCI_HEADER_TYPE, 1, PCI_HEADER_BRIDGE);
    fake_put(port, PCI_BRIDGE_BUSES, 4, 7 << 16 | 7 << 8);
    fake_writable(port, BRIDGE_CONTROL, 2, 0xffff);
    fake_capability(port, PORT_PCIE, PCI_CAP_PCIE);
    fake_put(port, PORT_PCIE + 2, 2, PCI_PCIE_ROOT_PORT << 4 | 0x100 | 2);
    fake_writable(port, PORT_PCIE + 24, 2, 0x400);
}

static struct fake_function *add_function(unsigned int number)
{
    struct fake_function *f = fake_add(7, 0, number, 0x15218086, 0x020000);

    fake_put(f, PCI_HEADER_TYPE, 1, PCI_HEADER_MULTI);
    fake_bar(f, 0, 0xe1000000 + number * 0x10000, 0x10000, false);
    fake_capability(f, CARD_PCIE, PCI_CAP_PCIE);
    fake_writable(f, CARD_PCIE + 8, 2, 0xffff);
    return f;
}

static int before_each(void **state)
{
    (void)state;
    fake_machine_reset();
    add_port();
    card = add_function(0);
    sibling = add_function(1);
    flr_works = af_works = pm_works = bus_works = power_works = false;
    flr_tries = 0;
    fake_on_write = device;
    return 0;
}

// Finds the functions; the card is nobody's and has been used.
static struct pci_device *find_card(void)
{
    struct pci_device *pdev;

    assert_int_equal(pci_init(), 0);
    for (struct pci_device *p = pci_device_next(NULL); p; p = pci_device_next(p)) {
        p->removed = !pci_probe(p);
    }
    pdev = pci_device_find(CARD);
    pdev->used = true;
    return pdev;
}

static int reset(struct pci_device *pdev)
{
    for (unsigned int i = 0; i < 20000; i++) {
        int error = pci_reset(pdev);

        if (error != -XEN_ERESTART) {
            return error;
        }
    }
    return -XEN_ERESTART; // it never ends
}

static void offer_flr(void)
{
    fake_put(card, CARD_PCIE + 4, 4, PCI_PCIE_FLR_CAPABLE);
}

static void offer_pm(void)
{
    fake_capability(card, CARD_PM, PCI_CAP_PM);
    fake_writable(card, CARD_PM + 4, 2, 3);
}

static void test_function_level_reset(void **state)
{
    struct pci_device *pdev;

    (void)state;
    offer_flr();
    flr_works = true;
    pdev = find_card();
    pci_config_write(CARD, PCI_COMMAND, 2, PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY);
    assert_int_equal(reset(pdev), 0);
    assert_int_equal(flr_tries, 1);
    assert_string_equal(pdev->reset.tried, "");
    // Quiet, and not to be reset again.
    assert_int_equal(fake_get(card, PCI_COMMAND, 2), PCI_COMMAND_INTX_OFF);
    assert_int_equal(pci_reset(pdev), 0);
    assert_int_equal(flr_tries, 1);
}

static void test_what_has_no_effect_is_not_believed(void **state)
{
    struct pci_device *pdev;

    (void)state;
    offer_flr();
    fake_capability(card, CARD_AF, PCI_CAP_AF);
    fake_put(card, CARD_AF + 3, 1, 3);
    af_works = true;
    pdev = find_card();
    assert_int_equal(reset(pdev), 0);
    assert_string_equal(pdev->reset.tried, "FLR: had no effect");
}

static void test_power_state(void **state)
{
    struct pci_device *pdev;

    (void)state;
    offer_pm();
    pm_works = true;
    pdev = find_card();
    assert_int_equal(reset(pdev), 0);
    assert_string_equal(pdev->reset.tried, "FLR: not offered; AF: not offered");
    assert_int_equal(fake_get(card, CARD_PM + 4, 2) & 3, 0);
}

static void test_slot(void **state)
{
    struct pci_device *pdev;

    (void)state;
    fake_put(port, PORT_PCIE + 20, 4, 2);
    power_works = true;
    pdev = find_card();
    assert_int_equal(reset(pdev), 0);
    assert_int_equal(fake_get(port, PORT_PCIE + 24, 2), 0);
}

static void test_bus(void **state)
{
    struct pci_device *pdev;

    (void)state;
    offer_pm();
    fake_put(card, CARD_PM + 4, 2, 8);
    bus_works = true;
    pdev = find_card();
    assert_int_equal(reset(pdev), 0);
    assert_string_equal(pdev->reset.tried,
                        "FLR: not offered; AF: not offered; PM: the function keeps its state in "
                        "D3; slot: its slot's power cannot be switched");
    assert_int_equal(fake_get(port, BRIDGE_CONTROL, 2), 0);
}

// Somebody uses the function beside it: the bus is not reset.
static void test_neighbour_is_spared(void **state)
{
    struct pci_device *pdev;

    (void)state;
    bus_works = power_works = true;
    pdev = find_card();
    pci_device_find(SIBLING)->owner = &fake_domain;
    assert_int_equal(reset(pdev), -XEN_EIO);
    assert_non_null(strstr(pdev->reset.tried, "bus: another function on its bus is in use"));
    assert_true(pdev->used);
    pci_device_find(SIBLING)->owner = NULL;
    assert_int_equal(reset(pdev), 0);
}

static void test_nothing_works(void **state)
{
    struct pci_device *pdev;

    (void)state;
    offer_flr();
    offer_pm();
    pdev = find_card();
    assert_int_equal(reset(pdev), -XEN_EIO);
    assert_string_equal(pdev->reset.tried,
                        "FLR: had no effect; AF: not offered; PM: had no effect; slot: its slot's "
                        "power cannot be switched; bus: had no effect; own: none is known for "
                        "its kind");
    // On a root bus there is even less.
    pdev = pci_device_find(DISK);
    pdev->used = true;
    assert_int_equal(reset(pdev), -XEN_EIO);
    assert_non_null(strstr(pdev->reset.tried, "bus: the function is on a root bus"));
}

static void test_transactions_under_way(void **state)
{
    struct pci_device *pdev;

    (void)state;
    offer_flr();
    flr_works = true;
    fake_put(card, CARD_PCIE + 10, 2, 0x20); // for ever
    pdev = find_card();
    assert_int_equal(reset(pdev), -XEN_EIO);
    assert_non_null(strstr(pdev->reset.tried, "FLR: transactions do not end"));
}

static void test_function_that_goes_away(void **state)
{
    struct pci_device *pdev;

    (void)state;
    offer_flr();
    pdev = find_card();
    card->present = false;
    assert_int_equal(reset(pdev), -XEN_EIO);
    card->present = true;
}

static void test_who_is_not_reset(void **state)
{
    struct pci_device *pdev;

    (void)state;
    pdev = find_card();
    pdev->owner = &fake_domain;
    assert_int_equal(pci_reset(pdev), -XEN_EBUSY);
    pdev->owner = NULL;
    pdev->used = false;
    assert_int_equal(pci_reset(pdev), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_function_level_reset, before_each),
        cmocka_unit_test_setup(test_what_has_no_effect_is_not_believed, before_each),
        cmocka_unit_test_setup(test_power_state, before_each),
        cmocka_unit_test_setup(test_slot, before_each),
        cmocka_unit_test_setup(test_bus, before_each),
        cmocka_unit_test_setup(test_neighbour_is_spared, before_each),
        cmocka_unit_test_setup(test_nothing_works, before_each),
        cmocka_unit_test_setup(test_transactions_under_way, before_each),
        cmocka_unit_test_setup(test_function_that_goes_away, before_each),
        cmocka_unit_test_setup(test_who_is_not_reset, before_each),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
