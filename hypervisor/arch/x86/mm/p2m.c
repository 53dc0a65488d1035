// SPDX-License-Identifier: Apache-2.0
// Second-level tables.
//
// Entries: the CPU's format, with the AMD IOMMU's fields in the bits that the CPU ignores, so that
// one table serves both. There is no room for a type in an entry that the IOMMU also reads, and
// none is needed: the frame table tells whose a frame is. Every entry for memory holds one
// reference on each of its frames, whatever its type.
// Changing: prepare (allocate and split, may fail) then commit (cannot). What an entry referred to
// is put aside and released only after TLBs and IOMMU are flushed.
// Locking: p2m.lock, recursive for the CPU that holds it (batches).

#include <bulkhead/arch/domain.h>
#include <bulkhead/console.h>
#include <bulkhead/cpu.h>
#include <bulkhead/domain.h>
#include <bulkhead/heap.h>
#include <bulkhead/iommu.h>
#include <bulkhead/page.h>
#include <bulkhead/string.h>
#include <x86/p2m.h>

#define ENTRY_PRESENT (1UL << 0)
#define ENTRY_WRITE (1UL << 1)
#define ENTRY_USER (1UL << 2) // the nested walk counts as a user access
#define ENTRY_ACCESSED (1UL << 5)
#define ENTRY_DIRTY (1UL << 6)
#define ENTRY_LARGE (1UL << 7)
#define ENTRY_NEXT_LEVEL(n) ((uint64_t)(n) << 9) // IOMMU: level of the table pointed to; 0: leaf
#define ENTRY_IOMMU_READ (1UL << 61)
#define ENTRY_IOMMU_WRITE (1UL << 62)
#define ENTRY_FRAME 0x000ffffffffff000UL
#define LEVELS 4u
#define ENTRIES 512u

static unsigned int level_shift(unsigned int level)
{
    return (level - 1) * 9;
}

static unsigned int level_index(gfn_t gfn, unsigned int level)
{
    return (gfn.n >> level_shift(level)) & (ENTRIES - 1);
}

static unsigned int order_to_level(unsigned int order)
{
    return order / 9 + 1;
}

static bool entry_is_leaf(uint64_t entry, unsigned int level)
{
    return level == 1 || (entry & ENTRY_LARGE);
}

static mfn_t entry_mfn(uint64_t entry)
{
    return MFN((entry & ENTRY_FRAME) >> PAGE_SHIFT);
}

static uint64_t *entry_table(uint64_t entry)
{
    return heap_from_mfn(entry_mfn(entry));
}

static uint64_t make_table_entry(const uint64_t *table, unsigned int level)
{
    return (heap_mfn(table).n << PAGE_SHIFT) | ENTRY_PRESENT | ENTRY_WRITE | ENTRY_USER |
           ENTRY_ACCESSED | ENTRY_NEXT_LEVEL(level - 1) | ENTRY_IOMMU_READ | ENTRY_IOMMU_WRITE;
}

static uint64_t make_leaf(mfn_t mfn, unsigned int level, bool write)
{
    uint64_t entry = (mfn.n << PAGE_SHIFT) | ENTRY_PRESENT | ENTRY_USER | ENTRY_ACCESSED |
                     ENTRY_DIRTY | ENTRY_IOMMU_READ;

    if (write) {
        entry |= ENTRY_WRITE | ENTRY_IOMMU_WRITE;
    }
    return level > 1 ? entry | ENTRY_LARGE : entry;
}

static void p2m_lock(struct p2m *p)
{
    unsigned int me = this_cpu()->id + 1;

    if (__atomic_load_n(&p->lock_owner, __ATOMIC_RELAXED) != me) {
        spin_lock(&p->lock);
        __atomic_store_n(&p->lock_owner, me, __ATOMIC_RELAXED);
    }
    p->lock_depth++;
}

static void flush_nothing(void *data)
{
    (void)data;
}

