// SPDX-License-Identifier: Apache-2.0
// Registers, table entries, descriptors and fault records of Intel's IOMMU (Intel Virtualization
// Technology for Directed I/O, chapters 6, 9 and 10). Nothing here touches hardware.
#ifndef BULKHEAD_INTEL_FORMAT_H
#define BULKHEAD_INTEL_FORMAT_H

#include <bulkhead/types.h>

#define INTEL_REG_SIZE 0x1000u // what we map; fault records may lie in another page
#define INTEL_REG_VERSION 0x00u
#define INTEL_REG_CAP 0x08u
#define INTEL_REG_ECAP 0x10u
#define INTEL_REG_COMMAND 0x18u
#define INTEL_REG_STATUS 0x1cu
#define INTEL_REG_ROOT 0x20u
#define INTEL_REG_FAULT_STATUS 0x34u
#define INTEL_REG_FAULT_CONTROL 0x38u
#define INTEL_REG_FAULT_DATA 0x3cu
#define INTEL_REG_FAULT_ADDRESS 0x40u
#define INTEL_REG_FAULT_UPPER 0x44u
#define INTEL_REG_PROTECTED 0x64u
#define INTEL_REG_QUEUE_HEAD 0x80u
#define INTEL_REG_QUEUE_TAIL 0x88u
#define INTEL_REG_QUEUE_ADDRESS 0x90u
#define INTEL_REG_IRT_ADDRESS 0xb8u

// Global command and status: the same bits (10.4.4, 10.4.5).
#define INTEL_TRANSLATION (1u << 31)
#define INTEL_SET_ROOT (1u << 30)
#define INTEL_WRITE_BUFFER (1u << 27)
#define INTEL_QUEUE (1u << 26)
#define INTEL_REMAPPING (1u << 25)
#define INTEL_SET_IRT (1u << 24)
#define INTEL_COMPATIBILITY (1u << 23)
#define INTEL_LASTING (INTEL_TRANSLATION | INTEL_QUEUE | INTEL_REMAPPING | INTEL_COMPATIBILITY)

#define INTEL_PROTECTED_ENABLE (1u << 31)
#define INTEL_PROTECTED_STATUS (1u << 0)

#define INTEL_CAP_WRITE_BUFFER (1UL << 4)
#define INTEL_CAP_PROTECTED_LOW (1UL << 5)
#define INTEL_CAP_PROTECTED_HIGH (1UL << 6)
#define INTEL_CAP_CACHING (1UL << 7)
#define INTEL_CAP_39BIT (1UL << 9)
#define INTEL_CAP_48BIT (1UL << 10)
#define INTEL_CAP_2M (1UL << 34)
#define INTEL_CAP_1G (1UL << 35)
#define INTEL_CAP_PAGE_SELECTIVE (1UL << 39)
#define INTEL_CAP_DRAIN_WRITES (1UL << 54)
#define INTEL_CAP_DRAIN_READS (1UL << 55)
#define INTEL_ECAP_COHERENT (1UL << 0)
#define INTEL_ECAP_QUEUE (1UL << 1)
#define INTEL_ECAP_REMAPPING (1UL << 3)
#define INTEL_ECAP_X2APIC (1UL << 4)

static inline unsigned int intel_cap_domains(uint64_t cap)
{
    return 1u << (4 + 2 * MIN((unsigned int)cap & 7, 6u));
}
static inline unsigned int intel_cap_records(uint64_t cap)
{
    return ((unsigned int)(cap >> 40) & 0xff) + 1;
}
static inline unsigned int intel_cap_record_offset(uint64_t cap)
{
    return ((unsigned int)(cap >> 24) & 0x3ff) * 16;
}
static inline unsigned int intel_cap_mask_order(uint64_t cap)
{
    return (unsigned int)(cap >> 48) & 0x3f;
}

#define INTEL_FAULT_OVERFLOW (1u << 0)
#define INTEL_FAULT_PENDING (1u << 1)
#define INTEL_FAULT_QUEUE (1u << 4)
#define INTEL_FAULT_ALL 0xf1u         // the write-one-to-clear bits
#define INTEL_FAULT_MASK (1u << 31)   // fault event control
#define INTEL_RECORD_VALID (1u << 31) // in a record's last 32 bits
#define INTEL_REASON_INTERRUPT 0x20u  // reasons from here on concern interrupts

