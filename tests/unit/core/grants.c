// SPDX-License-Identifier: Apache-2.0
// See grants.h.

#include "grants.h"

void *grants_frame(struct domain *d, uint64_t index, bool status)
{
    mfn_t mfn;

    assert_int_equal(grant_table_frame(d, index, status, &mfn), 0);
    return sim_memory(mfn);
}

struct grant_entry_v1 *grants_v1(struct domain *d, grant_ref_t ref)
{
    return (struct grant_entry_v1 *)grants_frame(d, ref / 512, false) + ref % 512;
}

union grant_entry_v2 *grants_v2(struct domain *d, grant_ref_t ref)
{
    return (union grant_entry_v2 *)grants_frame(d, ref / 256, false) + ref % 256;
}

uint16_t *grants_status(struct domain *d, grant_ref_t ref)
{
    return (uint16_t *)grants_frame(d, ref / 2048, true) + ref % 2048;
}

void grants_give(struct domain *d, grant_ref_t ref, domid_t to, uint64_t gfn, uint16_t flags)
{
    struct grant_entry_v1 *entry = grants_v1(d, ref);

    entry->domid = to;
    entry->frame = (uint32_t)gfn;
    __atomic_store_n(&entry->flags, GTF_permit_access | flags, __ATOMIC_RELEASE);
}

void grants_give_v2(struct domain *d, grant_ref_t ref, domid_t to, uint64_t gfn, uint16_t flags)
{
    union grant_entry_v2 *entry = grants_v2(d, ref);

    entry->full_page.hdr.domid = to;
    entry->full_page.frame = gfn;
    __atomic_store_n(&entry->hdr.flags, GTF_permit_access | flags, __ATOMIC_RELEASE);
}

bool grants_end(struct domain *d, grant_ref_t ref)
{
    struct grant_entry_v1 *entry = grants_v1(d, ref);
    uint16_t flags = __atomic_load_n(&entry->flags, __ATOMIC_SEQ_CST);

    return !(flags & (GTF_reading | GTF_writing)) &&
           __atomic_compare_exchange_n(&entry->flags, &flags, 0, false, __ATOMIC_SEQ_CST,
                                       __ATOMIC_SEQ_CST);
}

int64_t grants_set_version(struct domain *d, uint32_t version)
{
    struct gnttab_set_version op = {.version = version};
    int64_t result = world_grant_op(d->vcpus[0], GNTTABOP_set_version, &op, sizeof(op), 1);

    if (!result) {
        assert_int_equal(op.version, version);
    }
    return result;
}

int16_t grants_map(struct domain *mapper, domid_t granter, grant_ref_t ref, uint64_t gfn,
                   uint32_t flags, grant_handle_t *handle)
{
    struct gnttab_map_grant_ref op = {
        .host_addr = gfn << PAGE_SHIFT, .flags = flags, .ref = ref, .dom = granter};

    assert_int_equal(world_grant_op(mapper->vcpus[0], GNTTABOP_map_grant_ref, &op, sizeof(op), 1),
                     0);
    if (op.status == GNTST_okay) {
        *handle = op.handle;
        assert_true(op.dev_bus_addr == op.host_addr);
    }
    return op.status;
}

int16_t grants_unmap(struct domain *mapper, uint64_t gfn, grant_handle_t handle)
{
    struct gnttab_unmap_grant_ref op = {.host_addr = gfn << PAGE_SHIFT, .handle = handle};

    assert_int_equal(world_grant_op(mapper->vcpus[0], GNTTABOP_unmap_grant_ref, &op, sizeof(op), 1),
                     0);
    return op.status;
}
