// SPDX-License-Identifier: Apache-2.0
// A PCI bus made of arrays: each function has its configuration bytes, a mask of those that
// software may write and a mask of those that writing ones clears. Stands in for
// drivers/pci/config.c. Device memory is an array too (fake_memory).
#ifndef FAKE_BUS_H
#define FAKE_BUS_H

#include <bulkhead/pci.h>

struct fake_function {
    bool present;
    pci_sbdf_t sbdf;
    uint8_t config[4096], writable[4096], clears[4096];
    unsigned int writes; // that reached the hardware
};

#define FAKE_FUNCTIONS 24u
extern struct fake_function fake_functions[FAKE_FUNCTIONS];
// Called after each write, if set: what the device makes of it.
extern void (*fake_on_write)(struct fake_function *f, unsigned int offset, uint32_t value);

// Device memory at FAKE_MEMORY_START: what hv_ioremap gives a pointer into.
#define FAKE_MEMORY_START 0xe0000000UL
#define FAKE_MEMORY_SIZE 0x10000000UL
extern uint8_t *fake_memory;

void fake_bus_reset(void);
// A function with header type 0 and nothing else.
struct fake_function *fake_add(unsigned int bus, unsigned int device, unsigned int function,
                               uint32_t id, uint32_t class_code);
void fake_put(struct fake_function *f, unsigned int offset, unsigned int size, uint32_t value);
uint32_t fake_get(const struct fake_function *f, unsigned int offset, unsigned int size);
void fake_writable(struct fake_function *f, unsigned int offset, unsigned int size, uint32_t mask);
// A memory BAR of this size at this address.
void fake_bar(struct fake_function *f, unsigned int index, uint64_t address, uint64_t size,
              bool is_64);
void fake_io_bar(struct fake_function *f, unsigned int index, uint32_t port, uint32_t size);
// Appends a capability to the list (the offset is the caller's choice).
void fake_capability(struct fake_function *f, unsigned int offset, uint8_t id);
void fake_extended_capability(struct fake_function *f, unsigned int offset, uint16_t id,
                              unsigned int previous);
// MSI with 2^log_count messages, 64-bit, with mask bits.
void fake_msi(struct fake_function *f, unsigned int offset, unsigned int log_count);
void fake_msix(struct fake_function *f, unsigned int offset, unsigned int count, unsigned int bar,
               uint32_t table, uint32_t pending);

#endif
