// SPDX-License-Identifier: Apache-2.0
// XENMEM_populate_physmap, _decrease_reservation and what counts pages; dispatch of memory_op.
//
// Lists of extents are read in pieces into a local array and worked off one extent at a time. An
// extent of more than 2 MiB is worked off 2 MiB at a time: that, or one smaller extent, is what is
// done without a look at other work, about 100000 instructions at most (and the cleaning of
// 2 MiB, where none was clean). Progress travels in the upper bits of the sub-operation: extents
// done as the ABI has it, then 2 MiB done of the next one, then whether these are being undone. A
// guest that invents progress leaves out, or clears, memory that it might clear anyway.
// What fails at an extent leaves earlier ones done, and the result says how many.
// Locking: none here; p2m and page allocator have their own.

#include <bulkhead/boot_info.h>
#include <bulkhead/console.h>
#include <bulkhead/cpu.h>
#include <bulkhead/domain.h>
#include <bulkhead/guest_access.h>
#include <bulkhead/hypercall.h>
#include <bulkhead/memory_op.h>
#include <bulkhead/page.h>
#include <xen/memory.h>

#define LIST_PIECE 32u // extents read at a time
#define OP_MASK ((1UL << MEMOP_EXTENT_SHIFT) - 1)
#define EXTENT_BITS 48u
#define EXTENT_MASK ((1UL << EXTENT_BITS) - 1)
#define STEP_SHIFT (MEMOP_EXTENT_SHIFT + EXTENT_BITS)
#define STEP_MASK ((1UL << (ORDER_1G - ORDER_2M)) - 1)
#define UNDO (1UL << 63)

struct reservation {
    struct hypercall *call;
    unsigned int op, order, flags;
    struct domain *d;
    uint64_t done;      // extents
    unsigned int steps; // 2 MiB done of the next extent
    bool undo;
};

static int64_t make_way(struct reservation *w)
{
    w->call->arg[0] = w->op | w->done << MEMOP_EXTENT_SHIFT | (uint64_t)w->steps << STEP_SHIFT |
                      (w->undo ? UNDO : 0);
    return hypercall_restart(w->call);
}

// The largest mapping that 2^order frames from gfn, at most 2 MiB, are made of.
static unsigned int mapping_order(gfn_t gfn, unsigned int order)
{
    return order == ORDER_2M && !(gfn.n & ((1UL << ORDER_2M) - 1)) ? ORDER_2M : ORDER_4K;
}

static int clear_frames(struct domain *d, gfn_t gfn, unsigned int order, uint64_t count)
{
    unsigned int step = mapping_order(gfn, order);
    int error = 0;

    p2m_batch_begin(d);
    for (uint64_t i = 0; i < count && !error; i += 1UL << step) {
        error = p2m_clear(d, gfn_add(gfn, i), step);
    }
    p2m_batch_end(d);
    return error;
}

// The frame after the one that the guest has before gfn: neighbours can be mapped as one.
static mfn_t neighbour(struct domain *d, gfn_t gfn)
{
    struct p2m_entry before = gfn.n ? p2m_lookup(d, GFN(gfn.n - 1)) : (struct p2m_entry){0};

    return before.type == P2M_RAM ? mfn_add(before.mfn, 1) : INVALID_MFN;
}

// Fills 2^order frames from gfn, at most 2 MiB, with fresh memory. All or nothing.
static int populate_step(struct domain *d, gfn_t gfn, unsigned int order, unsigned int flags)
{
    unsigned int step = mapping_order(gfn, order);
    mfn_t want = step == ORDER_2M ? neighbour(d, gfn) : INVALID_MFN;
    struct page *page = domain_page_alloc_near(d, want, order, flags);
    uint64_t done = 0;
    int error = 0;

    if (!page) {
        return -XEN_ENOMEM;
    }
    p2m_batch_begin(d);
    while (done < 1UL << order && !error) {
        error = p2m_set(d, gfn_add(gfn, done), page_to_mfn(page + done), step, P2M_RAM);
        done += error ? 0 : 1UL << step;
    }
    p2m_batch_end(d);
    if (error) {
        page_put_range(page + done, (1UL << order) - done);
        clear_frames(d, gfn, order, done);
    }
    return error;
}

