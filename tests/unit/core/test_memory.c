// SPDX-License-Identifier: Apache-2.0
// memory_op on the simulated machine: extents of every size, what is undone when memory ends in the
// middle, how often long operations make way, exchange, resources, and the answers of the rest.
//
// Lists that a guest gives lie in pages of its memory. Where an operation is to make way, an
// interrupt comes in every window; where it is to fail, each allocation of it fails once.

#include "world.h"

#include <string.h>

#include <bulkhead/page.h>
#include <xen/memory.h>

#define GFN_LIST 8u // pages of the guest that hold lists
#define INDEX_LIST 9u
#define ERROR_LIST 10u
#define LARGE_GFN 4096u // aligned to 16 MiB; nothing is there
#define ORDER_16M 12u
#define STEPS_16M 8u

static struct domain *control, *guest;

static uint64_t *list(struct domain *d, uint64_t gfn)
{
    return world_page(d, gfn);
}

#define list_handle(gfn) ((void *)((uint64_t)(gfn) << PAGE_SHIFT))

static struct xen_memory_reservation reservation(domid_t domid, unsigned int order, uint64_t count)
{
    struct xen_memory_reservation r = {.domid = domid, .extent_order = order, .nr_extents = count};

    r.extent_start.p = list_handle(GFN_LIST);
    return r;
}

static int64_t reserve(struct domain *d, unsigned int op, unsigned int order, uint64_t gfn)
{
    struct xen_memory_reservation r = reservation(DOMID_SELF, order, 1);

    list(d, GFN_LIST)[0] = gfn;
    return world_memory_op(d->vcpus[0], op, &r, sizeof(r));
}

static uint64_t mapped(struct domain *d, uint64_t gfn, uint64_t count)
{
    uint64_t found = 0;

    for (uint64_t i = 0; i < count; i++) {
        found += p2m_lookup(d, GFN(gfn + i)).type == P2M_RAM;
    }
    return found;
}

static int begin(void **state)
{
    (void)state;
    world_begin();
    control = world_create(1, &(struct world_config){.privileged = true, .grant_version = 2});
    guest = world_create(2, &(struct world_config){.grant_version = 2});
    control->max_pages = guest->max_pages = 1UL << 14;
    return 0;
}

static int end(void **state)
{
    (void)state;
    sim_interrupt_every(0);
    sim_heap_fail_at(0);
    world_destroy(control);
    world_destroy(guest);
    return world_end();
}

static void extents_of_all_sizes(void **state)
{
    (void)state;
    for (unsigned int order = 0; order <= ORDER_16M; order++) {
        uint64_t count = 1UL << order;
        uint64_t places[] = {LARGE_GFN, LARGE_GFN + 1, LARGE_GFN + 77};

        for (unsigned int i = 0; i < ARRAY_SIZE(places); i++) {
            assert_int_equal(reserve(control, XENMEM_populate_physmap, order, places[i]), 1);
            assert_int_equal(mapped(control, places[i], count), count);
            assert_int_equal(mapped(control, places[i] - 1, count + 2), count);
            assert_int_equal(control->total_pages, WORLD_PAGES + count);
            assert_int_equal(reserve(control, XENMEM_decrease_reservation, order, places[i]), 1);
            assert_int_equal(mapped(control, places[i], count), 0);
            assert_int_equal(control->total_pages, WORLD_PAGES);
        }
    }
    assert_int_equal(reserve(control, XENMEM_populate_physmap, ORDER_1G + 1, 0), 0);
    assert_int_equal(reserve(guest, XENMEM_populate_physmap, ORDER_2M + 1, LARGE_GFN), 0);
    assert_int_equal(guest->total_pages, WORLD_PAGES);
}

static void large_extents_make_way(void **state)
{
    (void)state;
    sim_interrupt_every(1);
    assert_int_equal(reserve(control, XENMEM_populate_physmap, ORDER_16M, LARGE_GFN), 1);
    assert_int_equal(world_restarts, STEPS_16M - 1);
    assert_int_equal(control->total_pages, WORLD_PAGES + (1UL << ORDER_16M));
    assert_int_equal(reserve(control, XENMEM_decrease_reservation, ORDER_16M, LARGE_GFN), 1);
    assert_int_equal(world_restarts, STEPS_16M - 1);
    assert_int_equal(control->total_pages, WORLD_PAGES);
}

