// SPDX-License-Identifier: Apache-2.0
// Second-level tables: changing them. Entries are in p2m_entry.h, look-ups in p2m_lookup.c.
//
// Every entry for memory holds one reference on each of its frames. A change prepares (allocates
// and splits, may fail), then commits (one atomic store of an entry); what the old entry led to is
// put aside and released at the end of the batch, after TLBs and IOMMU have been flushed. A batch
// is the time for which p2m.lock is held; the lock is recursive for its CPU. Readers take no lock.
// They are safe because
// 1. a reader holds its CPU from the root to its last look at the leaf: interrupts are off and it
//    waits for no lock, so it serves no cross-CPU call. A call of all CPUs that has returned has
//    therefore outlived every reader that was in a table when the call was made;
// 2. a table that is taken out of the tree is emptied entry by entry, then freed after such a call;
// 3. a frame's reference is dropped after its entry was overwritten or emptied. A reader takes a
//    reference if there still is one, then looks whether the leaf is unchanged: if so the entry's
//    own reference was there at that moment and the frame is the right one (a free frame's count is
//    0, and it is mapped to no hypervisor address, so a wrong guess touches nothing);
// 4. a reader that finds nothing in a table looks at detached_tables: raised after a table has left
//    the tree and before it is emptied, it tells that the emptiness may not be the tree's.
// Table pages count their present entries (struct page.used.entries), so emptiness is cheap to see.

#include <bulkhead/console.h>
#include <bulkhead/cpu.h>
#include <bulkhead/domain.h>
#include <bulkhead/heap.h>
#include <bulkhead/iommu.h>
#include <bulkhead/string.h>

#include "p2m_entry.h"

// A 1 GiB change of entries may not have to release more than this at once.
#define MAX_RELEASE 1024u
// Tables of a domain that goes away are freed this many at a time.
#define DETACHED_AT_ONCE 64u
#define CACHE_LINE 64u

static struct p2m_rules rules = {.amd_fields = true};

void p2m_set_rules(const struct p2m_rules *wanted)
{
    rules = *wanted;
}

static unsigned int order_to_level(unsigned int order)
{
    return order / 9 + 1;
}

static struct page *table_page(const uint64_t *entry)
{
    return mfn_to_page(heap_mfn(entry));
}

static uint64_t make_table_entry(const uint64_t *table, unsigned int level)
{
    uint64_t entry = (heap_mfn(table).n << PAGE_SHIFT) | ENTRY_PRESENT | ENTRY_WRITE | ENTRY_USER |
                     ENTRY_ACCESSED;

    if (rules.amd_fields) {
        entry |= ENTRY_NEXT_LEVEL(level - 1) | ENTRY_IOMMU_READ | ENTRY_IOMMU_WRITE;
    }
    return entry;
}

static uint64_t make_leaf(mfn_t mfn, unsigned int level, bool write)
{
    uint64_t entry =
        (mfn.n << PAGE_SHIFT) | ENTRY_PRESENT | ENTRY_USER | ENTRY_ACCESSED | ENTRY_DIRTY;

    if (write) {
        entry |= ENTRY_WRITE;
    }
    if (rules.amd_fields) {
        entry |= ENTRY_IOMMU_READ | (write ? ENTRY_IOMMU_WRITE : 0);
    }
    return level > 1 ? entry | ENTRY_LARGE : entry;
}

// An entry that maps nothing: processors and IOMMUs look at nothing but its being absent. QEMU's
// AMD IOMMU, though, reports a refusal only where the entry names a next level.
static uint64_t absent_entry(void)
{
    return rules.amd_fields ? ENTRY_NEXT_LEVEL(1) : 0;
}

// Brings what was written to a table into memory, for an IOMMU that looks only there.
static void write_back(const uint64_t *table, size_t size)
{
    for (size_t i = 0; rules.flush_lines && i < size; i += CACHE_LINE) {
        __asm__ volatile("clflush %0" : : "m"(*((const char *)table + i)) : "memory");
    }
}

static void store(uint64_t *entry, uint64_t value)
{
    __atomic_store_n(entry, value, __ATOMIC_RELEASE);
    write_back(entry, sizeof(*entry));
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

static void do_nothing(void *data)
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
        arch_call_cpus(&running, do_nothing, NULL);
    }
    if (d->arch.iommu) {
        iommu_flush(d, GFN(p->flush_first), p->flush_last - p->flush_first + 1);
    }
    p->flush_first = ~0UL;
    p->flush_last = 0;
}