// 0, -XEN_ERESTART, or why it cannot be; then nothing of the extent is left.
static int populate_extent(struct reservation *w, gfn_t gfn)
{
    unsigned int order = MIN(w->order, ORDER_2M), steps = 1u << (w->order - order);
    int error = -XEN_ENOMEM;

    while (!w->undo && w->steps < steps) {
        bool begin = w->order == ORDER_1G && w->steps == 0;

        error = populate_step(w->d, gfn_add(gfn, (uint64_t)w->steps << ORDER_2M), order,
                              w->flags | (begin ? ALLOC_BEGIN_1G : 0));
        w->undo = error != 0;
        w->steps += !error;
        if (!error && w->steps < steps && preempt_needed()) {
            return -XEN_ERESTART;
        }
    }
    if (!w->undo) {
        return 0;
    }
    while (w->steps) {
        w->steps--;
        clear_frames(w->d, gfn_add(gfn, (uint64_t)w->steps << ORDER_2M), order, 1UL << order);
        if (w->steps && preempt_needed()) {
            return -XEN_ERESTART;
        }
    }
    return error;
}

static int decrease_extent(struct reservation *w, gfn_t gfn)
{
    unsigned int order = MIN(w->order, ORDER_2M), steps = 1u << (w->order - order);

    while (w->steps < steps) {
        int error =
            clear_frames(w->d, gfn_add(gfn, (uint64_t)w->steps << ORDER_2M), order, 1UL << order);

        if (error) {
            return error;
        }
        w->steps++;
        if (w->steps < steps && preempt_needed()) {
            return -XEN_ERESTART;
        }
    }
    return 0;
}

// Largest extent: a guest gets 2 MiB, the toolstack what the tables take.
static unsigned int max_order(void)
{
    return current_domain()->privileged ? ORDER_1G : ORDER_2M;
}

static unsigned int allocation_flags(const struct xen_memory_reservation *r)
{
    unsigned int bits = XENMEMF_get_address_bits(r->mem_flags);

    return bits && bits <= 32 ? ALLOC_DMA32 : 0;
}

static int64_t work_extents(struct reservation *w, const struct xen_memory_reservation *r)
{
    xen_pfn_t list[LIST_PIECE];

    while (w->done < r->nr_extents) {
        uint64_t count = MIN((uint64_t)LIST_PIECE, r->nr_extents - w->done);

        if (copy_from_handle(list, r->extent_start, w->done, count)) {
            return (int64_t)w->done;
        }
        for (uint64_t i = 0; i < count; i++) {
            int error = w->op == XENMEM_populate_physmap ? populate_extent(w, GFN(list[i]))
                                                         : decrease_extent(w, GFN(list[i]));

            if (error) {
                return error == -XEN_ERESTART ? make_way(w) : (int64_t)w->done;
            }
            w->done++;
            w->steps = 0;
            if (w->done < r->nr_extents && preempt_needed()) {
                return make_way(w);
            }
        }
    }
    return (int64_t)w->done;
}

static int64_t reservation_op(struct hypercall *call, unsigned int op)
{
    struct reservation w = {.call = call,
                            .op = op,
                            .done = call->arg[0] >> MEMOP_EXTENT_SHIFT & EXTENT_MASK,
                            .steps = call->arg[0] >> STEP_SHIFT & STEP_MASK,
                            .undo = call->arg[0] & UNDO};
    struct xen_memory_reservation r;
    int64_t result;
    int error;

    if (copy_from_guest(&r, GVA(call->arg[1]), sizeof(r))) {
        return (int64_t)w.done;
    }
    if (w.done > r.nr_extents || r.nr_extents > EXTENT_MASK || r.extent_order > max_order() ||
        op == XENMEM_increase_reservation || (r.mem_flags & XENMEMF_populate_on_demand)) {
        return (int64_t)w.done;
    }
    w.d = domain_get_controlled(r.domid, &error);
    if (!w.d) {
        return (int64_t)w.done;
    }
    w.order = (unsigned int)r.extent_order;
    w.flags = allocation_flags(&r);
    result = work_extents(&w, &r);
    domain_put(w.d);
    return result;
}

