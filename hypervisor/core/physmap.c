// SPDX-License-Identifier: Apache-2.0
// What a domain asks to have mapped where in its memory: the shared page, grant table pages, pages
// of other domains, resources.
//
// Each request names a source, which gives a referenced frame or an error, and a place, where
// p2m_set puts it; whatever was there before is dropped by p2m_set. Lists are worked off in pieces
// of 32, about 100000 instructions at most, and may make way after each; how far a list has come
// travels in the upper bits of the sub-operation. Pages of another domain are mapped with one flush
// for a piece. (Grant table frames are not: the grant table's lock is outside the p2m's.)

#include <bulkhead/console.h>
#include <bulkhead/cpu.h>
#include <bulkhead/domain.h>
#include <bulkhead/grant_table.h>
#include <bulkhead/guest_access.h>
#include <bulkhead/heap.h>
#include <bulkhead/memory_op.h>
#include <bulkhead/page.h>
#include <xen/memory.h>

#define PIECE 32u

struct batch_piece {
    xen_ulong_t indices[PIECE];
    xen_pfn_t gfns[PIECE];
    int errors[PIECE];
};

static int map_shared_info(struct domain *d, gfn_t gfn)
{
    int error = 0;

    if (d->shared_info_gfn.n != INVALID_GFN.n && d->shared_info_gfn.n != gfn.n) {
        p2m_clear_match(d, d->shared_info_gfn, heap_mfn(d->shared_info));
    }
    error = p2m_set(d, gfn, heap_mfn(d->shared_info), 0, P2M_SHARED);
    d->shared_info_gfn = error ? INVALID_GFN : gfn;
    return error;
}

static int map_grant_table(struct domain *d, uint64_t index, gfn_t gfn)
{
    bool status = index & XENMAPIDX_grant_table_status;
    gfn_t old;
    mfn_t mfn;
    int error = 0;

    index &= ~(uint64_t)XENMAPIDX_grant_table_status;
    error = grant_table_frame(d, index, status, &mfn);
    if (error) {
        return error;
    }
    old = grant_table_get_gfn(d, index, status);
    if (old.n != INVALID_GFN.n && old.n != gfn.n) {
        p2m_clear_match(d, old, mfn);
    }
    error = p2m_set(d, gfn, mfn, 0, P2M_SHARED);
    grant_table_set_gfn(d, index, status, error ? INVALID_GFN : gfn);
    return error;
}

// Moves a page of the domain's own to another place.
static int move_page(struct domain *d, gfn_t from, gfn_t to)
{
    enum p2m_type type;
    struct page *page;
    int error = 0;

    if (from.n == to.n) {
        return 0;
    }
    page = p2m_get_page(d, from, true, &type);
    if (!page) {
        return -XEN_EINVAL;
    }
    error = type == P2M_RAM ? p2m_set(d, to, page_to_mfn(page), 0, P2M_RAM) : -XEN_EINVAL;
    if (error) {
        page_put(page);
        return error;
    }
    return p2m_clear_match(d, from, page_to_mfn(page));
}

// Maps a page of another domain that the caller controls; only its own memory, not what it has
// mapped of third ones.
static int map_foreign(struct domain *d, struct domain *from, gfn_t source, gfn_t gfn)
{
    enum p2m_type type;
    struct page *page;
    bool own;
    int error = 0;

    page = p2m_get_page(from, source, false, &type);
    if (!page) {
        return -XEN_EINVAL;
    }
    own = p2m_is_ram(type) || type == P2M_SHARED;
    error = own ? p2m_set(d, gfn, page_to_mfn(page), 0,
                          type == P2M_RAM_RO ? P2M_FOREIGN_RO : P2M_FOREIGN)
                : -XEN_EPERM;
    if (error) {
        page_put(page);
    }
    return error;
}

static int map_one(struct domain *d, unsigned int space, struct domain *foreign, uint64_t index,
                   gfn_t gfn)
{
    switch (space) {
    case XENMAPSPACE_shared_info:
        return index ? -XEN_EINVAL : map_shared_info(d, gfn);
    case XENMAPSPACE_grant_table:
        return map_grant_table(d, index, gfn);
    case XENMAPSPACE_gmfn:
        return move_page(d, GFN(index), gfn);
    case XENMAPSPACE_gmfn_foreign:
        return foreign ? map_foreign(d, foreign, GFN(index), gfn) : -XEN_EINVAL;
    default:
        return -XEN_ENOSYS;
    }
}

