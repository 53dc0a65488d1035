// SPDX-License-Identifier: Apache-2.0
// The machine of world.h: what the memory code wants of a port and of the core.

#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bulkhead/arch/mm.h>
#include <bulkhead/console.h>
#include <bulkhead/cpu.h>
#include <bulkhead/heap.h>
#include <bulkhead/iommu.h>
#include <bulkhead/mapping.h>

#include "world.h"

#include <cmocka.h>

#define BLOCK (2UL << 20)
#define MAX_TEST_CPUS 8u
#define MAX_DOMAINS 16u
#define OLD ((char *)1) // contents of a frame: WORLD_OLD all over, not made yet

__thread struct cpu *test_cpu;
struct cpu *cpus[MAX_CPUS];
struct domain *domain0;

static struct cpu cpu_storage[MAX_TEST_CPUS];
static char **contents; // one of a frame: NULL for zeroes, OLD, or a host page
static uint32_t *pins;  // open mappings of a frame
static char *window;
static uint64_t frames_total, open_mappings;
static struct domain *domains[MAX_DOMAINS];
static uint64_t fail_at, random_state = 1;
static bool has_failed, slow_mapping;

__attribute__((noreturn)) static void die(const char *what, uint64_t n)
{
    fprintf(stderr, "test machine: %s (0x%lx)\n", what, n);
    abort();
}

uint64_t world_random(uint64_t limit)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state % limit;
}

void world_seed(uint64_t seed)
{
    random_state = seed * 0x9e3779b97f4a7c15UL + 1;
}

void world_enter_cpu(unsigned int n)
{
    cpu_storage[n].self = cpus[n] = &cpu_storage[n];
    cpu_storage[n].id = n;
    test_cpu = &cpu_storage[n];
}

