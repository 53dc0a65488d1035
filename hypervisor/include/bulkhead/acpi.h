// SPDX-License-Identifier: Apache-2.0
// The machine's static ACPI tables. acpi_tables.c is the parser, a plain library that reads memory
// through one callback; acpi.c binds it to the machine; acpi_power.c sleeps and resets;
// acpi_domain0.c builds what domain 0 sees. Everything is found once at boot, before the other
// CPUs run, and only read afterwards: no lock.
#ifndef BULKHEAD_ACPI_H
#define BULKHEAD_ACPI_H

#include <bulkhead/cpumask.h>
#include <bulkhead/types.h>

#define ACPI_MAX_TABLES 128u
#define ACPI_MAX_IO_APICS 32u
#define ACPI_MAX_OVERRIDES 32u
#define ACPI_MAX_NMI_SOURCES 64u
#define ACPI_MAX_MCFG_SEGMENTS 32u
#define ACPI_MAX_MEMORY_AFFINITIES 64u
#define ACPI_ANY_CPU 0xffffffffu // acpi_nmi_source.acpi_id: every CPU

struct acpi_cpu {
    uint32_t apic_id;
    uint32_t acpi_id; // processor UID
    bool enabled;
    bool online_capable; // not enabled now, may be brought up later
    uint32_t proximity;  // SRAT proximity domain; 0 without SRAT
};

struct acpi_io_apic {
    uint8_t id;
    uint32_t address; // physical
    uint32_t gsi_base;
};

// An ISA interrupt that is not wired as ISA has it (edge, active high, GSI = number).
struct acpi_override {
    uint8_t irq;
    uint32_t gsi;
    bool level;
    bool active_low;
    uint16_t flags; // as in the MADT
};

struct acpi_nmi_source {
    bool local;       // a local APIC's LINT pin, else a GSI
    uint32_t gsi;     // if not local
    uint32_t acpi_id; // if local; ACPI_ANY_CPU for all
    uint8_t lint;     // if local: 0 or 1
    uint16_t flags;
};

struct acpi_mcfg_segment {
    uint64_t base; // of bus 0's configuration space, also when start_bus is not 0
    uint16_t segment;
    uint8_t start_bus, end_bus;
};

struct acpi_memory_affinity {
    uint64_t start, size;
    uint32_t proximity;
    bool hot_pluggable, non_volatile;
};

// Generic address structure (ACPI 6.5, 5.2.3.2).
struct acpi_address {
    uint8_t space; // 0 memory, 1 port, 2 PCI configuration
    uint8_t bit_width, bit_offset, access_size;
    uint64_t address; // 0: absent
};

struct acpi_info {
    bool valid; // an RSDP and a root table were found

    // MADT
    uint64_t local_apic_address;
    bool has_legacy_pic;
    unsigned int cpu_count;
    struct acpi_cpu cpus[MAX_CPUS];
    unsigned int cpus_ignored; // entries beyond MAX_CPUS
    unsigned int io_apic_count;
    struct acpi_io_apic io_apics[ACPI_MAX_IO_APICS];
    unsigned int override_count;
    struct acpi_override overrides[ACPI_MAX_OVERRIDES];
    unsigned int nmi_source_count;
    struct acpi_nmi_source nmi_sources[ACPI_MAX_NMI_SOURCES];

    // FADT
    uint16_t sci_irq;       // ISA number or GSI; look it up by acpi_isa_irq_to_gsi
    uint16_t pm_timer_port; // 0: none
    bool pm_timer_32bit;    // else 24
    uint16_t pm1a_event_port, pm1b_event_port;     // 0: none
    uint16_t pm1a_control_port, pm1b_control_port; // 0: none
    bool hardware_reduced;
    bool no_legacy_vga, no_msi, no_aspm; // IAPC_BOOT_ARCH
    uint8_t century_register;            // CMOS index; 0: none
    bool has_reset_register;
    struct acpi_address reset_register;
    uint8_t reset_value;
    uint64_t facs_address, dsdt_address;

    // HPET
    uint64_t hpet_address; // 0: none
    uint16_t hpet_minimum_tick;

    unsigned int mcfg_count;
    struct acpi_mcfg_segment mcfg[ACPI_MAX_MCFG_SEGMENTS];

    unsigned int memory_affinity_count;
    struct acpi_memory_affinity memory_affinities[ACPI_MAX_MEMORY_AFFINITIES];
};

extern struct acpi_info acpi_info;

// Finds and checks the tables, from the RSDP that the boot loader gave. Needs the heap and
// transient mappings. 0; -XEN_ENOENT when there is no (valid) RSDP or root table; -XEN_ENOMEM.
int acpi_init(maddr_t rsdp);

// The index-th table (from 0) with this signature, as the firmware wrote it, checksum verified:
// an 8-aligned copy that stays for ever, or NULL. *length: its bytes, at least 36.
const void *acpi_find_table(const char signature[4], unsigned int index, size_t *length);

// Calls fn for every table of the root table plus DSDT and FACS, until it returns false.
void acpi_for_each_table(bool (*fn)(const char signature[4], maddr_t address, uint32_t length,
                                    void *data),
                         void *data);

// The GSI of an ISA interrupt (0 to 15; the SCI's number too) with its trigger and polarity.
void acpi_isa_irq_to_gsi(uint16_t irq, uint32_t *gsi, bool *level, bool *active_low);

// Enters the sleep state whose values domain 0's ACPI interpreter found (XENPF_enter_acpi_sleep):
// writes both PM1 control registers with SLP_EN set. Only S5 (power off) is of use; returns when
// the machine did not go: -XEN_ENODEV without the registers, -XEN_EIO otherwise.
int acpi_enter_sleep(uint32_t pm1a_value, uint32_t pm1b_value);

// Resets the machine by the FADT's register; false when there is none or nothing happened.
bool acpi_reset(void);

struct acpi_region {
    uint64_t start, size; // page aligned; bytes
};

// What domain 0's tables need to say of its machine.
struct acpi_domain0_machine {
    unsigned int vcpu_count; // local APIC id of vcpu n: 2 * n
};

// Writes RSDP, XSDT and MADT for domain 0 into buffer, which the guest will see at guest-physical
// address gpa (16-aligned; the RSDP comes first). Returns the bytes used, or 0 if size does not
// suffice (ACPI_DOMAIN0_TABLES_MAX always does) or there are no tables.
#define ACPI_DOMAIN0_TABLES_MAX (16u * 1024u)
size_t acpi_build_domain0_tables(void *buffer, size_t size, uint64_t gpa,
                                 const struct acpi_domain0_machine *machine);

// The regions (sorted, disjoint, at most max) that domain 0 must see at their own addresses for
// its tables to work: E820's ACPI and NVS regions, and the pages of every table it is shown.
// Returns how many.
unsigned int acpi_domain0_regions(struct acpi_region *regions, unsigned int max);

#endif
