// SPDX-License-Identifier: Apache-2.0
// Frames of domains: the accounting against max_pages, references, claims, shared heap pages.

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <bulkhead/heap.h>

#include "world.h"

#include <cmocka.h>

#define FRAMES 8192UL
#define HOLE 1024UL
#define MEMORY (FRAMES - HOLE)

static void put_block(struct page *page, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        page_put(page + i);
    }
}

static void a_domain_has_at_most_max_pages(void **state)
{
    struct domain *d = world_domain_create(1000);
    struct page *big = domain_page_alloc(d, 9, 0), *small[1000];
    unsigned int count = 0;

    (void)state;
    assert_non_null(big);
    assert_int_equal(d->total_pages, 512);
    assert_int_equal(world_domain_references(d), 1);
    assert_null(domain_page_alloc(d, 9, 0));
    assert_int_equal(d->total_pages, 512);
    while ((small[count] = domain_page_alloc(d, 0, 0))) {
        assert_int_equal(small[count]->count, 1);
        assert_int_equal(small[count]->used.owner, d->page_owner);
        count++;
    }
    assert_int_equal(count, 488);
    // Less than it has: nothing is taken away, and nothing more is given.
    d->max_pages = 10;
    assert_null(domain_page_alloc(d, 0, 0));
    d->max_pages = ~0UL;
    assert_null(domain_page_alloc(d, ORDER_1G + 1, 0));
    assert_null(domain_page_alloc(d, ~0u, 0));
    d->is_dying = true;
    assert_null(domain_page_alloc(d, 0, 0));
    put_block(big, 512);
    while (count) {
        page_put(small[--count]);
    }
    world_domain_end(d);
    assert_int_equal(page_free_count(), MEMORY);
}

static void a_frame_is_free_after_its_last_reference(void **state)
{
    struct domain *d = world_domain_create(10), *other = world_domain_create(10);
    struct page *page = domain_page_alloc(d, 0, 0);

    (void)state;
    assert_true(page_get(page, d));
    assert_false(page_get(page, other));
    page_put(page);
    assert_int_equal(d->total_pages, 1);
    assert_int_equal(page_free_count(), MEMORY - 1);
    page_put(page);
    assert_int_equal(d->total_pages, 0);
    assert_false(page_get(page, d)); // it is free now
    page = domain_page_alloc(d, 0, 0);
    page->count = UINT32_MAX;
    assert_false(page_get(page, d)); // the count would be zero
    page->count = 1;
    page_put(page);
    world_domain_end(d);
    world_domain_end(other);
    assert_int_equal(page_free_count(), MEMORY);
}

static void no_memory_leaves_the_account_alone(void **state)
{
    struct domain *d = world_domain_create(~0UL);
    struct page *pages[32];
    unsigned int count = 0;
    struct page *page;

    (void)state;
    while ((page = domain_page_alloc(d, 9, 0))) {
        pages[count++] = page;
    }
    assert_int_equal(d->total_pages, count * 512);
    assert_int_equal(world_domain_references(d), 1);
    while (count) {
        put_block(pages[--count], 512);
    }
    assert_null(domain_page_alloc(d, 18, 0)); // never there
    assert_int_equal(world_domain_references(d), 0);
    world_domain_end(d);
}

static void shared_pages_live_while_mapped(void **state)
{
    struct domain *d = world_domain_create(0);
    uint64_t used = heap_pages_in_use();
    void *p = domain_shared_page_alloc(d);
    struct page *page = mfn_to_page(heap_mfn(p));

    (void)state;
    assert_non_null(p);
    assert_int_equal(page->count, 1);
    assert_true(page_get(page, d));
    page_put(page);
    memset(p, 0x11, PAGE_SIZE); // still there
    page_put(page);
    assert_false(page_get(page, d));
    assert_int_equal(d->total_pages, 0);
    world_domain_end(d);
    assert_true(heap_pages_in_use() <= MAX(used, 512UL));
}

static void donated_frames_are_the_domains(void **state)
{
    struct domain *d = world_domain_create(100);

    (void)state;
    assert_int_equal(domain_donate_pages(d, MFN(10), 101), -XEN_ENOMEM);
    assert_int_equal(domain_donate_pages(d, MFN(FRAMES - 1), 2), -XEN_ENOMEM);
    assert_int_equal(domain_donate_pages(d, MFN(10), 90), 0);
    assert_int_equal(d->total_pages, 90);
    put_block(mfn_to_page(MFN(10)), 90);
    assert_int_equal(page_free_count(), MEMORY - 512 + 90); // one block is the heap's reserve
    world_domain_end(d);
}

