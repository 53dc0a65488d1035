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

static bool account_add(struct domain *d, uint64_t frames)
{
    bool ok;

    spin_lock(&d->page_lock);
    ok = !d->is_dying && d->total_pages + frames <= d->max_pages;
    if (ok) {
        if (d->total_pages == 0) {
            domain_hold(d);
        }
        d->total_pages += frames;
        d->outstanding_claim -= MIN(d->outstanding_claim, frames);
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

struct page *domain_page_alloc(struct domain *d, unsigned int order, unsigned int flags)
{
    struct page *page;

    if (!account_add(d, 1UL << order)) {
        return NULL;
    }
    page = page_alloc(order, 0, flags);
    if (!page) {
        account_remove(d, 1UL << order);
        return NULL;
    }
    for (uint64_t i = 0; i < 1UL << order; i++) {
        page[i].owner = d->page_owner;
        page[i].head = 0;
        page[i].used.private = 0;
        page[i].state = PAGE_STATE_DOMAIN;
        __atomic_store_n(&page[i].used.count, 1, __ATOMIC_RELEASE);
    }
    return page;
}

void *domain_shared_page_alloc(struct domain *d)
{
    void *p = heap_alloc_pages(0, 0);

    if (p) {
        struct page *page = mfn_to_page(heap_mfn(p));

        page->owner = d->page_owner;
        __atomic_store_n(&page->used.count, 1, __ATOMIC_RELEASE);
    }
    return p;
}

bool page_get(struct page *page, const struct domain *d)
{
    uint32_t count = __atomic_load_n(&page->used.count, __ATOMIC_RELAXED);

    do {
        if ((page->state != PAGE_STATE_DOMAIN && page->state != PAGE_STATE_HEAP) ||
            page->owner != d->page_owner || count == 0 || count == UINT32_MAX) {
            return false;
        }
    } while (!__atomic_compare_exchange_n(&page->used.count, &count, count + 1, true,
                                          __ATOMIC_ACQUIRE, __ATOMIC_RELAXED));
    return true;
}

void page_put(struct page *page)
{
    struct domain *owner;

    if (__atomic_sub_fetch(&page->used.count, 1, __ATOMIC_ACQ_REL) != 0) {
        return;
    }
    if (page->state == PAGE_STATE_HEAP) {
        heap_free_pages(heap_from_mfn(page_to_mfn(page)), 0);
        return;
    }
    owner = domain_by_page_owner(page->owner);
    page_free(page, 0);
    account_remove(owner, 1);
}