static void an_extent_that_does_not_fit_is_undone(void **state)
{
    (void)state;
    for (unsigned int steps = 0; steps < STEPS_16M; steps++) {
        control->max_pages = WORLD_PAGES + steps * 512UL + 511;
        for (unsigned int interrupts = 0; interrupts < 2; interrupts++) {
            sim_interrupt_every(interrupts);
            assert_int_equal(reserve(control, XENMEM_populate_physmap, ORDER_16M, LARGE_GFN), 0);
            assert_int_equal(mapped(control, LARGE_GFN, 1UL << ORDER_16M), 0);
            assert_int_equal(control->total_pages, WORLD_PAGES);
        }
        // To and fro, but for the step that fails and the last that is undone.
        assert_int_equal(world_restarts, steps ? 2 * steps - 1 : 0);
    }
}

static void an_extent_without_memory_for_tables_is_undone(void **state)
{
    unsigned int failures = 0;

    (void)state;
    for (uint64_t at = 1;; at++) {
        sim_heap_fail_at(at);
        if (reserve(guest, XENMEM_populate_physmap, 4, LARGE_GFN + 3) == 1) {
            break;
        }
        failures++;
        assert_true(sim_heap_failed());
        assert_int_equal(mapped(guest, LARGE_GFN, 64), 0);
        assert_int_equal(guest->total_pages, WORLD_PAGES);
    }
    assert_true(failures >= 16);
}

static void invented_progress_touches_only_what_the_caller_may(void **state)
{
    struct xen_memory_reservation r = reservation(DOMID_SELF, ORDER_2M, 1);
    const uint64_t tops[] = {1UL << 63, 511UL << 54, ~0UL << 54, 1UL << 53};

    (void)state;
    for (unsigned int i = 0; i < ARRAY_SIZE(tops); i++) {
        struct hypercall call = {
            .arg = {XENMEM_populate_physmap | tops[i], ARGUMENT_GFN << PAGE_SHIFT}};

        list(guest, GFN_LIST)[0] = LARGE_GFN;
        memcpy(world_page(guest, ARGUMENT_GFN), &r, sizeof(r));
        sim_cpu_enter(0, guest->vcpus[0]);
        do_memory_op(&call);
        assert_int_equal(control->total_pages, WORLD_PAGES);
        assert_true(guest->total_pages <= WORLD_PAGES + 512);
    }
}

static int64_t map_batch(unsigned int space, uint64_t count, domid_t foreign)
{
    struct xen_add_to_physmap_batch b = {
        .domid = DOMID_SELF, .space = (uint16_t)space, .size = (uint16_t)count};

    b.u.foreign_domid = foreign;
    b.idxs.p = list_handle(INDEX_LIST);
    b.gpfns.p = list_handle(GFN_LIST);
    b.errs.p = list_handle(ERROR_LIST);
    return world_memory_op(control->vcpus[0], XENMEM_add_to_physmap_batch, &b, sizeof(b));
}

static void foreign_pages_are_mapped_in_pieces(void **state)
{
    const int *errors = world_page(control, ERROR_LIST);

    (void)state;
    for (uint64_t i = 0; i < 200; i++) {
        list(control, INDEX_LIST)[i] = i == 100 ? FREE_GFN : i % WORLD_PAGES;
        list(control, GFN_LIST)[i] = LARGE_GFN + i;
    }
    sim_interrupt_every(1);
    assert_int_equal(map_batch(XENMAPSPACE_gmfn_foreign, 200, guest->id), 0);
    assert_int_equal(world_restarts, 6);
    for (uint64_t i = 0; i < 200; i++) {
        struct p2m_entry entry = p2m_lookup(control, GFN(LARGE_GFN + i));

        assert_int_equal(errors[i], i == 100 ? -XEN_EINVAL : 0);
        assert_int_equal(entry.type, i == 100 ? P2M_INVALID : P2M_FOREIGN);
        if (i != 100) {
            assert_int_equal(entry.mfn.n, p2m_lookup(guest, GFN(i % WORLD_PAGES)).mfn.n);
        }
    }
}

