// SPDX-License-Identifier: Apache-2.0
// The format of second-level table entries: the CPU's. Intel's IOMMU understands it as it is
// (present and writable are its read and write permissions, large its super-page bit); AMD's has
// its fields in the bits that the CPU ignores. So one table serves both (p2m_rules). There is no
// room for a type in an entry that the IOMMU also reads, and none is needed: the frame table tells
// whose a frame is. What belongs to p2m.c (which changes tables) and p2m_lookup.c (which reads
// them) alone.
#ifndef X86_MM_P2M_ENTRY_H
#define X86_MM_P2M_ENTRY_H

#include <bulkhead/arch/domain.h>
#include <bulkhead/arch/mm.h>
#include <bulkhead/page.h>
#include <x86/p2m.h>

#define ENTRY_PRESENT (1UL << 0)
#define ENTRY_WRITE (1UL << 1)
#define ENTRY_USER (1UL << 2) // the nested walk counts as a user access
#define ENTRY_ACCESSED (1UL << 5)
#define ENTRY_DIRTY (1UL << 6)
#define ENTRY_LARGE (1UL << 7)
#define ENTRY_NEXT_LEVEL(n) ((uint64_t)(n) << 9) // IOMMU: level of the table pointed to; 0: leaf
#define ENTRY_IOMMU_READ (1UL << 61)
#define ENTRY_IOMMU_WRITE (1UL << 62)
#define ENTRY_FRAME 0x000ffffffffff000UL
#define LEVELS 4u
#define ENTRIES 512u
#define LEVEL_2M 2u
#define LEVEL_1G 3u

static inline unsigned int level_shift(unsigned int level)
{
    return (level - 1) * 9;
}

static inline unsigned int level_index(gfn_t gfn, unsigned int level)
{
    return (gfn.n >> level_shift(level)) & (ENTRIES - 1);
}

static inline bool entry_is_leaf(uint64_t entry, unsigned int level)
{
    return level == 1 || (entry & ENTRY_LARGE);
}

static inline mfn_t entry_mfn(uint64_t entry)
{
    return MFN((entry & ENTRY_FRAME) >> PAGE_SHIFT);
}

static inline uint64_t *entry_table(uint64_t entry)
{
    return arch_heap_address(entry_mfn(entry));
}

static inline bool p2m_gfn_in_range(gfn_t gfn, unsigned int order)
{
    return gfn.n < 1UL << (LEVELS * 9) && !(gfn.n & ((1UL << order) - 1));
}

// p2m_lookup.c: the meaning of a present leaf that maps mfn.
enum p2m_type p2m_leaf_type(const struct domain *d, uint64_t entry, mfn_t mfn);

#endif
