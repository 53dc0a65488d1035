// SPDX-License-Identifier: Apache-2.0
// Look-ups in second-level tables, without a lock; the scheme is at the top of p2m.c.
//
// p2m_borrow_page is cheaper still. A frame is released only after a call to all CPUs that run a
// vcpu of the domain: a CPU that looks something up for the vcpu that it runs keeps the frame by
// not answering, and needs no reference. A reader has interrupts off and takes no lock from the
// root to its last look at the leaf, so no table that it is in can be freed. What it found counts
// if the leaf is unchanged after the frame was described or referenced; otherwise it starts again.
// It cannot be kept at that for long: who changes tables has to wait, after a few changes, for the
// CPU that the reader holds.

#include <bulkhead/cpu.h>
#include <bulkhead/domain.h>

#include "p2m_entry.h"

struct leaf {
    const uint64_t *place;
    uint64_t entry;     // as it was read
    unsigned int order; // of what it maps
};

// Goes down to the leaf for gfn; false when nothing is mapped.
static inline bool walk(const struct p2m *p, gfn_t gfn, struct leaf *leaf)
{
    const char *window = arch_heap_address(MFN(0)); // where tables are, by their addresses
    const uint64_t *table = p->root, *place;
    unsigned int shift = level_shift(LEVELS);
    uint64_t entry;

    for (;; shift -= level_shift(LEVEL_2M)) {
        place = &table[gfn.n >> shift & (ENTRIES - 1)];
        entry = __atomic_load_n(place, __ATOMIC_ACQUIRE);
        if (!(entry & ENTRY_PRESENT)) {
            return false;
        }
        if (shift == 0 || (entry & ENTRY_LARGE)) {
            break;
        }
        table = (const uint64_t *)(window + (entry & ENTRY_FRAME));
    }
    *leaf = (struct leaf){place, entry, shift};
    return true;
}

// As walk, but sure: a table that was detached meanwhile is empty and proves nothing.
static bool find_leaf(const struct p2m *p, gfn_t gfn, struct leaf *leaf)
{
    uint32_t before, after = __atomic_load_n(&p->detached_tables, __ATOMIC_ACQUIRE);

    if (!p2m_gfn_in_range(gfn, 0)) {
        return false;
    }
    do {
        before = after;
        if (walk(p, gfn, leaf)) {
            return true;
        }
        after = __atomic_load_n(&p->detached_tables, __ATOMIC_ACQUIRE);
    } while (after != before);
    return false;
}

static bool is_unchanged(const struct leaf *leaf)
{
    return __atomic_load_n(leaf->place, __ATOMIC_ACQUIRE) == leaf->entry;
}

static mfn_t leaf_mfn(const struct leaf *leaf, gfn_t gfn)
{
    return mfn_add(entry_mfn(leaf->entry), gfn.n & ((1UL << leaf->order) - 1));
}

enum p2m_type p2m_leaf_type(const struct domain *d, uint64_t entry, mfn_t mfn)
{
    bool write = entry & ENTRY_WRITE;
    const struct page *page;

    if (!mfn_in_table(mfn)) {
        return P2M_MMIO;
    }
    page = mfn_to_page(mfn);
    switch (page_get_state(page)) {
    case PAGE_STATE_DOMAIN:
        if (page_owner(page) == d->page_owner) {
            return write ? P2M_RAM : P2M_RAM_RO;
        }
        return write ? P2M_FOREIGN : P2M_FOREIGN_RO;
    case PAGE_STATE_HEAP:
        return write ? P2M_SHARED : P2M_FOREIGN_RO;
    default:
        return P2M_MMIO;
    }
}

struct p2m_entry p2m_lookup(struct domain *d, gfn_t gfn)
{
    struct p2m_entry found;
    struct leaf leaf;

    do {
        if (!find_leaf(d->arch.p2m, gfn, &leaf)) {
            return (struct p2m_entry){INVALID_MFN, P2M_INVALID, 0};
        }
        found.order = leaf.order;
        found.mfn = leaf_mfn(&leaf, gfn);
        found.type = p2m_leaf_type(d, leaf.entry, found.mfn);
    } while (!is_unchanged(&leaf));
    return found;
}

struct page *p2m_borrow_page(struct domain *d, gfn_t gfn, bool write, enum p2m_type *type)
{
    struct p2m_known *known = &this_cpu()->current->arch.p2m_known[gfn.n % P2M_KNOWN];
    // Raised before frames are released: what was found under this one is still there.
    uint64_t generation = __atomic_load_n(&d->arch.p2m->tlb_generation, __ATOMIC_ACQUIRE);

    if (unlikely(known->gfn != gfn.n || known->generation != generation || !known->type)) {
        struct leaf leaf;
        mfn_t mfn;

        *type = P2M_INVALID;
        if (!find_leaf(d->arch.p2m, gfn, &leaf)) {
            return NULL;
        }
        mfn = leaf_mfn(&leaf, gfn);
        *type = p2m_leaf_type(d, leaf.entry, mfn);
        if (*type == P2M_MMIO) {
            return NULL;
        }
        *known = (struct p2m_known){gfn.n, generation, (uint32_t)mfn.n, (uint8_t)*type};
    }
    *type = (enum p2m_type)known->type;
    return write && !p2m_is_writable(*type) ? NULL : mfn_to_page(MFN(known->mfn));
}

void p2m_return_page(struct page *page)
{
    (void)page;
}

// Any domain's page, referenced.
static struct page *get_any_page(struct domain *d, gfn_t gfn, bool write, enum p2m_type *type)
{
    struct page *page = NULL;
    struct leaf leaf;

    *type = P2M_INVALID;
    while (find_leaf(d->arch.p2m, gfn, &leaf)) {
        mfn_t mfn = leaf_mfn(&leaf, gfn);

        // An entry for memory holds a reference: without one the frame is a device's, or the entry
        // has changed.
        page = mfn_in_table(mfn) && page_get_any(mfn_to_page(mfn)) ? mfn_to_page(mfn) : NULL;
        *type = p2m_leaf_type(d, leaf.entry, mfn);
        if (likely(is_unchanged(&leaf))) {
            break;
        }
        if (page) {
            page_put(page);
        }
        page = NULL;
        *type = P2M_INVALID;
    }
    if (page && write && !p2m_is_writable(*type)) {
        page_put(page);
        page = NULL;
    }
    return page;
}

struct page *p2m_get_page(struct domain *d, gfn_t gfn, bool write, enum p2m_type *type)
{
    const struct vcpu *v = this_cpu()->current;
    enum p2m_type found;
    struct page *page;

    if (v && v->domain == d) {
        page = p2m_borrow_page(d, gfn, write, &found);
        if (page && !page_get_any(page)) {
            page = NULL; // there are as many references as can be counted
        }
    } else {
        page = get_any_page(d, gfn, write, &found);
    }
    if (type) {
        *type = found;
    }
    return page;
}

void p2m_put_page(struct page *page)
{
    page_put(page);
}