// Resources.

static int64_t acquire(unsigned int type, unsigned int id, uint64_t frame, uint32_t *count,
                       bool with_list)
{
    struct xen_mem_acquire_resource r = {
        .domid = guest->id, .type = (uint16_t)type, .id = id, .nr_frames = *count, .frame = frame};
    int64_t result;

    r.frame_list.p = with_list ? list_handle(GFN_LIST) : NULL;
    result = world_memory_op(control->vcpus[0], XENMEM_acquire_resource, &r, sizeof(r));
    *count = r.nr_frames;
    return result;
}

static void grant_frames_are_a_resource(void **state)
{
    const unsigned int type = XENMEM_resource_grant_table;
    const unsigned int shared = XENMEM_resource_grant_table_id_shared;
    uint32_t count = 0;

    (void)state;
    assert_int_equal(acquire(type, shared, 0, &count, false), 0);
    assert_int_equal(count, 4);
    count = 0;
    assert_int_equal(acquire(type, XENMEM_resource_grant_table_id_status, 0, &count, false), 0);
    assert_int_equal(count, 1);
    for (uint64_t i = 0; i < 8; i++) {
        list(control, GFN_LIST)[i] = FREE_GFN + i;
    }
    count = 4;
    assert_int_equal(acquire(type, shared, 0, &count, true), 0);
    for (uint64_t i = 0; i < 4; i++) {
        mfn_t mfn;

        assert_int_equal(grant_table_frame(guest, i, false, &mfn), 0);
        assert_int_equal(p2m_lookup(control, GFN(FREE_GFN + i)).mfn.n, mfn.n);
    }
    count = 2;
    assert_int_equal(acquire(type, shared, 3, &count, true), -XEN_EINVAL);
    list(control, GFN_LIST)[1] = ~0UL;
    assert_int_equal(acquire(type, shared, 0, &count, true), -XEN_EIO);
    count = 1;
    assert_int_equal(acquire(type, 2, 0, &count, true), -XEN_EINVAL);
    assert_int_equal(acquire(type, shared, 0, &count, false), -XEN_EINVAL);
    count = 0;
    assert_int_equal(acquire(XENMEM_resource_vmtrace_buf, 0, 0, &count, false), -XEN_EINVAL);
}

// Exchange.

static int64_t exchange(unsigned int in_order, uint64_t in_count, unsigned int out_order,
                        uint64_t out_count, uint64_t *exchanged)
{
    struct xen_memory_exchange x = {.in = reservation(DOMID_SELF, in_order, in_count),
                                    .out = reservation(DOMID_SELF, out_order, out_count),
                                    .nr_exchanged = *exchanged};
    int64_t result;

    x.out.extent_start.p = list_handle(INDEX_LIST);
    result = world_memory_op(guest->vcpus[0], XENMEM_exchange, &x, sizeof(x));
    *exchanged = x.nr_exchanged;
    return result;
}

// The guest's pages from gfn on, 2^order to an extent, into both lists or one.
static void fill_list(uint64_t where, uint64_t gfn, unsigned int order, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        list(guest, where)[i] = gfn + (i << order);
    }
}

static void single_frames_become_an_extent(void **state)
{
    uint64_t exchanged = 0;
    mfn_t before[16];

    (void)state;
    guest->max_pages = WORLD_PAGES; // exchange wants no more than there is
    for (uint64_t i = 0; i < 16; i++) {
        before[i] = p2m_lookup(guest, GFN(32 + i)).mfn;
    }
    fill_list(GFN_LIST, 32, 0, 16);
    fill_list(INDEX_LIST, 32, 2, 4);
    sim_interrupt_every(1);
    assert_int_equal(exchange(0, 16, 2, 4, &exchanged), 0);
    assert_int_equal(exchanged, 16);
    assert_int_equal(world_restarts, 3);
    assert_int_equal(guest->total_pages, WORLD_PAGES);
    for (uint64_t i = 0; i < 16; i++) {
        mfn_t mfn = p2m_lookup(guest, GFN(32 + i)).mfn;

        assert_int_equal(mfn.n % 4, i % 4);
        assert_int_equal(mfn.n - i % 4, p2m_lookup(guest, GFN(32 + i - i % 4)).mfn.n);
        assert_true(mfn.n != before[i].n);
        assert_int_equal(*list(guest, 32 + i), 0);
    }
}

