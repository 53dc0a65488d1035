// SPDX-License-Identifier: Apache-2.0
// Grant tables: mapping and unmapping, versions, table operations, death of either side, limits.

#include "grants.h"

#include <stdlib.h>
#include <string.h>

#include <bulkhead/heap.h>
#include <bulkhead/page.h>

#define GRANTER 1
#define MAPPER 2
#define THIRD 3
#define MAP_RW GNTMAP_host_map
#define MAP_RO (GNTMAP_host_map | GNTMAP_readonly)
#define IN_USE (GTF_reading | GTF_writing)

static struct domain *control, *granter, *mapper;

static int create_domains(void **state)
{
    (void)state;
    world_begin();
    control = world_create(0, &(struct world_config){.privileged = true});
    domain0 = control;
    granter = world_create(GRANTER, &(struct world_config){.grant_version = 2});
    mapper = world_create(MAPPER, &(struct world_config){.vcpus = 2});
    return 0;
}

static int destroy_domains(void **state)
{
    (void)state;
    sim_heap_fail_at(0);
    sim_interrupt_every(0);
    domain0 = NULL;
    world_destroy(mapper);
    world_destroy(granter);
    world_destroy(control);
    return world_end();
}

static uint32_t references(struct domain *d, uint64_t gfn)
{
    return mfn_to_page(p2m_lookup(d, GFN(gfn)).mfn)->count;
}

static void test_map_and_unmap(void **state)
{
    uint64_t *theirs = world_page(granter, 20), *ours;
    grant_handle_t handle;

    (void)state;
    grants_give(granter, 9, MAPPER, 20, 0);
    assert_int_equal(grants_map(mapper, GRANTER, 9, FREE_GFN, MAP_RW, &handle), GNTST_okay);
    ours = world_page(mapper, FREE_GFN);
    *theirs = 0x1234;
    assert_true(*ours == 0x1234);
    assert_int_equal(grants_v1(granter, 9)->flags, GTF_permit_access | IN_USE);
    assert_false(grants_end(granter, 9));
    assert_int_equal(references(granter, 20), 3); // its own entry, the table, the mapper's entry
    assert_int_equal(grants_unmap(mapper, FREE_GFN, handle), GNTST_okay);
    assert_null(sim_guest_memory(mapper, GFN(FREE_GFN), false));
    assert_int_equal(references(granter, 20), 1);
    assert_int_equal(grants_unmap(mapper, FREE_GFN, handle), GNTST_bad_handle);
    assert_true(grants_end(granter, 9));
    assert_int_equal(grants_map(mapper, GRANTER, 9, FREE_GFN, MAP_RW, &handle),
                     GNTST_general_error);
}

static void test_read_only(void **state)
{
    grant_handle_t reader, writer;

    (void)state;
    grants_give(granter, 9, MAPPER, 20, GTF_readonly);
    assert_int_equal(grants_map(mapper, GRANTER, 9, FREE_GFN, MAP_RW, &reader),
                     GNTST_general_error);
    assert_int_equal(grants_map(mapper, GRANTER, 9, FREE_GFN, MAP_RO, &reader), GNTST_okay);
    assert_non_null(sim_guest_memory(mapper, GFN(FREE_GFN), false));
    assert_null(sim_guest_memory(mapper, GFN(FREE_GFN), true));
    assert_int_equal(grants_v1(granter, 9)->flags, GTF_permit_access | GTF_readonly | GTF_reading);
    // The second use may not be more than the entry permits either.
    assert_int_equal(grants_map(mapper, GRANTER, 9, FREE_GFN + 1, MAP_RW, &writer),
                     GNTST_general_error);
    grants_v1(granter, 9)->flags &= (uint16_t)~GTF_readonly;
    assert_int_equal(grants_map(mapper, GRANTER, 9, FREE_GFN + 1, MAP_RW, &writer), GNTST_okay);
    assert_int_equal(grants_v1(granter, 9)->flags & IN_USE, IN_USE);
    assert_int_equal(grants_unmap(mapper, FREE_GFN, reader), GNTST_okay);
    assert_int_equal(grants_v1(granter, 9)->flags & IN_USE, IN_USE);
    assert_int_equal(grants_unmap(mapper, FREE_GFN + 1, writer), GNTST_okay);
    assert_int_equal(grants_v1(granter, 9)->flags & IN_USE, 0);
    // A writer leaves before a reader.
    assert_int_equal(grants_map(mapper, GRANTER, 9, FREE_GFN, MAP_RW, &writer), GNTST_okay);
    assert_int_equal(grants_map(mapper, GRANTER, 9, FREE_GFN + 1, MAP_RO, &reader), GNTST_okay);
    assert_int_equal(grants_unmap(mapper, FREE_GFN, writer), GNTST_okay);
    assert_int_equal(grants_v1(granter, 9)->flags & IN_USE, GTF_reading);
    assert_int_equal(grants_unmap(mapper, FREE_GFN + 1, reader), GNTST_okay);
    assert_int_equal(grants_v1(granter, 9)->flags & IN_USE, 0);
}

