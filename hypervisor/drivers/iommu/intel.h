// SPDX-License-Identifier: Apache-2.0
// Between the files of the Intel IOMMU driver.
// Locks, outer to inner: intel_lock (requesters, contexts, interrupt entries and their allocation),
// intel_unit.lock (one unit's invalidation queue). A flush takes only the second.
#ifndef BULKHEAD_INTEL_IOMMU_H
#define BULKHEAD_INTEL_IOMMU_H

#include <bulkhead/spinlock.h>
#include <bulkhead/timer.h>

#include "dmar.h"
#include "intel_format.h"
#include "iommu_private.h"

struct irq;

#define INTEL_QUEUE_ENTRIES 256u // of 16 bytes: one page, size code 0
#define INTEL_IRT_ENTRIES 4096u  // interrupts that one unit remaps
#define INTEL_IRT_SIZE 11u       // their number is 2^(this + 1)

struct intel_unit {
    unsigned int index;
    const struct dmar_unit *dmar; // NULL: not used
    volatile uint8_t *registers;
    volatile uint8_t *records; // of faults
    uint64_t cap, ecap;
    unsigned int levels; // of its second-level tables: 3 or 4
    struct spinlock lock;
    struct intel_entry *queue;
    unsigned int queue_tail;
    volatile uint64_t *completion;               // where waits store, in its low half
    uint32_t completions;                        // value of the last one sent
    struct intel_entry *root;                    // by bus
    struct intel_entry *contexts[INTEL_ENTRIES]; // by bus, then devfn; NULL: none yet
    struct intel_entry *interrupts;
    uint64_t used[INTEL_IRT_ENTRIES / 64]; // entries of it
    bool fault_busy;                       // someone reads the faults
    bool polling;
    struct irq *irq; // NULL: faults are polled
    struct timer poll;
    struct fault_window window;
};

// One requester id as the IOMMU sees it: a function, or several whose transactions a bridge signs.
struct iommu_device {
    struct iommu_device *next;
    uint16_t id;
    bool silenced; // flooded the fault log
    struct intel_unit *unit;
    struct domain *owner;   // whose DMA it does; NULL: none
    maddr_t table;          // of the owner
    unsigned int functions; // how many functions owner has of it
};

extern struct dmar intel_dmar;
extern struct intel_unit intel_units[DMAR_MAX_UNITS];
extern struct spinlock intel_lock;
extern bool intel_wide; // interrupts have 32-bit destinations

// intel_unit.c
uint32_t intel_read(const struct intel_unit *unit, unsigned int offset);
void intel_write(const struct intel_unit *unit, unsigned int offset, uint32_t value);
int intel_unit_init(struct intel_unit *unit);   // maps, checks, makes tables; 0 or -errno, message
int intel_unit_enable(struct intel_unit *unit); // all DMA blocked; 0 or -XEN_EIO with a message
// Runs the descriptors and returns when they have been completed; an IOMMU that does not do so
// within a second stops the machine. Count at most 16.
void intel_run(struct intel_unit *unit, const struct intel_entry *descriptors, unsigned int count);
// Brings what was written to root, context and interrupt tables to where the unit sees it.
void intel_write_back(const void *p, size_t size);

// intel_scope.c: who a unit translates for. No lock: bridges' bus numbers are read as they are.
bool intel_scope_matches(const struct dmar_scope *scope, uint16_t segment,
                         const struct pci_device *pdev);
// The unit for a function, or NULL.
struct intel_unit *intel_unit_of(const struct pci_device *pdev);

// intel_context.c, all under intel_lock.
// The requester for a function, made if there is none, with room for its entries; NULL: memory is
// out.
struct iommu_device *intel_requester(const struct pci_device *pdev, struct intel_unit *unit);
// Writes the context entries of the requester (all its ids) from what it holds.
void intel_context_update(struct iommu_device *requester);
void intel_context_block(struct intel_unit *unit, uint16_t id, uint16_t domain);
int intel_context_owner(const struct intel_unit *unit, uint16_t id); // domid or -1. No lock
void intel_context_silence(struct intel_unit *unit, uint16_t id);    // its faults are not recorded

// intel_interrupt.c. intel_lock is taken inside.
int intel_irq_alloc(struct pci_device *pdev, unsigned int count);
void intel_irq_free(struct pci_device *pdev, unsigned int index, unsigned int count);
void intel_irq_set(struct pci_device *pdev, unsigned int index,
                   const struct interrupt_target *target, struct msi_message *message);
void intel_irq_block(struct pci_device *pdev, unsigned int index);
int intel_io_apics_init(void); // 0 or -errno with a message

// intel_fault.c
int intel_faults_init(struct intel_unit *unit); // 0 or -XEN_ENOMEM

#endif
