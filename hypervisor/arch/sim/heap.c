// SPDX-License-Identifier: Apache-2.0
// A heap for tests in the place of mm/heap.c: objects come one by one from the host's allocator, so
// that the address sanitizer sees every overrun and use after free; whole pages come from simulated
// memory and are mapped only while they are allocated. On request an allocation fails, to see
// what the caller makes of it.

#include <stdlib.h>
#include <string.h>

#include <bulkhead/arch/mm.h>
#include <bulkhead/heap.h>
#include <bulkhead/page.h>
#include <sim/machine.h>
#include "sim_internal.h"

static uint64_t objects, fail_at;
static bool failed;

bool sim_heap_must_fail(void)
{
    uint64_t left = __atomic_load_n(&fail_at, __ATOMIC_RELAXED);

    if (!left || __atomic_sub_fetch(&fail_at, 1, __ATOMIC_RELAXED)) {
        return false;
    }
    failed = true;
    return true;
}

void sim_heap_fail_at(uint64_t count)
{
    failed = false;
    fail_at = count;
}

bool sim_heap_failed(void)
{
    return failed;
}

uint64_t sim_heap_objects(void)
{
    return objects;
}

void heap_init(void)
{
}

void *heap_alloc(size_t size)
{
    size_t alignment = size >= PAGE_SIZE ? PAGE_SIZE : 16;
    void *p;

    if (size > PAGE_SIZE << 8 || sim_heap_must_fail() || posix_memalign(&p, alignment, size)) {
        return NULL;
    }
    memset(p, 0, size);
    __atomic_fetch_add(&objects, 1, __ATOMIC_RELAXED);
    return p;
}

void heap_free(void *p)
{
    if (p) {
        __atomic_fetch_sub(&objects, 1, __ATOMIC_RELAXED);
        free(p);
    }
}

void *heap_alloc_array(size_t n, size_t size)
{
    size_t bytes;

    return __builtin_mul_overflow(n, size, &bytes) ? NULL : heap_alloc(bytes);
}

void *heap_alloc_pages(unsigned int order, unsigned int flags)
{
    struct page *page = sim_heap_must_fail() ? NULL : page_alloc(order, 0, flags);
    void *p;

    if (!page) {
        return NULL;
    }
    for (uint64_t i = 0; i < 1UL << order; i++) {
        page_set_state(&page[i], PAGE_STATE_HEAP);
        page[i].head = 0;
        page[i].used.private = order;
    }
    arch_heap_map(page_to_mfn(page), order);
    p = arch_heap_address(page_to_mfn(page));
    memset(p, 0, PAGE_SIZE << order);
    __atomic_fetch_add(&objects, 1, __ATOMIC_RELAXED);
    return p;
}

void heap_free_pages(void *p, unsigned int order)
{
    struct page *page;

    if (!p) {
        return;
    }
    page = mfn_to_page(heap_mfn(p));
    if (page->state != PAGE_STATE_HEAP || page->used.private != order) {
        sim_die("%p is no block of order %u", p, order);
    }
    __atomic_fetch_sub(&objects, 1, __ATOMIC_RELAXED);
    arch_heap_unmap(page_to_mfn(page), order);
    page_free(page, order);
}

mfn_t heap_mfn(const void *p)
{
    return arch_heap_frame(p);
}

maddr_t heap_maddr(const void *p)
{
    return MADDR(mfn_to_maddr(heap_mfn(p)).a + ((uintptr_t)p & (PAGE_SIZE - 1)));
}

void *heap_from_mfn(mfn_t mfn)
{
    return arch_heap_address(mfn);
}

uint64_t heap_pages_in_use(void)
{
    return objects;
}

bool heap_trim(void)
{
    return false; // the host's allocator keeps what it likes
}
