// SPDX-License-Identifier: Apache-2.0
// Second-level tables of the simulated machine: an array of entries by guest frame number.
//
// As on x86, an entry keeps only the frame and whether the guest may write; what kind of memory it
// is follows from the frame's owner. Every entry for memory holds one reference on its frame. In a
// batch, references of cleared entries are dropped at the end.
// Locking: one lock, recursive for the CPU that holds it.

#include <stdlib.h>

#include <bulkhead/arch/domain.h>
#include <bulkhead/cpu.h>
#include <bulkhead/domain.h>
#include <bulkhead/page.h>
#include <sim/machine.h>
#include "sim_internal.h"

#define MAX_GFN (1UL << 16)
#define PRESENT 1u
#define WRITABLE 2u
#define PREPARED 4u // by p2m_prepare: setting it cannot fail
#define RELEASE_AT_ONCE 1024u

struct entry {
    mfn_t mfn;
    unsigned int bits;
};

struct p2m {
    struct spinlock lock;
    unsigned int owner, depth; // CPU number + 1
    struct entry *entries;
    struct page **deferred; // cleared and not yet released
    size_t deferred_count, deferred_capacity;
    uint64_t max_gfn, release_next;
};

int sim_p2m_create(struct domain *d)
{
    struct p2m *p = sim_heap_must_fail() ? NULL : calloc(1, sizeof(*p));

    if (!p) {
        return -XEN_ENOMEM;
    }
    p->entries = calloc(MAX_GFN, sizeof(*p->entries));
    d->arch.p2m = p;
    return 0;
}

void sim_p2m_free(struct domain *d)
{
    struct p2m *p = d->arch.p2m;

    if (p) {
        free(p->entries);
        free(p->deferred);
        free(p);
        d->arch.p2m = NULL;
    }
}

void p2m_batch_begin(struct domain *d)
{
    struct p2m *p = d->arch.p2m;
    unsigned int me = this_cpu()->id + 1;

    if (__atomic_load_n(&p->owner, __ATOMIC_RELAXED) != me) {
        spin_lock(&p->lock);
        __atomic_store_n(&p->owner, me, __ATOMIC_RELAXED);
    }
    p->depth++;
}

void p2m_batch_end(struct domain *d)
{
    struct p2m *p = d->arch.p2m;
    struct page **deferred = p->deferred;
    size_t count = p->deferred_count;

    if (--p->depth) {
        return;
    }
    p->deferred = NULL;
    p->deferred_count = p->deferred_capacity = 0;
    __atomic_store_n(&p->owner, 0, __ATOMIC_RELAXED);
    spin_unlock(&p->lock);
    for (size_t i = 0; i < count; i++) {
        page_put(deferred[i]);
    }
    free(deferred);
}

static bool is_memory(mfn_t mfn)
{
    uint8_t state = mfn_in_table(mfn) ? mfn_to_page(mfn)->state : PAGE_STATE_NONE;

    return state == PAGE_STATE_DOMAIN || state == PAGE_STATE_HEAP;
}

static enum p2m_type type_of(const struct domain *d, const struct entry *entry)
{
    const struct page *page = mfn_to_page(entry->mfn);
    bool write = entry->bits & WRITABLE;

    if (!(entry->bits & PRESENT)) {
        return P2M_INVALID;
    }
    if (!is_memory(entry->mfn)) {
        return P2M_MMIO;
    }
    if (page->state == PAGE_STATE_HEAP) {
        return write ? P2M_SHARED : P2M_FOREIGN_RO;
    }
    if (page->used.owner == d->page_owner) {
        return write ? P2M_RAM : P2M_RAM_RO;
    }
    return write ? P2M_FOREIGN : P2M_FOREIGN_RO;
}

static void drop(struct p2m *p, struct entry *entry)
{
    if ((entry->bits & PRESENT) && is_memory(entry->mfn)) {
        if (p->deferred_count == p->deferred_capacity) {
            p->deferred_capacity = MAX(2 * p->deferred_capacity, 16UL);
            p->deferred = realloc(p->deferred, p->deferred_capacity * sizeof(*p->deferred));
        }
        p->deferred[p->deferred_count++] = mfn_to_page(entry->mfn);
    }
    entry->bits = 0;
}

static bool in_range(gfn_t gfn, unsigned int order)
{
    return gfn.n < MAX_GFN && 1UL << order <= MAX_GFN - gfn.n && !(gfn.n & ((1UL << order) - 1));
}

struct p2m_entry p2m_lookup(struct domain *d, gfn_t gfn)
{
    struct p2m_entry found = {INVALID_MFN, P2M_INVALID, 0};

    if (in_range(gfn, 0)) {
        p2m_batch_begin(d);
        found.type = type_of(d, &d->arch.p2m->entries[gfn.n]);
        found.mfn = d->arch.p2m->entries[gfn.n].mfn;
        p2m_batch_end(d);
    }
    return found;
}

struct page *p2m_get_page(struct domain *d, gfn_t gfn, bool write, enum p2m_type *type)
{
    struct page *page = NULL;
    struct p2m_entry found;

