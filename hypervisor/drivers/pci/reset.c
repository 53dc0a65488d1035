// SPDX-License-Identifier: Apache-2.0
// Brings a function back to the state of power-on, between two owners. Methods are tried from the
// gentlest on: function level reset, its conventional counterpart (AF), a turn through the power
// state D3, its slot's power, its secondary bus, a register of its own (reset_own.c). Believed is
// only what is seen: before each try a mark is set, in the command register or in one of its own,
// and a method that leaves the mark there has done nothing.
// A try is a sequence of steps with times to wait between them; the state is in pci_device.reset,
// under pci_device.lock, so that the caller makes way meanwhile. Every wait has a limit.
#include <bulkhead/console.h>
#include <bulkhead/errno.h>
#include <bulkhead/timer.h>

#include "pci_private.h"

#define MILLISECOND 1000000L
#define PENDING_LIMIT (1000 * MILLISECOND)  // for transactions under way to end
#define PRESENCE_LIMIT (1000 * MILLISECOND) // to answer after a reset

#define PM_CONTROL 4
#define PM_STATE_MASK 0x0003u
#define PM_STATE_D3 0x0003u
#define PM_NO_SOFT_RESET 0x0008u
#define AF_CAPABILITIES 3
#define AF_CONTROL 4
#define AF_STATUS 5
#define AF_CAN_SHOW_PENDING 0x01u
#define AF_CAN_RESET 0x02u
#define AF_RESET 0x01u
#define AF_PENDING 0x01u
#define PCIE_DEVICE_CONTROL 8
#define PCIE_DEVICE_STATUS 10
#define PCIE_SLOT_CAPABILITIES 20
#define PCIE_SLOT_CONTROL 24
#define PCIE_FLAGS_SLOT 0x0100u
#define PCIE_DEVICE_RESET 0x8000u
#define PCIE_DEVICE_PENDING 0x0020u
#define PCIE_SLOT_POWER_CONTROLLER 0x00000002u
#define PCIE_SLOT_POWER_OFF 0x0400u
#define BRIDGE_CONTROL 0x3e
#define BRIDGE_CONTROL_RESET 0x0040u

// Decode, bus mastering and interrupts as they have to be while nobody owns the function; the mark
// by which a reset is seen is that INTx is off, which no function is after one.
#define QUIET PCI_COMMAND_INTX_OFF

enum stage { RESET_IDLE, RESET_DRAIN, RESET_HOLD, RESET_SETTLE, RESET_CHECK };

struct method {
    const char *name;
    // These say why not; NULL: it can be tried, it has begun, it has ended.
    const char *(*obstacle)(const struct pci_device *pdev);
    const char *(*begin)(struct pci_device *pdev);
    ns_t hold;
    const char *(*end)(struct pci_device *pdev);
    ns_t settle;
    bool (*is_busy)(const struct pci_device *pdev); // after the reset
    bool (*is_marked)(const struct pci_device *pdev);
};

static const char *flr_obstacle(const struct pci_device *pdev)
{
    return pdev->pcie && pdev->has_flr ? NULL : "not offered";
}

static const char *flr_begin(struct pci_device *pdev)
{
    unsigned int control = pdev->pcie + PCIE_DEVICE_CONTROL;

    pci_config_write(pdev->sbdf, control, 2, pci_read16(pdev->sbdf, control) | PCIE_DEVICE_RESET);
    return NULL;
}

static const char *af_obstacle(const struct pci_device *pdev)
{
    return pdev->af && pci_read8(pdev->sbdf, pdev->af + AF_CAPABILITIES) & AF_CAN_RESET
               ? NULL
               : "not offered";
}

static const char *af_begin(struct pci_device *pdev)
{
    pci_config_write(pdev->sbdf, pdev->af + AF_CONTROL, 1, AF_RESET);
    return NULL;
}

static const char *pm_obstacle(const struct pci_device *pdev)
{
    if (!pdev->pm) {
        return "not offered";
    }
    return pci_read16(pdev->sbdf, pdev->pm + PM_CONTROL) & PM_NO_SOFT_RESET
               ? "the function keeps its state in D3"
               : NULL;
}

static void set_power_state(const struct pci_device *pdev, uint16_t state)
{
    uint16_t control = pci_read16(pdev->sbdf, pdev->pm + PM_CONTROL);

    control = (uint16_t)((control & ~PM_STATE_MASK) | state);
    pci_config_write(pdev->sbdf, pdev->pm + PM_CONTROL, 2, control);
}

static const char *pm_begin(struct pci_device *pdev)
{
    set_power_state(pdev, PM_STATE_D3);
    return NULL;
}

static const char *pm_end(struct pci_device *pdev)
{
    set_power_state(pdev, 0);
    return NULL;
}

