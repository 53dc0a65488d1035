// SPDX-License-Identifier: Apache-2.0
//
// What a PVH domain finds in its memory when it starts, made without touching a domain: where
// things lie, ACPI tables, start information, the state of its first processor. All of it can be
// tested on any machine.
#ifndef TOOLSTACK_GUEST_IMAGE_H
#define TOOLSTACK_GUEST_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <toolstack/error.h>
#include <toolstack/kernel.h>

// Guest-physical addresses. RAM begins at 0 and leaves out what is from LOW_RAM_END to 4 GiB.
#define LOW_RAM_END 0xf0000000ul
#define ACPI_ADDRESS 0xfc000000ul
#define ACPI_SIZE 0x4000ul
#define ECAM_ADDRESS 0xf0000000ul // configuration space of the one PCI bus, if there is one
#define ECAM_SIZE 0x100000ul
#define SPECIAL_ADDRESS 0xfeff8000ul // pages shared with the toolstack and the hypervisor
#define SPECIAL_PAGES 8u
#define STORE_FRAME (SPECIAL_ADDRESS / 4096 + 4)
#define CONSOLE_FRAME (SPECIAL_ADDRESS / 4096 + 7)
#define HIGH_RAM 0x100000000ul

#define GUEST_VCPUS_MAX 64
#define GUEST_MODULES_MAX 8
#define GUEST_MEMORY_MAX (1ul << 40)

struct guest_range {
    uint64_t address;
    uint64_t size;
    uint32_t type; // XEN_HVM_MEMMAP_TYPE_...
};

struct guest_layout {
    struct guest_range map[6];
    size_t map_count;
    size_t ram_count;    // the first entries of map are RAM
    size_t backed_count; // so many have memory behind them
    uint64_t start_info;
    uint64_t start_info_size; // with everything it points to but the modules, page-aligned
    uint64_t modules[GUEST_MODULES_MAX];
};

// Lays out a domain with memory bytes (a multiple of a page) of RAM, and a PCI bus or none. An
// error says how much memory would do when it is too little.
struct error *guest_lay_out(uint64_t memory, bool pci, const struct kernel *kernel,
                            const char *command_line, const size_t *module_sizes,
                            size_t module_count, struct guest_layout *layout) MUST_CHECK;

// Writes the start information into buffer, which has layout->start_info_size zeroed bytes.
void guest_write_start_info(const struct guest_layout *layout, const char *command_line,
                            const size_t *module_sizes, size_t module_count, uint8_t *buffer);

// Writes the ACPI tables for a domain with so many vcpus, and a PCI bus or none, as they lie at
// ACPI_ADDRESS, the RSDP first. buffer has ACPI_SIZE zeroed bytes. Returns the size used.
size_t guest_write_acpi(unsigned int vcpus, bool pci, uint8_t *buffer);

// The local APIC's id of a vcpu.
static inline uint32_t guest_apic_id(unsigned int vcpu)
{
    return vcpu * 2;
}

// Finds the record of a type and instance in a domain's saved state; NULL when it is not there or
// the state is damaged.
const void *guest_find_record(const uint8_t *state, size_t size, unsigned int type,
                              unsigned int instance, size_t length);

// Makes the state to start a domain with: the header taken from the domain's own state, the first
// vcpu at the kernel's entry in flat 32-bit mode, memory types write-back for every vcpu. Returns
// the size; *result is the caller's.
struct error *guest_make_state(const uint8_t *own_state, size_t own_size, unsigned int vcpus,
                               uint32_t entry, uint32_t start_info, uint8_t **result,
                               size_t *size) MUST_CHECK;

#endif
