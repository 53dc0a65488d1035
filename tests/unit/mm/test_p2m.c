// SPDX-License-Identifier: Apache-2.0
// Second-level tables against a model: an array with one element for each guest frame. Every
// frame's reference count is compared, every table entry is looked at with the eyes of the
// processor and of the IOMMU, and allocations fail now and then.

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <bulkhead/heap.h>
#include <x86/p2m.h>

#include "guest.h"
#include "world.h"

#include <cmocka.h>

#define FRAMES (7 * WORLD_GIB)
#define HOLE 2048UL
// The guest frames that are used: two GiB at the beginning and one in the last top-level entry.
#define NEAR (2 * WORLD_GIB)
#define SPAN (3 * WORLD_GIB)
#define FAR (511UL << 27)
#define MMIO_BASE (FRAMES + WORLD_GIB)
#define FOREIGN_FRAMES 512u
#define RELEASE_AT_ONCE 1024u
#define PUTS_AT_ONCE 1100u // two large pages and some tables

#define BIT(n) (1UL << (n))
#define BITS_IGNORED (BIT(5) | BIT(6)) // accessed, dirty

struct cell {
    uint64_t mfn;
    enum p2m_type type;
};

static struct cell *model;
static uint32_t *entry_references; // of each frame, by entries of the model
static uint64_t mapped_cells;
static struct domain *d, *other;
static struct page *foreign; // FOREIGN_FRAMES, aligned
static void *shared;         // a heap page, shown to d
static uint32_t foreign_held = 1;
static bool intel; // the tables are shared with Intel's IOMMU: test_p2m intel

static gfn_t to_gfn(uint64_t cell)
{
    return GFN(cell < NEAR ? cell : FAR + cell - NEAR);
}

static bool is_memory(enum p2m_type type)
{
    return type != P2M_INVALID && type != P2M_MMIO;
}

// What a lookup tells of an entry that was made with a type.
static enum p2m_type seen_as(enum p2m_type type)
{
    return type == P2M_GRANT ? P2M_FOREIGN : type == P2M_GRANT_RO ? P2M_FOREIGN_RO : type;
}

static void model_clear(uint64_t cell, uint64_t count)
{
    for (uint64_t i = cell; i < cell + count; i++) {
        if (is_memory(model[i].type)) {
            entry_references[model[i].mfn]--;
        }
        mapped_cells -= model[i].type != P2M_INVALID;
        model[i].type = P2M_INVALID;
    }
}

static void model_set(uint64_t cell, uint64_t mfn, uint64_t count, enum p2m_type type)
{
    model_clear(cell, count);
    for (uint64_t i = 0; i < count; i++) {
        model[cell + i] = (struct cell){mfn + i, type};
        if (is_memory(type)) {
            entry_references[mfn + i]++;
        }
    }
    mapped_cells += count;
}

static bool model_is_empty(uint64_t cell, uint64_t count)
{
    for (uint64_t i = cell; i < cell + count; i++) {
        if (model[i].type != P2M_INVALID) {
            return false;
        }
    }
    return true;
}

// Looking at everything.

struct walk {
    uint64_t leaves, tables;
};

static void check_leaf(uint64_t entry, unsigned int level, uint64_t gfn)
{
    uint64_t size = 1UL << 9 * (level - 1), mfn = (entry & 0x000ffffffffff000UL) >> 12;
    uint64_t cell = gfn < NEAR ? gfn : gfn - FAR + NEAR;
    bool write = p2m_is_writable(model[cell].type) || model[cell].type == P2M_MMIO;
    uint64_t amd = intel ? 0 : BIT(61) | (write ? BIT(62) : 0);
    uint64_t expected =
        BIT(0) | BIT(2) | (write ? BIT(1) : 0) | amd | (level > 1 ? BIT(7) : 0) | mfn << 12;

    // Next level, bits 9 to 11, is zero: a leaf for AMD's IOMMU. Bits 11 and 62 are reserved for
    // Intel's, which reads by bit 0 and writes by bit 1.
    assert_int_equal(entry & ~BITS_IGNORED, expected);
    assert_int_equal(mfn % size, 0);
    for (uint64_t i = 0; i < size; i++) {
        assert_true(model[cell + i].type != P2M_INVALID);
        assert_int_equal(model[cell + i].mfn, mfn + i);
        assert_int_equal(p2m_is_writable(model[cell + i].type) || model[cell + i].type == P2M_MMIO,
                         write);
    }
}

