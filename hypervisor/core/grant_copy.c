// SPDX-License-Identifier: Apache-2.0
// GNTTABOP_copy: copies within a page between frames named by grant reference or, for the caller's
// own, by guest frame number.
//
// Data: for each side of a copy the pinned grant (two for a transitive one: the caller uses A's
// grant, which A passes on from B) or the referenced frame. Successive copies of a batch often
// name the same frame, so a side is kept until another is wanted or the batch ends.
// Locking: none held while copying; the frames cannot go away, and the granter sees that they are
// in use.

#include <bulkhead/arch/domain.h>
#include <bulkhead/cpu.h>
#include <bulkhead/mapping.h>
#include <bulkhead/page.h>
#include <bulkhead/string.h>
#include "grant_internal.h"

struct copy_side {
    bool held, by_ref, write;
    domid_t domid;
    uint64_t name; // the reference or frame number as the caller gave it
    struct page *page;
    uint32_t start, end;           // the accessible bytes
    struct domain *granter, *next; // referenced; next: of a transitive grant
    grant_ref_t ref, next_ref;
};

static void release_side(struct copy_side *side)
{
    if (!side->held) {
        return;
    }
    side->held = false;
    if (!side->by_ref) {
        p2m_put_page(side->page);
        return;
    }
    if (side->next) {
        grant_unpin(side->next, side->next_ref, side->write);
        domain_put(side->next);
    }
    grant_unpin(side->granter, side->ref, side->write);
    domain_put(side->granter);
}

// The grant that side->granter's transitive one passes on. On success side->next is pinned.
static int16_t pin_next(struct copy_side *side, struct grant_pin *pin)
{
    struct domain *next = NULL;
    int16_t status = GNTST_general_error;

    side->next_ref = pin->next_ref;
    // Its own grants a domain passes on to nobody; and only ordinary domains have any.
    if (pin->next_domain < DOMID_FIRST_RESERVED && pin->next_domain != side->granter->id) {
        next = domain_get_alive(pin->next_domain);
        status = GNTST_bad_domain;
    }
    if (!next) {
        return status;
    }
    status = grant_pin(next, side->next_ref, side->granter->id,
                       PIN_COPY | (side->write ? PIN_WRITE : 0), pin);
    if (status == GNTST_okay) {
        side->next = next;
    } else {
        domain_put(next);
    }
    return status;
}

static int16_t acquire_ref(struct copy_side *side)
{
    unsigned int flags = PIN_COPY | PIN_TRANSITIVE | (side->write ? PIN_WRITE : 0);
    struct grant_pin pin;
    int16_t status;

    side->ref = (grant_ref_t)side->name;
    side->next = NULL;
    side->granter = domain_get_alive(side->domid);
    if (!side->granter) {
        return GNTST_bad_domain;
    }
    status = grant_pin(side->granter, side->ref, current_domain()->id, flags, &pin);
    if (status == GNTST_okay && !pin.page) {
        status = pin_next(side, &pin);
        if (status != GNTST_okay) {
            grant_unpin(side->granter, side->ref, side->write);
        }
    }
    if (status != GNTST_okay) {
        domain_put(side->granter);
        return status;
    }
    side->page = pin.page;
    side->start = pin.start;
    side->end = pin.start + pin.length;
    return GNTST_okay;
}

static int16_t acquire_own(struct copy_side *side)
{
    if (side->domid != DOMID_SELF) {
        return GNTST_permission_denied;
    }
    side->page = p2m_get_page(current_domain(), GFN(side->name), side->write, NULL);
    side->start = 0;
    side->end = PAGE_SIZE;
    return side->page ? GNTST_okay : GNTST_bad_page;
}

// Makes side hold what ptr names, unless it does.
static int16_t acquire_side(struct copy_side *side, const struct gnttab_copy_ptr *ptr, bool by_ref)
{
    uint64_t name = by_ref ? ptr->u.ref : ptr->u.gmfn;
    int16_t status;

    if (side->held && side->by_ref == by_ref && side->domid == ptr->domid && side->name == name) {
        return GNTST_okay;
    }
    release_side(side);
    side->by_ref = by_ref;
    side->domid = ptr->domid;
    side->name = name;
    status = by_ref ? acquire_ref(side) : acquire_own(side);
    side->held = status == GNTST_okay;
    return status;
}

static bool in_range(const struct copy_side *side, uint32_t offset, uint32_t length)
{
    return offset >= side->start && offset + length <= side->end;
}

static int16_t copy_one(const struct gnttab_copy *op, struct copy_side *from, struct copy_side *to)
{
    char *mapped_from, *mapped_to;
    int16_t status;

    if (op->source.offset + (uint32_t)op->len > PAGE_SIZE ||
        op->dest.offset + (uint32_t)op->len > PAGE_SIZE) {
        return GNTST_bad_copy_arg;
    }
    status = acquire_side(from, &op->source, op->flags & GNTCOPY_source_gref);
    if (status == GNTST_okay) {
        status = acquire_side(to, &op->dest, op->flags & GNTCOPY_dest_gref);
    }
    if (status != GNTST_okay) {
        return status;
    }
    if (!in_range(from, op->source.offset, op->len) || !in_range(to, op->dest.offset, op->len)) {
        return GNTST_general_error;
    }
    mapped_from = map_frame(page_to_mfn(from->page));
    mapped_to = map_frame(page_to_mfn(to->page));
    if (from->page == to->page) { // mapped at two addresses: overlap shows only in one of them
        memmove(mapped_from + op->dest.offset, mapped_from + op->source.offset, op->len);
    } else {
        memcpy(mapped_to + op->dest.offset, mapped_from + op->source.offset, op->len);
    }
    unmap_frame(mapped_to);
    unmap_frame(mapped_from);
    return GNTST_okay;
}

void grant_copy_batch(struct gnttab_copy *ops, unsigned int count)
{
    struct copy_side from = {.write = false}, to = {.write = true};

    for (unsigned int i = 0; i < count; i++) {
        ops[i].status = copy_one(&ops[i], &from, &to);
    }
    release_side(&from);
    release_side(&to);
}