static void test_who_may_map(void **state)
{
    struct domain *third = world_create(THIRD, &(struct world_config){0});
    grant_handle_t handle;

    (void)state;
    grants_give(granter, 9, MAPPER, 20, 0);
    assert_int_equal(grants_map(third, GRANTER, 9, FREE_GFN, MAP_RW, &handle), GNTST_general_error);
    assert_int_equal(grants_map(control, GRANTER, 9, FREE_GFN, MAP_RW, &handle),
                     GNTST_general_error);
    assert_int_equal(grants_map(mapper, GRANTER, 10, FREE_GFN, MAP_RW, &handle),
                     GNTST_general_error);
    assert_int_equal(grants_map(mapper, GRANTER, 512, FREE_GFN, MAP_RW, &handle), GNTST_bad_gntref);
    assert_int_equal(grants_map(mapper, GRANTER, UINT32_MAX, FREE_GFN, MAP_RW, &handle),
                     GNTST_bad_gntref);
    assert_int_equal(grants_map(mapper, THIRD, 0, FREE_GFN, MAP_RW, &handle), GNTST_bad_gntref);
    assert_int_equal(grants_map(mapper, 77, 9, FREE_GFN, MAP_RW, &handle), GNTST_bad_domain);
    assert_int_equal(grants_v1(granter, 9)->flags, GTF_permit_access);
    // While it is in use by the right one, it is still nobody else's, whatever the entry says.
    assert_int_equal(grants_map(mapper, GRANTER, 9, FREE_GFN, MAP_RW, &handle), GNTST_okay);
    grants_v1(granter, 9)->domid = THIRD;
    assert_int_equal(grants_map(third, GRANTER, 9, FREE_GFN, MAP_RW, &handle), GNTST_general_error);
    assert_int_equal(grants_unmap(mapper, FREE_GFN, handle), GNTST_okay);
    world_destroy(third);
}

static void test_bad_map_arguments(void **state)
{
    struct gnttab_map_grant_ref op = {
        .host_addr = FREE_GFN << PAGE_SHIFT, .ref = 9, .dom = GRANTER};
    uint32_t flags[] = {0, GNTMAP_device_map, GNTMAP_host_map | GNTMAP_contains_pte};
    grant_handle_t handle;

    (void)state;
    grants_give(granter, 9, MAPPER, 20, 0);
    for (unsigned int i = 0; i < ARRAY_SIZE(flags); i++) {
        assert_int_equal(grants_map(mapper, GRANTER, 9, FREE_GFN, flags[i], &handle),
                         GNTST_general_error);
    }
    op.flags = MAP_RW;
    op.host_addr |= 8;
    assert_int_equal(world_grant_op(mapper->vcpus[0], GNTTABOP_map_grant_ref, &op, sizeof(op), 1),
                     0);
    assert_int_equal(op.status, GNTST_bad_virt_addr);
    assert_int_equal(grants_map(mapper, GRANTER, 9, 0, MAP_RW, &handle), GNTST_bad_virt_addr);
    assert_int_equal(grants_map(mapper, GRANTER, 9, 1UL << 50, MAP_RW, &handle),
                     GNTST_bad_virt_addr);
    assert_int_equal(grants_v1(granter, 9)->flags, GTF_permit_access);
    assert_int_equal(references(granter, 20), 1);
}

static void test_only_own_memory_can_be_granted(void **state)
{
    grant_handle_t handle, second;
    mfn_t table;

    (void)state;
    // A frame number where nothing is.
    grants_give(granter, 9, MAPPER, FREE_GFN, 0);
    assert_int_equal(grants_map(mapper, GRANTER, 9, FREE_GFN, MAP_RW, &handle), GNTST_bad_page);
    // What another domain granted is not the mapper's to grant on.
    grants_give(granter, 9, MAPPER, 20, 0);
    assert_int_equal(grants_map(mapper, GRANTER, 9, FREE_GFN, MAP_RW, &handle), GNTST_okay);
    grants_give(mapper, 9, 0, FREE_GFN, 0);
    assert_int_equal(grants_map(control, MAPPER, 9, FREE_GFN, MAP_RW, &second), GNTST_bad_page);
    assert_int_equal(grants_unmap(mapper, FREE_GFN, handle), GNTST_okay);
    // Nor is a page of the hypervisor's that it is shown.
    assert_int_equal(grant_table_frame(granter, 0, false, &table), 0);
    assert_int_equal(p2m_set(granter, GFN(FREE_GFN), table, 0, P2M_SHARED), 0);
    grants_give(granter, 10, MAPPER, FREE_GFN, 0);
    assert_int_equal(grants_map(mapper, GRANTER, 10, FREE_GFN, MAP_RW, &handle), GNTST_bad_page);
    assert_int_equal(grants_v1(granter, 10)->flags, GTF_permit_access);
}

static void test_read_only_memory_is_granted_read_only(void **state)
{
    struct p2m_entry entry = p2m_lookup(granter, GFN(20));
    grant_handle_t handle, second;

    (void)state;
    assert_true(page_get(mfn_to_page(entry.mfn), granter));
    assert_int_equal(p2m_set(granter, GFN(20), entry.mfn, 0, P2M_RAM_RO), 0);
    grants_give(granter, 9, MAPPER, 20, 0);
    assert_int_equal(grants_map(mapper, GRANTER, 9, FREE_GFN, MAP_RW, &handle), GNTST_bad_page);
    assert_int_equal(grants_map(mapper, GRANTER, 9, FREE_GFN, MAP_RO, &handle), GNTST_okay);
    assert_int_equal(grants_map(mapper, GRANTER, 9, FREE_GFN + 1, MAP_RW, &second),
                     GNTST_general_error);
    assert_int_equal(grants_unmap(mapper, FREE_GFN, handle), GNTST_okay);
}

