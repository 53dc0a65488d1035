// SPDX-License-Identifier: Apache-2.0
// Look-ups while others change the tables, under the thread sanitizer.
//
// Each frame carries the guest frame number that it was allocated for. Whoever gets a page by a
// guest frame number must find that number on it for as long as he holds it: the frame cannot have
// been freed and come back for something else. Table pages are overwritten when they are freed, so
// a reader that is still in one finds nonsense, and the sanitizer sees him. In one part of the
// range something is mapped at all times, by small or large pages: there every look-up succeeds.
// Some of the readers are the CPUs that run the domain's vcpus, and may also borrow pages.

#define _GNU_SOURCE
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bulkhead/cpu.h>
#include <bulkhead/heap.h>
#include <x86/p2m.h>

#include "guest.h"
#include "world.h"

#include <cmocka.h>

#define FRAMES (1UL << 16)
#define HOLE 512UL
#define SPAN 2048UL         // guest frames in use
#define ALWAYS_MAPPED 512UL // the first of them
#define WRITERS 2u
#define READERS 4u
#define OUTSIDERS 2u // readers that run no vcpu of the domain
#define CHANGES 1000u

static struct domain *d;
static uint32_t *labels; // of each frame: the guest frame number
static uint32_t writers_at_work;
static uint64_t pages_read;

struct random {
    uint64_t state;
};

static uint64_t choose(struct random *r, uint64_t limit)
{
    r->state ^= r->state << 13;
    r->state ^= r->state >> 7;
    r->state ^= r->state << 17;
    return r->state % limit;
}

void __real_heap_free_pages(void *p, unsigned int order);
void __wrap_heap_free_pages(void *p, unsigned int order);

void __wrap_heap_free_pages(void *p, unsigned int order)
{
    if (p) {
        memset(p, 0xff, PAGE_SIZE << order);
    }
    __real_heap_free_pages(p, order);
}

static void map_fresh(uint64_t gfn, unsigned int order)
{
    struct page *page = domain_page_alloc(d, order, ALLOC_NO_SCRUB);
    uint64_t mfn;

    assert_non_null(page);
    mfn = page_to_mfn(page).n;
    for (uint64_t i = 0; i < 1UL << order; i++) {
        __atomic_store_n(&labels[mfn + i], (uint32_t)(gfn + i), __ATOMIC_RELAXED);
    }
    assert_int_equal(p2m_set(d, GFN(gfn), MFN(mfn), order, P2M_RAM), 0);
}

static void change(struct random *r)
{
    uint64_t gfn = choose(r, SPAN), large = gfn & ~511UL;

    switch (choose(r, 12)) {
    case 0:
        map_fresh(large, ORDER_2M);
        break;
    case 1:
        if (large >= ALWAYS_MAPPED) {
            assert_int_equal(p2m_clear(d, GFN(large), ORDER_2M), 0);
        }
        break;
    case 2:
    case 3:
    case 4:
        if (gfn >= ALWAYS_MAPPED) {
            assert_int_equal(p2m_clear(d, GFN(gfn), ORDER_4K), 0);
        }
        break;
    case 5:
        p2m_batch_begin(d);
        for (unsigned int i = 0; i < 8; i++) {
            map_fresh(choose(r, SPAN), ORDER_4K);
        }
        p2m_batch_end(d);
        break;
    default:
        map_fresh(gfn, ORDER_4K);
    }
}

static void *writer(void *data)
{
    unsigned int n = (unsigned int)(uintptr_t)data;
    struct random r = {0x9e3779b97f4a7c15UL * (n + 1)};

    world_enter_cpu(n);
    world_take_calls(true);
    for (unsigned int i = 0; i < CHANGES; i++) {
        change(&r);
        world_window();
    }
    world_take_calls(false);
    __atomic_fetch_sub(&writers_at_work, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

static bool is_labelled(const struct page *page, uint64_t gfn)
{
    return __atomic_load_n(&labels[page_to_mfn(page).n], __ATOMIC_RELAXED) == gfn;
}

static void look(struct random *r)
{
    uint64_t gfn = choose(r, SPAN);
    enum p2m_type type;
    struct page *page;
    bool borrow;

    if (choose(r, 4) == 0) {
        struct p2m_entry found = p2m_lookup(d, GFN(gfn));

        assert_true(found.type == P2M_RAM || (found.type == P2M_INVALID && gfn >= ALWAYS_MAPPED));
        return;
    }
    borrow = test_cpu->current && choose(r, 2);
    page = (borrow ? p2m_borrow_page : p2m_get_page)(d, GFN(gfn), choose(r, 2), &type);
    if (!page) {
        assert_int_equal(type, P2M_INVALID);
        assert_true(gfn >= ALWAYS_MAPPED);
        return;
    }
    assert_int_equal(type, P2M_RAM);
    assert_true(is_labelled(page, gfn));
    if (borrow) {
        syscall(SYS_sched_yield); // others run, but no call is answered
    } else {
        world_window();
    }
    assert_int_equal(page_get_state(page), PAGE_STATE_DOMAIN);
    assert_true(is_labelled(page, gfn));
    (borrow ? p2m_return_page : page_put)(page);
    __atomic_fetch_add(&pages_read, 1, __ATOMIC_RELAXED);
}

static void *reader(void *data)
{
    unsigned int n = (unsigned int)(uintptr_t)data;
    struct random r = {0x9e3779b97f4a7c15UL * (n + 1)};

    world_enter_cpu(n);
    test_cpu->current = n > WRITERS + OUTSIDERS ? d->vcpus[n - WRITERS - OUTSIDERS - 1] : NULL;
    world_take_calls(true);
    while (__atomic_load_n(&writers_at_work, __ATOMIC_SEQ_CST)) {
        look(&r);
        world_window();
    }
    world_take_calls(false);
    return NULL;
}

static void lookups_are_right_while_tables_change(void **state)
{
    pthread_t threads[WRITERS + READERS];

    (void)state;
    map_fresh(0, ORDER_2M);
    writers_at_work = WRITERS;
    for (unsigned int i = 0; i < WRITERS + READERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, i < WRITERS ? writer : reader,
                                        (void *)(uintptr_t)(i + 1)),
                         0);
    }
    for (unsigned int i = 0; i < WRITERS + READERS; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_true(pages_read > CHANGES);
    guest_end(d);
    assert_int_equal(page_free_count() + heap_pages_in_use(), FRAMES - HOLE);
}

static int start(void **state)
{
    (void)state;
    world_start(FRAMES, HOLE, false);
    labels = calloc(FRAMES, sizeof(*labels));
    d = guest_create(~0UL);
    guest_stop_watching();
    test_cpu->current = NULL;
    free(d->vcpus[0]);
    free(d->vcpus);
    d->max_vcpus = READERS - OUTSIDERS;
    d->vcpus = calloc(d->max_vcpus, sizeof(*d->vcpus));
    for (unsigned int i = 0; i < d->max_vcpus; i++) {
        d->vcpus[i] = calloc(1, sizeof(*d->vcpus[i]));
        d->vcpus[i]->domain = d;
        d->vcpus[i]->cpu = i + WRITERS + OUTSIDERS + 1;
        d->vcpus[i]->running = true;
    }
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lookups_are_right_while_tables_change),
    };

    return cmocka_run_group_tests(tests, start, NULL);
}
