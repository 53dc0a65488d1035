// SPDX-License-Identifier: Apache-2.0
// Resets by a function's own registers: each kind that is known, on a root bus, with a device that
// obeys or only pretends to. The device's registers are memory; what it makes of them happens
// between two calls of the reset engine.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <bulkhead/errno.h>

#include "fake_machine.h"

#include "../../../hypervisor/drivers/pci/pci_private.h"

#define PLACE PCI_SBDF(0, 0, PCI_DEVFN(9, 0))
#define REGISTERS 0xe2000000UL
#define XHCI_BASE 0x40u

struct kind {
    uint32_t id, class_code;
    unsigned int bar;
    uint32_t control, reset, mark, mark_bits; // offsets and bits of its registers
    uint32_t control_before, control_stopped; // what it runs with, and what it has to be then
    uint32_t status, busy;
    uint32_t running; // an offset: nothing may be set there at the end
};

static const struct kind xhci = {.id = 0x000d1b36,
                                 .class_code = 0x0c0330,
                                 .bar = 0,
                                 .control = XHCI_BASE,
                                 .reset = 2,
                                 .mark = XHCI_BASE + 0x38,
                                 .mark_bits = 1,
                                 .control_before = 5,
                                 .control_stopped = 4,
                                 .status = XHCI_BASE + 4,
                                 .busy = 0x800,
                                 .running = 0x8000};
static const struct kind ahci = {.id = 0x29228086,
                                 .class_code = 0x010601,
                                 .bar = 5,
                                 .control = 4,
                                 .reset = 1,
                                 .mark = 4,
                                 .mark_bits = 2,
                                 .control_before = 0,
                                 .control_stopped = 0x80000000,
                                 .status = 0x10,
                                 .running = 0x8000};
static const struct kind nic = {.id = 0x10d38086,
                                .class_code = 0x020000,
                                .bar = 0,
                                .control = 0,
                                .reset = 1u << 26,
                                .mark = 0x5404,
                                .mark_bits = 1u << 16,
                                .control_before = 0x40,
                                .control_stopped = 0x44,
                                .status = 8,
                                .running = 0x100};

enum behaviour { OBEYS, IGNORES, HANGS, STAYS_BUSY };

static const struct kind *kind;
static struct fake_function *function;
static bool was_stopped;

static uint32_t *at(uint32_t offset)
{
    return (uint32_t *)(fake_memory + (REGISTERS - FAKE_MEMORY_START) + offset);
}

static int before_each(void **state)
{
    kind = *state;
    fake_machine_reset();
    function = fake_add(0, 9, 0, kind->id, kind->class_code);
    fake_bar(function, kind->bar, REGISTERS, 0x20000, false);
    memset(at(0), 0, 0x20000);
    *at(0) = kind == &xhci ? XHCI_BASE : 0;
    *at(kind->control) = kind->control_before;
    *at(nic.running) = 2;
    was_stopped = false;
    return 0;
}

// What the device does when it finds that its reset was asked for.
static void run_device(enum behaviour behaviour)
{
    if (kind->control_stopped == *at(kind->control)) {
        was_stopped = true;
    }
    if (!(*at(kind->control) & kind->reset) || behaviour == HANGS) {
        return;
    }
    assert_true(was_stopped);
    assert_true(*at(kind->mark) & kind->mark_bits);
    assert_int_equal(fake_get(function, PCI_COMMAND, 2) & 7, PCI_COMMAND_MEMORY);
    *at(kind->control) &= ~kind->reset;
    if (behaviour != IGNORES) {
        *at(kind->mark) &= ~kind->mark_bits;
    }
    if (behaviour == STAYS_BUSY) {
        *at(kind->status) |= kind->busy;
    }
}

static struct pci_device *find(void)
{
    struct pci_device *pdev;

    assert_int_equal(pci_init(), 0);
    pdev = pci_device_find(PLACE);
    assert_true(pci_probe(pdev));
    pdev->used = true;
    return pdev;
}

static int reset(struct pci_device *pdev, enum behaviour behaviour)
{
    for (unsigned int i = 0; i < 20000; i++) {
        int error = pci_reset(pdev);

        if (error != -XEN_ERESTART) {
            // Nothing is left of it, however it ended.
            assert_int_equal(fake_remaps, 0);
            assert_int_equal(fake_get(function, PCI_COMMAND, 2), PCI_COMMAND_INTX_OFF);
            return error;
        }
        run_device(behaviour);
    }
    return -XEN_ERESTART; // it never ends
}

static void expect_failure(struct pci_device *pdev, enum behaviour behaviour, const char *why)
{
    assert_int_equal(reset(pdev, behaviour), -XEN_EIO);
    assert_non_null(strstr(pdev->reset.tried, why));
    assert_true(pdev->used);
}

static void test_reset(void **state)
{
    struct pci_device *pdev = find();

    (void)state;
    // Its registers are reached wherever a reset of another kind left the BAR.
    fake_put(function, PCI_BAR0 + kind->bar * 4, 4, 0);
    assert_int_equal(reset(pdev, OBEYS), 0);
    assert_false(pdev->used);
    assert_int_equal(fake_get(function, PCI_BAR0 + kind->bar * 4, 4), REGISTERS);
    assert_int_equal(*at(kind->running), 0);
}

static void test_what_has_no_effect_is_not_believed(void **state)
{
    (void)state;
    expect_failure(find(), IGNORES, "own: had no effect");
}

static void test_reset_without_end(void **state)
{
    struct pci_device *pdev = find();

    (void)state;
    expect_failure(pdev, HANGS, "own: it does not end");
    *at(kind->control) = kind->control_before;
    // The next try may have more luck.
    assert_int_equal(reset(pdev, OBEYS), 0);
}

static void test_never_ready(void **state)
{
    (void)state;
    expect_failure(find(), STAYS_BUSY, "own: it does not end");
}

static void test_no_memory(void **state)
{
    struct pci_device *pdev = find();

    (void)state;
    fake_fail_after = 0;
    expect_failure(pdev, OBEYS, "own: there is no memory");
}

static void test_registers_elsewhere(void **state)
{
    struct pci_device *pdev = find();
    struct pci_bar *bar = &pdev->bars[kind->bar];
    uint64_t address = bar->address;

    (void)state;
    bar->address = 0;
    assert_non_null(pci_own_reset_obstacle(pdev));
    bar->address = address;
    bar->type = PCI_BAR_IO;
    assert_non_null(pci_own_reset_obstacle(pdev));
    bar->type = PCI_BAR_MEMORY32;
    assert_null(pci_own_reset_obstacle(pdev));
    bar->size = kind->mark;
    assert_non_null(pci_own_reset_obstacle(pdev));
    bar->size = 0x20000;
    pdev->class_code++;
    pdev->device++;
    assert_non_null(pci_own_reset_obstacle(pdev));
}

#define OF(test, kind)                                                                             \
    {                                                                                              \
#test " of " #kind, test, before_each, NULL, (void *)(uintptr_t) & (kind)                  \
    }
#define OF_ALL(test) OF(test, xhci), OF(test, ahci), OF(test, nic)

int main(void)
{
    const struct CMUnitTest tests[] = {
        OF_ALL(test_reset),
        OF_ALL(test_what_has_no_effect_is_not_believed),
        OF_ALL(test_reset_without_end),
        OF(test_never_ready, xhci),
        OF_ALL(test_no_memory),
        OF_ALL(test_registers_elsewhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
