// SPDX-License-Identifier: Apache-2.0
// XENMEM_populate_physmap, _decrease_reservation and what counts pages; dispatch of memory_op.
//
// Lists of extents are read in pieces into a local array and worked off one extent at a time; the
// number of extents done travels in the upper bits of the sub-operation, as the ABI has it, so the
// operations can make way after any extent. What fails at an extent leaves earlier ones done, and
// the result says how many.
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

#define PIECE 32u // extents read at a time
#define OP_MASK ((1UL << MEMOP_EXTENT_SHIFT) - 1)

static int64_t restart_at(struct hypercall *call, uint64_t done)
{
    call->arg[0] = (call->arg[0] & OP_MASK) | done << MEMOP_EXTENT_SHIFT;
    return hypercall_restart(call);
}

// Fills 2^order frames from gfn with fresh memory, in the largest pieces that the tables take.
// All or nothing.
static int populate_extent(struct domain *d, gfn_t gfn, unsigned int order, unsigned int flags)
{
    unsigned int step = order >= ORDER_1G ? ORDER_1G : order >= ORDER_2M ? ORDER_2M : ORDER_4K;
    uint64_t done;
    int error = 0;

    for (done = 0; done < 1UL << order && !error; done += 1UL << step) {
        struct page *page = domain_page_alloc(d, step, flags);

        if (!page) {
            error = -XEN_ENOMEM;
            break;
        }
        error = p2m_set(d, gfn_add(gfn, done), page_to_mfn(page), step, P2M_RAM);
        for (uint64_t i = 0; error && i < 1UL << step; i++) {
            page_put(page + i);
        }
    }
    while (error && done) {
        done -= 1UL << step;
        p2m_clear(d, gfn_add(gfn, done), step);
    }
    return error;
}

static int decrease_extent(struct domain *d, gfn_t gfn, unsigned int order)
{
    int error = 0;

    // Orders between the tables' sizes are cleared page by page.
    unsigned int step = order == ORDER_1G || order == ORDER_2M ? order : ORDER_4K;

    p2m_batch_begin(d);
    for (uint64_t i = 0; i < 1UL << order && !error; i += 1UL << step) {
        error = p2m_clear(d, gfn_add(gfn, i), step);
    }
    p2m_batch_end(d);
    return error;
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

static int one_extent(unsigned int op, struct domain *d, const struct xen_memory_reservation *r,
                      gfn_t gfn)
{
    unsigned int order = (unsigned int)r->extent_order;

    if (gfn.n & ((1UL << order) - 1) && order >= ORDER_2M) {
        return -XEN_EINVAL;
    }
    if (op == XENMEM_populate_physmap) {
        return populate_extent(d, gfn, order, allocation_flags(r));
    }
    return decrease_extent(d, gfn, order);
}

static int64_t work_extents(struct hypercall *call, unsigned int op, struct domain *d,
                            const struct xen_memory_reservation *r, uint64_t done)
{
    xen_pfn_t piece[PIECE];

    while (done < r->nr_extents) {
        uint64_t count = MIN((uint64_t)PIECE, r->nr_extents - done);

        if (copy_from_handle(piece, r->extent_start, done, count)) {
            return (int64_t)done;
        }
        for (uint64_t i = 0; i < count; i++) {
            if (one_extent(op, d, r, GFN(piece[i]))) {
                return (int64_t)done;
            }
            done++;
            if (done < r->nr_extents && preempt_needed()) {
                return restart_at(call, done);
            }
        }
    }
    return (int64_t)done;
}

static int64_t reservation_op(struct hypercall *call, unsigned int op)
{
    uint64_t done = call->arg[0] >> MEMOP_EXTENT_SHIFT;
    struct xen_memory_reservation r;
    struct domain *d;
    int64_t result;
    int error;

    if (copy_from_guest(&r, GVA(call->arg[1]), sizeof(r))) {
        return (int64_t)done;
    }
    if (done > r.nr_extents || r.nr_extents > (~0UL >> MEMOP_EXTENT_SHIFT) ||
        r.extent_order > max_order() || op == XENMEM_increase_reservation ||
        (r.mem_flags & XENMEMF_populate_on_demand)) {
        return (int64_t)done;
    }
    d = domain_get_controlled(r.domid, &error);
    if (!d) {
        return (int64_t)done;
    }
    result = work_extents(call, op, d, &r, done);
    domain_put(d);
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
    default:
        return arch_memory_op(op, call);
    }
}