// Makes every processor and the IOMMU forget the gathered range. The interrupt alone takes a CPU
// out of the guest; on its next entry the vcpu finds the newer generation and flushes.
static void flush_gathered(struct domain *d, struct p2m *p)
{
    struct cpumask running;
    struct vcpu *v;
    unsigned int i;

    if (p->flush_first > p->flush_last) {
        return;
    }
    __atomic_fetch_add(&p->tlb_generation, 1, __ATOMIC_SEQ_CST);
    cpumask_clear(&running);
    for_each_vcpu (v, d, i) {
        if (__atomic_load_n(&v->running, __ATOMIC_SEQ_CST) && v->cpu != this_cpu()->id) {
            cpumask_set(&running, v->cpu);
        }
    }
    if (!cpumask_empty(&running)) {
        arch_call_cpus(&running, flush_nothing, NULL);
    }
    if (d->arch.iommu) {
        iommu_flush(d, GFN(p->flush_first), p->flush_last - p->flush_first + 1);
    }
    p->flush_first = ~0UL;
    p->flush_last = 0;
}

static void drop_frames(mfn_t mfn, unsigned int order)
{
    for (uint64_t i = 0; i < 1UL << order; i++) {
        mfn_t one = mfn_add(mfn, i);
        struct page *page = mfn_to_page(one);

        if (mfn_in_table(one) &&
            (page->state == PAGE_STATE_DOMAIN || page->state == PAGE_STATE_HEAP)) {
            page_put(page);
        }
    }
}

// Flushes and then releases what was put aside. The lock is held: releasing a frame takes only
// inner locks (page accounting, allocator, heap).
static void settle(struct domain *d, struct p2m *p)
{
    unsigned int count = p->deferred_count;

    flush_gathered(d, p);
    p->deferred_count = 0;
    for (unsigned int i = 0; i < count; i++) {
        mfn_t mfn = MFN(p->deferred[i].frame);

        if (p->deferred[i].table) {
            heap_free_pages(heap_from_mfn(mfn), 0);
        } else {
            drop_frames(mfn, p->deferred[i].order);
        }
    }
}

static void p2m_unlock(struct domain *d, struct p2m *p)
{
    if (p->lock_depth == 1) {
        settle(d, p);
        p->lock_depth = 0;
        __atomic_store_n(&p->lock_owner, 0, __ATOMIC_RELAXED);
        spin_unlock(&p->lock);
    } else {
        p->lock_depth--;
    }
}

static void defer(struct domain *d, struct p2m *p, mfn_t mfn, unsigned int order, bool table)
{
    if (p->deferred_count == P2M_DEFERRED) {
        settle(d, p);
    }
    p->deferred[p->deferred_count].frame = mfn.n;
    p->deferred[p->deferred_count].order = (uint8_t)order;
    p->deferred[p->deferred_count].table = table;
    p->deferred_count++;
}

static void note_flush(struct p2m *p, gfn_t gfn, unsigned int order)
{
    p->flush_first = MIN(p->flush_first, gfn.n);
    p->flush_last = MAX(p->flush_last, gfn.n + (1UL << order) - 1);
}

static uint64_t *table_alloc(struct domain *d, struct p2m *p)
{
    uint64_t *table;

    if (d->arch.pages_for_tables && p->table_pages >= d->arch.pages_for_tables) {
        return NULL;
    }
    table = heap_alloc_pages(0, 0);
    if (table) {
        p->table_pages++;
    }
    return table;
}

// Replaces a large leaf by a table of the next smaller size with the same meaning.
static int split(struct domain *d, struct p2m *p, uint64_t *entry, unsigned int level)
{
    uint64_t *table = table_alloc(d, p);
    mfn_t mfn = entry_mfn(*entry);

    if (!table) {
        return -XEN_ENOMEM;
    }
    for (unsigned int i = 0; i < ENTRIES; i++) {
        table[i] = make_leaf(mfn_add(mfn, (uint64_t)i << level_shift(level - 1)), level - 1,
                             *entry & ENTRY_WRITE);
    }
    // Both translate alike, but a processor must not hold both sizes for one address.
    __atomic_store_n(entry, make_table_entry(table, level), __ATOMIC_RELEASE);
    return 0;
}

