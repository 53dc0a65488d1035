// SPDX-License-Identifier: Apache-2.0
// The physdev_op hypercall. A translated guest has virtual I/O APICs and virtual PCI, so nearly
// all of this interface, which gives PV guests physical interrupts, is refused with the error that
// makes Linux use its native drivers. Domain 0 reports PCI functions and interrupt lines.
// Errors: arguments are copied once and checked; nothing is kept here, so no locking.

#include <bulkhead/acpi.h>
#include <bulkhead/cpu.h>
#include <bulkhead/domain.h>
#include <bulkhead/guest_access.h>
#include <bulkhead/hypercall.h>
#include <bulkhead/pci.h>
#include <x86/ioapic.h>
#include <xen/physdev.h>

static bool gsi_exists(uint32_t gsi)
{
    for (unsigned int i = 0; i < ioapic_count(); i++) {
        const struct ioapic_info *io = ioapic_get(i);

        if (gsi >= io->gsi_base && gsi - io->gsi_base < io->pins) {
            return true;
        }
    }
    return false;
}

// Domain 0 has found out how a line is wired. Its own unmasking of the virtual I/O APIC's entry,
// which states the same, is what binds the line; so all there is to do is to know the line.
static int setup_gsi(uint64_t argument)
{
    struct physdev_setup_gsi info;

    if (copy_from_guest(&info, GVA(argument), sizeof(info))) {
        return -XEN_EFAULT;
    }
    return gsi_exists((uint32_t)info.gsi) && info.triggering <= 1 && info.polarity <= 1
               ? 0
               : -XEN_EINVAL;
}

static int device_reset(uint64_t argument)
{
    struct pci_device_reset info;
    struct pci_device *pdev;

    if (copy_from_guest(&info, GVA(argument), sizeof(info))) {
        return -XEN_EFAULT;
    }
    if (info.flags & ~(uint32_t)PCI_DEVICE_RESET_MASK) {
        return -XEN_EINVAL;
    }
    pdev = pci_device_find(PCI_SBDF(info.dev.seg, info.dev.bus, info.dev.devfn));
    if (!pdev || pdev->removed) {
        return -XEN_ENODEV;
    }
    // Domain 0 resets functions through virtual PCI, which sees every write that matters.
    return 0;
}

// arg: command, structure.
int64_t do_physdev_op(struct hypercall *call)
{
    uint32_t command = (uint32_t)call->arg[0];
    int error;

    if (current_domain() != domain0) {
        return -XEN_ENOSYS;
    }
    switch (command) {
    case PHYSDEVOP_setup_gsi:
        return setup_gsi(call->arg[1]);
    case PHYSDEVOP_pci_device_reset:
        return device_reset(call->arg[1]);
    default:
        error = pci_physdev_op(command, call->arg[1]);
        return error == -XEN_ERESTART ? (preempt_needed(), hypercall_restart(call)) : error;
    }
}
