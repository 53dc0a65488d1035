// SPDX-License-Identifier: Apache-2.0
// Simulated machine memory: one memory file in four views (see sim/machine.h).
//
// A view's frame is accessible while its count of mappings is not zero; the address sanitizer's
// shadow is changed with the counts. The sanitizer is not needed: without it nothing is checked
// but the order in which slots are given back.
// Locking: counts under one host mutex, so that two CPUs do not open and close a frame at once.

#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <sanitizer/asan_interface.h>

#include <bulkhead/arch/mm.h>
#include <bulkhead/cpu.h>
#include <bulkhead/page.h>
#include <sim/machine.h>
#include "sim_internal.h"

#define ALIGNMENT (2UL << 20) // the heap finds a block's descriptor by its address

enum view { VIEW_HEAP, VIEW_SLOTS, VIEW_LASTING, VIEW_GUEST, VIEWS };

static char *views[VIEWS];
static uint32_t *counts[VIEWS];
static uint64_t memory_frames, mappings;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static char *map_view(int file, size_t size)
{
    // Twice as much address space as needed leaves room to align.
    char *area = mmap(NULL, size + ALIGNMENT, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *aligned = (char *)ALIGN_UP((uintptr_t)area, ALIGNMENT);

    if (area == MAP_FAILED || mmap(aligned, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
                                   file, 0) == MAP_FAILED) {
        sim_die("no memory for the simulated machine");
    }
    return aligned;
}

void sim_memory_start(uint64_t frames)
{
    size_t size = frames << PAGE_SHIFT;
    int file = memfd_create("machine", MFD_CLOEXEC);

    if (file < 0 || ftruncate(file, (off_t)size)) {
        sim_die("no memory file for the simulated machine");
    }
    memory_frames = frames;
    for (unsigned int view = 0; view < VIEWS; view++) {
        views[view] = map_view(file, size);
        counts[view] = calloc(frames, sizeof(uint32_t));
        if (view != VIEW_GUEST) {
            ASAN_POISON_MEMORY_REGION(views[view], size);
        }
    }
    close(file);
    page_alloc_init(frames);
    page_alloc_add(MFN(1), frames - 1, false);
}

static void *frame_in(enum view view, mfn_t mfn)
{
    if (mfn.n >= memory_frames) {
        sim_die("frame 0x%lx is not memory", mfn.n);
    }
    return views[view] + (mfn.n << PAGE_SHIFT);
}

static bool is_in(enum view view, const void *p)
{
    return (const char *)p >= views[view] &&
           (const char *)p < views[view] + (memory_frames << PAGE_SHIFT);
}

static void *open_frame(enum view view, mfn_t mfn)
{
    char *p = frame_in(view, mfn);

    pthread_mutex_lock(&mutex);
    if (counts[view][mfn.n]++ == 0) {
        ASAN_UNPOISON_MEMORY_REGION(p, PAGE_SIZE);
    }
    mappings += view != VIEW_HEAP;
    pthread_mutex_unlock(&mutex);
    return p;
}

static void close_frame(enum view view, mfn_t mfn)
{
    char *p = frame_in(view, mfn);

    pthread_mutex_lock(&mutex);
    if (counts[view][mfn.n] == 0) {
        sim_die("frame 0x%lx is not mapped", mfn.n);
    }
    if (--counts[view][mfn.n] == 0) {
        ASAN_POISON_MEMORY_REGION(p, PAGE_SIZE);
    }
    mappings -= view != VIEW_HEAP;
    pthread_mutex_unlock(&mutex);
}

static mfn_t frame_of(enum view view, const void *p)
{
    if (!is_in(view, p)) {
        sim_die("%p is not in the view", p);
    }
    return MFN((uint64_t)((const char *)p - views[view]) >> PAGE_SHIFT);
}

void *arch_heap_address(mfn_t mfn)
{
    return frame_in(VIEW_HEAP, mfn);
}

mfn_t arch_heap_frame(const void *p)
{
    return frame_of(VIEW_HEAP, p);
}

int arch_heap_map(mfn_t mfn, unsigned int order)
{
    for (uint64_t i = 0; i < 1UL << order; i++) {
        open_frame(VIEW_HEAP, mfn_add(mfn, i));
    }
    return 0;
}

void arch_heap_unmap(mfn_t mfn, unsigned int order)
{
    for (uint64_t i = 0; i < 1UL << order; i++) {
        close_frame(VIEW_HEAP, mfn_add(mfn, i));
    }
}

void *arch_map_slot(mfn_t mfn)
{
    struct arch_cpu *cpu = &this_cpu()->arch;
    void *p = open_frame(VIEW_SLOTS, mfn);

    if (cpu->slots_used == ARRAY_SIZE(cpu->slots)) {
        sim_die("too many transient mappings");
    }
    cpu->slots[cpu->slots_used++] = p;
    return p;
}

void arch_unmap_slot(const void *p)
{
    struct arch_cpu *cpu = &this_cpu()->arch;
    const void *page = (const void *)((uintptr_t)p & PAGE_MASK);

    if (cpu->slots_used == 0 || cpu->slots[cpu->slots_used - 1] != page) {
        sim_die("transient mappings undone in the wrong order");
    }
    cpu->slots_used--;
    close_frame(VIEW_SLOTS, frame_of(VIEW_SLOTS, p));
}

void *arch_move_slot(void *p, mfn_t mfn)
{
    arch_unmap_slot(p);
    return arch_map_slot(mfn);
}

bool arch_is_map_slot(const void *p)
{
    return is_in(VIEW_SLOTS, p);
}

void *arch_map_lasting(mfn_t mfn)
{
    return sim_heap_must_fail() ? NULL : open_frame(VIEW_LASTING, mfn);
}

void arch_unmap_lasting(void *p)
{
    close_frame(VIEW_LASTING, frame_of(VIEW_LASTING, p));
}

bool arch_is_lasting(const void *p)
{
    return is_in(VIEW_LASTING, p);
}

struct page *arch_map_frame_table(uint64_t frames)
{
    return calloc(frames, sizeof(struct page));
}

void *sim_memory(mfn_t mfn)
{
    return frame_in(VIEW_GUEST, mfn);
}

uint64_t sim_mappings(void)
{
    return mappings;
}