static void test_unmap_arguments(void **state)
{
    struct gnttab_unmap_grant_ref op;
    grant_handle_t handle;

    (void)state;
    grants_give(granter, 9, MAPPER, 20, 0);
    assert_int_equal(grants_map(mapper, GRANTER, 9, FREE_GFN, MAP_RW | GNTMAP_device_map, &handle),
                     GNTST_okay);
    assert_int_equal(grants_unmap(mapper, FREE_GFN + 1, handle), GNTST_bad_virt_addr);
    assert_int_equal(grants_unmap(mapper, FREE_GFN, handle + 1), GNTST_bad_handle);
    assert_int_equal(grants_unmap(mapper, FREE_GFN, UINT32_MAX), GNTST_bad_handle);
    assert_int_equal(grants_unmap(granter, FREE_GFN, handle), GNTST_bad_handle);
    assert_int_equal(grants_unmap(mapper, 0, handle), GNTST_okay); // nothing asked for
    op = (struct gnttab_unmap_grant_ref){.dev_bus_addr = 8, .handle = handle};
    world_grant_op(mapper->vcpus[0], GNTTABOP_unmap_grant_ref, &op, sizeof(op), 1);
    assert_int_equal(op.status, GNTST_bad_dev_addr);
    op.dev_bus_addr = FREE_GFN << PAGE_SHIFT;
    world_grant_op(mapper->vcpus[0], GNTTABOP_unmap_grant_ref, &op, sizeof(op), 1);
    assert_int_equal(op.status, GNTST_okay);
    world_grant_op(mapper->vcpus[0], GNTTABOP_unmap_grant_ref, &op, sizeof(op), 1);
    assert_int_equal(op.status, GNTST_bad_dev_addr);
    assert_non_null(sim_guest_memory(mapper, GFN(FREE_GFN), true));
    assert_int_equal(grants_unmap(mapper, FREE_GFN, handle), GNTST_okay);
}

static void test_unmap_and_replace(void **state)
{
    struct gnttab_unmap_and_replace op = {.host_addr = FREE_GFN << PAGE_SHIFT, .new_addr = 4096};

    (void)state;
    grants_give(granter, 9, MAPPER, 20, 0);
    assert_int_equal(grants_map(mapper, GRANTER, 9, FREE_GFN, MAP_RW, &op.handle), GNTST_okay);
    world_grant_op(mapper->vcpus[0], GNTTABOP_unmap_and_replace, &op, sizeof(op), 1);
    assert_int_equal(op.status, GNTST_general_error);
    assert_non_null(sim_guest_memory(mapper, GFN(FREE_GFN), true));
    op.new_addr = 0;
    world_grant_op(mapper->vcpus[0], GNTTABOP_unmap_and_replace, &op, sizeof(op), 1);
    assert_int_equal(op.status, GNTST_okay);
    assert_null(sim_guest_memory(mapper, GFN(FREE_GFN), true));
    assert_int_equal(grants_v1(granter, 9)->flags, GTF_permit_access);
}

static void test_guest_removes_or_replaces_a_mapping(void **state)
{
    grant_handle_t first, second;
    uint64_t *ours;

    (void)state;
    grants_give(granter, 9, MAPPER, 20, 0);
    grants_give(granter, 10, MAPPER, 21, 0);
    assert_int_equal(grants_map(mapper, GRANTER, 9, FREE_GFN, MAP_RW, &first), GNTST_okay);
    assert_int_equal(p2m_clear(mapper, GFN(FREE_GFN), 0), 0);
    assert_int_equal(references(granter, 20), 2);
    assert_int_equal(grants_unmap(mapper, FREE_GFN, first), GNTST_okay);
    assert_int_equal(references(granter, 20), 1);
    // Another mapping in its place survives the first one's end.
    assert_int_equal(grants_map(mapper, GRANTER, 9, FREE_GFN, MAP_RW, &first), GNTST_okay);
    assert_int_equal(grants_map(mapper, GRANTER, 10, FREE_GFN, MAP_RW, &second), GNTST_okay);
    assert_int_equal(grants_unmap(mapper, FREE_GFN, first), GNTST_okay);
    *(uint64_t *)world_page(granter, 21) = 99;
    ours = world_page(mapper, FREE_GFN);
    assert_true(*ours == 99);
    assert_int_equal(grants_unmap(mapper, FREE_GFN, second), GNTST_okay);
    // Memory of its own that lay there is the guest's loss, and freed.
    assert_int_equal(grants_map(mapper, GRANTER, 9, 30, MAP_RW, &first), GNTST_okay);
    assert_int_equal(mapper->total_pages, WORLD_PAGES - 1);
    assert_int_equal(grants_unmap(mapper, 30, first), GNTST_okay);
    assert_null(sim_guest_memory(mapper, GFN(30), false));
}

static void test_granter_takes_its_page_away(void **state)
{
    grant_handle_t handle;
    uint64_t total;

    (void)state;
    grants_give(granter, 9, MAPPER, 20, 0);
    assert_int_equal(grants_map(mapper, GRANTER, 9, FREE_GFN, MAP_RW, &handle), GNTST_okay);
    total = granter->total_pages;
    assert_int_equal(p2m_clear(granter, GFN(20), 0), 0);
    assert_int_equal(granter->total_pages, total); // the frame lives on, and is paid for
    *(uint64_t *)world_page(mapper, FREE_GFN) = 1;
    assert_int_equal(grants_unmap(mapper, FREE_GFN, handle), GNTST_okay);
    assert_int_equal(granter->total_pages, total - 1);
}

