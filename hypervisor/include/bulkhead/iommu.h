// SPDX-License-Identifier: Apache-2.0
// DMA and interrupt remapping, whatever the vendor. A PCI function belongs to one domain, whose
// p2m tables its DMA then walks, or to nobody: quarantined, neither memory nor interrupts.
// Locks are inner to pci_device.lock and the p2m lock; hardware waits are bounded, and an IOMMU
// that does not answer stops the machine, because isolation can no longer be promised.
#ifndef BULKHEAD_IOMMU_H
#define BULKHEAD_IOMMU_H

#include <bulkhead/pci.h>
#include <bulkhead/types.h>

struct domain;

// Where an interrupt goes, as the local APICs want it.
struct interrupt_target {
    uint32_t apic_id;
    uint8_t vector;
    uint8_t delivery_mode; // as in a message: 0 fixed, 1 lowest priority, 4 NMI
    bool logical;
    bool level; // I/O APIC lines only
};

// What a device writes to raise an interrupt.
struct msi_message {
    uint64_t address;
    uint32_t data;
};

// Finds the IOMMUs (ACPI IVRS), quarantines every function and turns translation and interrupt
// remapping on. After pci_init and irq_init, before domain 0 and before any I/O APIC line is
// unmasked. 0; -XEN_ENODEV with a plain message when there is none, -XEN_EINVAL with a message when
// the tables lie, -XEN_EIO when the hardware does not answer, -XEN_ENOMEM.
int iommu_init(void);
bool iommu_enabled(void);
// Whether one IOMMU translates for the function.
bool iommu_covers(const struct pci_device *pdev);

// Gives a function's DMA to d: it walks d's p2m. Its interrupts are blocked until they are set up.
// Creates d->arch.iommu at the first device. 0, -XEN_ENODEV, -XEN_EBUSY, -XEN_ENOMEM.
int iommu_assign(struct domain *d, struct pci_device *pdev);
// To quarantine; returns when no DMA or interrupt of it is under way.
void iommu_deassign(struct pci_device *pdev);
// Frees d->arch.iommu; all its devices have been deassigned.
void iommu_domain_destroy(struct domain *d);

// After count frames from start have changed in d's p2m (entries made, changed or dropped) and
// d->arch.iommu is not NULL: returns when no device uses the old entries. Any context.
void iommu_flush(struct domain *d, gfn_t start, uint64_t count);
void iommu_flush_all(struct domain *d);

// Interrupt remapping entries of a function. alloc: count (a power of two, at most 32; block
// aligned to count) entries that block; the index of the first, or -XEN_ENOSPC, -XEN_ENODEV.
int iommu_irq_alloc(struct pci_device *pdev, unsigned int count);
void iommu_irq_free(struct pci_device *pdev, unsigned int index, unsigned int count);
// Lets one entry deliver to the target and says what message reaches it: for multiple-message MSI
// the message of the first entry, whose low data bits the device replaces by its message number.
void iommu_irq_set(struct pci_device *pdev, unsigned int index,
                   const struct interrupt_target *target, struct msi_message *message);
void iommu_irq_block(struct pci_device *pdev, unsigned int index);

// I/O APIC lines. Sets up the remapping of a pin and gives what its redirection entry must hold in
// place of vector, delivery mode and destination (polarity, trigger mode, mask are the caller's).
// Without IOMMU: the plain encoding. *vector is the value in the entry's vector field, which is
// what an EOI of a level line has to name. 0 or -XEN_ENODEV (no IOMMU knows this I/O APIC).
int iommu_ioapic_set(uint8_t ioapic_id, unsigned int pin, const struct interrupt_target *target,
                     uint64_t *entry, uint8_t *vector);

// Debug key: what the IOMMUs are doing.
void iommu_dump(void);

#endif
