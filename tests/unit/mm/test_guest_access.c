// SPDX-License-Identifier: Apache-2.0
// Copies to and from guest memory: across frames, into holes, to what may not be written, through
// the guest's own tables; and that no mapping or reference is left, whatever happens.

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <bulkhead/guest_access.h>
#include <bulkhead/heap.h>
#include <bulkhead/mapping.h>

#include "guest.h"
#include "world.h"

#include <cmocka.h>

#define FRAMES 8192UL
#define PAGES 64UL      // guest frames that are memory
#define READ_ONLY 40UL  // from here on: read-only
#define HOLE_AT 20UL    // not mapped
#define DEVICE_AT 21UL  // device memory
#define FOREIGN_AT 30UL // another domain's, writable
#define SHARED_AT 31UL  // a heap page
#define MAX_COPY (1UL << 20)

static struct domain *d, *other;
static unsigned char *expected; // the guest's memory as it should be

static bool readable(uint64_t gfn)
{
    return gfn < PAGES && gfn != HOLE_AT && gfn != DEVICE_AT;
}

static bool writable(uint64_t gfn)
{
    return readable(gfn) && gfn < READ_ONLY;
}

static void map_memory(void)
{
    for (uint64_t gfn = 0; gfn < PAGES; gfn++) {
        bool foreign = gfn == FOREIGN_AT;
        struct page *page;

        if (!readable(gfn)) {
            continue;
        }
        if (gfn == SHARED_AT) {
            page = mfn_to_page(heap_mfn(domain_shared_page_alloc(d)));
            assert_int_equal(p2m_set(d, GFN(gfn), page_to_mfn(page), 0, P2M_SHARED), 0);
            page_put(page); // the entry keeps it
            continue;
        }
        page = domain_page_alloc(foreign ? other : d, 0, 0);
        assert_int_equal(p2m_set(d, GFN(gfn), page_to_mfn(page), 0,
                                 foreign            ? P2M_FOREIGN
                                 : gfn >= READ_ONLY ? P2M_RAM_RO
                                                    : P2M_RAM),
                         0);
    }
    assert_int_equal(p2m_set(d, GFN(DEVICE_AT), MFN(FRAMES + 5), 0, P2M_MMIO), 0);
}

// Bytes from `at` on that a copy may reach, up to size.
static size_t reachable(uint64_t at, size_t size, bool write)
{
    size_t count = 0;

    while (count < size && (write ? writable : readable)((at + count) >> PAGE_SHIFT)) {
        count++;
    }
    return count;
}

static void check_nothing_is_left(void)
{
    assert_int_equal(world_mappings(), 0);
    for (uint64_t gfn = 0; gfn < PAGES; gfn++) {
        struct p2m_entry entry = p2m_lookup(d, GFN(gfn));

        if (readable(gfn)) {
            assert_int_equal(mfn_to_page(entry.mfn)->count, 1);
        }
    }
}

static void copy_both_ways(uint64_t at, size_t size, bool linear)
{
    unsigned char *buffer = malloc(size);
    size_t can_read = reachable(at, size, false), can_write = reachable(at, size, true);
    int error = linear ? copy_from_guest(buffer, GVA(at), size)
                       : copy_from_guest_physical(d, buffer, GPA(at), size);

    assert_int_equal(error, can_read == size ? 0 : -XEN_EFAULT);
    if (!error) {
        assert_memory_equal(buffer, expected + at, size);
    }
    for (size_t i = 0; i < size; i++) {
        buffer[i] = (unsigned char)world_random(256);
    }
    error = linear ? copy_to_guest(GVA(at), buffer, size)
                   : copy_to_guest_physical(d, GPA(at), buffer, size);
    assert_int_equal(error, can_write == size ? 0 : -XEN_EFAULT);
    // Whole frames before the bad one have been written, and nothing beyond it.
    memcpy(expected + at, buffer, can_write);
    free(buffer);
}

