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
};

// What a device writes to raise an interrupt.
struct msi_message {
    uint64_t address;
    uint32_t data;
};

// Finds the IOMMUs (ACPI IVRS or DMAR), quarantines every function and turns translation and
// interrupt remapping on. After pci_init, irq_init and ioapic_init, before domain 0 (I/O APIC lines
// that are bound already are routed anew). 0; -XEN_ENODEV with a plain message when there is none,
// -XEN_EINVAL with a message when the tables lie, -XEN_EIO when the hardware does not answer,
// -XEN_ENOMEM.
int iommu_init(void);
bool iommu_enabled(void);
// Whether one IOMMU translates for the function.
bool iommu_covers(const struct pci_device *pdev);

// The index-th range of device registers that belong to IOMMUs; false: no more. No domain may map
// them.
bool iommu_registers(unsigned int index, uint64_t *start, uint64_t *size);

// Makes d the owner of a function and gives its DMA to d: it walks d's p2m. Its interrupts are
// blocked until they are set up. Creates d->arch.iommu at the first device. 0, -XEN_ENODEV,
// -XEN_EBUSY, -XEN_ENOMEM.
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

// The message for a target without remapping, for the IOMMU's own interrupt.
void iommu_plain_message(const struct interrupt_target *target, struct msi_message *message);

void iommu_dump(void); // debug key V

#endif
