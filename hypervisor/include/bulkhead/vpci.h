// SPDX-License-Identifier: Apache-2.0
// Virtual PCI: the configuration space that a domain sees, without a device model. A domain has
// ports 0xcf8 to 0xcff and ECAM windows; behind them each assigned function has an emulated
// header, capability list, MSI and MSI-X, and its BARs are mapped in the p2m while it decodes.
// Domain 0 sees the machine's own buses. Another domain has one bus of its own: a host bridge as
// device 0 and its functions as devices from 1 on, in the order in which it gets them; it places
// their BARs where it likes, and of their configuration space it sees what is known to be safe.
// Locking: each function's state under its pci_device.lock; which functions a domain has, under
// the domain's vpci lock (inner). Nothing here is called with the p2m lock held.
#ifndef BULKHEAD_VPCI_H
#define BULKHEAD_VPCI_H

#include <bulkhead/pci.h>
#include <bulkhead/types.h>

struct domain;
struct vcpu;

// Where a domain other than domain 0 finds the ECAM of its one bus (1 MiB); for its MCFG table.
#define VPCI_GUEST_ECAM 0xf0000000UL

// Gives a domain an empty virtual PCI bus: registers its I/O handlers. While the domain is built.
// 0 or -XEN_ENOMEM. For domain 0 ECAM windows are those of the machine (pci_ecam).
int vpci_domain_init(struct domain *d);
// Takes all functions back: they reach nothing from then on. No vcpu of d runs.
void vpci_domain_quarantine(struct domain *d);
// The same, and frees everything. No vcpu of d runs. NULL-safe.
void vpci_domain_destroy(struct domain *d);

// Around changes of which functions a domain has: between them no vcpu of d runs but the current
// one (they look for I/O handlers without a lock), and nobody else changes anything. No lock held.
// 0, or -XEN_ERESTART: somebody else is at it.
int vpci_change_begin(struct domain *d);
void vpci_change_end(struct domain *d);

// Shows a function to d, between begin and end of a change or before it has run; domain 0 sees it
// at the same address as on the machine, with BARs that decode mapped. The function must be d's in
// the IOMMU already (iommu_assign). 0, -XEN_EBUSY, -XEN_EPERM (hidden), -XEN_EINVAL (a bridge for a
// domain other than domain 0), -XEN_ENOSPC, -XEN_ENOMEM; on failure nothing has changed.
int vpci_assign(struct domain *d, struct pci_device *pdev);
// In the same way. Unmaps its BARs, disables decode, bus mastering and interrupts, and frees the
// state.
void vpci_deassign(struct pci_device *pdev);

// A function's line interrupt, of a domain other than domain 0 that has virtual I/O APICs: what the
// machine's GSI brings arrives at the pin of the domain's that the public ABI wires device and pin
// (0: INTA) to. 0; -XEN_ENODEV: no such device, or no I/O APIC; -XEN_EINVAL: not the pin that it
// has; -XEN_EBUSY: bound already, or the machine's line is somebody's; errors of vioapic_bind_line.
int vpci_bind_line(struct domain *d, unsigned int device, unsigned int pin, uint32_t machine_gsi);
int vpci_unbind_line(struct domain *d, unsigned int device, unsigned int pin);

// Domain 0: takes every function that is not hidden, IOMMU first. Functions that cannot be given
// are left in quarantine with a message. 0 or -errno when nothing works at all.
int vpci_assign_hardware_domain(struct domain *d);

// One access to a domain's configuration space, as its handlers do it (also used by tests).
uint32_t vpci_config_read(struct domain *d, pci_sbdf_t sbdf, unsigned int offset,
                          unsigned int size);
void vpci_config_write(struct domain *d, pci_sbdf_t sbdf, unsigned int offset, unsigned int size,
                       uint32_t value);

void vpci_dump(struct pci_device *pdev);

#endif
