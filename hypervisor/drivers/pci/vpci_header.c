// SPDX-License-Identifier: Apache-2.0
// The configuration header of a virtual function, but for its BARs: command register, bus numbers
// of bridges. The device's lock is held.
#include <bulkhead/console.h>
#include <bulkhead/errno.h>

#include "vpci_private.h"

// What a domain other than domain 0 may switch, and INTx when that is bound. Ports are not given to
// it.
#define GUEST_COMMAND                                                                              \
    (PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_PARITY | PCI_COMMAND_SERR)

static uint32_t read_command(struct vpci_device *v, const struct vpci_register *r)
{
    (void)r;
    return pci_read16(v->pdev->sbdf, PCI_COMMAND);
}

// Memory decode is compared with the hardware's too: a reset or a power state change turns it off
// behind our back, and the domain then restores what it knows.
static void write_command(struct vpci_device *v, const struct vpci_register *r, uint32_t value,
                          uint32_t mask)
{
    pci_sbdf_t sbdf = v->pdev->sbdf;
    uint16_t old = pci_read16(sbdf, PCI_COMMAND);
    uint16_t new = (uint16_t)((old & ~mask) | value);

    (void)r;
    if (v->filtered) {
        uint16_t allowed = GUEST_COMMAND | (v->line ? PCI_COMMAND_INTX_OFF : 0);

        new = (uint16_t)((old & ~allowed) | (new &allowed));
    }
    if (v->decoding && !(old & new &PCI_COMMAND_MEMORY)) {
        vpci_bars_unmap(v);
    }
    if (!v->decoding && new &PCI_COMMAND_MEMORY) {
        vpci_bars_map(v);
    }
    pci_config_write(sbdf, PCI_COMMAND, 2, new);
}

// Bus numbers decide under which requester id a device's DMA arrives. A domain may set them only
// where firmware has not and no function is known behind.
static bool bus_numbers_changeable(const struct vpci_device *v, uint32_t numbers)
{
    uint8_t secondary = numbers >> 8 & 0xff, subordinate = numbers >> 16 & 0xff;

    for (const struct pci_device *p = pci_device_next(NULL); p; p = pci_device_next(p)) {
        if (p->sbdf.segment != v->pdev->sbdf.segment) {
            continue;
        }
        if (p->sbdf.bus >= secondary && p->sbdf.bus <= subordinate && secondary) {
            return false;
        }
        if (p->sbdf.bus >= v->pdev->secondary && p->sbdf.bus <= v->pdev->subordinate &&
            v->pdev->secondary) {
            return false;
        }
    }
    return true;
}

static uint32_t read_bus_numbers(struct vpci_device *v, const struct vpci_register *r)
{
    (void)r;
    return pci_read32(v->pdev->sbdf, PCI_BRIDGE_BUSES) & 0xffffff;
}

static void write_bus_numbers(struct vpci_device *v, const struct vpci_register *r, uint32_t value,
                              uint32_t mask)
{
    pci_sbdf_t sbdf = v->pdev->sbdf;
    uint32_t old = read_bus_numbers(v, r);
    uint32_t new = (old & ~mask) | value;

    if (new == old) {
        return;
    }
    if (!bus_numbers_changeable(v, new)) {
        log_message(LOG_GUEST_WARNING,
                    "vPCI: " PCI_FORMAT ": domain %u may not renumber buses (%06x to %06x)",
                    PCI_ARGUMENTS(sbdf), v->domain->id, old, new);
        return;
    }
    pci_config_write(sbdf, PCI_BRIDGE_BUSES, 2, new & 0xffff);
    pci_config_write(sbdf, PCI_BRIDGE_BUSES + 2, 1, new >> 16);
    v->pdev->secondary = new >> 8 & 0xff;
    v->pdev->subordinate = new >> 16 & 0xff;
}

static uint32_t read_interrupt_line(struct vpci_device *v, const struct vpci_register *r)
{
    (void)r;
    return v->interrupt_line;
}

static void write_interrupt_line(struct vpci_device *v, const struct vpci_register *r,
                                 uint32_t value, uint32_t mask)
{
    (void)r;
    v->interrupt_line = (uint8_t)((v->interrupt_line & ~mask) | value);
}

// What of the header shows through the filter: identity, status, class, subsystem. It is a device
// of one function.
static bool add_filtered(struct vpci_device *v)
{
    if (!v->filtered) {
        return true;
    }
    vpci_make_readable(v, PCI_VENDOR_ID, 4);
    vpci_make_readable(v, PCI_STATUS, 6);
    vpci_make_readable(v, PCI_SUBSYSTEM, 4);
    return vpci_register_add(v, (struct vpci_register){.offset = PCI_HEADER_TYPE,
                                                       .size = 1,
                                                       .argument = v->pdev->header_type}) &&
           vpci_register_add(v, (struct vpci_register){.offset = PCI_INTERRUPT_LINE,
                                                       .size = 1,
                                                       .read = read_interrupt_line,
                                                       .write = write_interrupt_line}) &&
           vpci_line_init(v);
}

int vpci_header_init(struct vpci_device *v)
{
    bool room = vpci_register_add(
        v, (struct vpci_register){
               .offset = PCI_COMMAND, .size = 2, .read = read_command, .write = write_command});

    if (v->pdev->header_type == PCI_HEADER_BRIDGE) {
        room = room && vpci_register_add(v, (struct vpci_register){.offset = PCI_BRIDGE_BUSES,
                                                                   .size = 3,
                                                                   .read = read_bus_numbers,
                                                                   .write = write_bus_numbers});
    }
    room = room && add_filtered(v) && vpci_bars_init(v) && vpci_capabilities_init(v);
    // A host bridge says where memory and configuration space are: nothing a domain may change.
    v->read_only = v->pdev->class_code >> 8 == PCI_CLASS_BRIDGE_HOST;
    return room ? 0 : -XEN_ENOSPC;
}

void vpci_header_free(struct vpci_device *v)
{
    pci_sbdf_t sbdf = v->pdev->sbdf;
    uint16_t command = pci_read16(sbdf, PCI_COMMAND);

    vpci_bars_unmap(v);
    vpci_bars_remember(v);
    if (v->pdev->header_type != PCI_HEADER_BRIDGE && !v->read_only) {
        command &= (uint16_t) ~(PCI_COMMAND_MEMORY | PCI_COMMAND_IO | PCI_COMMAND_MASTER);
        pci_config_write(sbdf, PCI_COMMAND, 2, command | PCI_COMMAND_INTX_OFF);
    }
}
