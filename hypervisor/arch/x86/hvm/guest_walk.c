// SPDX-License-Identifier: Apache-2.0
// Walks a guest's own page tables: 32-bit, PAE and 4-level, or none when paging is off.
// Accessed and dirty bits are set as the processor would, but not in tables that lie in memory that
// the guest may not write. The guest may change its tables
// meanwhile: each entry is read once. Frames are borrowed from the p2m, since the vcpu is the
// current one, and shown one after the other by one mapping slot.

#include <bulkhead/arch/mm.h>
#include <bulkhead/domain.h>
#include <bulkhead/page.h>
#include <x86/hvm.h>
#include <x86/registers.h>

#define PTE_PRESENT (1UL << 0)
#define PTE_WRITE (1UL << 1)
#define PTE_USER (1UL << 2)
#define PTE_ACCESSED (1UL << 5)
#define PTE_DIRTY (1UL << 6)
#define PTE_LARGE (1UL << 7)
#define PTE_FRAME 0x000ffffffffff000UL

struct format {
    unsigned int levels, bits, entry_size;
    unsigned int large_levels; // bit n: level n may hold a large leaf
};

struct walk {
    struct domain *domain;
    bool write;
    bool user;
    bool protect; // read-only pages are so: for users always, for the supervisor by CR0.WP
    void *slot;   // NULL before the first table
};

static const struct format format_32 = {2, 10, 4, 0};
static const struct format format_32_pse = {2, 10, 4, 1u << 2};
static const struct format format_pae = {3, 9, 8, 1u << 2};
static const struct format format_long = {4, 9, 8, 1u << 2 | 1u << 3};

static const struct format *choose_legacy(uint64_t cr4)
{
    if (cr4 & CR4_PAE) {
        return &format_pae;
    }
    return cr4 & CR4_PSE ? &format_32_pse : &format_32;
}

static bool is_leaf(uint64_t entry, const struct format *f, unsigned int level)
{
    return level == 1 || ((entry & PTE_LARGE) && (f->large_levels & (1u << level)));
}

// PAE's top level has neither permissions nor accessed bits.
static bool is_pae_top(const struct format *f, unsigned int level)
{
    return f->levels == 3 && level == 3;
}

// Whether an entry that is present lets the access through.
static bool is_allowed(const struct walk *w, const struct format *f, uint64_t entry,
                       unsigned int level)
{
    return is_pae_top(f, level) ||
           ((!w->user || (entry & PTE_USER)) && (!w->write || !w->protect || (entry & PTE_WRITE)));
}

// Reads the entry and sets bits that the processor would; 0 when there is no memory there, or bits
// would have to be set in what is not the guest's to write.
static inline __attribute__((always_inline)) uint64_t
read_entry(struct walk *w, const struct format *f, gpa_t at, unsigned int level)
{
    enum p2m_type type;
    struct page *page = p2m_borrow_page(w->domain, gpa_to_gfn(at), false, &type);
    uint64_t entry = 0;
    char *place;

    if (!page) {
        return 0;
    }
    w->slot =
        w->slot ? arch_move_slot(w->slot, page_to_mfn(page)) : arch_map_slot(page_to_mfn(page));
    place = (char *)w->slot + (at.a & (PAGE_SIZE - 1));
    entry = f->entry_size == 8 ? __atomic_load_n((uint64_t *)place, __ATOMIC_RELAXED)
                               : __atomic_load_n((uint32_t *)place, __ATOMIC_RELAXED);
    if ((entry & PTE_PRESENT) && !is_pae_top(f, level)) {
        bool writes = w->write && is_leaf(entry, f, level) && is_allowed(w, f, entry, level);
        uint8_t want = PTE_ACCESSED | (writes ? PTE_DIRTY : 0);

        if ((entry & want) != want && !p2m_is_writable(type)) {
            entry = 0;
        } else if ((entry & want) != want) {
            __atomic_fetch_or((uint8_t *)place, want, __ATOMIC_RELAXED);
        }
    }
    p2m_return_page(page);
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

// Inline, so that the format that nearly all guests have is known to the compiler.
static inline __attribute__((always_inline)) int
walk_tables(struct walk *w, const struct format *f, uint64_t cr3, gva_t address, gpa_t *out)
{
    uint64_t table = f->levels == 3 ? cr3 & 0xffffffe0UL : cr3 & PTE_FRAME;

    if (f->levels == 4 && (int64_t)(address.a << 16) >> 16 != (int64_t)address.a) {
        return -XEN_EFAULT;
    }
    for (unsigned int level = f->levels;; level--) {
        unsigned int shift = PAGE_SHIFT + (level - 1) * f->bits;
        uint64_t index = address.a >> shift & ((1UL << f->bits) - 1);
        uint64_t entry;

        if (is_pae_top(f, level)) {
            index &= 3;
        }
        entry = read_entry(w, f, GPA(table + index * f->entry_size), level);
        if (!(entry & PTE_PRESENT) || !is_allowed(w, f, entry, level)) {
            return -XEN_EFAULT;
        }
        if (is_leaf(entry, f, level)) {
            *out = leaf_address(entry, f, level, address);
            return 0;
        }
        table = entry & PTE_FRAME;
    }
}

int hvm_walk_guest(struct vcpu *v, gva_t address, unsigned int access, gpa_t *out)
{
    bool user = access & HVM_ACCESS_USER;
    uint64_t cr0, cr3, cr4, efer;
    struct walk w;
    int error;

    hvm_get_paging(v, &cr0, &cr3, &cr4, &efer);
    if (!(cr0 & CR0_PG)) {
        *out = GPA(address.a & 0xffffffffUL);
        return 0;
    }
    w = (struct walk){.domain = v->domain,
                      .write = access & HVM_ACCESS_WRITE,
                      .user = user,
                      .protect = user || (cr0 & CR0_WP)};
    error = efer & EFER_LMA ? walk_tables(&w, &format_long, cr3, address, out)
                            : walk_tables(&w, choose_legacy(cr4), cr3, address, out);
    if (w.slot) {
        arch_unmap_slot(w.slot);
    }
    return error;
}

int arch_walk_guest(struct vcpu *v, gva_t address, bool write, gpa_t *out)
{
    return hvm_walk_guest(v, address, write ? HVM_ACCESS_WRITE : 0, out);
}
