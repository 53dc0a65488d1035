// SPDX-License-Identifier: Apache-2.0
// Walks a guest's own page tables: 32-bit, PAE and 4-level, or none when paging is off.
// Access is a supervisor's; accessed and dirty bits are set as the processor would, but not in
// tables that lie in memory that the guest may not write. The guest may change its tables
// meanwhile: each entry is read once, and frames are referenced while mapped.

#include <bulkhead/arch/mm.h>
#include <bulkhead/domain.h>
#include <bulkhead/mapping.h>
#include <bulkhead/page.h>
#include <x86/hvm.h>

#define CR0_PG (1UL << 31)
#define CR0_WP (1UL << 16)
#define CR4_PSE (1UL << 4)
#define CR4_PAE (1UL << 5)
#define EFER_LMA (1UL << 10)

#define PTE_PRESENT (1UL << 0)
#define PTE_WRITE (1UL << 1)
#define PTE_ACCESSED (1UL << 5)
#define PTE_DIRTY (1UL << 6)
#define PTE_LARGE (1UL << 7)
#define PTE_FRAME 0x000ffffffffff000UL

struct format {
    unsigned int levels, bits, entry_size;
    unsigned int large_levels; // bit n: level n may hold a large leaf
};

static const struct format format_32 = {2, 10, 4, 0};
static const struct format format_32_pse = {2, 10, 4, 1u << 2};
static const struct format format_pae = {3, 9, 8, 1u << 2};
static const struct format format_long = {4, 9, 8, 1u << 2 | 1u << 3};

static const struct format *choose(uint64_t cr4, uint64_t efer)
{
    if (efer & EFER_LMA) {
        return &format_long;
    }
    if (cr4 & CR4_PAE) {
        return &format_pae;
    }
    return cr4 & CR4_PSE ? &format_32_pse : &format_32;
}

// Reads the entry and sets bits that the processor would; 0 when there is no memory there, or bits
// would have to be set in what is not the guest's to write.
static uint64_t read_entry(struct domain *d, gpa_t at, const struct format *f, bool leaf_write,
                           unsigned int level)
{
    enum p2m_type type;
    struct page *page = p2m_get_page(d, gpa_to_gfn(at), false, &type);
    uint64_t entry = 0;
    void *mapped;
    char *place;

    if (!page) {
        return 0;
    }
    mapped = map_frame(page_to_mfn(page));
    place = (char *)mapped + (at.a & (PAGE_SIZE - 1));
    entry = f->entry_size == 8 ? __atomic_load_n((uint64_t *)place, __ATOMIC_RELAXED)
                               : __atomic_load_n((uint32_t *)place, __ATOMIC_RELAXED);
    // PAE's top level has no such bits.
    if ((entry & PTE_PRESENT) && !(f->levels == 3 && level == 3)) {
        bool leaf = level == 1 || ((entry & PTE_LARGE) && (f->large_levels & (1u << level)));
        uint8_t want = PTE_ACCESSED | (leaf && leaf_write && (entry & PTE_WRITE) ? PTE_DIRTY : 0);

        if ((entry & want) != want && !p2m_is_writable(type)) {
            entry = 0;
        } else if ((entry & want) != want) {
            __atomic_fetch_or((uint8_t *)place, want, __ATOMIC_RELAXED);
        }
    }
    unmap_frame(mapped);
    page_put(page);
    return entry;
}

static gpa_t leaf_address(uint64_t entry, const struct format *f, unsigned int level, gva_t va)
{
    unsigned int shift = PAGE_SHIFT + (level - 1) * f->bits;
    uint64_t mask = (1UL << shift) - 1;
    uint64_t base = entry & PTE_FRAME & ~mask;

    if (f->entry_size == 4 && level == 2) {
        // PSE-36: bits 13 to 20 of the entry are bits 32 to 39 of the address.
        base = (entry & 0xffc00000UL) | ((entry >> 13 & 0xff) << 32);
    }
    return GPA(base | (va.a & mask));
}

int arch_walk_guest(struct vcpu *v, gva_t address, bool write, gpa_t *out)
{
    uint64_t cr0, cr3, cr4, efer, table;
    const struct format *f;

    hvm_get_paging(v, &cr0, &cr3, &cr4, &efer);
    if (!(cr0 & CR0_PG)) {
        *out = GPA(address.a & 0xffffffffUL);
        return 0;
    }
    f = choose(cr4, efer);
    if (f->levels == 4 && (int64_t)(address.a << 16) >> 16 != (int64_t)address.a) {
        return -XEN_EFAULT;
    }
    table = f->levels == 3 ? cr3 & 0xffffffe0UL : cr3 & PTE_FRAME;
    for (unsigned int level = f->levels;; level--) {
        unsigned int shift = PAGE_SHIFT + (level - 1) * f->bits;
        uint64_t index = address.a >> shift & ((1UL << f->bits) - 1);
        uint64_t entry;

        if (f->levels == 3 && level == 3) {
            index &= 3;
        }
        entry = read_entry(v->domain, GPA(table + index * f->entry_size), f, write, level);
        if (!(entry & PTE_PRESENT) ||
            (write && (cr0 & CR0_WP) && !(entry & PTE_WRITE) && !(f->levels == 3 && level == 3))) {
            return -XEN_EFAULT;
        }
        if (level == 1 || ((entry & PTE_LARGE) && (f->large_levels & (1u << level)))) {
            *out = leaf_address(entry, f, level, address);
            return 0;
        }
        table = entry & PTE_FRAME;
    }
}