static void walk_table(const uint64_t *table, unsigned int level, uint64_t gfn, struct walk *w)
{
    uint16_t present = 0;

    w->tables++;
    for (uint64_t i = 0; i < 512; i++) {
        uint64_t entry = table[i], here = gfn + (i << 9 * (level - 1));

        present += entry & BIT(0);
        if (!(entry & BIT(0))) {
            // QEMU's AMD IOMMU reports no refusal by an entry that is zero.
            assert_int_equal(entry, intel ? 0 : BIT(9));
        } else if (level == 1 || (entry & BIT(7))) {
            assert_true(level < 4);
            check_leaf(entry, level, here);
            w->leaves += 1UL << 9 * (level - 1);
        } else {
            mfn_t mfn = MFN((entry & 0x000ffffffffff000UL) >> 12);

            uint64_t amd = BIT(61) | BIT(62) | (uint64_t)(level - 1) << 9;

            // Readable and writable for both, with the next level for AMD's IOMMU.
            assert_int_equal(entry & ~BITS_IGNORED,
                             BIT(0) | BIT(1) | BIT(2) | (intel ? 0 : amd) | mfn.n << 12);
            assert_int_equal(mfn_to_page(mfn)->state, PAGE_STATE_HEAP);
            walk_table(heap_from_mfn(mfn), level - 1, here, w);
        }
    }
    assert_int_equal(mfn_to_page(heap_mfn(table))->used.entries, present);
}

static void check_references(void)
{
    uint64_t own = 0;

    for (uint64_t frame = HOLE; frame < FRAMES; frame++) {
        const struct page *page = &frame_table[frame];
        uint64_t expected = entry_references[frame];

        if (page->state != PAGE_STATE_DOMAIN) {
            continue;
        }
        if (page->used.owner == other->page_owner) {
            expected += foreign_held;
        } else {
            own++;
        }
        assert_int_equal(page->count, expected);
        assert_true(expected > 0);
    }
    assert_int_equal(own, d->total_pages);
    assert_int_equal(mfn_to_page(heap_mfn(shared))->count,
                     entry_references[heap_mfn(shared).n] + 1);
}

static void check_all(void)
{
    struct walk w = {0, 0};

    walk_table(heap_from_mfn(maddr_to_mfn(p2m_root(d))), 4, 0, &w);
    assert_int_equal(w.leaves, mapped_cells);
    assert_int_equal(w.tables, p2m_table_pages(d));
    check_references();
    for (unsigned int i = 0; i < 2000; i++) {
        uint64_t cell = world_random(SPAN);
        struct p2m_entry found = p2m_lookup(d, to_gfn(cell));

        assert_int_equal(found.type, seen_as(model[cell].type));
        if (found.type != P2M_INVALID) {
            assert_int_equal(found.mfn.n, model[cell].mfn);
        }
    }
}

// Random operations.

static uint64_t random_cell(unsigned int order)
{
    // Most of the time in a small part, so that things meet.
    uint64_t cell =
        world_random(4) ? world_random(3) * WORLD_GIB + world_random(2048) : world_random(SPAN);

    return cell & ~((1UL << order) - 1);
}

static unsigned int random_order(void)
{
    uint64_t n = world_random(300);

    return n == 0 ? ORDER_1G : n < 40 ? ORDER_2M : ORDER_4K;
}

static enum p2m_type random_type(unsigned int order)
{
    static const enum p2m_type types[] = {P2M_RAM,   P2M_RAM_RO,   P2M_FOREIGN, P2M_FOREIGN_RO,
                                          P2M_GRANT, P2M_GRANT_RO, P2M_SHARED,  P2M_MMIO};

    for (;;) {
        enum p2m_type type = types[world_random(ARRAY_SIZE(types))];

        if ((type != P2M_SHARED || order == 0) &&
            (order < ORDER_1G || type == P2M_RAM || type == P2M_RAM_RO || type == P2M_MMIO)) {
            return type;
        }
    }
}