static bool is_memory(mfn_t mfn)
{
    enum page_state state = mfn_in_table(mfn) ? page_get_state(mfn_to_page(mfn)) : PAGE_STATE_NONE;

    return state == PAGE_STATE_DOMAIN || state == PAGE_STATE_HEAP;
}

static void free_detached_tables(struct p2m *p)
{
    uint64_t frame = p->detached_first;

    if (!frame) {
        return;
    }
    p->detached_first = 0;
    p->detached_waiting = 0;
    arch_call_cpus(&online_cpus, do_nothing, NULL); // no reader is left in any of them
    while (frame) {
        uint64_t *table = heap_from_mfn(MFN(frame));

        frame = entry_mfn(table[0]).n;
        heap_free_pages(table, 0);
    }
}

// Flushes and then releases what was put aside. The lock is held: releasing a frame takes only
// inner locks (page accounting, allocator, heap).
static void settle(struct domain *d, struct p2m *p)
{
    unsigned int count = p->deferred_count;

    flush_gathered(d, p);
    if (!p->releasing || p->detached_waiting >= DETACHED_AT_ONCE) {
        free_detached_tables(p);
    }
    p->deferred_count = 0;
    for (unsigned int i = 0; i < count; i++) {
        page_put_range(mfn_to_page(MFN(p->deferred[i].frame)), p->deferred[i].count);
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

// Puts frames aside whose entry is gone. What is not memory holds no reference.
static void defer(struct domain *d, struct p2m *p, mfn_t mfn, uint64_t count)
{
    unsigned int n = p->deferred_count;

    if (!is_memory(mfn)) {
        return;
    }
    if (n && p->deferred[n - 1].frame + p->deferred[n - 1].count == mfn.n) {
        p->deferred[n - 1].count += count;
        return;
    }
    if (n == P2M_DEFERRED) {
        settle(d, p);
        n = 0;
    }
    p->deferred[n].frame = mfn.n;
    p->deferred[n].count = count;
    p->deferred_count = n + 1;
}

static void note_flush(struct p2m *p, gfn_t gfn, unsigned int order)
{
    p->flush_first = MIN(p->flush_first, gfn.n);
    p->flush_last = MAX(p->flush_last, gfn.n + (1UL << order) - 1);
}

static uint64_t *table_alloc(const struct domain *d, struct p2m *p)
{
    uint64_t *table;

    if (d->arch.pages_for_tables && p->table_pages >= d->arch.pages_for_tables) {
        return NULL;
    }
    table = heap_alloc_pages(0, 0);
    if (table) {
        for (unsigned int i = 0; i < ENTRIES; i++) {
            table[i] = absent_entry();
        }
        write_back(table, PAGE_SIZE);
        table_page(table)->used.entries = 0;
        __atomic_store_n(&p->table_pages, p->table_pages + 1, __ATOMIC_RELAXED);
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
    table_page(table)->used.entries = ENTRIES;
    write_back(table, PAGE_SIZE);
    // Both translate alike, but a processor must not hold both sizes for one address.
    store(entry, make_table_entry(table, level));
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
            table_page(entry)->used.entries++;
            store(entry, make_table_entry(table, at));
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

// The table has left the tree; the caller empties it and then calls retire_table.
static void begin_detaching(struct p2m *p)
{
    __atomic_store_n(&p->detached_tables, p->detached_tables + 1, __ATOMIC_RELEASE);
}

static void empty_entry(uint64_t *entry)
{
    store(entry, absent_entry());
    table_page(entry)->used.entries--;
}

// Waits, empty, to be freed. The tables that wait are linked by frame numbers where entries have
// them, without what makes an entry present.
static void retire_table(struct p2m *p, uint64_t *table)
{
    CHECK(table_page(table)->used.entries == 0);
    store(&table[0], p->detached_first << PAGE_SHIFT);
    p->detached_first = heap_mfn(table).n;
    p->detached_waiting++;
    __atomic_store_n(&p->table_pages, p->table_pages - 1, __ATOMIC_RELAXED);
}

// Puts aside all that an entry led to which is no longer in the tree.
static void drop_entry(struct domain *d, struct p2m *p, uint64_t entry, unsigned int level)
{
    uint64_t *table;

    if (!(entry & ENTRY_PRESENT)) {
        return;
    }
    if (entry_is_leaf(entry, level)) {
        defer(d, p, entry_mfn(entry), 1UL << level_shift(level));
        return;
    }
    begin_detaching(p);
    table = entry_table(entry);
    for (unsigned int i = 0; table_page(table)->used.entries; i++) {
        uint64_t below = table[i];

        if (below & ENTRY_PRESENT) {
            empty_entry(&table[i]);
            drop_entry(d, p, below, level - 1);
        }
    }
    retire_table(p, table);
}

// What drop_entry would have to release, in frames and entries; stops counting beyond MAX_RELEASE.
static uint64_t weight(uint64_t entry, unsigned int level)
{
    uint64_t sum = 0;

    if (!(entry & ENTRY_PRESENT)) {
        return 0;
    }
    if (entry_is_leaf(entry, level)) {
        return is_memory(entry_mfn(entry)) ? 1UL << level_shift(level) : 0;
    }
    if (level == LEVEL_2M) {
        return table_page(entry_table(entry))->used.entries;
    }
    for (unsigned int i = 0; i < ENTRIES && sum <= MAX_RELEASE; i++) {
        sum += weight(entry_table(entry)[i], level - 1);
    }
    return sum;
}

// Whether nothing is mapped below an entry: tables may be left over from what once was. At most
// 1 GiB.
static bool entry_is_empty(uint64_t entry, unsigned int level)
{
    const uint64_t *table;

    if (!(entry & ENTRY_PRESENT)) {
        return true;
    }
    if (entry_is_leaf(entry, level)) {
        return false;
    }
    table = entry_table(entry);
    if (level == LEVEL_2M || !table_page(table)->used.entries) {
        return !table_page(table)->used.entries;
    }
    for (unsigned int i = 0; i < ENTRIES; i++) {
        if (!entry_is_empty(table[i], level - 1)) {
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
        __atomic_fetch_add(&mfn_to_page(mfn_add(mfn, i))->count, 1, __ATOMIC_ACQUIRE);
    }
}

// Whether a full table maps, all writable, consecutive frames of the domain's own that make one
// larger leaf. (Only its own: what is mapped of others must go again without memory for a split.)
static bool can_join(const struct domain *d, const uint64_t *table, unsigned int level)
{
    mfn_t first = entry_mfn(table[0]);

    if (first.n & ((1UL << level_shift(level + 1)) - 1)) {
        return false;
    }
    for (unsigned int i = 0; i < ENTRIES; i++) {
        mfn_t mfn = mfn_add(first, (uint64_t)i << level_shift(level));

        if (table[i] != make_leaf(mfn, level, true) || p2m_leaf_type(d, table[i], mfn) != P2M_RAM) {
            return false;
        }
    }
    return true;
}

// After an entry at a level was set where none was: a table that became full may have become what
// one entry above can say.
static void join(struct domain *d, struct p2m *p, gfn_t gfn, unsigned int level)
{
    for (; level < LEVEL_1G; level++) {
        unsigned int above = level + 1;
        uint64_t *parent = find_entry(d, p, gfn, &above, false);
        uint64_t *table = entry_table(*parent);
        unsigned int shift = level_shift(level), index = level_index(gfn, level);

        // The first and the new entry tell most of the time.
        if (table_page(table)->used.entries != ENTRIES ||
            entry_mfn(table[0]).n + ((uint64_t)index << shift) != entry_mfn(table[index]).n ||
            !can_join(d, table, level)) {
            return;
        }
        store(parent, make_leaf(entry_mfn(table[0]), above, true));
        note_flush(p, GFN(gfn.n & ~((1UL << level_shift(above)) - 1)), level_shift(above));
        // A processor that finds nothing in the emptied table looks again; a device could not.
        if (d->arch.iommu) {
            flush_gathered(d, p);
        }
        begin_detaching(p);
        for (unsigned int i = 0; i < ENTRIES; i++) {
            empty_entry(&table[i]);
        }
        retire_table(p, table);
    }
}

static void fill_entry(uint64_t *entry, uint64_t value)
{
    table_page(entry)->used.entries += !(*entry & ENTRY_PRESENT);
    store(entry, value);
}

// The entry that will map 2^order frames from gfn, with the tables that lead to it; NULL and *error
// when that cannot be.
static uint64_t *prepare_entry(struct domain *d, struct p2m *p, gfn_t gfn, unsigned int order,
                               bool must_be_new, int *error)
{
    unsigned int level = order_to_level(order);
    uint64_t *entry = NULL;

    CHECK(order == ORDER_4K || order == ORDER_2M || order == ORDER_1G);
    if (!p2m_gfn_in_range(gfn, order)) {
        *error = -XEN_EINVAL;
    } else if (p->releasing) {
        *error = -XEN_ESRCH;
    } else if (must_be_new && !range_is_empty(d, p, gfn, level)) {
        *error = -XEN_EEXIST;
    } else {
        entry = find_entry(d, p, gfn, &level, true);
        *error = entry ? 0 : -XEN_ENOMEM;
    }
    return entry;
}

int p2m_prepare(struct domain *d, gfn_t gfn, unsigned int order)
{
    struct p2m *p = d->arch.p2m;
    int error;

    p2m_lock(p);
    prepare_entry(d, p, gfn, order, true, &error);
    p2m_unlock(d, p);
    return error;
}

static int set_locked(struct domain *d, struct p2m *p, gfn_t gfn, mfn_t mfn, unsigned int order,
                      enum p2m_type type, bool must_be_new)
{
    unsigned int level = order_to_level(order);
    bool write = p2m_is_writable(type) || type == P2M_MMIO;
    uint64_t *entry, old;
    int error;

    if (mfn.n & ((1UL << order) - 1)) {
        return -XEN_EINVAL;
    }
    entry = prepare_entry(d, p, gfn, order, must_be_new, &error);
    if (!entry) {
        return error;
    }
    old = *entry;
    if (level == LEVEL_1G && weight(old, level) > MAX_RELEASE) {
        return -XEN_E2BIG;
    }
    take_references(mfn, order, type);
    fill_entry(entry, make_leaf(mfn, level, write));
    __atomic_store_n(&p->max_gfn, MAX(p->max_gfn, gfn.n + (1UL << order) - 1), __ATOMIC_RELAXED);
    if (old & ENTRY_PRESENT || rules.flush_new) {
        note_flush(p, gfn, order);
    }
    if (old & ENTRY_PRESENT) {
        drop_entry(d, p, old, level);
    } else if (type == P2M_RAM) {
        join(d, p, gfn, level);
    }
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
    if (!p2m_gfn_in_range(gfn, order)) {
        return -XEN_EINVAL;
    }
    entry = find_entry(d, p, gfn, &level, false);
    if (!entry || !(*entry & ENTRY_PRESENT)) {
        return 0;
    }
    if (want == LEVEL_1G && weight(*entry, level) > MAX_RELEASE) {
        return -XEN_E2BIG;
    }
    if (level > want) {
        level = want;
        entry = find_entry(d, p, gfn, &level, true);
        if (!entry) {
            return -XEN_ENOMEM;
        }
    }
    old = *entry;
    empty_entry(entry);
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
    found = p2m_lookup(d, gfn);
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
    return __atomic_load_n(&d->arch.p2m->max_gfn, __ATOMIC_RELAXED);
}

uint64_t p2m_table_pages(struct domain *d)
{
    return __atomic_load_n(&d->arch.p2m->table_pages, __ATOMIC_RELAXED);
}

// Detaches the lowest present piece of at most 2 MiB, or a 1 GiB leaf, whose frames are then left
// to be dropped; returns whether anything was there.
static bool release_piece(struct domain *d, struct p2m *p, uint64_t *table, unsigned int level)
{
    for (unsigned int i = 0; table_page(table)->used.entries; i++) {
        uint64_t entry = table[i];

        if (!(entry & ENTRY_PRESENT)) {
            continue;
        }
        if (level > LEVEL_2M && !entry_is_leaf(entry, level) &&
            release_piece(d, p, entry_table(entry), level - 1)) {
            return true;
        }
        empty_entry(&table[i]);
        if (level == LEVEL_1G && entry_is_leaf(entry, level) && is_memory(entry_mfn(entry))) {
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
    page_put_range(mfn_to_page(MFN(p->leaving_first)), 1UL << ORDER_2M);
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
        if (!more) {
            free_detached_tables(p);
        }
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
    p->root = table_alloc(d, p);
    if (!p->root) {
        heap_free(p);
        return -XEN_ENOMEM;
    }
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

int p2m_root_of_levels(struct domain *d, unsigned int levels, maddr_t *root)
{
    struct p2m *p = d->arch.p2m;
    unsigned int level = levels;
    uint64_t *entry;

    CHECK(levels == LEVELS || levels == LEVELS - 1);
    p2m_lock(p);
    // The entry for address 0 lies at the start of its table.
    entry = levels == LEVELS ? p->root : find_entry(d, p, GFN(0), &level, true);
    if (entry) {
        *root = heap_maddr(entry);
    }
    p2m_unlock(d, p);
    return entry ? 0 : -XEN_ENOMEM;
}