static void check_memory(void)
{
    unsigned char page[PAGE_SIZE];

    for (uint64_t gfn = 0; gfn < PAGES; gfn++) {
        if (readable(gfn)) {
            assert_int_equal(copy_from_guest_physical(d, page, GPA(gfn << 12), PAGE_SIZE), 0);
            assert_memory_equal(page, expected + (gfn << 12), PAGE_SIZE);
        }
    }
}

static void random_copies_agree(void **state)
{
    (void)state;
    guest_cr0 = 0; // linear addresses are physical ones
    for (unsigned int i = 0; i < 4000; i++) {
        uint64_t at = world_random((PAGES + 2) << PAGE_SHIFT);
        size_t size = world_random(i % 50 ? 200 : 5 * PAGE_SIZE);

        copy_both_ways(at, size, i & 1);
    }
    check_memory();
    check_nothing_is_left();
}

static void clearing_stops_where_writing_does(void **state)
{
    (void)state;
    assert_int_equal(clear_guest(GVA(100), 3 * PAGE_SIZE), 0);
    memset(expected + 100, 0, 3 * PAGE_SIZE);
    assert_int_equal(clear_guest(GVA((READ_ONLY << 12) - 10), 20), -XEN_EFAULT);
    memset(expected + (READ_ONLY << 12) - 10, 0, 10);
    assert_int_equal(clear_guest(GVA(DEVICE_AT << 12), 1), -XEN_EFAULT);
    check_memory();
    check_nothing_is_left();
}

static void absurd_sizes_and_addresses_fail(void **state)
{
    char byte = 1;

    (void)state;
    assert_int_equal(copy_from_guest(&byte, GVA(0), MAX_COPY + 1), -XEN_EFAULT);
    assert_int_equal(copy_to_guest_physical(d, GPA(0), &byte, SIZE_MAX), -XEN_EFAULT);
    assert_int_equal(copy_from_guest_physical(d, &byte, GPA(~0UL), 1), -XEN_EFAULT);
    assert_int_equal(copy_from_guest_physical(d, &byte, GPA(1UL << 48), 1), -XEN_EFAULT);
    assert_int_equal(copy_to_guest_physical(d, GPA(~0UL), &byte, 1), -XEN_EFAULT);
    assert_int_equal(copy_from_guest(&byte, GVA(0), 0), 0);
    guest_cr0 = 1UL << 31;
    guest_cr3 = 0;
    guest_efer = 1UL << 10;
    assert_int_equal(copy_from_guest(&byte, GVA(1UL << 47), 1), -XEN_EFAULT);
    assert_int_equal(copy_from_guest(&byte, GVA(~0UL), 1), -XEN_EFAULT);
    guest_cr0 = guest_efer = 0;
    check_nothing_is_left();
}

// Tables in frames 4 to 7 that map linear page 0 to 8 frames from 8 on; gives the last one's entry.
static uint64_t *make_tables(void)
{
    uint64_t *tables[4];

    for (uint64_t level = 0; level < 4; level++) {
        tables[level] = world_frame(p2m_lookup(d, GFN(4 + level)).mfn.n);
        memset(tables[level], 0, PAGE_SIZE);
        tables[level][0] = (5 + level) << PAGE_SHIFT | 3;
    }
    guest_cr0 = 1UL << 31 | 1UL << 16;
    guest_cr3 = 4 << PAGE_SHIFT;
    guest_efer = 1UL << 10;
    d->vcpus[0]->exits++;
    return tables[3];
}

