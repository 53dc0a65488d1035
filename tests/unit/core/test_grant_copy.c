// SPDX-License-Identifier: Apache-2.0
// GNTTABOP_copy: directions, limits, parts of pages, transitive grants, batches, failures.

#include "grants.h"

#include <stdlib.h>
#include <string.h>

#include <bulkhead/page.h>

#define FIRST 1
#define SECOND 2
#define COPIER 3
#define IN_USE (GTF_reading | GTF_writing)

static struct domain *first, *second, *copier;

static int create_domains(void **state)
{
    (void)state;
    world_begin();
    first = world_create(FIRST, &(struct world_config){.grant_version = 2});
    second = world_create(SECOND, &(struct world_config){.grant_version = 2});
    copier = world_create(COPIER, &(struct world_config){0});
    grants_frame(first, 0, false);
    grants_frame(second, 0, false);
    return 0;
}

static int destroy_domains(void **state)
{
    (void)state;
    sim_interrupt_every(0);
    assert_int_equal(this_cpu()->arch.slots_used, 0);
    world_destroy(copier);
    world_destroy(second);
    world_destroy(first);
    return world_end();
}

static void fill(struct domain *d, uint64_t gfn, unsigned int seed)
{
    uint8_t *p = world_page(d, gfn);

    for (unsigned int i = 0; i < PAGE_SIZE; i++) {
        p[i] = (uint8_t)((i * 7 + seed) ^ (i >> 8));
    }
}

static int16_t copy(struct gnttab_copy *op)
{
    assert_int_equal(world_grant_op(copier->vcpus[0], GNTTABOP_copy, op, sizeof(*op), 1), 0);
    return op->status;
}

// From the first domain's grant to the copier's own frame 30.
static struct gnttab_copy from_grant(grant_ref_t ref)
{
    return (struct gnttab_copy){.source = {.u.ref = ref, .domid = FIRST},
                                .dest = {.u.gmfn = 30, .domid = DOMID_SELF},
                                .len = PAGE_SIZE - 1,
                                .flags = GNTCOPY_source_gref};
}

static struct gnttab_copy to_grant(grant_ref_t ref)
{
    return (struct gnttab_copy){.source = {.u.gmfn = 30, .domid = DOMID_SELF},
                                .dest = {.u.ref = ref, .domid = FIRST},
                                .len = PAGE_SIZE - 1,
                                .flags = GNTCOPY_dest_gref};
}

static void test_directions(void **state)
{
    struct gnttab_copy op = from_grant(9);

    (void)state;
    grants_give(first, 9, COPIER, 20, GTF_readonly);
    fill(first, 20, 1);
    op.len = PAGE_SIZE;
    assert_int_equal(copy(&op), GNTST_okay);
    assert_memory_equal(world_page(first, 20), world_page(copier, 30), PAGE_SIZE);
    assert_int_equal(grants_v1(first, 9)->flags, GTF_permit_access | GTF_readonly);
    // To a grant.
    fill(copier, 30, 2);
    op = to_grant(9);
    assert_int_equal(copy(&op), GNTST_general_error);
    grants_give(first, 9, COPIER, 20, 0);
    assert_int_equal(copy(&op), GNTST_okay);
    assert_memory_equal(world_page(first, 20), world_page(copier, 30), PAGE_SIZE - 1);
    // Between grants of two others.
    grants_give(second, 8, COPIER, 21, 0);
    op = (struct gnttab_copy){.source = {.u.ref = 9, .domid = FIRST, .offset = 100},
                              .dest = {.u.ref = 8, .domid = SECOND, .offset = 7},
                              .len = 1000,
                              .flags = GNTCOPY_source_gref | GNTCOPY_dest_gref};
    assert_int_equal(copy(&op), GNTST_okay);
    assert_memory_equal((char *)world_page(second, 21) + 7, (char *)world_page(first, 20) + 100,
                        1000);
    // Within the copier's own memory.
    op = (struct gnttab_copy){.source = {.u.gmfn = 30, .domid = DOMID_SELF},
                              .dest = {.u.gmfn = 31, .domid = DOMID_SELF, .offset = 4095},
                              .len = 1};
    assert_int_equal(copy(&op), GNTST_okay);
    assert_int_equal(grants_v1(first, 9)->flags, GTF_permit_access);
    assert_int_equal(grants_v1(second, 8)->flags, GTF_permit_access);
}

static void test_overlap_in_one_page(void **state)
{
    uint8_t expected[PAGE_SIZE];
    struct gnttab_copy op = {.source = {.u.gmfn = 30, .domid = DOMID_SELF, .offset = 10},
                             .dest = {.u.gmfn = 30, .domid = DOMID_SELF, .offset = 13},
                             .len = 3000};

    (void)state;
    fill(copier, 30, 3);
    memcpy(expected, world_page(copier, 30), PAGE_SIZE);
    memmove(expected + 13, expected + 10, 3000);
    assert_int_equal(copy(&op), GNTST_okay);
    assert_memory_equal(world_page(copier, 30), expected, PAGE_SIZE);
}

