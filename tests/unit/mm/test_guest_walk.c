// SPDX-License-Identifier: Apache-2.0
// The walk of a guest's own tables against a second one, written from the manual (AMD64 APM volume
// 2, chapter 5) one mode at a time. The tables are random, so they lead into themselves, to holes,
// to device memory and to pages that the guest may not write; every byte of the guest's memory is
// compared, for accessed and dirty bits and nothing else may change.

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <bulkhead/arch/mm.h>
#include <bulkhead/heap.h>
#include <x86/hvm.h>

#include "guest.h"
#include "world.h"

#include <cmocka.h>

#define FRAMES 4096UL
#define PAGES 96UL // guest frames
#define PRESENT 1UL
#define WRITE 2UL
#define USER 4UL
#define ACCESSED 0x20UL
#define DIRTY 0x40UL
#define LARGE 0x80UL
#define CR0_PG (1UL << 31)
#define CR0_WP (1UL << 16)
#define CR4_PSE 0x10UL
#define CR4_PAE 0x20UL
#define EFER_LMA 0x400UL

enum kind { RAM, READ_ONLY, HOLE, DEVICE };

static struct domain *d;
static unsigned char *copy; // the guest's memory as it should be

static enum kind kind_of(uint64_t gfn)
{
    return gfn >= PAGES     ? HOLE
           : gfn % 16 == 13 ? READ_ONLY
           : gfn % 16 == 14 ? HOLE
           : gfn % 16 == 15 ? DEVICE
                            : RAM;
}

// The reference.

struct reference {
    bool write;
    bool wp;
    uint64_t result;
};

// Reads an entry of so many bytes; 0 where there is none.
static uint64_t load(uint64_t gpa, unsigned int bytes)
{
    enum kind kind = kind_of(gpa >> 12);
    uint64_t value = 0;

    if (kind == RAM || kind == READ_ONLY) {
        memcpy(&value, copy + gpa, bytes);
    }
    return value;
}

// Marks an entry as used; false if the processor could not.
static bool mark(uint64_t gpa, uint64_t bits)
{
    if ((copy[gpa] & bits) == bits) {
        return true;
    }
    if (kind_of(gpa >> 12) != RAM) {
        return false;
    }
    copy[gpa] |= (unsigned char)bits;
    return true;
}

static bool use_table_entry(const struct reference *r, uint64_t gpa, uint64_t entry)
{
    return (entry & PRESENT) && mark(gpa, ACCESSED) && !(r->write && r->wp && !(entry & WRITE));
}

static bool use_leaf(struct reference *r, uint64_t gpa, uint64_t entry, uint64_t result)
{
    bool may_write = !r->wp || (entry & WRITE);

    r->result = result;
    return (entry & PRESENT) && mark(gpa, ACCESSED | (r->write && may_write ? DIRTY : 0)) &&
           (!r->write || may_write);
}

static bool walk_32(struct reference *r, uint32_t cr3, uint32_t va, bool pse)
{
    uint64_t at = (cr3 & 0xfffff000) + (va >> 22) * 4, entry = load(at, 4);

    if (pse && (entry & LARGE)) {
        return use_leaf(r, at, entry,
                        (entry & 0xffc00000) | (entry >> 13 & 0xff) << 32 | (va & 0x3fffff));
    }
    if (!use_table_entry(r, at, entry)) {
        return false;
    }
    at = (entry & 0xfffff000) + (va >> 12 & 0x3ff) * 4;
    entry = load(at, 4);
    return use_leaf(r, at, entry, (entry & 0xfffff000) | (va & 0xfff));
}

static uint64_t frame(uint64_t entry, unsigned int bits)
{
    return entry & 0xfffffffffffffUL & ~((1UL << bits) - 1);
}

// From a page directory of 8-byte entries on.
static bool walk_directory(struct reference *r, uint64_t table, uint64_t va)
{
    uint64_t at = table + (va >> 21 & 511) * 8, entry = load(at, 8);

    if (entry & LARGE) {
        return use_leaf(r, at, entry, frame(entry, 21) | (va & 0x1fffff));
    }
    if (!use_table_entry(r, at, entry)) {
        return false;
    }
    at = frame(entry, 12) + (va >> 12 & 511) * 8;
    entry = load(at, 8);
    return use_leaf(r, at, entry, frame(entry, 12) | (va & 0xfff));
}

static bool walk_pae(struct reference *r, uint32_t cr3, uint32_t va)
{
    uint64_t entry = load((cr3 & 0xffffffe0) + (va >> 30) * 8, 8);

    return (entry & PRESENT) && walk_directory(r, frame(entry, 12), va);
}

