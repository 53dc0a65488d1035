// SPDX-License-Identifier: Apache-2.0
// Between the vendor-neutral IOMMU code and the drivers.
#ifndef BULKHEAD_IOMMU_PRIVATE_H
#define BULKHEAD_IOMMU_PRIVATE_H

#include <bulkhead/domain.h>
#include <bulkhead/iommu.h>

#define IOMMU_MAX_UNITS 32u

// A domain as the IOMMUs know it. The counts change under the driver's lock and are read by
// flushes without it: a unit is counted before it can translate for the domain.
struct iommu_domain {
    uint16_t id; // tags cached translations; never 0
    uint32_t unit_functions[IOMMU_MAX_UNITS];
};

#define IOMMU_FLUSH_ALL (~0UL)

// Contracts as in iommu.h; pci_device.lock is held for all that take a function.
struct iommu_ops {
    const char *name;
    bool (*covers)(const struct pci_device *pdev);
    int (*attach)(struct domain *d, struct pci_device *pdev);
    void (*detach)(struct domain *d, struct pci_device *pdev);
    void (*flush)(const struct iommu_domain *domain, uint64_t first, uint64_t count);
    int (*irq_alloc)(struct pci_device *pdev, unsigned int count);
    void (*irq_free)(struct pci_device *pdev, unsigned int index, unsigned int count);
    void (*irq_set)(struct pci_device *pdev, unsigned int index,
                    const struct interrupt_target *target, struct msi_message *message);
    void (*irq_block)(struct pci_device *pdev, unsigned int index);
    bool (*registers)(unsigned int index, uint64_t *start, uint64_t *size);
    void (*dump)(void);
};

// Finds AMD IOMMUs and sets them up: 0 and *ops, -XEN_ENODEV when there are none (silently), or
// another error after a message.
int amd_iommu_init(const struct iommu_ops **ops);

extern bool iommu_verbose, iommu_debug;

#endif