void world_start(uint64_t frames, uint64_t hole, bool dirty)
{
    size_t size = frames << PAGE_SHIFT;
    char *area =
        mmap(NULL, size + BLOCK, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (area == MAP_FAILED) {
        die("no address space", frames);
    }
    window = (char *)ALIGN_UP((uintptr_t)area, BLOCK);
    frames_total = frames;
    contents = calloc(frames, sizeof(*contents));
    pins = calloc(frames, sizeof(*pins));
    world_enter_cpu(0);
    page_alloc_init(frames);
    heap_init();
    if (dirty) {
        world_mark_old(0, frames);
    }
    page_alloc_add(MFN(hole), frames - hole, dirty);
}

static char *materialize(uint64_t frame)
{
    char *page = contents[frame];

    if (frame >= frames_total) {
        die("no such frame", frame);
    }
    if (page == NULL || page == OLD) {
        contents[frame] = aligned_alloc(PAGE_SIZE, PAGE_SIZE);
        memset(contents[frame], page ? (int)WORLD_OLD : 0, PAGE_SIZE);
    }
    return contents[frame];
}

static bool is_zero(const char *page)
{
    return page[0] == 0 && memcmp(page, page + 1, PAGE_SIZE - 1) == 0;
}

// A page of zeroes that nobody looks at costs nothing.
static void compress(uint64_t frame)
{
    char *page = contents[frame];

    if (page && page != OLD && !__atomic_load_n(&pins[frame], __ATOMIC_RELAXED) && is_zero(page)) {
        free(page);
        contents[frame] = NULL;
    }
}

bool world_frame_is_zero(uint64_t frame)
{
    compress(frame);
    return contents[frame] == NULL;
}

void world_mark_old(uint64_t frame, uint64_t count)
{
    for (; count; frame++, count--) {
        if (contents[frame] != NULL && contents[frame] != OLD) {
            free(contents[frame]);
        }
        contents[frame] = OLD;
    }
}

void *world_frame(uint64_t frame)
{
    return materialize(frame);
}

void world_slow_mapping(bool slow)
{
    slow_mapping = slow;
}

uint64_t world_mappings(void)
{
    return open_mappings;
}

// The heap's window.

void *arch_heap_address(mfn_t mfn)
{
    return window + (mfn.n << PAGE_SHIFT);
}

mfn_t arch_heap_frame(const void *p)
{
    return MFN((uint64_t)((const char *)p - window) >> PAGE_SHIFT);
}

int arch_heap_map(mfn_t mfn, unsigned int order)
{
    char *at = arch_heap_address(mfn);

    if (mprotect(at, PAGE_SIZE << order, PROT_READ | PROT_WRITE)) {
        die("heap cannot be mapped", mfn.n);
    }
    for (uint64_t i = 0; i < 1UL << order; i++) {
        if (!world_frame_is_zero(mfn.n + i)) {
            memcpy(at + (i << PAGE_SHIFT), materialize(mfn.n + i), PAGE_SIZE);
        }
    }
    return 0;
}

void arch_heap_unmap(mfn_t mfn, unsigned int order)
{
    char *at = arch_heap_address(mfn);

    madvise(at, PAGE_SIZE << order, MADV_DONTNEED);
    mprotect(at, PAGE_SIZE << order, PROT_NONE);
    world_mark_old(mfn.n, 1UL << order);
}

// Slots and lasting mappings both show the frame's host page.

static bool is_heap(uint64_t frame)
{
    return page_get_state(&frame_table[frame]) == PAGE_STATE_HEAP;
}

// What the heap has is in its window.
static void *open_frame(mfn_t mfn)
{
    __atomic_fetch_add(&pins[mfn.n], 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&open_mappings, 1, __ATOMIC_RELAXED);
    return is_heap(mfn.n) ? arch_heap_address(mfn) : materialize(mfn.n);
}

static uint64_t frame_of_mapping(const void *p)
{
    // The slots of this CPU remember the frame by its page; lasting mappings are few.
    for (uint64_t i = 0; i < frames_total; i++) {
        if (contents[i] == p) {
            return i;
        }
    }
    die("not a mapping", (uintptr_t)p);
}

static void close_frame(uint64_t frame)
{
    if (!pins[frame]) {
        die("frame is not mapped", frame);
    }
    __atomic_fetch_sub(&pins[frame], 1, __ATOMIC_RELAXED);
    __atomic_fetch_sub(&open_mappings, 1, __ATOMIC_RELAXED);
    if (!is_heap(frame)) {
        compress(frame);
    }
}

static __thread uint64_t slot_frames[16];

void *arch_map_slot(mfn_t mfn)
{
    struct arch_cpu *cpu = &this_cpu()->arch;

    if (cpu->slots_used == ARRAY_SIZE(cpu->slots)) {
        die("too many transient mappings", mfn.n);
    }
    if (slow_mapping) {
        usleep(20);
    }
    slot_frames[cpu->slots_used] = mfn.n;
    cpu->slots[cpu->slots_used] = open_frame(mfn);
    return (void *)cpu->slots[cpu->slots_used++];
}

void arch_unmap_slot(const void *p)
{
    struct arch_cpu *cpu = &this_cpu()->arch;

    if (!cpu->slots_used ||
        cpu->slots[cpu->slots_used - 1] != (const void *)((uintptr_t)p & PAGE_MASK)) {
        die("transient mappings undone in the wrong order", (uintptr_t)p);
    }
    close_frame(slot_frames[--cpu->slots_used]);
}

void *arch_move_slot(void *p, mfn_t mfn)
{
    arch_unmap_slot(p);
    return arch_map_slot(mfn);
}

bool arch_is_map_slot(const void *p)
{
    const struct arch_cpu *cpu = &this_cpu()->arch;
    const void *page = (const void *)((uintptr_t)p & PAGE_MASK);

    for (unsigned int i = 0; i < cpu->slots_used; i++) {
        if (cpu->slots[i] == page) {
            return true;
        }
    }
    return false;
}

void *arch_map_lasting(mfn_t mfn)
{
    return open_frame(mfn);
}

void arch_unmap_lasting(void *p)
{
    close_frame(frame_of_mapping(p));
}

bool arch_is_lasting(const void *p)
{
    return (const char *)p < window || (const char *)p >= window + (frames_total << PAGE_SHIFT);
}

struct page *arch_map_frame_table(uint64_t frames)
{
    return calloc(frames, sizeof(struct page));
}

// The core and the port.

static uint32_t takes_calls[MAX_TEST_CPUS], call_pending[MAX_TEST_CPUS];

void world_take_calls(bool take)
{
    __atomic_store_n(&takes_calls[this_cpu()->id], take, __ATOMIC_SEQ_CST);
    world_window();
}

void world_window(void)
{
    uint32_t *pending = &call_pending[this_cpu()->id];

    if (__atomic_load_n(pending, __ATOMIC_ACQUIRE)) {
        __atomic_store_n(pending, 0, __ATOMIC_RELEASE);
    }
}

void arch_spin_wait(void)
{
    world_window();
    syscall(SYS_sched_yield);
}

// The function runs here alone; what matters is that the others have come to a window since.
void arch_call_cpus(const struct cpumask *mask, void (*fn)(void *data), void *data)
{
    static struct spinlock call_lock = SPINLOCK_INIT;
    unsigned int me = this_cpu()->id;

    (void)mask;
    spin_lock(&call_lock);
    fn(data);
    for (unsigned int i = 0; i < MAX_TEST_CPUS; i++) {
        if (i == me || !__atomic_load_n(&takes_calls[i], __ATOMIC_SEQ_CST)) {
            continue;
        }
        __atomic_store_n(&call_pending[i], 1, __ATOMIC_SEQ_CST);
        while (__atomic_load_n(&call_pending[i], __ATOMIC_ACQUIRE) &&
               __atomic_load_n(&takes_calls[i], __ATOMIC_ACQUIRE)) {
            syscall(SYS_sched_yield);
        }
    }
    spin_unlock(&call_lock);
}

void log_message(enum log_level level, const char *format, ...)
{
    (void)level;
    (void)format;
}

void panic(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    abort();
}

struct domain *world_domain_create(uint64_t max_pages)
{
    struct domain *d = calloc(1, sizeof(*d));

    for (unsigned int i = 0; i < MAX_DOMAINS; i++) {
        if (!domains[i]) {
            domains[i] = d;
            d->page_owner = (uint16_t)i;
            d->max_pages = max_pages;
            return d;
        }
    }
    die("too many domains", MAX_DOMAINS);
}

void world_domain_end(struct domain *d)
{
    assert_int_equal(d->total_pages, 0);
    assert_int_equal(d->references, 0);
    domains[d->page_owner] = NULL;
    free(d);
}

int world_domain_references(const struct domain *d)
{
    return d->references;
}

struct domain *domain_by_page_owner(uint16_t owner)
{
    return domains[owner];
}

void domain_put(struct domain *d)
{
    if (__atomic_sub_fetch(&d->references, 1, __ATOMIC_RELAXED) < 0) {
        die("domain has no reference", d->page_owner);
    }
}

// Failing allocations.

void world_fail_allocation(uint64_t count)
{
    fail_at = count;
    has_failed = false;
}

bool world_allocation_failed(void)
{
    return has_failed;
}

static bool must_fail(void)
{
    if (!fail_at || --fail_at) {
        return false;
    }
    has_failed = true;
    return true;
}

void *__real_heap_alloc(size_t size);
void *__wrap_heap_alloc(size_t size);
void *__real_heap_alloc_pages(unsigned int order, unsigned int flags);
void *__wrap_heap_alloc_pages(unsigned int order, unsigned int flags);

void *__wrap_heap_alloc(size_t size)
{
    return must_fail() ? NULL : __real_heap_alloc(size);
}

void *__wrap_heap_alloc_pages(unsigned int order, unsigned int flags)
{
    return must_fail() ? NULL : __real_heap_alloc_pages(order, flags);
}

// The state of free memory.

static bool zone_high(uint64_t frame)
{
    return frame >> 20;
}

static void check_links(uint64_t frame)
{
    const struct page *page = &frame_table[frame];
    uint32_t next = page->free.next, prev = page->free.prev;

    if (next != UINT32_MAX) {
        const struct page *other = &frame_table[next];

        assert_true(other->head && other->order == page->order && other->dirty == page->dirty);
        assert_true(zone_high(next) == zone_high(frame));
        assert_int_equal(other->free.prev, frame);
    }
    if (prev != UINT32_MAX) {
        assert_int_equal(frame_table[prev].free.next, frame);
    }
}

static void check_block(uint64_t frame)
{
    const struct page *page = &frame_table[frame];
    uint64_t size = 1UL << page->order, buddy = frame ^ size;

    assert_true(page->order <= ORDER_1G && frame % size == 0 && frame + size <= frames_total);
    assert_true(zone_high(frame) == zone_high(frame + size - 1));
    check_links(frame);
    for (uint64_t i = 1; i < size; i++) {
        assert_false(page[i].head);
    }
    if (page->order < ORDER_1G && buddy + size <= frames_total) {
        const struct page *other = &frame_table[buddy];

        assert_false(other->state == PAGE_STATE_FREE && other->head &&
                     other->order == page->order && other->dirty == page->dirty &&
                     zone_high(buddy) == zone_high(frame));
    }
    for (uint64_t i = 0; !page->dirty && i < size; i++) {
        assert_true(world_frame_is_zero(frame + i));
    }
}

void world_check_free_memory(void)
{
    uint64_t free = 0, dirty = 0, lists = 0;
    bool seen[2][2][ORDER_1G + 1] = {{{false}}};

    for (uint64_t frame = 0; frame < frames_total;) {
        const struct page *page = &frame_table[frame];

        if (page->state != PAGE_STATE_FREE || !page->head) {
            frame++;
            continue;
        }
        check_block(frame);
        if (page->free.prev == UINT32_MAX) {
            bool *first = &seen[zone_high(frame)][page->dirty][page->order];

            assert_false(*first); // a list has one beginning
            *first = true;
            lists++;
        }
        free += 1UL << page->order;
        dirty += page->dirty ? 1UL << page->order : 0;
        frame += 1UL << page->order;
    }
    assert_int_equal(free, page_free_count());
    assert_int_equal(dirty, page_unscrubbed_count());
    assert_true(lists > 0 || free == 0);
}

uint64_t world_free_memory_hash(void)
{
    uint64_t hash = 14695981039346656037UL;

    for (uint64_t frame = 0; frame < frames_total; frame++) {
        const struct page *page = &frame_table[frame];

        if (page->state == PAGE_STATE_FREE && page->head) {
            hash = (hash ^ (frame << 8 | page->order << 1 | page->dirty)) * 1099511628211UL;
        }
    }
    return hash;
}

void world_scrub_all(void)
{
    while (page_scrub_some()) {
    }
}