// A frame to map, with the references that the type wants of the caller; NULL page for MMIO.
static bool choose_frames(enum p2m_type type, unsigned int order, uint64_t *mfn)
{
    uint64_t index = world_random(FOREIGN_FRAMES) & ~((1UL << order) - 1);
    struct page *page;

    switch (type) {
    case P2M_RAM:
    case P2M_RAM_RO:
        page = domain_page_alloc(d, order, ALLOC_NO_SCRUB);
        if (!page) {
            return false;
        }
        *mfn = page_to_mfn(page).n;
        return true;
    case P2M_FOREIGN:
    case P2M_FOREIGN_RO:
        for (uint64_t i = 0; i < 1UL << order; i++) {
            assert_true(page_get(foreign + index + i, other));
        }
        *mfn = page_to_mfn(foreign).n + index;
        return true;
    case P2M_GRANT:
    case P2M_GRANT_RO:
        *mfn = page_to_mfn(foreign).n + index;
        return true;
    case P2M_SHARED:
        *mfn = heap_mfn(shared).n;
        return true;
    default:
        // Device memory beyond the frame table, or below what the allocator got.
        *mfn = (world_random(2) || order > ORDER_2M ? MMIO_BASE : 512) + (world_random(2) << order);
        return true;
    }
}

static void give_frames_back(enum p2m_type type, unsigned int order, uint64_t mfn)
{
    if (type == P2M_RAM || type == P2M_RAM_RO || type == P2M_FOREIGN || type == P2M_FOREIGN_RO) {
        for (uint64_t i = 0; i < 1UL << order; i++) {
            page_put(&frame_table[mfn + i]);
        }
    }
}

static void check_flushed(uint64_t cell, uint64_t count, bool was_empty)
{
    if (!was_empty) {
        assert_true(guest_iommu_was_flushed(to_gfn(cell)));
        assert_true(guest_iommu_was_flushed(to_gfn(cell + count - 1)));
    }
    guest_iommu_flushed();
}

// A large range can be changed at once only if there is not much in it. Counts what has to be
// released as the tables have it: frames, and entries that hold none.
static bool is_too_much(unsigned int order, uint64_t cell)
{
    uint64_t sum = 0;

    for (uint64_t i = 0; order == ORDER_1G && i < WORLD_GIB; i++) {
        sum += is_memory(model[cell + i].type) ||
               (model[cell + i].type == P2M_MMIO && p2m_lookup(d, to_gfn(cell + i)).order == 0);
    }
    return sum > RELEASE_AT_ONCE;
}

static void do_set(void)
{
    unsigned int order = random_order();
    enum p2m_type type = random_type(order);
    uint64_t cell = random_cell(order), count = 1UL << order, mfn;
    bool new = world_random(3) == 0, was_empty = model_is_empty(cell, count);
    bool too_much = is_too_much(order, cell);
    int error;

    if (!choose_frames(type, order, &mfn)) {
        return;
    }
    guest_iommu_flushed();
    if (world_random(8) == 0) {
        world_fail_allocation(1 + world_random(3));
    }
    error = new ? p2m_set_new(d, to_gfn(cell), MFN(mfn), order, type)
                : p2m_set(d, to_gfn(cell), MFN(mfn), order, type);
    if (new && !was_empty) {
        assert_int_equal(error, -XEN_EEXIST);
    } else if (too_much) {
        assert_true(error == -XEN_E2BIG || world_allocation_failed());
    } else if (error) {
        assert_int_equal(error, -XEN_ENOMEM);
        assert_true(world_allocation_failed());
    }
    world_fail_allocation(0);
    if (error) {
        give_frames_back(type, order, mfn);
        return;
    }
    model_set(cell, mfn, count, type);
    check_flushed(cell, count, was_empty && !intel); // who remembers that nothing was there is told
}

static void do_clear(void)
{
    unsigned int order = random_order();
    uint64_t cell = random_cell(order), count = 1UL << order;
    bool was_empty = model_is_empty(cell, count), too_much = is_too_much(order, cell);
    int error;

    guest_iommu_flushed();
    if (world_random(8) == 0) {
        world_fail_allocation(1 + world_random(2));
    }
    error = p2m_clear(d, to_gfn(cell), order);
    if (too_much) {
        assert_int_equal(error, -XEN_E2BIG);
    } else if (error) {
        assert_int_equal(error, -XEN_ENOMEM);
        assert_true(world_allocation_failed());
    }
    world_fail_allocation(0);
    if (!error) {
        model_clear(cell, count);
        check_flushed(cell, count, was_empty);
    }
}