    p2m_batch_begin(d);
    found = p2m_lookup(d, gfn);
    if (found.type != P2M_INVALID && found.type != P2M_MMIO &&
        (!write || p2m_is_writable(found.type))) {
        page = mfn_to_page(found.mfn);
        __atomic_fetch_add(&page->count, 1, __ATOMIC_ACQUIRE);
    }
    p2m_batch_end(d);
    if (type) {
        *type = found.type;
    }
    return page;
}

// Cross-CPU calls wait for nobody here, so what is borrowed is referenced.
struct page *p2m_borrow_page(struct domain *d, gfn_t gfn, bool write, enum p2m_type *type)
{
    return p2m_get_page(d, gfn, write, type);
}

void p2m_return_page(struct page *page)
{
    page_put(page);
}

void p2m_put_page(struct page *page)
{
    page_put(page);
}

static bool is_empty(const struct p2m *p, gfn_t gfn, unsigned int order)
{
    for (uint64_t i = 0; i < 1UL << order; i++) {
        if (p->entries[gfn.n + i].bits & PRESENT) {
            return false;
        }
    }
    return true;
}

static int check_place(const struct p2m *p, gfn_t gfn, unsigned int order, bool must_be_new)
{
    if (!in_range(gfn, order)) {
        return -XEN_EINVAL;
    }
    return must_be_new && !is_empty(p, gfn, order) ? -XEN_EEXIST : 0;
}

int p2m_prepare(struct domain *d, gfn_t gfn, unsigned int order)
{
    struct p2m *p = d->arch.p2m;
    int error;

    if (sim_heap_must_fail()) {
        return -XEN_ENOMEM;
    }
    p2m_batch_begin(d);
    error = check_place(p, gfn, order, true);
    if (!error) {
        p->entries[gfn.n].bits |= PREPARED;
    }
    p2m_batch_end(d);
    return error;
}

static int set(struct domain *d, gfn_t gfn, mfn_t mfn, unsigned int order, enum p2m_type type,
               bool must_be_new)
{
    struct p2m *p = d->arch.p2m;
    int error;

    p2m_batch_begin(d);
    error = check_place(p, gfn, order, must_be_new);
    if (!error && !(p->entries[gfn.n].bits & PREPARED) && sim_heap_must_fail()) {
        error = -XEN_ENOMEM;
    }
    for (uint64_t i = 0; !error && i < 1UL << order; i++) {
        struct entry *entry = &p->entries[gfn.n + i];

        drop(p, entry);
        entry->mfn = mfn_add(mfn, i);
        entry->bits = PRESENT | (p2m_is_writable(type) || type == P2M_MMIO ? WRITABLE : 0);
        if (type == P2M_GRANT || type == P2M_GRANT_RO || type == P2M_SHARED) {
            __atomic_fetch_add(&mfn_to_page(entry->mfn)->count, 1, __ATOMIC_ACQUIRE);
        }
    }
    if (!error) {
        p->max_gfn = MAX(p->max_gfn, gfn.n + (1UL << order) - 1);
    }
    p2m_batch_end(d);
    return error;
}

int p2m_set(struct domain *d, gfn_t gfn, mfn_t mfn, unsigned int order, enum p2m_type type)
{
    return set(d, gfn, mfn, order, type, false);
}

int p2m_set_new(struct domain *d, gfn_t gfn, mfn_t mfn, unsigned int order, enum p2m_type type)
{
    return set(d, gfn, mfn, order, type, true);
}

int p2m_clear(struct domain *d, gfn_t gfn, unsigned int order)
{
    if (!in_range(gfn, order)) {
        return -XEN_EINVAL;
    }
    p2m_batch_begin(d);
    for (uint64_t i = 0; i < 1UL << order; i++) {
        drop(d->arch.p2m, &d->arch.p2m->entries[gfn.n + i]);
    }
    p2m_batch_end(d);
    return 0;
}

int p2m_clear_match(struct domain *d, gfn_t gfn, mfn_t mfn)
{
    int error = -XEN_ENOENT;

    p2m_batch_begin(d);
    if (in_range(gfn, 0) && p2m_lookup(d, gfn).mfn.n == mfn.n &&
        p2m_lookup(d, gfn).type != P2M_INVALID) {
        drop(d->arch.p2m, &d->arch.p2m->entries[gfn.n]);
        error = 0;
    }
    p2m_batch_end(d);
    return error;
}

int p2m_release(struct domain *d)
{
    struct p2m *p = d->arch.p2m;
    unsigned int count = 0;

    p2m_batch_begin(d);
    while (p->release_next <= p->max_gfn && count < RELEASE_AT_ONCE) {
        struct entry *entry = &p->entries[p->release_next++];

        count += entry->bits & PRESENT;
        drop(p, entry);
    }
    p2m_batch_end(d);
    return p->release_next <= p->max_gfn ? -XEN_ERESTART : 0;
}

uint64_t p2m_max_gfn(struct domain *d)
{
    return d->arch.p2m->max_gfn;
}

uint64_t p2m_table_pages(struct domain *d)
{
    (void)d;
    return 0;
}

void *sim_guest_memory(struct domain *d, gfn_t gfn, bool write)
{
    struct p2m_entry entry = p2m_lookup(d, gfn);

    if (entry.type == P2M_INVALID || entry.type == P2M_MMIO ||
        (write && !p2m_is_writable(entry.type))) {
        return NULL;
    }
    return sim_memory(entry.mfn);
}