// Finds the entry for gfn at a level. create: makes missing tables and splits larger leaves.
// Without it, NULL when a table is missing; a larger leaf is returned with *level raised.
static uint64_t *find_entry(struct domain *d, struct p2m *p, gfn_t gfn, unsigned int *level,
                            bool create)
{
    uint64_t *table = p->root;

    for (unsigned int at = LEVELS; at > *level; at--) {
        uint64_t *entry = &table[level_index(gfn, at)];

        if (!(*entry & ENTRY_PRESENT)) {
            table = create ? table_alloc(d, p) : NULL;
            if (!table) {
                return NULL;
            }
            __atomic_store_n(entry, make_table_entry(table, at), __ATOMIC_RELEASE);
            continue;
        }
        if (entry_is_leaf(*entry, at)) {
            if (!create) {
                *level = at;
                return entry;
            }
            if (split(d, p, entry, at)) {
                return NULL;
            }
            note_flush(p, GFN(gfn.n & ~((1UL << level_shift(at)) - 1)), level_shift(at));
        }
        table = entry_table(*entry);
    }
    return &table[level_index(gfn, *level)];
}

// Puts aside all that a detached entry led to.
static void drop_entry(struct domain *d, struct p2m *p, uint64_t entry, unsigned int level)
{
    if (!(entry & ENTRY_PRESENT)) {
        return;
    }
    if (entry_is_leaf(entry, level)) {
        defer(d, p, entry_mfn(entry), level_shift(level), false);
        return;
    }
    for (unsigned int i = 0; i < ENTRIES; i++) {
        drop_entry(d, p, entry_table(entry)[i], level - 1);
    }
    p->table_pages--;
    defer(d, p, entry_mfn(entry), 0, true);
}

static bool gfn_in_range(gfn_t gfn, unsigned int order)
{
    return gfn.n < 1UL << (LEVELS * 9) && !(gfn.n & ((1UL << order) - 1));
}

static enum p2m_type entry_type(const struct domain *d, uint64_t entry)
{
    mfn_t mfn = entry_mfn(entry);
    bool write = entry & ENTRY_WRITE;
    const struct page *page = mfn_to_page(mfn);

    if (!mfn_in_table(mfn)) {
        return P2M_MMIO;
    }
    switch (page->state) {
    case PAGE_STATE_DOMAIN:
        if (page->owner == d->page_owner) {
            return write ? P2M_RAM : P2M_RAM_RO;
        }
        return write ? P2M_FOREIGN : P2M_FOREIGN_RO;
    case PAGE_STATE_HEAP:
        return P2M_SHARED;
    default:
        return P2M_MMIO;
    }
}

static struct p2m_entry lookup_locked(struct domain *d, struct p2m *p, gfn_t gfn)
{
    struct p2m_entry found = {INVALID_MFN, P2M_INVALID, 0};
    unsigned int level = 1;
    uint64_t *entry;

    if (!gfn_in_range(gfn, 0)) {
        return found;
    }
    entry = find_entry(d, p, gfn, &level, false);
    if (entry && (*entry & ENTRY_PRESENT)) {
        found.order = level_shift(level);
        found.mfn = mfn_add(entry_mfn(*entry), gfn.n & ((1UL << found.order) - 1));
        found.type = entry_type(d, *entry);
        if (found.type == P2M_SHARED && !(*entry & ENTRY_WRITE)) {
            found.type = P2M_FOREIGN_RO;
        }
    }
    return found;
}

struct p2m_entry p2m_lookup(struct domain *d, gfn_t gfn)
{
    struct p2m *p = d->arch.p2m;
    struct p2m_entry found;

    p2m_lock(p);
    found = lookup_locked(d, p, gfn);
    p2m_unlock(d, p);
    return found;
}

struct page *p2m_get_page(struct domain *d, gfn_t gfn, bool write, enum p2m_type *type)
{
    struct p2m *p = d->arch.p2m;
    struct page *page = NULL;
    struct p2m_entry found;