static void do_clear_match(void)
{
    uint64_t cell = random_cell(0);
    bool mapped = model[cell].type != P2M_INVALID, right = world_random(2);
    uint64_t mfn = model[cell].mfn + !right;
    int error = p2m_clear_match(d, to_gfn(cell), MFN(mfn));

    assert_int_equal(error, mapped && right ? 0 : -XEN_ENOENT);
    if (!error) {
        model_clear(cell, 1);
    }
}

static void do_get(void)
{
    uint64_t cell = random_cell(0);
    bool write = world_random(2);
    enum p2m_type type, is = seen_as(model[cell].type);
    struct page *page = p2m_get_page(d, to_gfn(cell), write, &type);

    assert_int_equal(type, is);
    if (is_memory(is) && (!write || p2m_is_writable(is))) {
        assert_ptr_equal(page, &frame_table[model[cell].mfn]);
        p2m_put_page(page);
    } else {
        assert_null(page);
    }
}

// A page moves from one place to another: its reference goes along.
static void do_move(void)
{
    uint64_t from = random_cell(0), to = random_cell(0);
    enum p2m_type type;
    struct page *page = p2m_get_page(d, to_gfn(from), true, &type);
    int error;

    if (!page || type != P2M_RAM || from == to) {
        if (page) {
            p2m_put_page(page);
        }
        return;
    }
    error = p2m_set(d, to_gfn(to), page_to_mfn(page), 0, P2M_RAM);
    assert_int_equal(error, 0);
    model_set(to, page_to_mfn(page).n, 1, P2M_RAM);
    assert_int_equal(p2m_clear_match(d, to_gfn(from), page_to_mfn(page)), 0);
    model_clear(from, 1);
}

static void do_one(void)
{
    uint64_t what = world_random(100);

    if (what < 40) {
        do_set();
    } else if (what < 65) {
        do_clear();
    } else if (what < 75) {
        do_clear_match();
    } else if (what < 90) {
        do_get();
    } else {
        do_move();
    }
}

static void in_batches(void)
{
    // Frames stay until the batch ends, and their translations are flushed once.
    p2m_batch_begin(d);
    p2m_batch_begin(d);
    for (unsigned int i = 0; i < 40; i++) {
        uint64_t cell = random_cell(0);

        assert_int_equal(p2m_clear(d, to_gfn(cell), 0), 0);
        model_clear(cell, 1);
    }
    p2m_batch_end(d);
    p2m_batch_end(d);
}

static void tables_agree_with_the_model(void **state)
{
    (void)state;
    for (unsigned int i = 0; i < 40000; i++) {
        do_one();
        if (i % 100 == 0) {
            in_batches();
        }
        if (i % 4000 == 0) {
            check_all();
        }
    }
    check_all();
}

static void impossible_places_are_refused(void **state)
{
    const uint64_t beyond = 1UL << 36;

    (void)state;
    assert_int_equal(p2m_set(d, GFN(beyond), MFN(MMIO_BASE), 0, P2M_MMIO), -XEN_EINVAL);
    assert_int_equal(p2m_set(d, GFN(~0UL), MFN(MMIO_BASE), 0, P2M_MMIO), -XEN_EINVAL);
    assert_int_equal(p2m_set(d, GFN(1), MFN(MMIO_BASE), 9, P2M_MMIO), -XEN_EINVAL);
    assert_int_equal(p2m_set(d, GFN(512), MFN(MMIO_BASE + 1), 9, P2M_MMIO), -XEN_EINVAL);
    assert_int_equal(p2m_clear(d, GFN(beyond), 0), -XEN_EINVAL);
    assert_int_equal(p2m_clear(d, GFN(beyond - 512), 9), 0);
    assert_int_equal(p2m_clear_match(d, GFN(beyond), MFN(0)), -XEN_ENOENT);
    assert_int_equal(p2m_lookup(d, GFN(beyond)).type, P2M_INVALID);
    assert_int_equal(p2m_lookup(d, GFN(~0UL)).type, P2M_INVALID);
    assert_null(p2m_get_page(d, GFN(~0UL), false, NULL));
    check_all();
}

static void clear_gib(uint64_t cell)
{
    for (uint64_t i = 0; i < WORLD_GIB; i += 1UL << ORDER_2M) {
        assert_int_equal(p2m_clear(d, to_gfn(cell + i), ORDER_2M), 0);
    }
    model_clear(cell, WORLD_GIB);
}

static const struct page *watched;
static uint64_t references_at_flush;

static void look_at_flush(void)
{
    references_at_flush = watched->count;
}

