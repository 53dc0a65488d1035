// SPDX-License-Identifier: Apache-2.0
// Everything else that virtual PCI calls, in memory: p2m, interrupts, IOMMU, heap. What it did can
// be read back; what it must not do ends the program.
#ifndef FAKE_MACHINE_H
#define FAKE_MACHINE_H

#include <bulkhead/domain.h>
#include <bulkhead/io.h>
#include <bulkhead/iommu.h>
#include <bulkhead/vpci.h>

#include "fake_bus.h"

struct irq {
    bool used;
    uint8_t vector;
    void (*handler)(void *data);
    void *data;
    void (*reprogram)(struct irq *irq, void *data);
    uint32_t destination;
};

#define FAKE_IRQS 64u
extern struct irq fake_irqs[FAKE_IRQS];
extern unsigned int fake_irq_limit; // how many can be in use

// Entries of the (one) interrupt remapping table.
#define FAKE_ENTRIES 256u
struct fake_entry {
    bool allocated, enabled;
    uint8_t vector;
    uint32_t destination;
};
extern struct fake_entry fake_entries[FAKE_ENTRIES];

extern unsigned int fake_delivered; // messages that reached the domain
extern uint64_t fake_address;       // the last one
extern uint32_t fake_data;
extern unsigned int fake_mapped_frames; // in the p2m
extern unsigned int fake_remaps;        // hv_ioremap without hv_iounmap
extern int fake_fail_after;             // allocations until one fails; negative: never

extern struct domain fake_domain;
extern uint32_t fake_line_guest, fake_line_machine; // the one line that can be bound; 0: is not

// Forgets everything, makes the domain and gives it the usual functions (below).
void fake_machine_reset(void);
// Finds the functions on the fake bus and gives them to the domain.
void fake_machine_start(void);
// Instead: the domain is not domain 0, and has NIC and DISK as devices 1 and 2 of its bus, if they
// can be given to it.
void fake_guest_start(void);
void fake_machine_stop(void); // takes all back and checks that nothing is left

bool fake_maps(uint64_t address); // the frame is mapped
bool fake_maps_to(uint64_t address, uint64_t machine);
// A device raises the interrupt that its message names; false if the IOMMU blocks it.
bool fake_raise(uint64_t address, uint32_t data);
unsigned int fake_irqs_used(void);

// As the domain does it.
uint32_t guest_read(pci_sbdf_t sbdf, unsigned int offset, unsigned int size);
void guest_write(pci_sbdf_t sbdf, unsigned int offset, unsigned int size, uint32_t value);
bool guest_memory_read(uint64_t address, unsigned int size, uint64_t *value);
bool guest_memory_write(uint64_t address, unsigned int size, uint64_t value);
uint32_t guest_port_read(uint16_t port, unsigned int size);
void guest_port_write(uint16_t port, unsigned int size, uint32_t value);

// The usual functions.
#define NIC PCI_SBDF(0, 0, PCI_DEVFN(2, 0))    // MSI (8 messages), MSI-X (16), BAR 0 and 2, ROM
#define DISK PCI_SBDF(0, 0, PCI_DEVFN(3, 0))   // I/O BAR, BAR 5 of 4 KiB, hidden capabilities
#define BRIDGE PCI_SBDF(0, 0, PCI_DEVFN(4, 0)) // to bus 1
#define BEHIND PCI_SBDF(0, 1, PCI_DEVFN(0, 0)) // BAR 0 of 256 bytes
#define UNIT PCI_SBDF(0, 0, PCI_DEVFN(5, 0))   // an IOMMU
#define ROOT PCI_SBDF(0, 0, PCI_DEVFN(0, 0))   // host bridge

#define NIC_BAR0 0xe0000000UL // 64 KiB; MSI-X table at 0x2000, pending bits at 0x3000
#define NIC_BAR0_SIZE 0x10000UL
#define NIC_TABLE (NIC_BAR0 + 0x2000)
#define NIC_PENDING (NIC_BAR0 + 0x2800)
#define NIC_BAR2 0x800000000UL // 4 MiB, 64-bit
#define NIC_BAR2_SIZE 0x400000UL
#define NIC_ROM 0xe0100000UL
#define NIC_MSI 0x50u
#define NIC_MSIX 0x70u
#define DISK_BAR5 0xe0020000UL
#define UNIT_BAR0 0xe0030000UL

#endif