static void a_translation_is_good_until_the_guest_runs(void **state)
{
    uint64_t *entries, value, first = 0x1111, second = 0x2222;

    (void)state;
    world_frame(p2m_lookup(d, GFN(8)).mfn.n);
    guest_cr0 = 0;
    assert_int_equal(copy_to_guest_physical(d, GPA(8 << 12), &first, 8), 0);
    assert_int_equal(copy_to_guest_physical(d, GPA(9 << 12), &second, 8), 0);
    entries = make_tables();
    assert_int_equal(copy_from_guest(&value, GVA(0), 8), 0);
    assert_int_equal(value, first);
    assert_int_equal(entries[0] & 0x60, 0x20); // accessed, not dirty
    entries[0] = 9 << PAGE_SHIFT | 1;
    assert_int_equal(copy_from_guest(&value, GVA(0), 8), 0);
    assert_int_equal(value, first); // no exit since
    // To write needs a look of its own, which finds the new entry, and that it is read-only.
    assert_int_equal(copy_to_guest(GVA(0), &value, 8), -XEN_EFAULT);
    entries[0] |= 2;
    assert_int_equal(copy_to_guest(GVA(8), &value, 8), 0);
    assert_int_equal(entries[0] & 0x60, 0x60);
    assert_int_equal(copy_from_guest(&value, GVA(0), 8), 0);
    assert_int_equal(value, second);
    // Pages that share a place in the memory of translations.
    for (uint64_t i = 1; i < 8; i++) {
        entries[i] = (8 + i % 2) << PAGE_SHIFT | 3;
    }
    for (uint64_t i = 1; i < 16; i++) {
        assert_int_equal(copy_from_guest(&value, GVA((i % 7 + 1) << 12), 8), 0);
        assert_int_equal(value, (i % 7 + 1) % 2 ? second : first);
    }
    d->vcpus[0]->exits++;
    entries[0] = 0;
    assert_int_equal(copy_from_guest(&value, GVA(0), 8), -XEN_EFAULT);
    // The p2m is looked at each time.
    assert_int_equal(copy_from_guest(&value, GVA(1 << 12), 8), 0);
    entries[1] = HOLE_AT << PAGE_SHIFT | 3;
    d->vcpus[0]->exits++;
    assert_int_equal(copy_from_guest(&value, GVA(1 << 12), 8), -XEN_EFAULT);
    guest_cr0 = guest_efer = 0;
    check_nothing_is_left();
}

static void lasting_mappings_show_the_frame(void **state)
{
    struct page *page = p2m_get_page(d, GFN(3), true, NULL);
    struct page *heap = p2m_get_page(d, GFN(SHARED_AT), true, NULL);
    unsigned char *p = map_frame_lasting(page_to_mfn(page));
    unsigned char *shared = map_frame_lasting(page_to_mfn(heap)), byte = 0x77;

    (void)state;
    p[5] = 0x55;
    shared[6] = 0x66;
    assert_int_equal(copy_from_guest_physical(d, &byte, GPA(3 * PAGE_SIZE + 5), 1), 0);
    assert_int_equal(byte, 0x55);
    assert_int_equal(copy_from_guest_physical(d, &byte, GPA(SHARED_AT * PAGE_SIZE + 6), 1), 0);
    assert_int_equal(byte, 0x66);
    unmap_frame_lasting(p);
    unmap_frame_lasting(shared); // of the heap's: nothing to do, and nothing done
    p2m_put_page(page);
    p2m_put_page(heap);
    check_nothing_is_left();
}

static int start(void **state)
{
    (void)state;
    world_start(FRAMES, 1, true);
    other = world_domain_create(10);
    d = guest_create(PAGES);
    expected = calloc(PAGES + 10, PAGE_SIZE);
    map_memory();
    return 0;
}

static int end(void **state)
{
    (void)state;
    guest_end(d);
    world_domain_end(other);
    free(expected);
    return page_free_count() + heap_pages_in_use() == FRAMES - 1 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_copies_agree),
        cmocka_unit_test(clearing_stops_where_writing_does),
        cmocka_unit_test(absurd_sizes_and_addresses_fail),
        cmocka_unit_test(a_translation_is_good_until_the_guest_runs),
        cmocka_unit_test(lasting_mappings_show_the_frame),
    };

    return cmocka_run_group_tests(tests, start, end);
}