// A device may still be on its way to a frame until the IOMMU has forgotten it.
static void frames_are_released_after_the_flush(void **state)
{
    uint64_t mfn, references;

    (void)state;
    assert_int_equal(p2m_clear(d, to_gfn(0), ORDER_4K), 0);
    model_clear(0, 1);
    assert_true(choose_frames(P2M_RAM, ORDER_4K, &mfn));
    assert_int_equal(p2m_set(d, to_gfn(0), MFN(mfn), ORDER_4K, P2M_RAM), 0);
    watched = mfn_to_page(MFN(mfn));
    references = watched->count;
    references_at_flush = 0;
    guest_at_flush = look_at_flush;
    assert_int_equal(p2m_clear(d, to_gfn(0), ORDER_4K), 0);
    guest_at_flush = NULL;
    assert_int_equal(references_at_flush, references);
    assert_true(watched->state == PAGE_STATE_FREE || watched->count == references - 1);
    check_all();
}

static void empty_tables_are_not_in_the_way(void **state)
{
    uint64_t cell = WORLD_GIB, tables;

    (void)state;
    clear_gib(cell);
    for (uint64_t i = 0; i < 2000; i++) {
        assert_int_equal(p2m_set(d, to_gfn(cell + i), MFN(MMIO_BASE), 0, P2M_MMIO), 0);
    }
    tables = p2m_table_pages(d);
    assert_int_equal(p2m_set_new(d, to_gfn(cell), MFN(MMIO_BASE), 9, P2M_MMIO), -XEN_EEXIST);
    for (uint64_t i = 0; i < 2000; i++) {
        assert_int_equal(p2m_clear(d, to_gfn(cell + i), 0), 0);
    }
    assert_int_equal(p2m_set_new(d, to_gfn(cell), MFN(MMIO_BASE), 9, P2M_MMIO), 0);
    assert_int_equal(p2m_table_pages(d), tables - 1);
    assert_int_equal(p2m_clear(d, to_gfn(cell), 9), 0);
    assert_int_equal(p2m_set_new(d, to_gfn(cell), MFN(MMIO_BASE), 18, P2M_MMIO), 0);
    assert_int_equal(p2m_table_pages(d), tables - 5);
    model_set(cell, MMIO_BASE, WORLD_GIB, P2M_MMIO);
    check_all();
}

// Maps consecutive frames of d's own from cell on, in some order, and leaves one out.
static void map_all_but(uint64_t cell, uint64_t mfn, uint64_t left_out)
{
    for (uint64_t i = 0; i < 512; i++) {
        uint64_t at = i * 77 % 512;

        if (at != left_out) {
            assert_int_equal(p2m_set(d, to_gfn(cell + at), MFN(mfn + at), 0, P2M_RAM), 0);
        }
    }
    model_set(cell, mfn, 512, P2M_RAM);
    model_clear(cell + left_out, 1);
}

static void consecutive_frames_become_a_large_page(void **state)
{
    uint64_t cell = WORLD_GIB, tables, mfn;

    (void)state;
    assert_int_equal(p2m_clear(d, to_gfn(cell), ORDER_1G), 0);
    model_clear(cell, WORLD_GIB);
    assert_true(choose_frames(P2M_RAM, ORDER_2M, &mfn));
    map_all_but(cell, mfn, 5);
    tables = p2m_table_pages(d);
    assert_int_equal(p2m_lookup(d, to_gfn(cell)).order, 0);
    assert_int_equal(p2m_set_new(d, to_gfn(cell + 5), MFN(mfn + 5), 0, P2M_RAM), 0);
    model_set(cell + 5, mfn + 5, 1, P2M_RAM);
    assert_int_equal(p2m_lookup(d, to_gfn(cell)).order, ORDER_2M);
    assert_int_equal(p2m_table_pages(d), tables - 1);
    check_all();
    // Not what the guest may only read, and not what is somebody else's.
    assert_true(choose_frames(P2M_RAM, ORDER_2M, &mfn));
    map_all_but(cell + 512, mfn, 9);
    assert_int_equal(p2m_set(d, to_gfn(cell + 512 + 9), MFN(mfn + 9), 0, P2M_RAM_RO), 0);
    model_set(cell + 512 + 9, mfn + 9, 1, P2M_RAM_RO);
    assert_int_equal(p2m_lookup(d, to_gfn(cell + 512)).order, 0);
    for (uint64_t i = 0; i < 512; i++) {
        uint64_t index = page_to_mfn(foreign).n + i;

        assert_true(page_get(foreign + i, other));
        assert_int_equal(p2m_set(d, to_gfn(cell + 1024 + i), MFN(index), 0, P2M_FOREIGN), 0);
        model_set(cell + 1024 + i, index, 1, P2M_FOREIGN);
    }
    assert_int_equal(p2m_lookup(d, to_gfn(cell + 1024)).order, 0);
    check_all();
}

