// SPDX-License-Identifier: Apache-2.0
// Line interrupts (INTx) of a domain other than domain 0: the machine's line that a function pulls
// is bound to a pin of the domain's virtual I/O APIC. Only who knows the machine's wiring, which is
// in its ACPI code, can say which line that is; until then the function shows no pin and cannot
// assert one. The device's lock is held by all but the two entry points.
#include <bulkhead/errno.h>
#include <x86/vioapic.h>

#include "vpci_private.h"

#define PINS 4u
#define FIRST_PCI_GSI 16u

// The public ABI's wiring of devices' pins to the virtual I/O APIC.
static uint32_t guest_gsi(unsigned int device, unsigned int pin)
{
    return FIRST_PCI_GSI + ((device * 4 + device / 8 + pin) & 31);
}

static uint32_t read_pin(struct vpci_device *v, const struct vpci_register *r)
{
    return v->line ? pci_read8(v->pdev->sbdf, r->offset) : 0;
}

bool vpci_line_init(struct vpci_device *v)
{
    return vpci_register_add(
        v, (struct vpci_register){.offset = PCI_INTERRUPT_PIN, .size = 1, .read = read_pin});
}

void vpci_line_free(struct vpci_device *v)
{
    if (v->line) {
        pci_config_write(v->pdev->sbdf, PCI_COMMAND, 2,
                         pci_read16(v->pdev->sbdf, PCI_COMMAND) | PCI_COMMAND_INTX_OFF);
        vioapic_unbind_line(v->domain, v->line);
        v->line = 0;
    }
}

static int bind(struct vpci_device *v, unsigned int device, unsigned int pin, uint32_t machine_gsi)
{
    uint32_t gsi = guest_gsi(device, pin);
    int error;

    if (v->line) {
        return -XEN_EBUSY;
    }
    if (pci_read8(v->pdev->sbdf, PCI_INTERRUPT_PIN) != pin + 1) {
        return -XEN_EINVAL;
    }
    error = vioapic_bind_line(v->domain, gsi, machine_gsi);
    v->line = error ? 0 : gsi;
    return error;
}

static struct vpci_device *lock_device(struct domain *d, unsigned int device)
{
    return d->privileged || !d->arch.vpci || !d->arch.vioapic || device > 31
               ? NULL
               : vpci_lock_function(d, PCI_SBDF(0, 0, PCI_DEVFN(device, 0)));
}

int vpci_bind_line(struct domain *d, unsigned int device, unsigned int pin, uint32_t machine_gsi)
{
    struct vpci_device *v = lock_device(d, device);
    int error;

    if (!v) {
        return -XEN_ENODEV;
    }
    error = pin < PINS ? bind(v, device, pin, machine_gsi) : -XEN_EINVAL;
    spin_unlock(&v->pdev->lock);
    return error;
}

int vpci_unbind_line(struct domain *d, unsigned int device, unsigned int pin)
{
    struct vpci_device *v = lock_device(d, device);
    int error = -XEN_EINVAL;

    if (!v) {
        return -XEN_ENODEV;
    }
    if (pin < PINS && v->line == guest_gsi(device, pin)) {
        vpci_line_free(v);
        error = 0;
    }
    spin_unlock(&v->pdev->lock);
    return error;
}
