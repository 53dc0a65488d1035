// SPDX-License-Identifier: Apache-2.0
// Frames that belong to domains: accounting against max_pages, and reference counts.
//
// A frame's count goes from 0 to 1 when it is allocated and is never raised from 0 again
// (page_get refuses), so whoever drops the last reference is alone with it and may free it.
// domain.total_pages counts the frames not yet free; while it is not zero, the frames together
// hold one reference on the domain, so a frame's owner is always there to be credited.
// Locking: domain.page_lock for the counters; reference counts are atomic.

#include <bulkhead/arch/mm.h>
#include <bulkhead/domain.h>
#include <bulkhead/heap.h>
#include <bulkhead/page.h>

static struct spinlock claim_lock = SPINLOCK_INIT;
static uint64_t claimed; // the sum of all domains' outstanding_claim

uint64_t page_claimed_count(void)
{
    return __atomic_load_n(&claimed, __ATOMIC_RELAXED);
}

// Uses up the domain's claim, or makes sure that enough is left beside the claims of others.
// domain.page_lock held. How much of the claim was used goes to *used.
static bool claim_consume(struct domain *d, uint64_t frames, uint64_t *used)
{
    uint64_t own = MIN(d->outstanding_claim, frames);
    bool ok;

    *used = 0;
    if (likely(!__atomic_load_n(&claimed, __ATOMIC_RELAXED))) {
        return true;
    }
    spin_lock(&claim_lock);
    ok = page_free_count() >= claimed - own + frames;
    if (ok) {
        claimed -= own;
        d->outstanding_claim -= own;
        *used = own;
    }
    spin_unlock(&claim_lock);
    return ok;
}

// Undoes claim_consume when there was no such block after all.
static void claim_restore(struct domain *d, uint64_t used)
{
    spin_lock(&d->page_lock);
    if (used && !d->is_dying) {
        spin_lock(&claim_lock);
        claimed += used;
        d->outstanding_claim += used;
        spin_unlock(&claim_lock);
    }
    spin_unlock(&d->page_lock);
}

int domain_claim_pages(struct domain *d, uint64_t frames)
{
    uint64_t others;
    int error = 0;

    spin_lock(&d->page_lock);
    spin_lock(&claim_lock);
    others = claimed - d->outstanding_claim;
    if (frames && (frames <= d->total_pages || d->is_dying)) {
        error = -XEN_EINVAL;
    } else if (frames && (page_free_count() < others ||
                          page_free_count() - others < frames - d->total_pages)) {
        error = -XEN_ENOMEM;
    } else {
        d->outstanding_claim = frames ? frames - d->total_pages : 0;
        __atomic_store_n(&claimed, others + d->outstanding_claim, __ATOMIC_RELAXED);
    }
    spin_unlock(&claim_lock);
    spin_unlock(&d->page_lock);
    return error;
}

// page_lock held.
static void add_frames(struct domain *d, uint64_t frames)
{
    if (d->total_pages == 0) {
        domain_hold(d);
    }
    d->total_pages += frames;
}

static bool account_add(struct domain *d, uint64_t frames, uint64_t *claim_used)
{
    bool ok;

    spin_lock(&d->page_lock);
    ok = !d->is_dying && d->total_pages <= d->max_pages &&
         frames <= d->max_pages - d->total_pages && claim_consume(d, frames, claim_used);
    if (ok) {
        add_frames(d, frames);
    }
    spin_unlock(&d->page_lock);
    return ok;
}

static void account_remove(struct domain *d, uint64_t frames)
{
    bool last;

    spin_lock(&d->page_lock);
    d->total_pages -= frames;
    last = d->total_pages == 0;
    spin_unlock(&d->page_lock);
    if (last) {
        domain_put(d);
    }
}

// Readers of old p2m entries may look at a frame that comes into use: what they read is stored by
// atomic means, the count last.
static void make_owned(struct domain *d, struct page *page, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        page[i].head = 0;
        page[i].used.private = 0;
        __atomic_store_n(&page[i].used.owner, d->page_owner, __ATOMIC_RELAXED);
        page_set_state(&page[i], PAGE_STATE_DOMAIN);
        __atomic_store_n(&page[i].count, 1, __ATOMIC_RELEASE);
    }
}

