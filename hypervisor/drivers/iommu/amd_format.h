// SPDX-License-Identifier: Apache-2.0
// Encodings of AMD's IOMMU: device table entries, interrupt remapping entries, commands, events,
// registers (AMD I/O Virtualization Technology (IOMMU) Specification, revision 3, chapters 2, 3).
// Pure functions on values.
#ifndef BULKHEAD_AMD_FORMAT_H
#define BULKHEAD_AMD_FORMAT_H

#include <bulkhead/types.h>

// Registers (section 3.4).
#define AMD_REG_DEVICE_TABLE 0x0000
#define AMD_REG_COMMAND_BASE 0x0008
#define AMD_REG_EVENT_BASE 0x0010
#define AMD_REG_CONTROL 0x0018
#define AMD_REG_FEATURES 0x0030
#define AMD_REG_COMMAND_HEAD 0x2000
#define AMD_REG_COMMAND_TAIL 0x2008
#define AMD_REG_EVENT_HEAD 0x2010
#define AMD_REG_EVENT_TAIL 0x2018
#define AMD_REG_STATUS 0x2020
#define AMD_REG_SIZE 0x4000u
#define AMD_REG_SIZE_LARGE 0x80000u

#define AMD_CONTROL_ENABLE (1UL << 0)
#define AMD_CONTROL_HT_TUNNEL (1UL << 1)
#define AMD_CONTROL_EVENT_LOG (1UL << 2)
#define AMD_CONTROL_EVENT_INTERRUPT (1UL << 3)
#define AMD_CONTROL_PASS_PW (1UL << 8)
#define AMD_CONTROL_RESPONSE_PASSPW (1UL << 9)
#define AMD_CONTROL_COHERENT (1UL << 10)
#define AMD_CONTROL_ISOCHRONOUS (1UL << 11)
#define AMD_CONTROL_COMMANDS (1UL << 12)

#define AMD_STATUS_EVENT_OVERFLOW (1UL << 0)
#define AMD_STATUS_EVENT_INTERRUPT (1UL << 1)
#define AMD_STATUS_WAIT_INTERRUPT (1UL << 2)
#define AMD_STATUS_EVENT_RUNNING (1UL << 3)
#define AMD_STATUS_COMMAND_RUNNING (1UL << 4)

#define AMD_FEATURE_INVALIDATE_ALL (1UL << 6)

#define AMD_RING_ENTRIES 256u // of 16 bytes: one page; the length field is its logarithm
#define AMD_RING_LENGTH (8UL << 56)

struct amd_command {
    uint64_t q[2];
};

struct amd_event {
    uint64_t q[2];
};

// Device table entry (section 2.2.2.1).
struct amd_dte {
    uint64_t q[4];
};

#define AMD_DTE_VALID (1UL << 0)
#define AMD_DTE_TRANSLATION_VALID (1UL << 1)
#define AMD_DTE_MODE_SHIFT 9
#define AMD_DTE_READ (1UL << 61)
#define AMD_DTE_WRITE (1UL << 62)
#define AMD_DTE_SUPPRESS_ALL (1UL << 34) // q[1]: its page faults are not logged
#define AMD_DTE_SYSTEM_SHIFT 40          // q[1]: system management messages
#define AMD_DTE_IRQ_VALID (1UL << 0)     // q[2], also below
#define AMD_DTE_IRQ_LENGTH_SHIFT 1
#define AMD_DTE_PASS_SHIFT 56 // INIT, ExtINT, NMI
#define AMD_DTE_IRQ_REMAP (2UL << 60)
#define AMD_DTE_LINT_SHIFT 62

#define AMD_MAX_IRQ_ENTRIES 512u // more would need message bits that name the delivery mode
#define AMD_IRQ_TABLE_ALIGN 128u

// An entry that translates nothing: every access is refused because neither reading nor writing
// is allowed, and every interrupt is aborted. Faults are not logged: nobody is to blame.
static inline struct amd_dte amd_dte_blocked(void)
{
    return (struct amd_dte){
        {AMD_DTE_VALID | AMD_DTE_TRANSLATION_VALID, AMD_DTE_SUPPRESS_ALL, AMD_DTE_IRQ_VALID, 0}};
}

// DMA through 4-level tables at root (page-aligned) for an IOMMU domain id.
static inline void amd_dte_set_dma(struct amd_dte *dte, maddr_t root, uint16_t domain_id)
{
    dte->q[0] = AMD_DTE_VALID | AMD_DTE_TRANSLATION_VALID | 4UL << AMD_DTE_MODE_SHIFT | root.a |
                AMD_DTE_READ | AMD_DTE_WRITE;
    dte->q[1] = domain_id;
}