static bool walk_long(struct reference *r, uint64_t cr3, uint64_t va)
{
    uint64_t at = frame(cr3, 12) + (va >> 39 & 511) * 8, entry = load(at, 8);

    if ((va >> 47) != 0 && (va >> 47) != 0x1ffff) {
        return false;
    }
    if (!use_table_entry(r, at, entry)) {
        return false;
    }
    at = frame(entry, 12) + (va >> 30 & 511) * 8;
    entry = load(at, 8);
    if (entry & LARGE) {
        return use_leaf(r, at, entry, frame(entry, 30) | (va & 0x3fffffff));
    }
    return use_table_entry(r, at, entry) && walk_directory(r, frame(entry, 12), va);
}

// Random tables.

static uint64_t random_entry(unsigned int bytes)
{
    uint64_t entry = world_random(110) << 12; // some frames that are none

    entry |= world_random(16) ? PRESENT : 0;
    entry |= world_random(4) ? WRITE : 0;
    entry |= world_random(3) ? 0 : ACCESSED;
    entry |= world_random(4) ? 0 : DIRTY;
    entry |= world_random(8) ? 0 : LARGE;
    entry |= world_random(4) ? 0 : world_random(0x1000) & 0xf1c; // user, caching, global, spare
    if (world_random(16) == 0) {
        entry |= world_random(~0UL) << 12;
    }
    return bytes == 4 ? (uint32_t)entry : entry;
}

static void fill(uint64_t gfn, unsigned int bytes)
{
    enum kind kind = kind_of(gfn);

    if (kind != RAM && kind != READ_ONLY) {
        return;
    }
    for (uint64_t at = gfn << 12; at < (gfn + 1) << 12; at += bytes) {
        uint64_t entry = random_entry(bytes);

        memcpy(copy + at, &entry, bytes);
    }
    memcpy(world_frame(p2m_lookup(d, GFN(gfn)).mfn.n), copy + (gfn << 12), PAGE_SIZE);
}

static void compare_memory(void)
{
    for (uint64_t gfn = 0; gfn < PAGES; gfn++) {
        if (kind_of(gfn) == RAM || kind_of(gfn) == READ_ONLY) {
            assert_memory_equal(world_frame(p2m_lookup(d, GFN(gfn)).mfn.n), copy + (gfn << 12),
                                PAGE_SIZE);
        }
    }
}

enum mode { MODE_32, MODE_PSE, MODE_PAE, MODE_LONG };

static bool reference_walk(struct reference *r, enum mode mode, uint64_t va)
{
    switch (mode) {
    case MODE_32:
    case MODE_PSE:
        return walk_32(r, (uint32_t)guest_cr3, (uint32_t)va, mode == MODE_PSE);
    case MODE_PAE:
        return walk_pae(r, (uint32_t)guest_cr3, (uint32_t)va);
    default:
        return walk_long(r, guest_cr3, va);
    }
}

static void walk_once(enum mode mode, unsigned int *found)
{
    uint64_t va =
        mode == MODE_LONG
            ? (uint64_t)((int64_t)(world_random(~0UL) << 16) >> (world_random(50) ? 16 : 12))
            : (uint32_t)world_random(~0UL);
    struct reference r = {.write = world_random(2), .wp = world_random(4)};
    gpa_t gpa = GPA(~0UL);
    bool expected;
    int error;

    guest_cr0 = CR0_PG | 1 | (r.wp ? CR0_WP : 0);
    guest_cr3 = (world_random(PAGES + 2) << 12) | world_random(4096);
    expected = reference_walk(&r, mode, va);
    error = arch_walk_guest(d->vcpus[0], GVA(va), r.write, &gpa);
    assert_int_equal(error, expected ? 0 : -XEN_EFAULT);
    if (expected) {
        assert_int_equal(gpa.a, r.result);
        ++*found;
    }
}

static void walk_many(enum mode mode)
{
    unsigned int bytes = mode == MODE_32 || mode == MODE_PSE ? 4 : 8, found = 0;

    guest_cr4 = (mode == MODE_PSE ? CR4_PSE : 0) | (mode == MODE_PAE ? CR4_PAE : 0) |
                (mode == MODE_LONG ? CR4_PAE : 0);
    guest_efer = mode == MODE_LONG ? EFER_LMA : 0;
    for (unsigned int round = 0; round < 20; round++) {
        for (uint64_t gfn = 0; gfn < PAGES; gfn++) {
            fill(gfn, bytes);
        }
        for (unsigned int i = 0; i < 4000; i++) {
            walk_once(mode, &found);
        }
        compare_memory();
    }
    assert_true(found > 4000);
    assert_int_equal(world_mappings(), 0);
}

static void two_levels(void **state)
{
    (void)state;
    walk_many(MODE_32);
}

static void two_levels_with_large_pages(void **state)
{
    (void)state;
    walk_many(MODE_PSE);
}

static void three_levels(void **state)
{
    (void)state;
    walk_many(MODE_PAE);
}

static void four_levels(void **state)
{
    (void)state;
    walk_many(MODE_LONG);
}

