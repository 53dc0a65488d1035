// SPDX-License-Identifier: Apache-2.0
// A machine's physical memory as a few pieces, and what else the ACPI code wants of a hypervisor.
// Bytes outside the pieces are zero.
#ifndef TESTS_UNIT_ACPI_MEMORY_H
#define TESTS_UNIT_ACPI_MEMORY_H

#include <bulkhead/acpi.h>

#define MEMORY_RSDP_MAX 64u

struct piece {
    uint64_t address;
    size_t length;
    uint8_t *bytes;
};

void memory_clear(void);
struct piece *memory_add(uint64_t address, const void *bytes, size_t length);
// Loads a file of capture.py; returns the address of its RSDP.
uint64_t memory_load(const char *name);
// The piece that begins with these bytes, or NULL.
struct piece *memory_find(const char *start);
unsigned int memory_count(void);
struct piece *memory_at(unsigned int index);
// Makes the checksum of a table (or RSDP of version 0) right.
void memory_fix(struct piece *piece);
// A table with header and right checksum, at an address.
struct piece *memory_table(uint64_t address, const char *signature, const void *body,
                           size_t length);

// Starts anew: forgets the tables found, and finds those that are in memory.
int acpi_again(uint64_t rsdp);

// What the code under test did.
extern unsigned int port_writes;
extern struct port_write {
    uint16_t port;
    unsigned int size;
    uint32_t value;
} port_write[8];
extern unsigned int heap_blocks;  // allocated and not freed
extern unsigned int heap_allowed; // allocations until memory is out
extern uint8_t mapped_register;   // what hv_ioremap gives

#endif