int64_t memory_add_pages(struct hypercall *call, const struct xen_add_to_physmap *arg)
{
    bool range = arg->space == XENMAPSPACE_gmfn_range;
    uint64_t done = call->arg[0] >> MEMOP_EXTENT_SHIFT, count = range ? arg->size : 1;
    struct domain *d;
    int error = 0;

    if (arg->space == XENMAPSPACE_gmfn_foreign) {
        return -XEN_ENOSYS; // has no place for the foreign domain: the batch form has
    }
    d = domain_get_controlled(arg->domid, &error);
    if (!d) {
        return error;
    }
    for (; done < count && !error; done++) {
        if (preempt_needed()) {
            domain_put(d);
            call->arg[0] = XENMEM_add_to_physmap | done << MEMOP_EXTENT_SHIFT;
            return hypercall_restart(call);
        }
        error = map_one(d, range ? XENMAPSPACE_gmfn : arg->space, NULL, arg->idx + done,
                        GFN(arg->gpfn + done));
    }
    domain_put(d);
    return error;
}

int64_t memory_add_to_physmap(struct hypercall *call)
{
    struct xen_add_to_physmap arg;

    if (copy_from_guest(&arg, GVA(call->arg[1]), sizeof(arg))) {
        return -XEN_EFAULT;
    }
    return memory_add_pages(call, &arg);
}

static void map_piece(const struct xen_add_to_physmap_batch *b, struct domain *d,
                      struct domain *foreign, struct batch_piece *piece, uint64_t count)
{
    bool together = b->space == XENMAPSPACE_gmfn_foreign;

    if (together) {
        p2m_batch_begin(d);
    }
    for (uint64_t i = 0; i < count; i++) {
        piece->errors[i] = map_one(d, b->space, foreign, piece->indices[i], GFN(piece->gfns[i]));
    }
    if (together) {
        p2m_batch_end(d);
    }
}

static int64_t batch_work(struct hypercall *call, const struct xen_add_to_physmap_batch *b,
                          struct domain *d, struct domain *foreign, uint64_t done)
{
    struct batch_piece piece;

    while (done < b->size) {
        uint64_t count = MIN((uint64_t)PIECE, b->size - done);

        if (copy_from_handle(piece.indices, b->idxs, done, count) ||
            copy_from_handle(piece.gfns, b->gpfns, done, count)) {
            return -XEN_EFAULT;
        }
        map_piece(b, d, foreign, &piece, count);
        if (copy_to_handle(b->errs, done, piece.errors, count)) {
            return -XEN_EFAULT;
        }
        done += count;
        if (done < b->size && preempt_needed()) {
            call->arg[0] = XENMEM_add_to_physmap_batch | done << MEMOP_EXTENT_SHIFT;
            return hypercall_restart(call);
        }
    }
    return 0;
}

int64_t memory_add_to_physmap_batch(struct hypercall *call)
{
    uint64_t done = call->arg[0] >> MEMOP_EXTENT_SHIFT;
    struct domain *d, *foreign = NULL;
    struct xen_add_to_physmap_batch b;
    int64_t result;
    int error = 0;

    if (copy_from_guest(&b, GVA(call->arg[1]), sizeof(b))) {
        return -XEN_EFAULT;
    }
    if (done > b.size) {
        return -XEN_EINVAL;
    }
    d = domain_get_controlled(b.domid, &error);
    if (!d) {
        return error;
    }
    if (b.space == XENMAPSPACE_gmfn_foreign) {
        foreign = domain_get_controlled(b.u.foreign_domid, &error);
        if (!foreign) {
            domain_put(d);
            return error;
        }
    }
    result = batch_work(call, &b, d, foreign, done);
    if (foreign) {
        domain_put(foreign);
    }
    domain_put(d);
    return result;
}