// Uses all free memory but `rest` frames up as single frames of d.
static uint64_t drain(struct domain *d, struct page **pages, uint64_t rest)
{
    uint64_t count = 0;

    while (page_free_count() > rest) {
        pages[count] = domain_page_alloc(d, 0, 0);
        if (!pages[count]) {
            break;
        }
        count++;
    }
    return count;
}

static void a_claim_is_kept_for_its_domain(void **state)
{
    static struct page *pages[FRAMES], *mine[600];
    struct domain *a = world_domain_create(~0UL), *b = world_domain_create(~0UL);
    uint64_t free = page_free_count(), count;

    (void)state;
    assert_int_equal(domain_claim_pages(a, free + 1), -XEN_ENOMEM);
    assert_int_equal(page_claimed_count(), 0);
    assert_int_equal(domain_claim_pages(a, 600), 0);
    assert_int_equal(domain_claim_pages(b, 100), 0);
    assert_int_equal(domain_claim_pages(b, free - 599), -XEN_ENOMEM);
    assert_int_equal(page_claimed_count(), 700); // the failed call kept the old one
    // b may take its own 100 and what nobody has claimed.
    count = drain(b, pages, 0);
    assert_int_equal(count, free - 600);
    assert_int_equal(page_claimed_count(), 600);
    assert_null(domain_page_alloc(b, 0, 0));
    for (unsigned int i = 0; i < 600; i++) {
        mine[i] = domain_page_alloc(a, 0, 0);
        assert_non_null(mine[i]);
    }
    assert_int_equal(page_claimed_count(), 0);
    assert_null(domain_page_alloc(a, 0, 0));
    assert_int_equal(domain_claim_pages(a, 600), -XEN_EINVAL); // it has them
    for (unsigned int i = 0; i < 600; i++) {
        page_put(mine[i]);
    }
    while (count) {
        page_put(pages[--count]);
    }
    world_domain_end(a);
    world_domain_end(b);
    assert_int_equal(page_free_count(), free);
}

static void one_claim_does_not_eat_another(void **state)
{
    static struct page *pages[FRAMES];
    struct domain *a = world_domain_create(~0UL), *b = world_domain_create(~0UL);
    struct domain *c = world_domain_create(~0UL);
    uint64_t count, free;

    (void)state;
    // 100 frames are free, 50 are a's, 50 are b's.
    count = drain(c, pages, 100);
    free = page_free_count();
    assert_int_equal(free, 100);
    assert_int_equal(domain_claim_pages(a, 50), 0);
    assert_int_equal(domain_claim_pages(b, 50), 0);
    for (unsigned int i = 0; i < 50; i++) {
        pages[count] = domain_page_alloc(a, 0, 0);
        assert_non_null(pages[count++]);
    }
    assert_null(domain_page_alloc(a, 0, 0));
    assert_null(domain_page_alloc(c, 0, 0));
    assert_int_equal(domain_claim_pages(b, 0), 0);
    pages[count] = domain_page_alloc(a, 0, 0);
    assert_non_null(pages[count++]);
    while (count) {
        page_put(pages[--count]);
    }
    world_domain_end(a);
    world_domain_end(b);
    world_domain_end(c);
}

static void a_failed_allocation_keeps_the_claim(void **state)
{
    struct domain *d = world_domain_create(~0UL);

    (void)state;
    assert_int_equal(domain_claim_pages(d, 4096), 0);
    assert_null(domain_page_alloc(d, 12, 0)); // no block is that large
    assert_int_equal(page_claimed_count(), 4096);
    assert_int_equal(d->outstanding_claim, 4096);
    assert_int_equal(domain_claim_pages(d, 0), 0);
    assert_int_equal(page_claimed_count(), 0);
    world_domain_end(d);
}

static int start(void **state)
{
    (void)state;
    world_start(FRAMES, HOLE, true);
    return 0;
}

// Odd single frames stay taken, so that no large block is left.
static int fragment(void **state)
{
    static struct page *pages[FRAMES];
    struct domain *d = world_domain_create(~0UL);
    uint64_t count = drain(d, pages, 0);

    for (uint64_t i = 0; i < count; i++) {
        if (page_to_mfn(pages[i]).n % 512) {
            page_put(pages[i]);
        }
    }
    *state = d;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_domain_has_at_most_max_pages),
        cmocka_unit_test(a_frame_is_free_after_its_last_reference),
        cmocka_unit_test(no_memory_leaves_the_account_alone),
        cmocka_unit_test(shared_pages_live_while_mapped),
        cmocka_unit_test(donated_frames_are_the_domains),
        cmocka_unit_test(a_claim_is_kept_for_its_domain),
        cmocka_unit_test(one_claim_does_not_eat_another),
        cmocka_unit_test_setup(a_failed_allocation_keeps_the_claim, fragment),
    };

    return cmocka_run_group_tests(tests, start, NULL);
}