    p2m_lock(p);
    found = lookup_locked(d, p, gfn);
    if (found.type != P2M_INVALID && found.type != P2M_MMIO &&
        (!write || p2m_is_writable(found.type))) {
        page = mfn_to_page(found.mfn);
        // The entry holds a reference and the lock holds the entry.
        __atomic_fetch_add(&page->used.count, 1, __ATOMIC_ACQUIRE);
    }
    p2m_unlock(d, p);
    if (type) {
        *type = found.type;
    }
    return page;
}

void p2m_put_page(struct page *page)
{
    page_put(page);
}

// Whether nothing is mapped below an entry: tables may be left over from what once was.
static bool entry_is_empty(uint64_t entry, unsigned int level)
{
    if (!(entry & ENTRY_PRESENT)) {
        return true;
    }
    if (entry_is_leaf(entry, level)) {
        return false;
    }
    for (unsigned int i = 0; i < ENTRIES; i++) {
        if (!entry_is_empty(entry_table(entry)[i], level - 1)) {
            return false;
        }
    }
    return true;
}

static bool range_is_empty(struct domain *d, struct p2m *p, gfn_t gfn, unsigned int level)
{
    const uint64_t *entry = find_entry(d, p, gfn, &level, false);

    return !entry || entry_is_empty(*entry, level);
}

static void take_references(mfn_t mfn, unsigned int order, enum p2m_type type)
{
    if (type != P2M_GRANT && type != P2M_GRANT_RO && type != P2M_SHARED) {
        return;
    }
    for (uint64_t i = 0; i < 1UL << order; i++) {
        __atomic_fetch_add(&mfn_to_page(mfn_add(mfn, i))->used.count, 1, __ATOMIC_ACQUIRE);
    }
}

static int set_locked(struct domain *d, struct p2m *p, gfn_t gfn, mfn_t mfn, unsigned int order,
                      enum p2m_type type, bool must_be_new)
{
    unsigned int level = order_to_level(order);
    bool write = p2m_is_writable(type) || type == P2M_MMIO;
    uint64_t *entry, old;

    CHECK(order == ORDER_4K || order == ORDER_2M || order == ORDER_1G);
    if (!gfn_in_range(gfn, order) || mfn.n & ((1UL << order) - 1)) {
        return -XEN_EINVAL;
    }
    if (p->releasing) {
        return -XEN_ESRCH;
    }
    if (must_be_new && !range_is_empty(d, p, gfn, level)) {
        return -XEN_EEXIST;
    }
    entry = find_entry(d, p, gfn, &level, true);
    if (!entry) {
        return -XEN_ENOMEM;
    }
    old = *entry;
    take_references(mfn, order, type);
    __atomic_store_n(entry, make_leaf(mfn, level, write), __ATOMIC_RELEASE);
    if (old & ENTRY_PRESENT) {
        note_flush(p, gfn, order);
        drop_entry(d, p, old, level);
    }
    p->max_gfn = MAX(p->max_gfn, gfn.n + (1UL << order) - 1);
    return 0;
}

static int set_with(struct domain *d, gfn_t gfn, mfn_t mfn, unsigned int order, enum p2m_type type,
                    bool must_be_new)
{
    struct p2m *p = d->arch.p2m;
    int error;

    p2m_lock(p);
    error = set_locked(d, p, gfn, mfn, order, type, must_be_new);
    p2m_unlock(d, p);
    return error;
}

int p2m_set(struct domain *d, gfn_t gfn, mfn_t mfn, unsigned int order, enum p2m_type type)
{
    return set_with(d, gfn, mfn, order, type, false);
}

int p2m_set_new(struct domain *d, gfn_t gfn, mfn_t mfn, unsigned int order, enum p2m_type type)
{
    return set_with(d, gfn, mfn, order, type, true);
}

