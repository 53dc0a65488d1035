// SPDX-License-Identifier: Apache-2.0
// Between the files of virtual PCI. Everything in a vpci_device is under its pci_device.lock,
// except the message of a vpci_interrupt, which interrupt handlers read.
#ifndef BULKHEAD_VPCI_PRIVATE_H
#define BULKHEAD_VPCI_PRIVATE_H

#include <bulkhead/domain.h>
#include <bulkhead/io.h>
#include <bulkhead/iommu.h>
#include <bulkhead/vpci.h>

#include "pci_private.h"

struct irq;
struct vpci_device;

// Bytes of configuration space that are not simply the hardware's. mask has ones in the bits that
// a write covers; value is zero elsewhere. Both are relative to the register.
struct vpci_register {
    uint16_t offset;
    uint16_t size; // up to 4 with functions; any without
    uint32_t argument;
    uint32_t (*read)(struct vpci_device *v, const struct vpci_register *r); // NULL: the argument
    void (*write)(struct vpci_device *v, const struct vpci_register *r, uint32_t value,
                  uint32_t mask); // NULL: dropped
};

#define VPCI_MAX_REGISTERS 96u
#define VPCI_ROM PCI_MAX_BARS // index of the expansion ROM among the BARs

struct vpci_bar {
    enum pci_bar_type type;
    bool prefetchable;
    bool enabled; // the ROM's own enable bit; true for BARs
    uint64_t size;
    uint64_t address;   // as the domain wrote it; takes effect when decode is turned on
    uint64_t machine;   // where the hardware decodes: domain 0's address, else the machine's own
    uint64_t mapped_at; // where the p2m has it; meaningful if mapped
    bool mapped;
};

// One interrupt of a device, from a vector of ours to the message that the domain wrote.
struct vpci_interrupt {
    struct domain *domain;
    struct pci_device *pdev;
    struct irq *irq;             // NULL: not bound
    unsigned int index;          // in the IOMMU's table
    struct msi_message hardware; // what the device has to send; meaningful while bound
    // The domain's message: address bits 31:0 in the high half, data in the low; one atomic word.
    uint64_t message;
};

struct vpci_msi {
    unsigned int log_capable; // up to 2^this messages
    uint16_t control;         // the domain's writable bits
    uint64_t address;
    uint16_t data;
    uint32_t mask;
    bool active;                       // interrupts are bound
    unsigned int log_count;            // how many, while active
    struct vpci_interrupt *interrupts; // 2^log_capable
};

struct vpci_msix_entry {
    uint32_t word[4]; // as the domain wrote them: address low, high, data, control
    struct vpci_interrupt interrupt;
};

struct vpci_msix {
    struct vpci_device *device;
    unsigned int bar, count;
    uint64_t table_offset; // in the BAR
    bool enabled, mask_all;
    struct vpci_msix_entry *entries;
    struct io_handler handler; // the pages that hold the table; size 0 while they are nowhere
    volatile uint8_t *window;  // those pages of the hardware; NULL while decode is off
    uint64_t window_start, window_size; // as the domain sees them
};

struct vpci_device {
    struct list link; // in vpci.devices
    struct pci_device *pdev;
    struct domain *domain;
    pci_sbdf_t place; // where the domain sees it
    // What no register covers is not the hardware's unless it is in readable; writes to it are
    // dropped. Of all domains but domain 0.
    bool filtered;
    uint64_t readable[PCI_CONFIG_SIZE / 64]; // by byte
    uint8_t interrupt_line;                  // a byte that the domain keeps there
    uint32_t line;  // the domain's GSI that its line interrupt comes at; 0: none, and it has no pin
    bool decoding;  // memory decode is on, BARs are mapped
    bool read_only; // no write reaches the hardware, except to the command register
    struct vpci_bar bars[PCI_MAX_BARS + 1];
    unsigned int register_count;
    struct vpci_register registers[VPCI_MAX_REGISTERS];
    struct vpci_msi *msi;   // NULL: no such capability
    struct vpci_msix *msix; // the same
};

struct vpci {
    struct spinlock lock; // devices
    struct list devices;
    uint32_t config_address; // port 0xcf8
    struct io_handler ports;
    unsigned int ecam_count;
    struct vpci_ecam {
        struct domain *domain;
        const struct pci_ecam *window;
        struct io_handler handler;
    } ecam[PCI_MAX_ECAM];
};

// vpci.c
// IOMMU and virtual PCI for one function of domain 0; a message says why not. 0 or -errno.
int vpci_give_to_hardware_domain(struct domain *d, struct pci_device *pdev);

// The function that d sees at a place, with its lock held, or NULL.
struct vpci_device *vpci_lock_function(struct domain *d, pci_sbdf_t place);

// vpci_line.c
bool vpci_line_init(struct vpci_device *v);
void vpci_line_free(struct vpci_device *v);

// vpci_access.c
// Adds a register; the first that covers a byte wins. False: no room.
bool vpci_register_add(struct vpci_device *v, struct vpci_register reg);
uint32_t vpci_device_read(struct vpci_device *v, unsigned int offset, unsigned int size);
void vpci_device_write(struct vpci_device *v, unsigned int offset, unsigned int size,
                       uint32_t value);

// Lets a filtered function's bytes show through.
void vpci_make_readable(struct vpci_device *v, unsigned int offset, unsigned int size);

// vpci_memory.c
// What a BAR of d must not cover, in words, if start to start + size does; else NULL.
const char *vpci_forbidden_memory(const struct domain *d, uint64_t start, uint64_t size);
// Takes the registers and ports of IOMMUs and hidden functions from what the domain may touch. 0 or
// -XEN_ENOMEM.
int vpci_deny_resources(struct domain *d);

static inline bool ranges_overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
    return a < b + b_size && b < a + a_size;
}

// vpci_header.c
int vpci_header_init(struct vpci_device *v);  // maps BARs that decode already. 0 or -errno
void vpci_header_free(struct vpci_device *v); // turns decode and bus mastering off

// vpci_bar.c
// Gives the hardware the domain's addresses and maps what decodes; vpci_bars_unmap undoes the
// mapping only.
void vpci_bars_map(struct vpci_device *v);
void vpci_bars_unmap(struct vpci_device *v);
bool vpci_bars_init(struct vpci_device *v);
// Notes where domain 0 had the BARs, which is where the machine will have them.
void vpci_bars_remember(struct vpci_device *v);

// vpci_capability.c
bool vpci_capabilities_init(struct vpci_device *v); // hides what domains must not use

// vpci_interrupt.c
// Binds to entry `index` of the IOMMU's table: 0 and i->hardware is set, or -XEN_ENOSPC.
int vpci_interrupt_bind(struct vpci_interrupt *i, unsigned int index);
void vpci_interrupt_unbind(struct vpci_interrupt *i); // the device has been silenced
void vpci_interrupt_set_message(struct vpci_interrupt *i, uint64_t address, uint32_t data);

// vpci_msi.c, vpci_msix.c
int vpci_msi_init(struct vpci_device *v);
void vpci_msi_free(struct vpci_device *v);
int vpci_msix_init(struct vpci_device *v);
void vpci_msix_free(struct vpci_device *v);
// The frames of a BAR at address that hold the MSI-X table: *first and *count; false: none.
bool vpci_msix_hole(const struct vpci_device *v, unsigned int bar, uint64_t address,
                    uint64_t *first, uint64_t *count);
// The BAR with the table decodes at address (machine: of the hardware), or does not any more.
void vpci_msix_show(struct vpci_device *v, uint64_t address, uint64_t machine);
void vpci_msix_hide(struct vpci_device *v);

#endif
