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
#define IOMMU_MAX_TAGS 4096u // domains with devices at a time, and one

// Contracts as in iommu.h; pci_device.lock is held for all that take a function.
struct iommu_ops {
    const char *name;
    unsigned int tags; // iommu_domain.id is below this
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

// Finds AMD's or Intel's IOMMUs and sets them up: 0 and *ops, -XEN_ENODEV when there are none
// (silently), or another error after a message.
int amd_iommu_init(const struct iommu_ops **ops);
int intel_iommu_init(const struct iommu_ops **ops);

// iommu.c
extern bool iommu_verbose, iommu_debug;
#define IOMMU_ANSWER_TIMEOUT 1000000000L // nanoseconds
// Waits until a unit has stored value at *completion, as it was told after its other commands;
// false when it does not do so in time.
bool iommu_wait_completion(const volatile uint64_t *completion, uint64_t value);
// The domid of the domain whose translations carry a tag; -1: nobody's. No lock.
int iommu_tag_owner(uint16_t tag);

// fault.c
struct fault_count {
    uint16_t id;
    uint32_t count;
};
// Faults of one unit within a second.
struct fault_window {
    ns_t start;
    unsigned int faults, said;
    struct fault_count counts[8]; // of the busiest devices
};
#define FAULT_NOWHERE (~0UL)
struct fault {
    const char *what;
    const char *access; // "read from address", "interrupt at": the address follows
    pci_sbdf_t sbdf;
    int owner;        // domid, or -1
    uint64_t address; // or FAULT_NOWHERE: the unit does not tell
};
// Before the faults that have come are read: a new second begins a new window.
void fault_window_update(struct fault_window *w, unsigned int unit);
bool fault_window_is_calm(const struct fault_window *w);
// Counts a fault that concerns no device; whether it may be printed.
bool fault_may_be_said(struct fault_window *w);
// Counts and reports a fault; true when its device has just become one that floods the log and the
// caller has to silence it.
bool fault_report(struct fault_window *w, unsigned int unit, const struct fault *fault);

// region.c
bool iommu_overlaps_memory(uint64_t start, uint64_t size); // that domains get
// At boot: 0, or -XEN_EINVAL with a message. table: who says so.
int iommu_region_check(const char *table, uint64_t start, uint64_t size);
// Maps firmware memory for a function of d at its own address. 0 or -errno with a message.
int iommu_region_map(struct domain *d, const struct pci_device *pdev, uint64_t start,
                     uint64_t size);

#endif