static void test_refused(void **state)
{
    struct gnttab_copy op;

    (void)state;
    grants_give(first, 9, COPIER, 20, 0);
    op = from_grant(9);
    op.source.offset = 2;
    assert_int_equal(copy(&op), GNTST_bad_copy_arg);
    op = from_grant(9);
    op.dest.offset = 0xffff;
    assert_int_equal(copy(&op), GNTST_bad_copy_arg);
    op = from_grant(10);
    assert_int_equal(copy(&op), GNTST_general_error);
    op = from_grant(5000);
    assert_int_equal(copy(&op), GNTST_bad_gntref);
    op = from_grant(9);
    op.source.domid = 77;
    assert_int_equal(copy(&op), GNTST_bad_domain);
    // Frame numbers only of one's own.
    op = from_grant(9);
    op.dest.domid = FIRST;
    assert_int_equal(copy(&op), GNTST_permission_denied);
    op = from_grant(9);
    op.dest.u.gmfn = FREE_GFN;
    assert_int_equal(copy(&op), GNTST_bad_page);
    op.dest.u.gmfn = 1UL << 60;
    assert_int_equal(copy(&op), GNTST_bad_page);
    grants_give(first, 11, COPIER, FREE_GFN, 0);
    op = from_grant(11);
    assert_int_equal(copy(&op), GNTST_bad_page);
    assert_int_equal(grants_v1(first, 9)->flags, GTF_permit_access);
    assert_int_equal(grants_v1(first, 11)->flags, GTF_permit_access);
}

static void test_read_only_destination(void **state)
{
    struct p2m_entry entry = p2m_lookup(copier, GFN(30));
    struct gnttab_copy op = from_grant(9);

    (void)state;
    grants_give(first, 9, COPIER, 20, 0);
    assert_true(page_get(mfn_to_page(entry.mfn), copier));
    assert_int_equal(p2m_set(copier, GFN(30), entry.mfn, 0, P2M_RAM_RO), 0);
    assert_int_equal(copy(&op), GNTST_bad_page);
    op = to_grant(9);
    assert_int_equal(copy(&op), GNTST_okay);
}

static void test_parts_of_pages(void **state)
{
    struct gnttab_copy op = from_grant(9);

    (void)state;
    assert_int_equal(grants_set_version(first, 2), 0);
    grants_give_v2(first, 9, COPIER, 20, GTF_sub_page);
    grants_v2(first, 9)->sub_page.page_off = 1000;
    grants_v2(first, 9)->sub_page.length = 100;
    fill(first, 20, 4);
    assert_int_equal(copy(&op), GNTST_general_error);
    op.source.offset = 999;
    op.len = 50;
    assert_int_equal(copy(&op), GNTST_general_error);
    op.source.offset = 1000;
    op.len = 101;
    assert_int_equal(copy(&op), GNTST_general_error);
    op.len = 100;
    assert_int_equal(copy(&op), GNTST_okay);
    assert_memory_equal(world_page(copier, 30), (char *)world_page(first, 20) + 1000, 100);
    // A range that leaves the page.
    grants_v2(first, 9)->sub_page.page_off = 4000;
    assert_int_equal(copy(&op), GNTST_general_error);
    assert_int_equal(*grants_status(first, 9), 0);
}

// The first domain passes on to the copier what the second has granted to it.
static void make_transitive(uint16_t flags)
{
    union grant_entry_v2 *entry;

    assert_int_equal(grants_set_version(first, 2), 0);
    entry = grants_v2(first, 9);
    entry->transitive.hdr.domid = COPIER;
    entry->transitive.trans_domid = SECOND;
    entry->transitive.gref = 8;
    entry->hdr.flags = GTF_transitive | flags;
    grants_give(second, 8, FIRST, 21, 0);
    fill(second, 21, 5);
}

static void test_transitive(void **state)
{
    struct gnttab_copy op = from_grant(9);

    (void)state;
    make_transitive(0);
    assert_int_equal(copy(&op), GNTST_okay);
    assert_memory_equal(world_page(copier, 30), world_page(second, 21), PAGE_SIZE - 1);
    op = to_grant(9);
    fill(copier, 30, 6);
    assert_int_equal(copy(&op), GNTST_okay);
    assert_memory_equal(world_page(copier, 30), world_page(second, 21), PAGE_SIZE - 1);
    // Neither side may be exceeded.
    make_transitive(GTF_readonly);
    op = to_grant(9);
    assert_int_equal(copy(&op), GNTST_general_error);
    make_transitive(0);
    grants_give(second, 8, FIRST, 21, GTF_readonly);
    assert_int_equal(copy(&op), GNTST_general_error);
    grants_give(second, 8, COPIER, 21, 0); // not to the one that passes it on
    assert_int_equal(copy(&op), GNTST_general_error);
    assert_int_equal(*grants_status(first, 9), 0);
    assert_int_equal(grants_v1(second, 8)->flags & IN_USE, 0);
}