static void test_granter_dies(void **state)
{
    grant_handle_t handle, other;
    uint64_t *ours;

    (void)state;
    grants_give(granter, 9, MAPPER, 20, 0);
    assert_int_equal(grants_map(mapper, GRANTER, 9, FREE_GFN, MAP_RW, &handle), GNTST_okay);
    ours = world_page(mapper, FREE_GFN);
    *ours = 7;
    world_destroy(granter);
    assert_true(*ours == 7);
    assert_int_equal(grants_map(mapper, GRANTER, 9, FREE_GFN + 1, MAP_RW, &other),
                     GNTST_bad_domain);
    // A successor with the same domid has nothing to do with the old mapping.
    granter = world_create(GRANTER, &(struct world_config){.grant_version = 2});
    grants_give(granter, 9, MAPPER, 20, 0);
    assert_int_equal(grants_map(mapper, GRANTER, 9, FREE_GFN + 1, MAP_RW, &other), GNTST_okay);
    *(uint64_t *)world_page(mapper, FREE_GFN + 1) = 8;
    assert_true(*ours == 7);
    assert_int_equal(grants_unmap(mapper, FREE_GFN, handle), GNTST_okay);
    assert_int_equal(grants_v1(granter, 9)->flags & IN_USE, IN_USE);
    assert_int_equal(grants_unmap(mapper, FREE_GFN + 1, other), GNTST_okay);
}

static void test_mapper_dies(void **state)
{
    grant_handle_t handle;

    (void)state;
    for (grant_ref_t ref = 8; ref < 508; ref++) {
        grants_give(granter, ref, MAPPER, 20 + ref % 10, ref % 2 ? GTF_readonly : 0);
        assert_int_equal(
            grants_map(mapper, GRANTER, ref, FREE_GFN + ref, ref % 2 ? MAP_RO : MAP_RW, &handle),
            GNTST_okay);
    }
    sim_interrupt_every(2);
    world_destroy(mapper);
    sim_interrupt_every(0);
    for (grant_ref_t ref = 8; ref < 508; ref++) {
        assert_int_equal(grants_v1(granter, ref)->flags & IN_USE, 0);
    }
    for (uint64_t gfn = 20; gfn < 30; gfn++) {
        assert_int_equal(references(granter, gfn), 1);
    }
    // A grant is to an id: the next domain that has it may map the same.
    mapper = world_create(MAPPER, &(struct world_config){.vcpus = 2});
    for (grant_ref_t ref = 8; ref < 508; ref++) {
        assert_int_equal(grants_map(mapper, GRANTER, ref, FREE_GFN + ref, MAP_RO, &handle),
                         GNTST_okay);
        assert_int_equal(grants_unmap(mapper, FREE_GFN + ref, handle), GNTST_okay);
        assert_true(grants_end(granter, ref));
    }
}

static void test_domain_maps_its_own_grant(void **state)
{
    grant_handle_t handle;

    (void)state;
    grants_give(granter, 9, GRANTER, 20, 0);
    assert_int_equal(grants_map(granter, GRANTER, 9, FREE_GFN, MAP_RW, &handle), GNTST_okay);
    *(uint64_t *)world_page(granter, FREE_GFN) = 5;
    assert_true(*(uint64_t *)world_page(granter, 20) == 5);
    // It may also die with it.
    world_destroy(granter);
    granter = world_create(GRANTER, &(struct world_config){.grant_version = 2});
}

static void test_batches_restart(void **state)
{
    struct gnttab_map_grant_ref maps[100] = {0};
    struct gnttab_unmap_grant_ref unmaps[100] = {0};

    (void)state;
    for (unsigned int i = 0; i < ARRAY_SIZE(maps); i++) {
        grants_give(granter, 8 + i, MAPPER, 20, 0);
        maps[i] = (struct gnttab_map_grant_ref){.host_addr = (FREE_GFN + i) << PAGE_SHIFT,
                                                .flags = MAP_RW,
                                                .ref = i == 50 ? 5000 : 8 + i,
                                                .dom = GRANTER};
    }
    sim_interrupt_every(1);
    assert_int_equal(world_grant_op(mapper->vcpus[0], GNTTABOP_map_grant_ref, maps, sizeof(*maps),
                                    ARRAY_SIZE(maps)),
                     0);
    assert_int_equal(world_restarts, 6);
    for (unsigned int i = 0; i < ARRAY_SIZE(maps); i++) {
        assert_int_equal(maps[i].status, i == 50 ? GNTST_bad_gntref : GNTST_okay);
        unmaps[i].host_addr = maps[i].host_addr;
        unmaps[i].handle = maps[i ? i : 1].handle; // the first names another's
    }
    assert_int_equal(world_grant_op(mapper->vcpus[0], GNTTABOP_unmap_grant_ref, unmaps,
                                    sizeof(*unmaps), ARRAY_SIZE(unmaps)),
                     0);
    sim_interrupt_every(0);
    assert_int_equal(unmaps[0].status, GNTST_bad_virt_addr);
    for (unsigned int i = 1; i < ARRAY_SIZE(maps); i++) {
        assert_int_equal(unmaps[i].status, i == 50 ? unmaps[50].status : GNTST_okay);
    }
    assert_int_equal(references(granter, 20), 3);
    assert_int_equal(grants_unmap(mapper, FREE_GFN, maps[0].handle), GNTST_okay);
}