// What resets a whole bus must not hit a function that somebody uses, nor bridges, which would lose
// their bus numbers.
static const char *bus_obstacle(const struct pci_device *pdev)
{
    const struct pci_device *bridge = pci_parent(pdev);

    if (!bridge) {
        return "the function is on a root bus";
    }
    for (const struct pci_device *p = pci_device_next(NULL); p; p = pci_device_next(p)) {
        if (p == pdev || p->removed || p->sbdf.segment != pdev->sbdf.segment ||
            p->sbdf.bus != pdev->sbdf.bus) {
            continue;
        }
        if (p->owner || p->hidden) {
            return "another function on its bus is in use";
        }
        if (p->header_type == PCI_HEADER_BRIDGE) {
            return "there is a bridge on its bus";
        }
    }
    return NULL;
}

static void change16(pci_sbdf_t sbdf, unsigned int offset, uint16_t bits, bool set)
{
    uint16_t old = pci_read16(sbdf, offset);

    pci_config_write(sbdf, offset, 2, set ? old | bits : old & ~bits);
}

static const char *slot_obstacle(const struct pci_device *pdev)
{
    const struct pci_device *port = pci_parent(pdev);
    const char *obstacle = bus_obstacle(pdev);

    if (obstacle) {
        return obstacle;
    }
    if (!port->pcie || !(pci_read16(port->sbdf, port->pcie + PCI_PCIE_FLAGS) & PCIE_FLAGS_SLOT) ||
        !(pci_read32(port->sbdf, port->pcie + PCIE_SLOT_CAPABILITIES) &
          PCIE_SLOT_POWER_CONTROLLER)) {
        return "its slot's power cannot be switched";
    }
    return NULL;
}

static const char *slot_begin(struct pci_device *pdev)
{
    const struct pci_device *port = pci_parent(pdev);

    change16(port->sbdf, port->pcie + PCIE_SLOT_CONTROL, PCIE_SLOT_POWER_OFF, true);
    return NULL;
}

static const char *slot_end(struct pci_device *pdev)
{
    const struct pci_device *port = pci_parent(pdev);

    change16(port->sbdf, port->pcie + PCIE_SLOT_CONTROL, PCIE_SLOT_POWER_OFF, false);
    return NULL;
}

static const char *bus_begin(struct pci_device *pdev)
{
    change16(pci_parent(pdev)->sbdf, BRIDGE_CONTROL, BRIDGE_CONTROL_RESET, true);
    return NULL;
}

static const char *bus_end(struct pci_device *pdev)
{
    change16(pci_parent(pdev)->sbdf, BRIDGE_CONTROL, BRIDGE_CONTROL_RESET, false);
    return NULL;
}

static const char *nothing_to_end(struct pci_device *pdev)
{
    (void)pdev;
    return NULL;
}

static bool never_busy(const struct pci_device *pdev)
{
    (void)pdev;
    return false;
}

static bool command_is_marked(const struct pci_device *pdev)
{
    return pci_read16(pdev->sbdf, PCI_COMMAND) & QUIET;
}

// Times of the PCI Express Base Specification, 6.6 and 6.7.3, of the PCI Bus Power Management
// Interface Specification, 5.6.1, and of those named in reset_own.c.
static const struct method methods[] = {
    {"FLR", flr_obstacle, flr_begin, 0, nothing_to_end, 100 * MILLISECOND, never_busy,
     command_is_marked},
    {"AF", af_obstacle, af_begin, 0, nothing_to_end, 100 * MILLISECOND, never_busy,
     command_is_marked},
    {"PM", pm_obstacle, pm_begin, 10 * MILLISECOND, pm_end, 10 * MILLISECOND, never_busy,
     command_is_marked},
    {"slot", slot_obstacle, slot_begin, 1000 * MILLISECOND, slot_end, 300 * MILLISECOND, never_busy,
     command_is_marked},
    {"bus", bus_obstacle, bus_begin, 2 * MILLISECOND, bus_end, 100 * MILLISECOND, never_busy,
     command_is_marked},
    {"own", pci_own_reset_obstacle, pci_own_reset_begin, 32 * MILLISECOND, pci_own_reset_end,
     10 * MILLISECOND, pci_own_reset_is_busy, pci_own_reset_is_marked},
};

static bool transactions_pending(const struct pci_device *pdev)
{
    if (pdev->pcie) {
        return pci_read16(pdev->sbdf, pdev->pcie + PCIE_DEVICE_STATUS) & PCIE_DEVICE_PENDING;
    }
    if (pdev->af && pci_read8(pdev->sbdf, pdev->af + AF_CAPABILITIES) & AF_CAN_SHOW_PENDING) {
        return pci_read8(pdev->sbdf, pdev->af + AF_STATUS) & AF_PENDING;
    }
    return false;
}

void pci_stop_dma(struct pci_device *pdev)
{
    uint16_t command = pci_read16(pdev->sbdf, PCI_COMMAND);

    pci_config_write(pdev->sbdf, PCI_COMMAND, 2, command & ~PCI_COMMAND_MASTER);
}