// Root and context entries (9.1, 9.3).
struct intel_entry {
    uint64_t q[2];
};
#define INTEL_PRESENT 1UL
#define INTEL_CONTEXT_SILENT (1UL << 1) // faults are not recorded, present or not
#define INTEL_ENTRIES 256u

static inline struct intel_entry intel_context(maddr_t table, unsigned int levels, uint16_t domain)
{
    return (struct intel_entry){{table.a | INTEL_PRESENT, (levels - 2) | (uint64_t)domain << 8}};
}
static inline uint16_t intel_context_domain(const struct intel_entry *e)
{
    return e->q[0] & INTEL_PRESENT ? (uint16_t)(e->q[1] >> 8) : 0;
}

// Interrupt remapping entries (9.10).
static inline struct intel_entry intel_irte(uint8_t vector, uint32_t destination, uint8_t mode,
                                            bool logical, bool level, bool wide)
{
    uint64_t where = wide ? destination : (uint64_t)(destination & 0xff) << 8;

    return (struct intel_entry){{INTEL_PRESENT | (logical ? 1UL << 2 : 0) | (level ? 1UL << 4 : 0) |
                                     (uint64_t)(mode & 7) << 5 | (uint64_t)vector << 16 |
                                     where << 32,
                                 0}};
}
// Validation: the requester id alone, or any of a bus.
static inline uint64_t intel_irte_source(uint16_t id)
{
    return 1UL << 18 | id;
}
static inline uint64_t intel_irte_bus(uint8_t bus)
{
    return 2UL << 18 | (uint64_t)bus << 8 | bus;
}

// What a device sends for an entry (5.1.2.2): with the sub-handle, so that several messages follow.
static inline uint64_t intel_message_address(unsigned int index)
{
    return 0xfee00018UL | (uint64_t)(index & 0x7fff) << 5 | (uint64_t)(index >> 15 & 1) << 2;
}
// An I/O APIC's redirection entry (5.1.5.1), which keeps the vector for the EOI.
static inline uint64_t intel_redirection(unsigned int index, uint8_t vector)
{
    return (uint64_t)(index & 0x7fff) << 49 | 1UL << 48 | (uint64_t)(index >> 15 & 1) << 11 |
           vector;
}

// Invalidation descriptors (6.5.2).
static inline struct intel_entry intel_forget_contexts(void)
{
    return (struct intel_entry){{1 | 1 << 4, 0}};
}
static inline struct intel_entry intel_forget_context(uint16_t domain, uint16_t id)
{
    return (struct intel_entry){{1 | 3 << 4 | (uint64_t)domain << 16 | (uint64_t)id << 32, 0}};
}
// Added to the next three where the unit can: reads and writes under way are done first.
#define INTEL_DRAIN_WRITES (1UL << 6)
#define INTEL_DRAIN_READS (1UL << 7)
static inline struct intel_entry intel_forget_translations(void)
{
    return (struct intel_entry){{2 | 1 << 4, 0}};
}
static inline struct intel_entry intel_forget_domain(uint16_t domain)
{
    return (struct intel_entry){{2 | 2 << 4 | (uint64_t)domain << 16, 0}};
}
// 2^order frames, aligned so.
static inline struct intel_entry intel_forget_pages(uint16_t domain, uint64_t frame,
                                                    unsigned int order)
{
    return (struct intel_entry){{2 | 3 << 4 | (uint64_t)domain << 16, frame << 12 | order}};
}
static inline struct intel_entry intel_forget_interrupts(void)
{
    return (struct intel_entry){{4, 0}};
}
static inline struct intel_entry intel_forget_interrupt(unsigned int index)
{
    return (struct intel_entry){{4 | 1 << 4 | (uint64_t)index << 32, 0}};
}
static inline struct intel_entry intel_wait(maddr_t status, uint32_t value)
{
    return (struct intel_entry){{5 | 1 << 5 | (uint64_t)value << 32, status.a}};
}

#endif