static void test_same_handle_twice_in_a_batch(void **state)
{
    struct gnttab_unmap_grant_ref ops[2];
    grant_handle_t handle;

    (void)state;
    grants_give(granter, 9, MAPPER, 20, 0);
    assert_int_equal(grants_map(mapper, GRANTER, 9, FREE_GFN, MAP_RW, &handle), GNTST_okay);
    ops[0] = (struct gnttab_unmap_grant_ref){.host_addr = FREE_GFN << PAGE_SHIFT, .handle = handle};
    ops[1] = ops[0];
    assert_int_equal(
        world_grant_op(mapper->vcpus[0], GNTTABOP_unmap_grant_ref, ops, sizeof(*ops), 2), 0);
    assert_int_equal(ops[0].status, GNTST_okay);
    assert_int_equal(ops[1].status, GNTST_bad_handle);
}

static void test_handles_run_out(void **state)
{
    grant_handle_t handle, last = 0;
    unsigned int count = 0;

    (void)state;
    grants_give(granter, 9, MAPPER, 20, 0);
    while (grants_map(mapper, GRANTER, 9, FREE_GFN + count, MAP_RW, &handle) == GNTST_okay) {
        last = handle;
        count++;
    }
    assert_int_equal(count, 4 * 256);
    assert_int_equal(grants_map(mapper, GRANTER, 9, FREE_GFN + count, MAP_RW, &handle),
                     GNTST_no_space);
    assert_int_equal(grants_unmap(mapper, FREE_GFN + count - 1, last), GNTST_okay);
    assert_int_equal(grants_map(mapper, GRANTER, 9, FREE_GFN, MAP_RW, &handle), GNTST_okay);
    assert_int_equal(handle, last);
}

static void test_results_that_cannot_be_written(void **state)
{
    struct p2m_entry entry = p2m_lookup(mapper, GFN(5));
    struct gnttab_map_grant_ref *op = world_page(mapper, 5);
    struct hypercall call = {.arg = {GNTTABOP_map_grant_ref, 5UL << PAGE_SHIFT, 1}};

    (void)state;
    grants_give(granter, 9, MAPPER, 20, 0);
    *op = (struct gnttab_map_grant_ref){
        .host_addr = FREE_GFN << PAGE_SHIFT, .flags = MAP_RW, .ref = 9, .dom = GRANTER};
    assert_true(page_get(mfn_to_page(entry.mfn), mapper));
    assert_int_equal(p2m_set(mapper, GFN(5), entry.mfn, 0, P2M_RAM_RO), 0);
    sim_cpu_enter(0, mapper->vcpus[0]);
    assert_int_equal(do_grant_table_op(&call), -XEN_EFAULT);
    assert_null(sim_guest_memory(mapper, GFN(FREE_GFN), false));
    assert_int_equal(grants_v1(granter, 9)->flags, GTF_permit_access);
    // The mapping covers the very page where its result goes: undone, whatever was there.
    call = (struct hypercall){.arg = {GNTTABOP_map_grant_ref, 1UL << 63, 1}};
    assert_int_equal(do_grant_table_op(&call), -XEN_EFAULT);
    call.arg[2] = 0x80000000;
    assert_int_equal(do_grant_table_op(&call), -XEN_EINVAL);
}

static void test_out_of_memory(void **state)
{
    grant_handle_t handle;

    (void)state;
    grants_give(granter, 9, MAPPER, 20, 0);
    for (uint64_t step = 1;; step++) {
        int16_t status;

        sim_heap_fail_at(step);
        status = grants_map(mapper, GRANTER, 9, FREE_GFN, MAP_RW, &handle);
        if (status == GNTST_okay) {
            assert_false(sim_heap_failed());
            break;
        }
        assert_int_equal(status, GNTST_no_space);
        assert_int_equal(grants_v1(granter, 9)->flags, GTF_permit_access);
        assert_int_equal(references(granter, 20), 1);
    }
    sim_heap_fail_at(0);
    assert_int_equal(grants_unmap(mapper, FREE_GFN, handle), GNTST_okay);
}

static int64_t setup_table(struct domain *d, domid_t id, uint32_t frames, uint64_t list,
                           int16_t *status)
{
    struct gnttab_setup_table op = {.dom = id, .nr_frames = frames};
    int64_t result;

    op.frame_list.p = (void *)(uintptr_t)list;
    result = world_grant_op(d->vcpus[0], GNTTABOP_setup_table, &op, sizeof(op), 1);
    *status = op.status;
    return result;
}