void pci_quiesce(struct pci_device *pdev)
{
    uint16_t command = pci_read16(pdev->sbdf, PCI_COMMAND);

    if (pdev->class_code >> 16 == PCI_BASE_CLASS_BRIDGE) {
        return; // moves others' transactions
    }
    command &= (uint16_t) ~(PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    pci_config_write(pdev->sbdf, PCI_COMMAND, 2, command | QUIET);
}

// Notes in words what came of a method.
static void note(struct pci_device *pdev, const char *outcome)
{
    struct pci_reset *r = &pdev->reset;
    size_t used = 0;

    while (r->tried[used]) {
        used++;
    }
    format_string(r->tried + used, sizeof(r->tried) - used, "%s%s: %s", used ? "; " : "",
                  methods[r->method].name, outcome);
}

// Goes on to the next method that can be tried, or gives up.
static int next_method(struct pci_device *pdev)
{
    struct pci_reset *r = &pdev->reset;

    for (; r->method < ARRAY_SIZE(methods); r->method++) {
        const char *obstacle = methods[r->method].obstacle(pdev);

        if (!obstacle) {
            pci_quiesce(pdev);
            r->stage = RESET_DRAIN;
            r->until = now() + PENDING_LIMIT;
            return -XEN_ERESTART;
        }
        note(pdev, obstacle);
    }
    log_error("PCI: " PCI_FORMAT " cannot be reset and stays with nobody (%s)",
              PCI_ARGUMENTS(pdev->sbdf), r->tried);
    r->stage = RESET_IDLE;
    return -XEN_EIO;
}

static int method_failed(struct pci_device *pdev, const char *why)
{
    pci_own_reset_finish(pdev);
    note(pdev, why);
    pdev->reset.method++;
    return next_method(pdev);
}

static void enter(struct pci_reset *r, enum stage stage, ns_t wait)
{
    r->stage = (uint8_t)stage;
    r->until = now() + wait;
}

// The function answers, is ready, has lost the mark, and has nothing under way.
static int check(struct pci_device *pdev)
{
    struct pci_reset *r = &pdev->reset;
    const struct method *m = &methods[r->method];
    uint32_t identity = pci_read32(pdev->sbdf, PCI_VENDOR_ID);
    bool present = identity == (pdev->vendor | (uint32_t)pdev->device << 16);
    bool ready = present && !m->is_busy(pdev);

    if (ready && m->is_marked(pdev)) {
        return method_failed(pdev, "had no effect");
    }
    if (ready && !transactions_pending(pdev)) {
        log_info("PCI: " PCI_FORMAT " was reset (%s%s%s: done)", PCI_ARGUMENTS(pdev->sbdf),
                 r->tried, r->tried[0] ? "; " : "", m->name);
        pci_own_reset_finish(pdev);
        pci_quiesce(pdev);
        r->stage = RESET_IDLE;
        pdev->used = false;
        return 0;
    }
    if (now() <= r->until) {
        return -XEN_ERESTART;
    }
    return method_failed(pdev, ready     ? "transactions do not end"
                               : present ? "it does not end"
                                         : "no answer afterwards");
}

static int step(struct pci_device *pdev)
{
    struct pci_reset *r = &pdev->reset;
    const struct method *m = &methods[r->method];
    const char *failure;

    switch ((enum stage)r->stage) {
    case RESET_IDLE:
        *r = (struct pci_reset){0};
        return next_method(pdev);
    case RESET_DRAIN:
        if (transactions_pending(pdev) && now() <= r->until) {
            return -XEN_ERESTART;
        }
        if (!(pci_read16(pdev->sbdf, PCI_COMMAND) & QUIET)) {
            return method_failed(pdev, "its effect could not be seen");
        }
        failure = m->begin(pdev);
        if (failure) {
            return method_failed(pdev, failure);
        }
        enter(r, RESET_HOLD, m->hold);
        return -XEN_ERESTART;
    case RESET_HOLD:
        if (now() <= r->until) {
            return -XEN_ERESTART;
        }
        failure = m->end(pdev);
        if (failure) {
            return method_failed(pdev, failure);
        }
        enter(r, RESET_SETTLE, m->settle);
        return -XEN_ERESTART;
    case RESET_SETTLE:
        if (now() <= r->until) {
            return -XEN_ERESTART;
        }
        enter(r, RESET_CHECK, PRESENCE_LIMIT);
        return -XEN_ERESTART;
    case RESET_CHECK:
        return check(pdev);
    }
    return -XEN_EIO;
}

int pci_reset(struct pci_device *pdev)
{
    int error = 0;

    spin_lock(&pdev->lock);
    if (pdev->owner || pdev->hidden) {
        error = -XEN_EBUSY;
    } else if (pdev->used || pdev->reset.stage != RESET_IDLE) {
        error = step(pdev);
    }
    spin_unlock(&pdev->lock);
    return error;
}