int64_t memory_remove_page(const struct xen_remove_from_physmap *arg)
{
    struct p2m_entry entry;
    struct domain *d;
    int error = 0;

    d = domain_get_controlled(arg->domid, &error);
    if (!d) {
        return error;
    }
    entry = p2m_lookup(d, GFN(arg->gpfn));
    error = entry.type == P2M_INVALID ? -XEN_ENOENT : p2m_clear(d, GFN(arg->gpfn), 0);
    domain_put(d);
    return error;
}

int64_t memory_remove_from_physmap(struct hypercall *call)
{
    struct xen_remove_from_physmap arg;

    if (copy_from_guest(&arg, GVA(call->arg[1]), sizeof(arg))) {
        return -XEN_EFAULT;
    }
    return memory_remove_page(&arg);
}

// Frames that the resource may have at most; 0: there is no such resource.
static uint64_t resource_size(const struct domain *from, const struct xen_mem_acquire_resource *r)
{
    uint64_t entries = from->max_grant_frames * (PAGE_SIZE / sizeof(grant_entry_v2_t));

    if (r->type != XENMEM_resource_grant_table) {
        return 0;
    }
    switch (r->id) {
    case XENMEM_resource_grant_table_id_shared:
        return from->max_grant_frames;
    case XENMEM_resource_grant_table_id_status:
        return DIV_ROUND_UP(entries, PAGE_SIZE / sizeof(grant_status_t));
    default:
        return 0;
    }
}

static int map_resource_frame(struct domain *d, struct domain *from, bool status, uint64_t index,
                              gfn_t gfn)
{
    struct page *page;
    mfn_t mfn;
    int error = grant_table_frame(from, index, status, &mfn);

    if (error) {
        return error;
    }
    page = mfn_to_page(mfn);
    if (!page_get(page, from)) {
        return -XEN_EINVAL;
    }
    error = p2m_set(d, gfn, mfn, 0, P2M_FOREIGN);
    if (error) {
        page_put(page);
    }
    return error;
}

static int64_t acquire_frames(struct hypercall *call, struct domain *from,
                              const struct xen_mem_acquire_resource *r, uint64_t done)
{
    bool status = r->id == XENMEM_resource_grant_table_id_status;
    xen_pfn_t gfns[PIECE];

    while (done < r->nr_frames) {
        uint64_t count = MIN((uint64_t)PIECE, r->nr_frames - done);

        if (copy_from_handle(gfns, r->frame_list, done, count)) {
            return done ? -XEN_EIO : -XEN_EFAULT;
        }
        for (uint64_t i = 0; i < count; i++, done++) {
            int error =
                map_resource_frame(current_domain(), from, status, r->frame + done, GFN(gfns[i]));

            if (error) {
                return done ? -XEN_EIO : error; // -EIO: some are mapped, the caller unmaps
            }
        }
        if (done < r->nr_frames && preempt_needed()) {
            call->arg[0] = XENMEM_acquire_resource | done << MEMOP_EXTENT_SHIFT;
            return hypercall_restart(call);
        }
    }
    return 0;
}

// Of the resources that the ABI names there are the grant tables; domains have no trace buffer.
int64_t memory_acquire_resource(struct hypercall *call)
{
    uint64_t done = call->arg[0] >> MEMOP_EXTENT_SHIFT, size;
    struct xen_mem_acquire_resource r;
    struct domain *from;
    int64_t result;
    int error = 0;

    if (copy_from_guest(&r, GVA(call->arg[1]), sizeof(r))) {
        return -XEN_EFAULT;
    }
    if (r.pad || (!r.frame_list.p && r.nr_frames) || done > r.nr_frames) {
        return -XEN_EINVAL;
    }
    from = domain_get_controlled(r.domid, &error);
    if (!from) {
        return error;
    }
    size = resource_size(from, &r);
    if (!size || r.frame > size || r.nr_frames > size - r.frame) {
        result = -XEN_EINVAL;
    } else if (!r.frame_list.p) {
        r.nr_frames = (uint32_t)size;
        result = copy_to_guest(GVA(call->arg[1]), &r, sizeof(r));
    } else {
        result = acquire_frames(call, from, &r, done);
    }
    domain_put(from);
    return result;
}