static void test_table_operations(void **state)
{
    struct gnttab_query_size size = {.dom = DOMID_SELF}, sizes[2] = {size, size};
    struct gnttab_dump_table dump = {.dom = GRANTER};
    uint64_t *list = world_page(granter, 40);
    int16_t status;

    (void)state;
    assert_int_equal(world_grant_op(granter->vcpus[0], GNTTABOP_query_size, &size, sizeof(size), 1),
                     0);
    assert_int_equal(size.status, GNTST_okay);
    assert_int_equal(size.nr_frames, 0);
    assert_int_equal(size.max_nr_frames, 4);
    grant_table_frame(granter, 1, false, &(mfn_t){0});
    grant_table_set_gfn(granter, 1, false, GFN(77));
    assert_int_equal(setup_table(granter, DOMID_SELF, 3, 40UL << PAGE_SHIFT, &status), 0);
    assert_int_equal(status, GNTST_okay);
    assert_true(list[0] == INVALID_GFN.n && list[1] == 77 && list[2] == INVALID_GFN.n);
    assert_int_equal(setup_table(granter, DOMID_SELF, 5, 40UL << PAGE_SHIFT, &status), 0);
    assert_int_equal(status, GNTST_general_error);
    setup_table(granter, DOMID_SELF, 1, 1UL << 63, &status);
    assert_int_equal(status, GNTST_bad_virt_addr);
    setup_table(mapper, GRANTER, 1, 40UL << PAGE_SHIFT, &status);
    assert_int_equal(status, GNTST_permission_denied);
    setup_table(control, 77, 1, 40UL << PAGE_SHIFT, &status);
    assert_int_equal(status, GNTST_bad_domain);
    setup_table(control, GRANTER, 4, 40UL << PAGE_SHIFT, &status);
    assert_int_equal(status, GNTST_okay);
    world_grant_op(mapper->vcpus[0], GNTTABOP_dump_table, &dump, sizeof(dump), 1);
    assert_int_equal(dump.status, GNTST_permission_denied);
    world_grant_op(control->vcpus[0], GNTTABOP_dump_table, &dump, sizeof(dump), 1);
    assert_int_equal(dump.status, GNTST_okay);
    assert_int_equal(world_grant_op(control->vcpus[0], GNTTABOP_query_size, sizes, sizeof(size), 2),
                     -XEN_EINVAL);
    assert_int_equal(world_grant_op(control->vcpus[0], 99, &size, sizeof(size), 1), -XEN_ENOSYS);
    assert_int_equal(world_grant_op(control->vcpus[0], GNTTABOP_transfer, &size, sizeof(size), 1),
                     -XEN_ENOSYS);
}

static void test_frames_for_the_physmap(void **state)
{
    mfn_t first, again;

    (void)state;
    assert_int_equal(grant_table_frame(granter, 3, false, &first), 0);
    assert_int_equal(grant_table_frame(granter, 3, false, &again), 0);
    assert_true(first.n == again.n);
    assert_int_equal(grant_table_frame(granter, 4, false, &first), -XEN_EINVAL);
    assert_int_equal(grant_table_frame(granter, 1UL << 40, false, &first), -XEN_EINVAL);
    assert_int_equal(grant_table_frame(granter, 0, true, &first), -XEN_EINVAL);
    assert_true(grant_table_get_gfn(granter, 1UL << 40, false).n == INVALID_GFN.n);
    grant_table_set_gfn(granter, 1UL << 40, true, GFN(1));
    assert_int_equal(grants_set_version(granter, 2), 0);
    assert_int_equal(grant_table_frame(granter, 0, true, &first), 0);
    grant_table_set_gfn(granter, 0, true, GFN(5));
    assert_true(grant_table_get_gfn(granter, 0, true).n == 5);
    assert_int_equal(grant_table_frame(granter, 1, true, &first), -XEN_EINVAL);
}

static void test_seed(void **state)
{
    grant_handle_t handle;

    (void)state;
    assert_int_equal(grant_table_seed(granter, GNTTAB_RESERVED_XENSTORE, 0, GFN(20)), 0);
    assert_int_equal(grant_table_seed(granter, 8, 0, GFN(20)), -XEN_EINVAL);
    assert_int_equal(grants_v1(granter, 1)->frame, 20);
    assert_int_equal(grants_map(control, GRANTER, 1, FREE_GFN, MAP_RW, &handle), GNTST_okay);
    assert_int_equal(grants_unmap(control, FREE_GFN, handle), GNTST_okay);
}

static void test_version_2(void **state)
{
    grant_handle_t handle, reader;

    (void)state;
    assert_int_equal(grants_set_version(granter, 2), 0);
    grants_give_v2(granter, 300, MAPPER, 20, 0);
    assert_int_equal(grants_map(mapper, GRANTER, 300, FREE_GFN, MAP_RO, &reader), GNTST_okay);
    assert_int_equal(*grants_status(granter, 300), GTF_reading);
    assert_int_equal(grants_map(mapper, GRANTER, 300, FREE_GFN + 1, MAP_RW, &handle), GNTST_okay);
    assert_int_equal(*grants_status(granter, 300), IN_USE);
    assert_int_equal(grants_v2(granter, 300)->hdr.flags, GTF_permit_access);
    assert_int_equal(grants_unmap(mapper, FREE_GFN + 1, handle), GNTST_okay);
    assert_int_equal(*grants_status(granter, 300), GTF_reading);
    assert_int_equal(grants_unmap(mapper, FREE_GFN, reader), GNTST_okay);
    assert_int_equal(*grants_status(granter, 300), 0);
    // Frame numbers beyond 32 bits are not truncated.
    grants_give_v2(granter, 300, MAPPER, (1UL << 32) + 20, 0);
    assert_int_equal(grants_map(mapper, GRANTER, 300, FREE_GFN, MAP_RW, &handle), GNTST_bad_page);
    assert_int_equal(*grants_status(granter, 300), 0);
    // Parts of pages and transitive grants cannot be mapped.
    grants_give_v2(granter, 300, MAPPER, 20, GTF_sub_page);
    grants_v2(granter, 300)->sub_page.length = 100;
    assert_int_equal(grants_map(mapper, GRANTER, 300, FREE_GFN, MAP_RO, &handle),
                     GNTST_general_error);
    grants_v2(granter, 300)->hdr.flags = GTF_transitive;
    assert_int_equal(grants_map(mapper, GRANTER, 300, FREE_GFN, MAP_RO, &handle),
                     GNTST_general_error);
    assert_int_equal(*grants_status(granter, 300), 0);
    assert_int_equal(grants_map(mapper, GRANTER, 300 + 512, FREE_GFN, MAP_RO, &handle),
                     GNTST_bad_gntref);
}

