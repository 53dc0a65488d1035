// SPDX-License-Identifier: Apache-2.0
// The doubles of guest.h. page_put and page_put_range are wrapped: when a frame is let go, no
// translation of it may be left unflushed.

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <bulkhead/cpu.h>
#include <bulkhead/heap.h>
#include <bulkhead/iommu.h>
#include <x86/hvm.h>
#include <x86/p2m.h>

#include "guest.h"
#include "world.h"

#include <cmocka.h>

#define MAX_FLUSHES 64u

uint64_t guest_cr0, guest_cr3, guest_cr4, guest_efer;
struct cpumask online_cpus;

static struct domain *watched;
static uint64_t put_count, most_puts, flushed_frames;
static struct {
    uint64_t first, last;
} flushes[MAX_FLUSHES];
static unsigned int flush_count;

struct domain *guest_create(uint64_t max_pages)
{
    struct domain *d = world_domain_create(max_pages);
    struct vcpu *v = calloc(1, sizeof(*v));

    d->max_vcpus = 1;
    d->vcpus = calloc(1, sizeof(*d->vcpus));
    d->vcpus[0] = v;
    v->domain = d;
    test_cpu->current = v;
    assert_int_equal(p2m_create(d), 0);
    watched = d;
    return d;
}

void guest_stop_watching(void)
{
    watched = NULL;
}

unsigned int guest_end(struct domain *d)
{
    unsigned int restarts = 0;

    while (p2m_release(d) == -XEN_ERESTART) {
        restarts++;
    }
    assert_int_equal(p2m_table_pages(d), 1);
    p2m_free(d);
    if (test_cpu->current == d->vcpus[0]) {
        test_cpu->current = NULL;
    }
    for (unsigned int i = 0; i < d->max_vcpus; i++) {
        free(d->vcpus[i]);
    }
    free(d->vcpus);
    watched = watched == d ? NULL : watched;
    world_domain_end(d);
    return restarts;
}

void hvm_get_paging(const struct vcpu *v, uint64_t *cr0, uint64_t *cr3, uint64_t *cr4,
                    uint64_t *efer)
{
    (void)v;
    *cr0 = guest_cr0;
    *cr3 = guest_cr3;
    *cr4 = guest_cr4;
    *efer = guest_efer;
}

bool preempt_needed(void)
{
    most_puts = MAX(most_puts, put_count);
    put_count = 0;
    return true;
}

uint64_t guest_most_puts_at_once(void)
{
    uint64_t most = MAX(most_puts, put_count);

    put_count = most_puts = 0;
    return most;
}

void (*guest_at_flush)(void);

void guest_use_iommu(struct domain *d, bool use)
{
    d->arch.iommu = use ? (struct iommu_domain *)d : NULL;
}

void iommu_flush(struct domain *d, gfn_t start, uint64_t count)
{
    assert_non_null(d->arch.iommu);
    flushed_frames += count;
    if (guest_at_flush) {
        guest_at_flush();
    }
    if (flush_count < MAX_FLUSHES) {
        flushes[flush_count].first = start.n;
        flushes[flush_count++].last = start.n + count - 1;
    }
}

uint64_t guest_iommu_flushed(void)
{
    uint64_t frames = flushed_frames;

    flushed_frames = 0;
    flush_count = 0;
    return frames;
}

bool guest_iommu_was_flushed(gfn_t gfn)
{
    for (unsigned int i = 0; i < flush_count; i++) {
        if (gfn.n >= flushes[i].first && gfn.n <= flushes[i].last) {
            return true;
        }
    }
    return false;
}

void __real_page_put(struct page *page);
void __wrap_page_put(struct page *page);
void __real_page_put_range(struct page *first, uint64_t count);
void __wrap_page_put_range(struct page *first, uint64_t count);

static void note_puts(uint64_t count)
{
    __atomic_fetch_add(&put_count, count, __ATOMIC_RELAXED);
    if (watched && watched->arch.p2m) {
        assert_true(watched->arch.p2m->flush_first > watched->arch.p2m->flush_last);
    }
}

void __wrap_page_put(struct page *page)
{
    note_puts(1);
    __real_page_put(page);
}

void __wrap_page_put_range(struct page *first, uint64_t count)
{
    note_puts(count);
    __real_page_put_range(first, count);
}