static int clear_locked(struct domain *d, struct p2m *p, gfn_t gfn, unsigned int order)
{
    unsigned int want = order_to_level(order), level = want;
    uint64_t *entry, old;

    CHECK(order == ORDER_4K || order == ORDER_2M || order == ORDER_1G);
    if (!gfn_in_range(gfn, order)) {
        return -XEN_EINVAL;
    }
    entry = find_entry(d, p, gfn, &level, false);
    if (!entry || !(*entry & ENTRY_PRESENT)) {
        return 0;
    }
    if (level > want) {
        level = want;
        entry = find_entry(d, p, gfn, &level, true);
        if (!entry) {
            return -XEN_ENOMEM;
        }
    }
    old = *entry;
    __atomic_store_n(entry, 0, __ATOMIC_RELEASE);
    note_flush(p, gfn, order);
    drop_entry(d, p, old, level);
    return 0;
}

int p2m_clear(struct domain *d, gfn_t gfn, unsigned int order)
{
    struct p2m *p = d->arch.p2m;
    int error;

    p2m_lock(p);
    error = clear_locked(d, p, gfn, order);
    p2m_unlock(d, p);
    return error;
}

int p2m_clear_match(struct domain *d, gfn_t gfn, mfn_t mfn)
{
    struct p2m *p = d->arch.p2m;
    struct p2m_entry found;
    int error = -XEN_ENOENT;

    p2m_lock(p);
    found = lookup_locked(d, p, gfn);
    if (found.type != P2M_INVALID && found.mfn.n == mfn.n) {
        error = clear_locked(d, p, gfn, 0);
    }
    p2m_unlock(d, p);
    return error;
}

void p2m_batch_begin(struct domain *d)
{
    p2m_lock(d->arch.p2m);
}

void p2m_batch_end(struct domain *d)
{
    p2m_unlock(d, d->arch.p2m);
}

uint64_t p2m_max_gfn(struct domain *d)
{
    return d->arch.p2m->max_gfn;
}

uint64_t p2m_table_pages(struct domain *d)
{
    return d->arch.p2m->table_pages;
}

// Detaches the lowest present piece of at most 2 MiB, or a 1 GiB leaf, whose frames are then left
// to be dropped; returns whether anything was there.
static bool release_piece(struct domain *d, struct p2m *p, uint64_t *table, unsigned int level)
{
    for (unsigned int i = 0; i < ENTRIES; i++) {
        uint64_t entry = table[i];

        if (!(entry & ENTRY_PRESENT)) {
            continue;
        }
        if (level > 2 && !entry_is_leaf(entry, level) &&
            release_piece(d, p, entry_table(entry), level - 1)) {
            return true;
        }
        table[i] = 0;
        if (level == 3 && entry_is_leaf(entry, level)) {
            p->leaving_first = entry_mfn(entry).n;
            p->leaving_count = 1UL << ORDER_1G;
        } else {
            drop_entry(d, p, entry, level);
        }
        return true;
    }
    return false;
}

static bool release_step(struct domain *d, struct p2m *p)
{
    if (!p->leaving_count) {
        return release_piece(d, p, p->root, LEVELS);
    }
    drop_frames(MFN(p->leaving_first), ORDER_2M);
    p->leaving_first += 1UL << ORDER_2M;
    p->leaving_count -= 1UL << ORDER_2M;
    return true;
}

int p2m_release(struct domain *d)
{
    struct p2m *p = d->arch.p2m;
    bool more;

    do {
        p2m_lock(p);
        p->releasing = true;
        more = release_step(d, p);
        p2m_unlock(d, p);
        if (more && preempt_needed()) {
            return -XEN_ERESTART;
        }
    } while (more);
    return 0;
}

int p2m_create(struct domain *d)
{
    struct p2m *p = heap_new(struct p2m);

    if (!p) {
        return -XEN_ENOMEM;
    }
    p->root = heap_alloc_pages(0, 0);
    if (!p->root) {
        heap_free(p);
        return -XEN_ENOMEM;
    }
    p->table_pages = 1;
    p->flush_first = ~0UL;
    d->arch.p2m = p;
    return 0;
}

void p2m_free(struct domain *d)
{
    if (d->arch.p2m) {
        heap_free_pages(d->arch.p2m->root, 0);
        heap_free(d->arch.p2m);
        d->arch.p2m = NULL;
    }
}

maddr_t p2m_root(const struct domain *d)
{
    return heap_maddr(d->arch.p2m->root);
}
