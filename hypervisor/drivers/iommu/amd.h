// SPDX-License-Identifier: Apache-2.0
// Between the files of the AMD IOMMU driver.
// Locks, outer to inner: amd_lock (requesters, their owners and interrupt entries), amd_unit.lock
// (one unit's command ring). A flush takes only the second.
#ifndef BULKHEAD_AMD_IOMMU_H
#define BULKHEAD_AMD_IOMMU_H

#include <bulkhead/spinlock.h>
#include <bulkhead/timer.h>

#include "amd_format.h"
#include "iommu_private.h"
#include "ivrs.h"

struct irq;

struct amd_unit {
    unsigned int index;
    const struct ivrs_unit *ivrs;
    pci_sbdf_t sbdf;
    volatile uint8_t *registers;
    uint64_t features, control;
    struct spinlock lock;
    struct amd_command *commands;
    unsigned int command_tail;     // index of the next free entry
    volatile uint64_t *completion; // where completion waits store
    uint64_t completions;          // value of the last one sent
    struct amd_event *events;
    unsigned int event_head; // only the event code's, on one CPU at a time
    bool event_busy;         // someone reads the log
    struct irq *irq;         // NULL: the log is polled
    bool polling;
    struct timer poll;
    struct fault_window window;
};

// One requester id as the IOMMU sees it: a function, or several that share an alias, or a special
// device. Its domain and interrupt entries are common to all its functions.
struct iommu_device {
    struct iommu_device *next;
    uint16_t id;
    uint8_t settings; // IVRS byte
    bool silenced;    // flooded the event log
    struct amd_unit *unit;
    struct domain *owner;   // whose DMA it does; NULL: none
    unsigned int functions; // how many functions owner has of it
    uint32_t *entries;      // interrupt table; NULL: none yet
    unsigned int entry_count;
    uint64_t used[AMD_MAX_IRQ_ENTRIES / 64];
};

extern struct ivrs amd_ivrs;
extern struct amd_unit amd_units[IVRS_MAX_UNITS];
extern unsigned int amd_unit_count;
extern struct spinlock amd_lock;

// amd_unit.c
int amd_unit_init(struct amd_unit *unit); // maps registers, makes rings; 0 or -errno, with message
void amd_unit_enable(struct amd_unit *unit, maddr_t table, size_t table_size);
uint64_t amd_read(const struct amd_unit *unit, unsigned int offset);
void amd_write(const struct amd_unit *unit, unsigned int offset, uint64_t value);
// Runs the commands and returns when they have been completed; an IOMMU that does not do so within
// a second stops the machine. Count at most 16.
void amd_run_commands(struct amd_unit *unit, const struct amd_command *commands,
                      unsigned int count);
// As above for one command, but false instead of stopping: while the unit is being tried.
bool amd_try_command(struct amd_unit *unit, struct amd_command command);

// amd_table.c
int amd_table_init(void); // all entries block; 0 or -XEN_ENOMEM
maddr_t amd_table_address(void);
size_t amd_table_size(void); // bytes
// The requester for an id, made if there is none. amd_lock held. NULL: memory is out.
struct iommu_device *amd_requester(uint16_t id, const struct ivrs_range *range);
struct iommu_device *amd_requester_find(uint16_t id); // amd_lock held
// Writes the device table entries of the requester (all its ids) from what it holds: they block
// while they change. amd_lock held.
void amd_table_update(struct iommu_device *requester);
// Makes the entry of one id block, whatever requester it belonged to. amd_lock held.
void amd_table_block(struct amd_unit *unit, uint16_t id);
// The domain that an id's DMA belongs to, or -1. No lock.
int amd_table_owner(uint16_t id);
void amd_table_silence(uint16_t id); // its faults are not logged any more

// amd_interrupt.c. amd_lock is taken inside.
int amd_irq_alloc(struct pci_device *pdev, unsigned int count);
void amd_irq_free(struct pci_device *pdev, unsigned int index, unsigned int count);
void amd_irq_set(struct pci_device *pdev, unsigned int index, const struct interrupt_target *target,
                 struct msi_message *message);
void amd_irq_block(struct pci_device *pdev, unsigned int index);
// Gives a requester an interrupt table of at least count entries, all blocking. amd_lock held.
int amd_irq_table(struct iommu_device *requester, unsigned int count);
int amd_io_apics_init(void); // 0 or -errno with a message

// amd_event.c
int amd_events_init(struct amd_unit *unit); // by interrupt if it can; 0 or -XEN_ENOMEM

#endif