static void test_change_of_version(void **state)
{
    static const grant_ref_t in_use[] = {8, 9, 511, 512, 1023}; // of two frames
    struct gnttab_get_version version = {.dom = GRANTER};
    grant_handle_t store, other;

    (void)state;
    assert_int_equal(grants_set_version(granter, 3), -XEN_EINVAL);
    assert_int_equal(grants_set_version(granter, 0), -XEN_EINVAL);
    assert_int_equal(grants_set_version(mapper, 2), -XEN_ENOSYS); // created without
    assert_int_equal(grants_set_version(mapper, 1), 0);
    assert_int_equal(grant_table_seed(granter, 1, 0, GFN(20)), 0);
    assert_int_equal(grants_map(control, GRANTER, 1, FREE_GFN, MAP_RW, &store), GNTST_okay);
    for (unsigned int i = 0; i < ARRAY_SIZE(in_use); i++) {
        grants_give(granter, in_use[i], MAPPER, 21, 0);
        assert_int_equal(grants_map(mapper, GRANTER, in_use[i], FREE_GFN, MAP_RW, &other),
                         GNTST_okay);
        assert_int_equal(grants_set_version(granter, 2), -XEN_EBUSY);
        assert_int_equal(grants_unmap(mapper, FREE_GFN, other), GNTST_okay);
    }
    assert_int_equal(grants_set_version(granter, 2), 0);
    // The reserved entry goes on, in use; the other is gone.
    assert_int_equal(grants_v2(granter, 1)->full_page.hdr.flags, GTF_permit_access);
    assert_int_equal(grants_v2(granter, 1)->full_page.frame, 20);
    assert_int_equal(*grants_status(granter, 1), IN_USE);
    assert_int_equal(grants_v2(granter, 9)->hdr.flags, 0);
    world_grant_op(control->vcpus[0], GNTTABOP_get_version, &version, sizeof(version), 1);
    assert_int_equal(version.version, 2);
    assert_int_equal(
        world_grant_op(mapper->vcpus[0], GNTTABOP_get_version, &version, sizeof(version), 1),
        -XEN_EPERM);
    // And back.
    grants_v2(granter, 2)->hdr.flags = GTF_transitive;
    assert_int_equal(grants_set_version(granter, 1), -XEN_ERANGE);
    grants_v2(granter, 2)->hdr.flags = 0;
    assert_int_equal(grants_set_version(granter, 1), 0);
    assert_int_equal(grants_v1(granter, 1)->flags, GTF_permit_access | IN_USE);
    assert_int_equal(grants_unmap(control, FREE_GFN, store), GNTST_okay);
    assert_int_equal(grants_v1(granter, 1)->flags, GTF_permit_access);
}

static void test_status_frames(void **state)
{
    struct gnttab_get_status_frames op = {.dom = DOMID_SELF, .nr_frames = 1};

    (void)state;
    op.frame_list.p = (void *)(40UL << PAGE_SHIFT);
    world_grant_op(granter->vcpus[0], GNTTABOP_get_status_frames, &op, sizeof(op), 1);
    assert_int_equal(op.status, GNTST_general_error);
    assert_int_equal(grants_set_version(granter, 2), 0);
    grants_frame(granter, 0, false);
    grant_table_set_gfn(granter, 0, true, GFN(66));
    world_grant_op(granter->vcpus[0], GNTTABOP_get_status_frames, &op, sizeof(op), 1);
    assert_int_equal(op.status, GNTST_okay);
    assert_true(*(uint64_t *)world_page(granter, 40) == 66);
    op.nr_frames = 2;
    world_grant_op(granter->vcpus[0], GNTTABOP_get_status_frames, &op, sizeof(op), 1);
    assert_int_equal(op.status, GNTST_general_error);
}

static void test_swap(void **state)
{
    struct gnttab_swap_grant_ref op = {.ref_a = 9, .ref_b = 10};
    grant_handle_t handle;

    (void)state;
    grants_give(granter, 9, MAPPER, 20, 0);
    grants_give(granter, 10, 0, 21, GTF_readonly);
    world_grant_op(granter->vcpus[0], GNTTABOP_swap_grant_ref, &op, sizeof(op), 1);
    assert_int_equal(op.status, GNTST_okay);
    assert_int_equal(grants_v1(granter, 9)->frame, 21);
    assert_int_equal(grants_v1(granter, 10)->domid, MAPPER);
    assert_int_equal(grants_map(mapper, GRANTER, 10, FREE_GFN, MAP_RW, &handle), GNTST_okay);
    world_grant_op(granter->vcpus[0], GNTTABOP_swap_grant_ref, &op, sizeof(op), 1);
    assert_int_equal(op.status, GNTST_eagain);
    assert_int_equal(grants_unmap(mapper, FREE_GFN, handle), GNTST_okay);
    op.ref_b = 9;
    world_grant_op(granter->vcpus[0], GNTTABOP_swap_grant_ref, &op, sizeof(op), 1);
    assert_int_equal(op.status, GNTST_okay);
    op.ref_b = 5000;
    world_grant_op(granter->vcpus[0], GNTTABOP_swap_grant_ref, &op, sizeof(op), 1);
    assert_int_equal(op.status, GNTST_bad_gntref);
    assert_int_equal(grants_set_version(granter, 2), 0);
    grants_give_v2(granter, 9, MAPPER, 20, 0);
    op.ref_b = 10;
    world_grant_op(granter->vcpus[0], GNTTABOP_swap_grant_ref, &op, sizeof(op), 1);
    assert_int_equal(grants_v2(granter, 10)->full_page.frame, 20);
}

