// SPDX-License-Identifier: Apache-2.0
// Physical device interrupts: each has a vector of its own on one CPU (the vector spaces of the
// CPUs are independent). Who programs the device (I/O APIC pin, MSI) creates an irq, reads vector
// and destination from it, and is called back when they change.
#ifndef BULKHEAD_X86_IRQ_H
#define BULKHEAD_X86_IRQ_H

#include <bulkhead/types.h>

struct irq;

// Boot CPU, after the heap and before any device interrupt: takes the device vectors of the IDT,
// and debug key i, which shows who has which.
void irq_init(void);

// Allocates a vector on the least used online CPU. handler(data) runs on that CPU in an interrupt
// window: IF=0, no lock held beneath it, on the hypervisor's stack; it must be short. The local
// APIC's EOI follows the handler, so a level-triggered source has to be masked in it.
// NULL when vectors or memory are out.
struct irq *irq_create(void (*handler)(void *data), void *data);

// The source must be silenced first. On return the handler is not running anywhere and never will
// be. Not from the handler itself, nor with a lock held that the handler takes.
void irq_destroy(struct irq *irq);

uint8_t irq_vector(const struct irq *irq);
uint32_t irq_destination_apic_id(const struct irq *irq);
unsigned int irq_cpu(const struct irq *irq);

// Called by irq_set_affinity when vector and destination have changed; writes them to the device.
void irq_set_reprogram(struct irq *irq, void (*reprogram)(struct irq *irq, void *data));

// Moves the interrupt to another CPU. 0; -XEN_ENOSPC without a free vector there; -XEN_EINVAL if
// the CPU is not online or the interrupt cannot move. The old place stays valid until the next
// move, for interrupts under way. Calls for one irq are serialized by its owner.
int irq_set_affinity(struct irq *irq, unsigned int cpu);

// From the IDT, for vectors 0x20 to 0xef: runs the handler and signals EOI. Unexpected vectors
// are counted and reported, rarely.
void irq_interrupt(uint8_t vector);

// Without interrupt remapping only APIC ids below 255 can be addressed: the IOMMU driver says
// when it remaps (before the other CPUs' interrupts matter).
void irq_allow_wide_destinations(void);

#endif