static int64_t count_op(struct hypercall *call, unsigned int op)
{
    struct xen_memory_domain arg;
    struct domain *d;
    int64_t result;
    int error;

    if (copy_from_guest(&arg, GVA(call->arg[1]), sizeof(arg))) {
        return -XEN_EFAULT;
    }
    d = domain_get_controlled(arg.domid, &error);
    if (!d) {
        return error;
    }
    result = op == XENMEM_current_reservation   ? (int64_t)d->total_pages
             : op == XENMEM_maximum_reservation ? (int64_t)d->max_pages
                                                : (int64_t)p2m_max_gfn(d);
    domain_put(d);
    return result;
}

static int64_t claim_op(struct hypercall *call)
{
    struct xen_memory_reservation r;
    struct domain *d;
    int error;

    if (!current_domain()->privileged) {
        return -XEN_EPERM;
    }
    if (copy_from_guest(&r, GVA(call->arg[1]), sizeof(r))) {
        return -XEN_EFAULT;
    }
    if (r.extent_start.p || r.extent_order || r.mem_flags) {
        return -XEN_EINVAL;
    }
    d = domain_get_alive(r.domid);
    if (!d) {
        return -XEN_ESRCH;
    }
    error = domain_claim_pages(d, r.nr_extents);
    domain_put(d);
    return error;
}

// There is no populate-on-demand: a target changes nothing, and what is there is told truthfully.
static int64_t pod_target_op(struct hypercall *call)
{
    xen_pod_target_t target;
    struct domain *d;

    if (!current_domain()->privileged) {
        return -XEN_EPERM;
    }
    if (copy_from_guest(&target, GVA(call->arg[1]), sizeof(target))) {
        return -XEN_EFAULT;
    }
    d = domain_get_alive(target.domid);
    if (!d) {
        return -XEN_ESRCH;
    }
    target.tot_pages = d->total_pages;
    target.pod_cache_pages = 0;
    target.pod_entries = 0;
    domain_put(d);
    return copy_to_guest(GVA(call->arg[1]), &target, sizeof(target));
}

int64_t do_memory_op(struct hypercall *call)
{
    unsigned int op = call->arg[0] & OP_MASK;

    switch (op) {
    case XENMEM_increase_reservation:
    case XENMEM_decrease_reservation:
    case XENMEM_populate_physmap:
        return reservation_op(call, op);
    case XENMEM_current_reservation:
    case XENMEM_maximum_reservation:
    case XENMEM_maximum_gpfn:
        return count_op(call, op);
    case XENMEM_maximum_ram_page:
        return (int64_t)frame_table_frames - 1;
    case XENMEM_claim_pages:
        return claim_op(call);
    case XENMEM_set_pod_target:
    case XENMEM_get_pod_target:
        return pod_target_op(call);
    case XENMEM_add_to_physmap:
        return memory_add_to_physmap(call);
    case XENMEM_add_to_physmap_batch:
        return memory_add_to_physmap_batch(call);
    case XENMEM_remove_from_physmap:
        return memory_remove_from_physmap(call);
    case XENMEM_acquire_resource:
        return memory_acquire_resource(call);
    case XENMEM_exchange:
        return memory_exchange(call);
    case XENMEM_get_sharing_freed_pages:
    case XENMEM_get_sharing_shared_pages:
        return 0; // frames are not shared
    case XENMEM_access_op:
        return -XEN_ENODEV; // nobody can listen to access events
    case XENMEM_paging_op:
    case XENMEM_sharing_op:
    case XENMEM_get_vnumainfo:
        return -XEN_EOPNOTSUPP;
    default:
        return arch_memory_op(op, call);
    }
}