static struct page *take_pages(struct domain *d, const mfn_t *want, unsigned int order,
                               unsigned int flags)
{
    uint64_t claim_used;
    struct page *page;

    if (order > ORDER_1G || !account_add(d, 1UL << order, &claim_used)) {
        return NULL;
    }
    page = want ? page_alloc_near(*want, order, flags) : page_alloc(order, 0, flags);
    if (!page) {
        claim_restore(d, claim_used);
        account_remove(d, 1UL << order);
        return NULL;
    }
    make_owned(d, page, 1UL << order);
    return page;
}

struct page *domain_page_alloc(struct domain *d, unsigned int order, unsigned int flags)
{
    return take_pages(d, NULL, order, flags);
}

struct page *domain_page_alloc_near(struct domain *d, mfn_t want, unsigned int order,
                                    unsigned int flags)
{
    return take_pages(d, &want, order, flags);
}

int domain_donate_pages(struct domain *d, mfn_t first, uint64_t count)
{
    uint64_t claim_used;

    if (!mfn_in_table(mfn_add(first, count - 1)) || !account_add(d, count, &claim_used)) {
        return -XEN_ENOMEM;
    }
    make_owned(d, mfn_to_page(first), count);
    return 0;
}

int domain_adopt_pages(struct domain *d, struct page *const *blocks, uint64_t count,
                       unsigned int order)
{
    bool ok;

    spin_lock(&d->page_lock);
    ok = !d->is_dying;
    if (ok) {
        add_frames(d, count << order);
    }
    spin_unlock(&d->page_lock);
    for (uint64_t i = 0; ok && i < count; i++) {
        make_owned(d, blocks[i], 1UL << order);
    }
    return ok ? 0 : -XEN_ESRCH;
}

void *domain_shared_page_alloc(struct domain *d)
{
    void *p = heap_alloc_pages(0, 0);

    if (p) {
        struct page *page = mfn_to_page(heap_mfn(p));

        __atomic_store_n(&page->used.owner, d->page_owner, __ATOMIC_RELAXED);
        __atomic_store_n(&page->count, 1, __ATOMIC_RELEASE);
    }
    return p;
}

bool page_get_any(struct page *page)
{
    uint32_t count = __atomic_load_n(&page->count, __ATOMIC_RELAXED);

    do {
        if (count == 0 || count == UINT32_MAX) {
            return false;
        }
    } while (!__atomic_compare_exchange_n(&page->count, &count, count + 1, true, __ATOMIC_ACQUIRE,
                                          __ATOMIC_RELAXED));
    return true;
}

static bool is_of(const struct page *page, const struct domain *d)
{
    enum page_state state = page_get_state(page);

    return (state == PAGE_STATE_DOMAIN || state == PAGE_STATE_HEAP) &&
           page_owner(page) == d->page_owner;
}

bool page_get(struct page *page, const struct domain *d)
{
    if (!is_of(page, d) || !page_get_any(page)) {
        return false;
    }
    // It may have changed hands before there was a reference; from here on it does not.
    if (is_of(page, d)) {
        return true;
    }
    page_put(page);
    return false;
}

// Frees frames of one owner whose last references have gone.
static void free_frames(struct page *first, uint64_t count)
{
    struct domain *owner = domain_by_page_owner(first->used.owner);

    page_free_range(first, count);
    account_remove(owner, count);
}

void page_put(struct page *page)
{
    if (__atomic_sub_fetch(&page->count, 1, __ATOMIC_ACQ_REL) != 0) {
        return;
    }
    if (page->state == PAGE_STATE_HEAP) {
        heap_free_pages(heap_from_mfn(page_to_mfn(page)), 0);
    } else {
        free_frames(page, 1);
    }
}

void page_put_range(struct page *first, uint64_t count)
{
    const struct page *end = first + count;
    uint64_t run = 0; // frames before `first` that are to be freed together

    for (; first < end; first++) {
        bool last = __atomic_sub_fetch(&first->count, 1, __ATOMIC_ACQ_REL) == 0;

        if (last && first->state == PAGE_STATE_HEAP) {
            heap_free_pages(heap_from_mfn(page_to_mfn(first)), 0);
            last = false;
        }
        if (run && (!last || first->used.owner != first[-1].used.owner)) {
            free_frames(first - run, run);
            run = 0;
        }
        run += last;
    }
    if (run) {
        free_frames(first - run, run);
    }
}