static void consecutive_large_pages_become_a_larger_one(void **state)
{
    uint64_t cell = WORLD_GIB, mfn;

    (void)state;
    clear_gib(cell);
    assert_true(choose_frames(P2M_RAM, ORDER_1G, &mfn));
    for (uint64_t i = 512; i < WORLD_GIB; i += 512) {
        assert_int_equal(p2m_set(d, to_gfn(cell + i), MFN(mfn + i), ORDER_2M, P2M_RAM), 0);
    }
    map_all_but(cell, mfn, 0);
    assert_int_equal(p2m_lookup(d, to_gfn(cell + 512)).order, ORDER_2M);
    assert_int_equal(p2m_set(d, to_gfn(cell), MFN(mfn), 0, P2M_RAM), 0);
    model_set(cell, mfn, WORLD_GIB, P2M_RAM);
    assert_int_equal(p2m_lookup(d, to_gfn(cell + 512)).order, ORDER_1G);
    check_all();
    assert_int_equal(p2m_clear(d, to_gfn(cell), ORDER_1G), -XEN_E2BIG);
    clear_gib(cell);
    check_all();
    assert_int_equal(p2m_set(d, to_gfn(cell), MFN(MMIO_BASE), ORDER_1G, P2M_MMIO), 0);
    model_set(cell, MMIO_BASE, WORLD_GIB, P2M_MMIO);
}

static void what_is_prepared_cannot_fail(void **state)
{
    uint64_t cell = WORLD_GIB, mfn = MMIO_BASE;

    (void)state;
    assert_int_equal(p2m_prepare(d, to_gfn(cell), ORDER_4K), -XEN_EEXIST);
    clear_gib(cell);
    assert_int_equal(p2m_prepare(d, GFN(1UL << 36), ORDER_4K), -XEN_EINVAL);
    for (unsigned int order = 0; order <= ORDER_2M; order += ORDER_2M) {
        p2m_batch_begin(d);
        assert_int_equal(p2m_prepare(d, to_gfn(cell), order), 0);
        world_fail_allocation(1);
        assert_int_equal(p2m_set(d, to_gfn(cell), MFN(mfn), order, P2M_MMIO), 0);
        world_fail_allocation(0);
        p2m_batch_end(d);
        assert_int_equal(p2m_clear(d, to_gfn(cell), order), 0);
    }
    world_fail_allocation(1);
    assert_int_equal(p2m_prepare(d, to_gfn(cell + 1000), ORDER_4K), -XEN_ENOMEM);
    world_fail_allocation(0);
    assert_int_equal(p2m_set(d, to_gfn(cell), MFN(mfn), ORDER_1G, P2M_MMIO), 0);
    model_set(cell, mfn, WORLD_GIB, P2M_MMIO);
    check_all();
}

static void the_pool_of_table_pages_is_a_limit(void **state)
{
    uint64_t before = p2m_table_pages(d), cell = WORLD_GIB + WORLD_GIB / 2;

    (void)state;
    assert_int_equal(p2m_clear(d, to_gfn(WORLD_GIB), ORDER_1G), 0);
    model_clear(WORLD_GIB, WORLD_GIB);
    before = p2m_table_pages(d);
    d->arch.pages_for_tables = before + 1;
    assert_int_equal(p2m_set(d, to_gfn(cell), MFN(MMIO_BASE), 0, P2M_MMIO), -XEN_ENOMEM);
    d->arch.pages_for_tables = before + 2;
    assert_int_equal(p2m_set(d, to_gfn(cell), MFN(MMIO_BASE), 0, P2M_MMIO), 0);
    model_set(cell, MMIO_BASE, 1, P2M_MMIO);
    d->arch.pages_for_tables = 0;
    check_all();
}