static void an_extent_becomes_single_frames(void **state)
{
    uint64_t exchanged = 0;

    (void)state;
    assert_int_equal(reserve(guest, XENMEM_populate_physmap, ORDER_2M, LARGE_GFN), 1);
    fill_list(GFN_LIST, LARGE_GFN, ORDER_2M, 1);
    fill_list(INDEX_LIST, FREE_GFN, 0, 512);
    assert_int_equal(exchange(ORDER_2M, 1, 0, 512, &exchanged), 0);
    assert_int_equal(exchanged, 1);
    assert_int_equal(mapped(guest, LARGE_GFN, 512), 0);
    assert_int_equal(mapped(guest, FREE_GFN, 512), 512);
    assert_int_equal(guest->total_pages, WORLD_PAGES + 512);
    // And all of it in one large extent again.
    fill_list(GFN_LIST, FREE_GFN, 0, 512);
    fill_list(INDEX_LIST, LARGE_GFN, 0, 1);
    exchanged = 0;
    assert_int_equal(exchange(0, 512, ORDER_2M, 1, &exchanged), 0);
    assert_int_equal(exchanged, 512);
    assert_int_equal(mapped(guest, LARGE_GFN, 512), 512);
    assert_int_equal(mapped(guest, FREE_GFN, 512), 0);
}

static void what_others_use_is_not_exchanged(void **state)
{
    struct page *used = p2m_get_page(guest, GFN(38), true, NULL);
    uint64_t exchanged = 0;

    (void)state;
    fill_list(GFN_LIST, 32, 0, 16);
    fill_list(INDEX_LIST, 32, 2, 4);
    *list(guest, 36) = 0x1234;
    assert_int_equal(exchange(0, 16, 2, 4, &exchanged), -XEN_EBUSY);
    assert_int_equal(exchanged, 4); // the chunks before it
    assert_int_equal(mapped(guest, 0, WORLD_PAGES), WORLD_PAGES);
    assert_ptr_equal(mfn_to_page(p2m_lookup(guest, GFN(38)).mfn), used);
    assert_int_equal(*list(guest, 36), 0x1234);
    page_put(used);
    assert_int_equal(exchange(0, 16, 2, 4, &exchanged), 0);
    assert_int_equal(exchanged, 16);
    assert_int_equal(*list(guest, 36), 0);
    // The same frame twice, a frame that is not there, a place that is taken.
    list(guest, GFN_LIST)[1] = 32;
    exchanged = 0;
    assert_int_equal(exchange(0, 4, 2, 1, &exchanged), -XEN_ENOENT);
    list(guest, GFN_LIST)[1] = FREE_GFN;
    assert_int_equal(exchange(0, 4, 2, 1, &exchanged), -XEN_EINVAL);
    list(guest, GFN_LIST)[1] = 33;
    list(guest, INDEX_LIST)[0] = 40;
    assert_int_equal(exchange(0, 4, 2, 1, &exchanged), -XEN_EEXIST);
    assert_int_equal(exchanged, 0);
    assert_int_equal(mapped(guest, 0, WORLD_PAGES), WORLD_PAGES);
    assert_int_equal(guest->total_pages, WORLD_PAGES);
}

static void an_exchange_that_fails_changes_nothing(void **state)
{
    unsigned int failures = 0;
    uint64_t exchanged = 0;

    (void)state;
    fill_list(GFN_LIST, 32, 0, 16);
    fill_list(INDEX_LIST, 32, 4, 1);
    for (uint64_t i = 32; i < 48; i++) {
        *list(guest, i) = i;
    }
    for (uint64_t at = 1;; at++) {
        sim_heap_fail_at(at);
        exchanged = 0;
        if (!exchange(0, 16, 4, 1, &exchanged)) {
            break;
        }
        failures++;
        assert_int_equal(exchanged, 0);
        assert_int_equal(guest->total_pages, WORLD_PAGES);
        for (uint64_t i = 32; i < 48; i++) {
            assert_int_equal(*list(guest, i), i);
        }
    }
    assert_true(failures >= 2);
    assert_int_equal(exchanged, 16);
}