// Interrupts through a table of count entries (a power of two) at table. settings is the IVRS
// byte: bits 0 to 2 INIT, ExtINT and NMI pass; 6 and 7 LINT0 and LINT1; 4 and 5 system management.
static inline void amd_dte_set_interrupts(struct amd_dte *dte, maddr_t table, unsigned int count,
                                          uint8_t settings)
{
    unsigned int length = 31u - (unsigned int)__builtin_clz(count);

    dte->q[1] |= (uint64_t)(settings >> 4 & 3) << AMD_DTE_SYSTEM_SHIFT;
    dte->q[2] = AMD_DTE_IRQ_VALID | (uint64_t)length << AMD_DTE_IRQ_LENGTH_SHIFT | table.a |
                (uint64_t)(settings & 7) << AMD_DTE_PASS_SHIFT | AMD_DTE_IRQ_REMAP |
                (uint64_t)(settings >> 6) << AMD_DTE_LINT_SHIFT;
}

// Interrupt remapping entry, 32-bit format (section 2.2.5.2). destination: 8-bit APIC id.
#define AMD_IRTE_ENABLED 1u

static inline uint32_t amd_irte(uint8_t vector, uint8_t destination, uint8_t delivery_mode,
                                bool logical)
{
    return AMD_IRTE_ENABLED | (uint32_t)(delivery_mode & 7) << 2 | (logical ? 1u << 6 : 0) |
           (uint32_t)destination << 8 | (uint32_t)vector << 16;
}

// Commands (section 2.4).
static inline struct amd_command amd_completion_wait(maddr_t store, uint64_t value)
{
    return (struct amd_command){{1UL << 60 | store.a | 1, value}};
}

static inline struct amd_command amd_invalidate_dte(uint16_t id)
{
    return (struct amd_command){{2UL << 60 | id, 0}};
}

static inline struct amd_command amd_invalidate_interrupts(uint16_t id)
{
    return (struct amd_command){{5UL << 60 | id, 0}};
}

static inline struct amd_command amd_invalidate_all(void)
{
    return (struct amd_command){{8UL << 60, 0}};
}

// All translations of a domain for count frames from first, rounded up to an aligned power of two:
// the size is told by the lowest clear address bit. Page directories are covered too.
static inline struct amd_command amd_invalidate_pages(uint16_t domain_id, uint64_t first,
                                                      uint64_t count)
{
    uint64_t last = first + count - 1, differing = first ^ last;
    uint64_t address = first << PAGE_SHIFT;
    bool sized = differing != 0;

    if (last < first || last >> 39) {
        address = 0x7ffffffffffff000UL; // everything
        sized = true;
    } else if (sized) {
        unsigned int bits = 64u - (unsigned int)__builtin_clzl(differing);

        // A block of 2^bits frames: the low bits-1 frame number bits are ones, the next is clear.
        address = (first >> bits << bits | ((1UL << (bits - 1)) - 1)) << PAGE_SHIFT;
    }
    return (struct amd_command){{3UL << 60 | (uint64_t)domain_id << 32, address | 2 | sized}};
}

// Events (section 2.5).
enum amd_event_code {
    // No event that the specification knows. QEMU 7.2 logs a refused access so: what belongs to
    // bits 48 to 63 it puts seven bits higher and cuts at bit 62, so that the code gets lost and
    // the access is told by bits 55 and 56; the address it puts nowhere.
    AMD_EVENT_MISPLACED = 0,
    AMD_EVENT_ILLEGAL_DTE = 1,
    AMD_EVENT_PAGE_FAULT = 2,
    AMD_EVENT_DTE_HARDWARE = 3,
    AMD_EVENT_PAGE_TABLE_HARDWARE = 4,
    AMD_EVENT_ILLEGAL_COMMAND = 5,
    AMD_EVENT_COMMAND_HARDWARE = 6,
    AMD_EVENT_IOTLB_TIMEOUT = 7,
    AMD_EVENT_INVALID_REQUEST = 8,
    AMD_EVENT_INVALID_PPR = 9,
    AMD_EVENT_COUNTER = 10,
};

#define AMD_EVENT_FLAG_INTERRUPT (1UL << 51)
#define AMD_EVENT_FLAG_WRITE (1UL << 53)
#define AMD_EVENT_MISPLACED_WRITE (1UL << 56) // bit 55: a read

static inline unsigned int amd_event_code(const struct amd_event *e)
{
    return (unsigned int)(e->q[0] >> 60);
}

static inline uint16_t amd_event_device(const struct amd_event *e)
{
    return (uint16_t)e->q[0];
}

static inline bool amd_event_is_interrupt(const struct amd_event *e)
{
    return amd_event_code(e) != AMD_EVENT_MISPLACED && e->q[0] & AMD_EVENT_FLAG_INTERRUPT;
}

static inline bool amd_event_is_write(const struct amd_event *e)
{
    return e->q[0] & (amd_event_code(e) == AMD_EVENT_MISPLACED ? AMD_EVENT_MISPLACED_WRITE
                                                               : AMD_EVENT_FLAG_WRITE);
}

#endif