static void test_limits_at_creation(void **state)
{
    struct domain *d = heap_new(struct domain);

    (void)state;
    assert_int_equal(grant_table_create(d, 0, 1, 1), -XEN_EINVAL);
    assert_int_equal(grant_table_create(d, 1 << 20, 1, 1), -XEN_EINVAL);
    assert_int_equal(grant_table_create(d, 1, 1 << 20, 1), -XEN_EINVAL);
    assert_int_equal(grant_table_create(d, 1, 1, 3), -XEN_EINVAL);
    assert_int_equal(grant_table_create(d, 1, 1, 0), -XEN_EINVAL);
    for (uint64_t step = 1; step <= 3; step++) {
        sim_heap_fail_at(step);
        assert_int_equal(grant_table_create(d, 1, 1, 1), -XEN_ENOMEM);
    }
    assert_int_equal(grant_table_create(d, -1, -1, 2), 0);
    assert_int_equal(d->max_grant_frames, 64);
    assert_int_equal(d->max_maptrack_frames, 1024);
    grant_table_free(d);
    grant_table_free(d);
    heap_free(d);
}

#define MODEL_REFS 12u
#define MODEL_MAPPINGS 24u

// The random test below: what each slot of the mapper's address space maps.
static struct {
    bool used, write;
    grant_ref_t ref;
    grant_handle_t handle;
} slots[MODEL_MAPPINGS];

static void check_marks(void)
{
    for (grant_ref_t ref = 8; ref < 8 + MODEL_REFS; ref++) {
        uint16_t expected = 0;
        uint32_t uses = 0;

        for (unsigned int i = 0; i < MODEL_MAPPINGS; i++) {
            if (slots[i].used && slots[i].ref == ref) {
                expected |= slots[i].write ? IN_USE : GTF_reading;
                uses++;
            }
        }
        assert_int_equal(grants_v1(granter, ref)->flags & IN_USE, expected);
        assert_int_equal(references(granter, 20 + ref), 1 + uses + (uses != 0));
    }
}

static void test_random_mappings_against_a_model(void **state)
{
    (void)state;
    srand(5);
    memset(slots, 0, sizeof(slots));
    for (grant_ref_t ref = 8; ref < 8 + MODEL_REFS; ref++) {
        grants_give(granter, ref, MAPPER, 20 + ref, ref % 3 ? 0 : GTF_readonly);
    }
    for (unsigned int round = 0; round < 20000; round++) {
        unsigned int i = (unsigned int)rand() % MODEL_MAPPINGS;
        bool write = rand() % 2;

        if (slots[i].used) {
            assert_int_equal(grants_unmap(mapper, FREE_GFN + i, slots[i].handle), GNTST_okay);
            slots[i].used = false;
        } else {
            grant_ref_t ref = 8 + (grant_ref_t)rand() % MODEL_REFS;
            int16_t status = grants_map(mapper, GRANTER, ref, FREE_GFN + i, write ? MAP_RW : MAP_RO,
                                        &slots[i].handle);

            assert_int_equal(status, write && ref % 3 == 0 ? GNTST_general_error : GNTST_okay);
            slots[i].used = status == GNTST_okay;
            slots[i].ref = ref;
            slots[i].write = write;
        }
        check_marks();
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, create_domains, destroy_domains)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_map_and_unmap),
        TEST(test_read_only),
        TEST(test_who_may_map),
        TEST(test_bad_map_arguments),
        TEST(test_only_own_memory_can_be_granted),
        TEST(test_read_only_memory_is_granted_read_only),
        TEST(test_unmap_arguments),
        TEST(test_unmap_and_replace),
        TEST(test_guest_removes_or_replaces_a_mapping),
        TEST(test_granter_takes_its_page_away),
        TEST(test_granter_dies),
        TEST(test_mapper_dies),
        TEST(test_domain_maps_its_own_grant),
        TEST(test_batches_restart),
        TEST(test_same_handle_twice_in_a_batch),
        TEST(test_handles_run_out),
        TEST(test_results_that_cannot_be_written),
        TEST(test_out_of_memory),
        TEST(test_table_operations),
        TEST(test_frames_for_the_physmap),
        TEST(test_seed),
        TEST(test_version_2),
        TEST(test_change_of_version),
        TEST(test_status_frames),
        TEST(test_swap),
        TEST(test_limits_at_creation),
        TEST(test_random_mappings_against_a_model),
    };

    return cmocka_run_group_tests_name("grant tables", tests, world_start, NULL);
}