static void an_exchange_has_to_be_sound(void **state)
{
    uint64_t exchanged = 0;

    (void)state;
    assert_int_equal(exchange(0, 4, 2, 2, &exchanged), -XEN_EINVAL);
    assert_int_equal(exchange(ORDER_2M + 1, 1, ORDER_2M + 1, 1, &exchanged), -XEN_EINVAL);
    assert_int_equal(exchange(0, ~0UL, 0, ~0UL, &exchanged), -XEN_EINVAL);
    exchanged = 5;
    assert_int_equal(exchange(0, 4, 2, 1, &exchanged), -XEN_EINVAL);
    exchanged = 2; // in the middle of a chunk
    assert_int_equal(exchange(0, 4, 2, 1, &exchanged), -XEN_EINVAL);
    exchanged = 0;
    assert_int_equal(exchange(0, 0, 0, 0, &exchanged), 0);
}

static void the_rest_has_its_answers(void **state)
{
    struct vcpu *v = guest->vcpus[0];
    uint64_t nothing[8] = {0};
    xen_pod_target_t target = {.domid = guest->id, .target_pages = 5};
    struct xen_memory_reservation claim = {.domid = guest->id, .nr_extents = 100};

    (void)state;
    assert_int_equal(world_memory_op(v, XENMEM_get_sharing_freed_pages, nothing, 8), 0);
    assert_int_equal(world_memory_op(v, XENMEM_access_op, nothing, 64), -XEN_ENODEV);
    assert_int_equal(world_memory_op(v, XENMEM_paging_op, nothing, 64), -XEN_EOPNOTSUPP);
    assert_int_equal(world_memory_op(v, XENMEM_get_vnumainfo, nothing, 64), -XEN_EOPNOTSUPP);
    assert_int_equal(world_memory_op(v, 63, nothing, 64), -XEN_ENOSYS);
    assert_int_equal(world_memory_op(v, XENMEM_get_pod_target, &target, sizeof(target)),
                     -XEN_EPERM);
    v = control->vcpus[0];
    assert_int_equal(world_memory_op(v, XENMEM_set_pod_target, &target, sizeof(target)), 0);
    assert_int_equal(target.tot_pages, WORLD_PAGES);
    assert_int_equal(target.pod_entries, 0);
    assert_int_equal(world_memory_op(v, XENMEM_claim_pages, &claim, sizeof(claim)), 0);
    assert_int_equal(guest->outstanding_claim, 100 - WORLD_PAGES);
    claim.nr_extents = 0;
    assert_int_equal(world_memory_op(v, XENMEM_claim_pages, &claim, sizeof(claim)), 0);
    claim.nr_extents = 1UL << 40;
    assert_int_equal(world_memory_op(v, XENMEM_claim_pages, &claim, sizeof(claim)), -XEN_ENOMEM);
    claim.domid = 99;
    assert_int_equal(world_memory_op(v, XENMEM_claim_pages, &claim, sizeof(claim)), -XEN_ESRCH);
}

#define memory_test(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        memory_test(extents_of_all_sizes),
        memory_test(large_extents_make_way),
        memory_test(an_extent_that_does_not_fit_is_undone),
        memory_test(an_extent_without_memory_for_tables_is_undone),
        memory_test(invented_progress_touches_only_what_the_caller_may),
        memory_test(foreign_pages_are_mapped_in_pieces),
        memory_test(grant_frames_are_a_resource),
        memory_test(single_frames_become_an_extent),
        memory_test(an_extent_becomes_single_frames),
        memory_test(what_others_use_is_not_exchanged),
        memory_test(an_exchange_that_fails_changes_nothing),
        memory_test(an_exchange_has_to_be_sound),
        memory_test(the_rest_has_its_answers),
    };

    return cmocka_run_group_tests(tests, world_start, NULL);
}
