// SPDX-License-Identifier: Apache-2.0
// The machine's I/O APICs. One lock in ioapic.c covers registers and bindings.
#ifndef BULKHEAD_X86_IOAPIC_H
#define BULKHEAD_X86_IOAPIC_H

#include <bulkhead/types.h>

struct irq;

struct ioapic_info {
    uint8_t id;
    uint8_t version;
    maddr_t address;
    uint32_t gsi_base;
    unsigned int pins;
};

// What the hardware needs to know of one pin.
struct ioapic_route {
    uint8_t vector;
    uint32_t destination; // APIC id
    bool level;
    bool active_low;
};

// Boot CPU, after acpi_init and irq_init: finds the I/O APICs and masks every pin.
// Debug key z shows them.
void ioapic_init(void);

unsigned int ioapic_count(void);
const struct ioapic_info *ioapic_get(unsigned int index);

// Routes a line to handler(data), unmasked. A level-triggered line is masked when it fires, until
// ioapic_unmask. 0; -XEN_ENOENT: no such line; -XEN_EBUSY: bound already; -XEN_ENOSPC: out of
// vectors.
int ioapic_bind(uint32_t gsi, bool level, bool active_low, void (*handler)(void *data), void *data);
// Masks and frees the line; the handler is not running any more on return.
void ioapic_unbind(uint32_t gsi);
// No effect on a line that is not bound. Level-triggered: unmask says that the line was served.
void ioapic_mask(uint32_t gsi);
void ioapic_unmask(uint32_t gsi);
// Changes a bound line's trigger and polarity, unmasked then. 0; -XEN_ENOENT: not bound.
int ioapic_set_trigger(uint32_t gsi, bool level, bool active_low);
// Moves a bound line's interrupts. 0 or -errno as irq_set_affinity; -XEN_ENOENT: not bound.
int ioapic_set_affinity(uint32_t gsi, unsigned int cpu);

// Keeps a line for the hypervisor (or for nobody): ioapic_bind_guest refuses it. At boot.
void ioapic_reserve(uint32_t gsi);
// As ioapic_bind, for a domain's virtual interrupt controller: -XEN_EPERM for reserved lines.
int ioapic_bind_guest(uint32_t gsi, bool level, bool active_low, void (*handler)(void *data),
                      void *data);

// Set by the IOMMU driver when it remaps interrupts: fills in (route) or frees (route NULL) the
// table entry for this pin and gives the redirection entry to write, mask bit clear. 0 or -errno.
// Called with the I/O APIC lock held. After setting it the driver calls ioapic_reprogram.
extern int (*ioapic_remap)(uint8_t ioapic_id, unsigned int pin, const struct ioapic_route *route,
                           uint64_t *rte);
// Writes the entries of all bound lines anew.
void ioapic_reprogram(void);

#endif