static void without_paging_addresses_are_physical(void **state)
{
    gpa_t gpa;

    (void)state;
    guest_cr0 = 1;
    assert_int_equal(arch_walk_guest(d->vcpus[0], GVA(0x123456789aUL), true, &gpa), 0);
    assert_int_equal(gpa.a, 0x3456789aUL);
}

// Tables in a page that another domain granted for reading only: bits that are set already do no
// harm, others are not set there.
static void foreign_memory_is_not_written(void **state)
{
    struct domain *other = world_domain_create(1);
    struct page *page = domain_page_alloc(other, 0, 0);
    uint64_t *table = world_frame(page_to_mfn(page).n);
    gpa_t gpa;

    (void)state;
    assert_int_equal(p2m_set(d, GFN(PAGES), page_to_mfn(page), 0, P2M_GRANT_RO), 0);
    guest_cr0 = CR0_PG | 1;
    guest_cr4 = CR4_PAE;
    guest_efer = EFER_LMA;
    guest_cr3 = PAGES << 12;
    table[0] = PAGES << 12 | PRESENT | WRITE;
    assert_int_equal(arch_walk_guest(d->vcpus[0], GVA(5), false, &gpa), -XEN_EFAULT);
    assert_int_equal(table[0], PAGES << 12 | PRESENT | WRITE);
    table[0] |= ACCESSED;
    assert_int_equal(arch_walk_guest(d->vcpus[0], GVA(5), false, &gpa), 0);
    assert_int_equal(gpa.a, (PAGES << 12) + 5);
    assert_int_equal(arch_walk_guest(d->vcpus[0], GVA(5), true, &gpa), -XEN_EFAULT);
    assert_int_equal(table[0], PAGES << 12 | PRESENT | WRITE | ACCESSED);
    assert_int_equal(p2m_clear(d, GFN(PAGES), 0), 0);
    page_put(page);
    world_domain_end(other);
}

// One table that is its own entry at each level, with rights that change.
static void user_mode_has_its_own_rights(void **state)
{
    static const struct {
        uint64_t rights;
        bool user_reads, user_writes, kernel_writes;
    } cases[] = {
        {0, false, false, true}, // CR0.WP is off
        {WRITE, false, false, true},
        {USER, true, false, true},
        {USER | WRITE, true, true, true},
    };
    struct vcpu *v = d->vcpus[0];
    uint64_t *table = world_frame(p2m_lookup(d, GFN(0)).mfn.n);
    gpa_t gpa;

    (void)state;
    guest_cr0 = CR0_PG | 1;
    guest_cr4 = CR4_PAE;
    guest_efer = EFER_LMA;
    guest_cr3 = 0;
    for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        table[0] = PRESENT | ACCESSED | cases[i].rights;
        assert_int_equal(hvm_walk_guest(v, GVA(5), HVM_ACCESS_USER, &gpa) == 0,
                         cases[i].user_reads);
        assert_int_equal(hvm_walk_guest(v, GVA(5), HVM_ACCESS_USER | HVM_ACCESS_WRITE, &gpa) == 0,
                         cases[i].user_writes);
        // What was refused left no trace.
        assert_int_equal(table[0] & DIRTY, cases[i].user_writes ? DIRTY : 0);
        assert_int_equal(hvm_walk_guest(v, GVA(5), 0, &gpa), 0);
        assert_int_equal(hvm_walk_guest(v, GVA(5), HVM_ACCESS_WRITE, &gpa) == 0,
                         cases[i].kernel_writes);
    }
}

static int start(void **state)
{
    (void)state;
    world_start(FRAMES, 1, true);
    d = guest_create(PAGES);
    copy = calloc(PAGES, PAGE_SIZE);
    for (uint64_t gfn = 0; gfn < PAGES; gfn++) {
        enum kind kind = kind_of(gfn);
        int error = 0;

        if (kind == DEVICE) {
            error = p2m_set(d, GFN(gfn), MFN(FRAMES + gfn), 0, P2M_MMIO);
        } else if (kind != HOLE) {
            error = p2m_set(d, GFN(gfn), page_to_mfn(domain_page_alloc(d, 0, 0)), 0,
                            kind == RAM ? P2M_RAM : P2M_RAM_RO);
        }
        assert_int_equal(error, 0);
    }
    return 0;
}

static int end(void **state)
{
    (void)state;
    guest_end(d);
    free(copy);
    return page_free_count() + heap_pages_in_use() == FRAMES - 1 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_levels),
        cmocka_unit_test(two_levels_with_large_pages),
        cmocka_unit_test(three_levels),
        cmocka_unit_test(four_levels),
        cmocka_unit_test(without_paging_addresses_are_physical),
        cmocka_unit_test(foreign_memory_is_not_written),
        cmocka_unit_test(user_mode_has_its_own_rights),
    };

    return cmocka_run_group_tests(tests, start, end);
}