static void test_transitive_chains_and_loops(void **state)
{
    struct gnttab_copy op = from_grant(9);
    domid_t nobody[] = {FIRST, DOMID_SELF, 77, DOMID_IO, DOMID_INVALID};
    union grant_entry_v2 *entry;

    (void)state;
    make_transitive(0);
    for (unsigned int i = 0; i < ARRAY_SIZE(nobody); i++) {
        grants_v2(first, 9)->transitive.trans_domid = nobody[i];
        assert_true(copy(&op) != GNTST_okay);
    }
    // One step only.
    make_transitive(0);
    assert_int_equal(grants_set_version(second, 2), 0);
    entry = grants_v2(second, 8);
    entry->transitive.trans_domid = COPIER;
    entry->transitive.gref = 0;
    entry->transitive.hdr.domid = FIRST;
    entry->hdr.flags = GTF_transitive;
    assert_int_equal(copy(&op), GNTST_general_error);
    assert_int_equal(*grants_status(second, 8), 0);
    // Back to the one who asks is fine.
    make_transitive(0);
    grants_v2(first, 9)->transitive.trans_domid = COPIER;
    grants_v2(first, 9)->transitive.gref = 10;
    grants_give(copier, 10, FIRST, 31, 0);
    assert_int_equal(copy(&op), GNTST_okay);
    assert_int_equal(*grants_status(first, 9), 0);
}

static void test_batch(void **state)
{
    struct gnttab_copy ops[100];

    (void)state;
    fill(first, 20, 7);
    grants_give(first, 9, COPIER, 20, 0);
    grants_give(second, 8, COPIER, 21, 0);
    // A page in pieces, which share a source and a destination; one in the middle is wrong.
    for (unsigned int i = 0; i < ARRAY_SIZE(ops); i++) {
        ops[i] = (struct gnttab_copy){
            .source = {.u.ref = i == 33 ? 77 : 9, .domid = FIRST, .offset = (uint16_t)(i * 40)},
            .dest = {.u.ref = 8, .domid = SECOND, .offset = (uint16_t)(i * 40)},
            .len = 40,
            .flags = GNTCOPY_source_gref | GNTCOPY_dest_gref};
    }
    memset(world_page(second, 21), 0, PAGE_SIZE);
    sim_interrupt_every(1);
    assert_int_equal(
        world_grant_op(copier->vcpus[0], GNTTABOP_copy, ops, sizeof(*ops), ARRAY_SIZE(ops)), 0);
    assert_int_equal(world_restarts, 6);
    for (unsigned int i = 0; i < ARRAY_SIZE(ops); i++) {
        bool same = memcmp((char *)world_page(second, 21) + i * 40,
                           (char *)world_page(first, 20) + i * 40, 40) == 0;

        assert_int_equal(ops[i].status, i == 33 ? GNTST_general_error : GNTST_okay);
        assert_int_equal(same, i != 33);
    }
    assert_int_equal(grants_v1(first, 9)->flags, GTF_permit_access);
    assert_int_equal(grants_v1(second, 8)->flags, GTF_permit_access);
}

static void test_copy_of_a_mapped_grant(void **state)
{
    struct gnttab_copy op = to_grant(9);
    grant_handle_t handle;

    (void)state;
    // As backends do: mapped for reading, copied to for writing.
    grants_give(first, 9, COPIER, 20, 0);
    assert_int_equal(
        grants_map(copier, FIRST, 9, FREE_GFN, GNTMAP_host_map | GNTMAP_readonly, &handle),
        GNTST_okay);
    assert_int_equal(copy(&op), GNTST_okay);
    assert_int_equal(grants_v1(first, 9)->flags & IN_USE, GTF_reading);
    // The mapping itself as a source by frame number.
    op.source.u.gmfn = FREE_GFN;
    op.dest = (struct gnttab_copy_ptr){.u.gmfn = 31, .domid = DOMID_SELF};
    op.flags = 0;
    assert_int_equal(copy(&op), GNTST_okay);
    assert_memory_equal(world_page(copier, 31), world_page(first, 20), PAGE_SIZE - 1);
    assert_int_equal(grants_unmap(copier, FREE_GFN, handle), GNTST_okay);
    assert_int_equal(grants_v1(first, 9)->flags & IN_USE, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, create_domains, destroy_domains)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_directions),
        TEST(test_overlap_in_one_page),
        TEST(test_refused),
        TEST(test_read_only_destination),
        TEST(test_parts_of_pages),
        TEST(test_transitive),
        TEST(test_transitive_chains_and_loops),
        TEST(test_batch),
        TEST(test_copy_of_a_mapped_grant),
    };

    return cmocka_run_group_tests_name("grant copy", tests, world_start, NULL);
}