static void the_highest_frame_is_known(void **state)
{
    uint64_t last = SPAN - 1;

    (void)state;
    assert_int_equal(p2m_set(d, to_gfn(last), MFN(MMIO_BASE), 0, P2M_MMIO), 0);
    model_set(last, MMIO_BASE, 1, P2M_MMIO);
    assert_int_equal(p2m_max_gfn(d), to_gfn(last).n);
}

static void release_takes_small_steps_and_leaves_nothing(void **state)
{
    uint64_t mfn;
    unsigned int restarts;

    (void)state;
    clear_gib(0);
    assert_true(choose_frames(P2M_RAM, ORDER_1G, &mfn));
    assert_int_equal(p2m_set(d, to_gfn(0), MFN(mfn), ORDER_1G, P2M_RAM), 0);
    model_set(0, mfn, WORLD_GIB, P2M_RAM);
    guest_use_iommu(d, false);
    guest_most_puts_at_once();
    assert_int_equal(p2m_release(d), -XEN_ERESTART);
    // Nothing may be mapped behind its back.
    assert_int_equal(p2m_set(d, GFN(5), MFN(MMIO_BASE), 0, P2M_MMIO), -XEN_ESRCH);
    assert_int_equal(p2m_lookup(d, GFN(0)).type, P2M_INVALID);
    page_put(mfn_to_page(heap_mfn(shared)));
    restarts = guest_end(d);
    assert_true(restarts > 512);
    assert_true(guest_most_puts_at_once() <= PUTS_AT_ONCE);
    for (unsigned int i = 0; i < FOREIGN_FRAMES; i++) {
        assert_int_equal(foreign[i].count, 1);
        page_put(&foreign[i]);
    }
    world_domain_end(other);
    assert_true(heap_pages_in_use() <= 512);
    assert_int_equal(page_free_count() + heap_pages_in_use(), FRAMES - HOLE);
    world_check_free_memory();
}

static int start(void **state)
{
    static const struct p2m_rules intels = {.flush_lines = true, .flush_new = true};

    (void)state;
    if (intel) {
        p2m_set_rules(&intels);
    }
    world_start(FRAMES, HOLE, false);
    model = calloc(SPAN, sizeof(*model));
    entry_references = calloc(FRAMES, sizeof(*entry_references));
    other = world_domain_create(FOREIGN_FRAMES);
    foreign = domain_page_alloc(other, ORDER_2M, 0);
    d = guest_create(~0UL);
    guest_use_iommu(d, true);
    shared = domain_shared_page_alloc(d);
    return foreign && shared ? 0 : -1;
}

// An IOMMU that walks three levels begins with the table for the lowest 512 GiB, whatever comes.
static void a_shorter_walk_has_a_root_that_stays(void **state)
{
    const uint64_t *top = heap_from_mfn(maddr_to_mfn(p2m_root(d)));
    maddr_t four, three, again;

    (void)state;
    assert_int_equal(p2m_root_of_levels(d, 4, &four), 0);
    assert_int_equal(four.a, p2m_root(d).a);
    assert_int_equal(p2m_root_of_levels(d, 3, &three), 0);
    assert_int_equal(top[0] & 0x000ffffffffff000UL, three.a);
    for (uint64_t gfn = 0; gfn < NEAR; gfn += 1UL << ORDER_2M) {
        assert_int_equal(p2m_clear(d, GFN(gfn), ORDER_2M), 0);
        model_clear(gfn, 1UL << ORDER_2M);
    }
    assert_int_equal(p2m_root_of_levels(d, 3, &again), 0);
    assert_int_equal(again.a, three.a);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_agree_with_the_model),
        cmocka_unit_test(impossible_places_are_refused),
        cmocka_unit_test(frames_are_released_after_the_flush),
        cmocka_unit_test(empty_tables_are_not_in_the_way),
        cmocka_unit_test(consecutive_frames_become_a_large_page),
        cmocka_unit_test(consecutive_large_pages_become_a_larger_one),
        cmocka_unit_test(what_is_prepared_cannot_fail),
        cmocka_unit_test(the_pool_of_table_pages_is_a_limit),
        cmocka_unit_test(the_highest_frame_is_known),
        cmocka_unit_test(a_shorter_walk_has_a_root_that_stays),
        cmocka_unit_test(release_takes_small_steps_and_leaves_nothing),
    };

    intel = argc > 1 && !strcmp(argv[1], "intel");
    return cmocka_run_group_tests(tests, start, NULL);
}
