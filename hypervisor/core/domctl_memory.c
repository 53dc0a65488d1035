// SPDX-License-Identifier: Apache-2.0
// Domctl: how much memory a domain may have, which device memory, ports and interrupts, and what
// is mapped where.
// Locking: domctl_lock is held; the range sets and the p2m have their own locks. Permissions can
// only be passed on by who has them. Errors: ranges are checked for wrapping before use; a mapping
// that fails half-way is undone. One call maps 2 MiB or looks at 1024 frames at most, which takes
// about 100000 instructions; the caller comes again for more.

#include <bulkhead/arch/control.h>
#include <bulkhead/cpu.h>
#include <bulkhead/domain.h>
#include <bulkhead/guest_access.h>
#include <bulkhead/rangeset.h>

#include "domctl_internal.h"

#define PORTS 0x10000u
#define MAX_MAPPED_FRAMES 512u // by one call; the caller comes again for more
#define MAX_FRAME_QUERY 1024u  // as the public ABI's users expect
#define FRAME_PIECE 128u       // of a query that are read at a time
#define FRAME_LIMIT (1UL << 40)

int domctl_max_mem(struct domain *d, struct xen_domctl *op)
{
    uint64_t pages = op->u.max_mem.max_memkb >> (PAGE_SHIFT - 10);

    // May be less than it has now: then it gets no more until it has given some back.
    spin_lock(&d->page_lock);
    d->max_pages = pages;
    spin_unlock(&d->page_lock);
    return 0;
}

// There is one node, so an affinity that includes it says nothing, and any other is impossible.
int domctl_set_node_affinity(struct domain *d, struct xen_domctl *op)
{
    const struct xenctl_bitmap *map = &op->u.nodeaffinity.nodemap;
    uint8_t first = 0;

    (void)d;
    if (map->nr_bits && copy_from_guest(&first, guest_handle_address(map->bitmap), 1)) {
        return -XEN_EFAULT;
    }
    return first & 1 ? 0 : -XEN_EINVAL;
}

int domctl_get_node_affinity(struct domain *d, struct xen_domctl *op)
{
    const struct xenctl_bitmap *map = &op->u.nodeaffinity.nodemap;
    gva_t at = guest_handle_address(map->bitmap);
    uint32_t bytes = MIN(DIV_ROUND_UP(map->nr_bits, 8u), (uint32_t)PAGE_SIZE);
    uint8_t first = 1;

    (void)d;
    if (bytes && (clear_guest(at, bytes) || copy_to_guest(at, &first, 1))) {
        return -XEN_EFAULT;
    }
    return 0;
}

// Lets or forbids d what the caller may do himself.
static int permit(struct rangeset *own, struct rangeset *set, uint64_t first, uint64_t last,
                  bool allow)
{
    if (!rangeset_contains(own, first, last)) {
        return -XEN_EPERM;
    }
    return allow ? rangeset_add(set, first, last) : rangeset_remove(set, first, last);
}

int domctl_iomem_permission(struct domain *d, struct xen_domctl *op)
{
    struct xen_domctl_iomem_permission *request = &op->u.iomem_permission;

    if (!request->nr_mfns || request->first_mfn >= FRAME_LIMIT || request->nr_mfns > FRAME_LIMIT) {
        return -XEN_EINVAL;
    }
    return permit(current_domain()->io_memory, d->io_memory, request->first_mfn,
                  request->first_mfn + request->nr_mfns - 1, request->allow_access);
}

int domctl_ioport_permission(struct domain *d, struct xen_domctl *op)
{
    struct xen_domctl_ioport_permission *request = &op->u.ioport_permission;
    int error;

    if (!request->nr_ports || request->nr_ports > PORTS ||
        request->first_port > PORTS - request->nr_ports) {
        return -XEN_EINVAL;
    }
    domain_pause(d);
    error = permit(current_domain()->io_ports, d->io_ports, request->first_port,
                   request->first_port + request->nr_ports - 1, request->allow_access);
    if (!error) {
        error = arch_domain_update_ports(d);
    }
    domain_unpause(d);
    return error;
}

int domctl_irq_permission(struct domain *d, struct xen_domctl *op)
{
    struct xen_domctl_irq_permission *request = &op->u.irq_permission;

    return permit(current_domain()->irqs, d->irqs, request->pirq, request->pirq,
                  request->allow_access);
}

int domctl_gsi_permission(struct domain *d, struct xen_domctl *op)
{
    struct xen_domctl_gsi_permission *request = &op->u.gsi_permission;

    if (request->flags & ~(uint32_t)XEN_DOMCTL_GSI_ACTION_MASK) {
        return -XEN_EINVAL;
    }
    return permit(current_domain()->irqs, d->irqs, request->gsi, request->gsi,
                  request->flags & XEN_DOMCTL_GSI_GRANT);
}

// Whether the range is one large mapping, made or to be made.
static bool is_large(gfn_t gfn, mfn_t mfn, uint64_t count)
{
    return count == 1UL << ORDER_2M && !((gfn.n | mfn.n) & (count - 1));
}

static void unmap(struct domain *d, gfn_t gfn, mfn_t mfn, uint64_t count)
{
    struct p2m_entry entry;

    p2m_batch_begin(d);
    entry = p2m_lookup(d, gfn);
    if (is_large(gfn, mfn, count) && entry.order >= ORDER_2M && entry.mfn.n == mfn.n) {
        p2m_clear(d, gfn, ORDER_2M);
        count = 0;
    }
    for (uint64_t i = 0; i < count; i++) {
        p2m_clear_match(d, gfn_add(gfn, i), mfn_add(mfn, i));
    }
    p2m_batch_end(d);
}

static int map(struct domain *d, gfn_t gfn, mfn_t mfn, uint64_t count)
{
    unsigned int order = is_large(gfn, mfn, count) ? ORDER_2M : ORDER_4K;
    uint64_t done = 0;
    int error = 0;

    p2m_batch_begin(d);
    while (done < count && !error) {
        error = p2m_set_new(d, gfn_add(gfn, done), mfn_add(mfn, done), order, P2M_MMIO);
        done += error ? 0 : 1UL << order;
    }
    p2m_batch_end(d);
    if (error) {
        unmap(d, gfn, mfn, done);
    }
    return error;
}

int domctl_memory_mapping(struct domain *d, struct xen_domctl *op)
{
    struct xen_domctl_memory_mapping *request = &op->u.memory_mapping;
    uint64_t last = request->first_mfn + request->nr_mfns - 1;
    gfn_t gfn = GFN(request->first_gfn);
    mfn_t mfn = MFN(request->first_mfn);

    if (!request->nr_mfns || request->first_mfn >= FRAME_LIMIT ||
        request->first_gfn >= FRAME_LIMIT || request->nr_mfns > FRAME_LIMIT) {
        return -XEN_EINVAL;
    }
    if (!rangeset_contains(current_domain()->io_memory, request->first_mfn, last) ||
        !rangeset_contains(d->io_memory, request->first_mfn, last)) {
        return -XEN_EPERM;
    }
    if (request->nr_mfns > MAX_MAPPED_FRAMES) {
        return -XEN_E2BIG;
    }
    if (request->add_mapping == DPCI_ADD_MAPPING) {
        return map(d, gfn, mfn, request->nr_mfns);
    }
    unmap(d, gfn, mfn, request->nr_mfns);
    return 0;
}

static uint64_t frame_type(struct domain *d, uint64_t gfn)
{
    struct p2m_entry entry = p2m_lookup(d, GFN(gfn));

    // What of a domain's memory a copy of it has to include.
    return p2m_is_ram(entry.type) ? XEN_DOMCTL_PFINFO_NOTAB : XEN_DOMCTL_PFINFO_XTAB;
}

int domctl_page_frame_info(struct domain *d, struct xen_domctl *op)
{
    struct xen_domctl_getpageframeinfo3 *request = &op->u.getpageframeinfo3;
    xen_pfn_t piece[FRAME_PIECE];

    if (request->num > MAX_FRAME_QUERY) {
        return -XEN_E2BIG;
    }
    for (uint64_t done = 0; done < request->num; done += FRAME_PIECE) {
        uint64_t count = MIN((uint64_t)FRAME_PIECE, request->num - done);

        if (copy_from_handle(piece, request->array, done, count)) {
            return -XEN_EFAULT;
        }
        for (uint64_t i = 0; i < count; i++) {
            piece[i] = frame_type(d, piece[i]);
        }
        if (copy_to_handle(request->array, done, piece, count)) {
            return -XEN_EFAULT;
        }
    }
    return 0;
}
