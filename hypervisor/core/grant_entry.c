// SPDX-License-Identifier: Apache-2.0
// Taking entries of a grant table into use and releasing them.
//
// The guest sees that an entry is in use by GTF_reading and GTF_writing in its flags (version 1) or
// status word (version 2), and does not reuse the frame while either is set. It may change the
// entry at any time, so version 1 is marked by a compare-and-exchange of flags and domid together;
// version 2 by setting the status and then reading flags and domid again. Retries are bounded.
// The first use records frame and range; later ones use the record. The last one gives the frame
// back. Locking: between grant_enter and grant_leave, the entry's active_grant.lock.
// Errors: GNTST_*; an entry that could not be taken is left unmarked.

#include <bulkhead/arch/domain.h>
#include <bulkhead/console.h>
#include <bulkhead/page.h>
#include "grant_internal.h"

#define MARK_TRIES 8u
#define MAX_USES 0x7fffffffu

static struct grant_entry_v1 *v1_at(const struct grant_table *t, grant_ref_t ref)
{
    struct grant_entry_v1 *entries = t->frames[ref / GRANT_V1_PER_FRAME].shared;

    return &entries[ref % GRANT_V1_PER_FRAME];
}

static union grant_entry_v2 *v2_at(const struct grant_table *t, grant_ref_t ref)
{
    union grant_entry_v2 *entries = t->frames[ref / GRANT_V2_PER_FRAME].shared;

    return &entries[ref % GRANT_V2_PER_FRAME];
}

static grant_status_t *status_at(const struct grant_table *t, grant_ref_t ref)
{
    return &t->status[ref / GRANT_STATUS_PER_FRAME].words[ref % GRANT_STATUS_PER_FRAME];
}

static uint16_t marks_for(unsigned int flags)
{
    return flags & PIN_WRITE ? GTF_reading | GTF_writing : GTF_reading;
}

// Both versions begin with flags and domid, read and exchanged as one.
static uint32_t *header_of(const struct grant_table *t, grant_ref_t ref)
{
    return t->version == 1 ? (uint32_t *)v1_at(t, ref) : (uint32_t *)v2_at(t, ref);
}

// What a header permits a user.
static bool permits(uint32_t header, domid_t user, unsigned int flags)
{
    uint16_t entry_flags = (uint16_t)header;
    uint16_t type = entry_flags & GTF_type_mask;

    if (header >> 16 != user || ((flags & PIN_WRITE) && (entry_flags & GTF_readonly))) {
        return false;
    }
    return type == GTF_permit_access || (type == GTF_transitive && (flags & PIN_TRANSITIVE));
}

static void unmark(const struct grant_table *t, grant_ref_t ref, uint16_t marks)
{
    uint16_t *word = t->version == 1 ? &v1_at(t, ref)->flags : status_at(t, ref);

    __atomic_fetch_and(word, (uint16_t)~marks, __ATOMIC_RELEASE);
}

// Marks the entry and gives its flags as they were then. already: marks that are set and stay so
// on failure.
static int16_t mark(const struct grant_table *t, grant_ref_t ref, domid_t user, unsigned int flags,
                    uint16_t already, uint16_t *entry_flags)
{
    uint32_t *word = header_of(t, ref);
    uint16_t marks = marks_for(flags);
    uint32_t header = __atomic_load_n(word, __ATOMIC_ACQUIRE);

    for (unsigned int tries = 0; tries < MARK_TRIES; tries++) {
        bool done;

        if (!permits(header, user, flags)) {
            return GNTST_general_error;
        }
        *entry_flags = (uint16_t)header;
        if (t->version == 1) {
            done = __atomic_compare_exchange_n(word, &header, header | marks, false,
                                               __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE);
        } else {
            uint32_t before = header;

            __atomic_fetch_or(status_at(t, ref), marks, __ATOMIC_SEQ_CST);
            header = __atomic_load_n(word, __ATOMIC_SEQ_CST);
            done = header == before;
            if (!done) {
                unmark(t, ref, (uint16_t)(marks & ~already));
            }
        }
        if (done) {
            return GNTST_okay;
        }
    }
    return GNTST_general_error; // the guest keeps changing it
}

// Reads what a marked entry grants into its record (page: not yet) and *gfn.
static bool read_entry(const struct grant_table *t, grant_ref_t ref, uint16_t entry_flags,
                       struct active_grant *active, gfn_t *gfn)
{
    active->page = NULL;
    active->start = 0;
    active->length = PAGE_SIZE;
    active->kind = ACTIVE_PAGE;
    if (t->version == 1) {
        *gfn = GFN(__atomic_load_n(&v1_at(t, ref)->frame, __ATOMIC_RELAXED));
        return (entry_flags & GTF_type_mask) == GTF_permit_access && !(entry_flags & GTF_sub_page);
    }
    if ((entry_flags & GTF_type_mask) == GTF_transitive) {
        active->kind = ACTIVE_TRANSITIVE;
        return true;
    }
    *gfn = GFN(__atomic_load_n(&v2_at(t, ref)->full_page.frame, __ATOMIC_RELAXED));
    if (entry_flags & GTF_sub_page) {
        active->kind = ACTIVE_SUB_PAGE;
        active->start = __atomic_load_n(&v2_at(t, ref)->sub_page.page_off, __ATOMIC_RELAXED);
        active->length = __atomic_load_n(&v2_at(t, ref)->sub_page.length, __ATOMIC_RELAXED);
    }
    return active->start <= PAGE_SIZE && active->length <= PAGE_SIZE - active->start;
}

// Only a domain's own frames can be granted, not what it maps of others or the hypervisor's.
static int16_t get_granted_page(struct domain *granter, gfn_t gfn, bool write,
                                struct active_grant *active)
{
    enum p2m_type type = P2M_INVALID;
    struct page *page = p2m_get_page(granter, gfn, write, &type);

    if (page && !p2m_is_ram(type)) {
        p2m_put_page(page);
        page = NULL;
    }
    active->page = page;
    active->page_read_only = type == P2M_RAM_RO;
    return page ? GNTST_okay : GNTST_bad_page;
}

static int16_t first_use(struct domain *granter, grant_ref_t ref, domid_t user, unsigned int flags,
                         struct active_grant *active)
{
    struct grant_table *t = granter->grants;
    uint16_t entry_flags;
    gfn_t gfn = INVALID_GFN;
    int16_t status = mark(t, ref, user, flags, 0, &entry_flags);

    if (status != GNTST_okay) {
        return status;
    }
    if (!read_entry(t, ref, entry_flags, active, &gfn) ||
        (active->kind != ACTIVE_PAGE && !(flags & PIN_COPY))) {
        status = GNTST_general_error;
    } else if (active->kind != ACTIVE_TRANSITIVE) {
        status = get_granted_page(granter, gfn, flags & PIN_WRITE, active);
    }
    if (status != GNTST_okay) {
        unmark(t, ref, GTF_reading | GTF_writing);
        return status;
    }
    active->domid = user;
    return GNTST_okay;
}

// Whether one more use is compatible with the record; a first writer is marked.
static int16_t further_use(const struct grant_table *t, grant_ref_t ref, domid_t user,
                           unsigned int flags, struct active_grant *active)
{
    uint16_t entry_flags;

    if (active->domid != user || active->readers + active->writers >= MAX_USES ||
        (active->kind != ACTIVE_PAGE && !(flags & PIN_COPY)) ||
        (active->kind == ACTIVE_TRANSITIVE && !(flags & PIN_TRANSITIVE)) ||
        ((flags & PIN_WRITE) && active->page_read_only)) {
        return GNTST_general_error;
    }
    if (active->writers || !(flags & PIN_WRITE)) {
        return GNTST_okay;
    }
    return mark(t, ref, user, flags, GTF_reading, &entry_flags);
}

int16_t grant_pin(struct domain *granter, grant_ref_t ref, domid_t user, unsigned int flags,
                  struct grant_pin *pin)
{
    struct grant_table *t = granter->grants;
    struct active_grant *active;
    int16_t status = GNTST_bad_gntref;

    grant_enter(t);
    active = grant_active_at(t, ref);
    if (active) {
        spin_lock(&active->lock);
        if (active->readers || active->writers) {
            status = further_use(t, ref, user, flags, active);
        } else {
            status = first_use(granter, ref, user, flags, active);
        }
        if (status == GNTST_okay) {
            *(flags & PIN_WRITE ? &active->writers : &active->readers) += 1;
            pin->page = active->page;
            pin->start = active->start;
            pin->length = active->length;
            if (active->kind == ACTIVE_TRANSITIVE) {
                union grant_entry_v2 *entry = v2_at(t, ref);

                pin->next_domain =
                    __atomic_load_n(&entry->transitive.trans_domid, __ATOMIC_RELAXED);
                pin->next_ref = __atomic_load_n(&entry->transitive.gref, __ATOMIC_RELAXED);
            }
        }
        spin_unlock(&active->lock);
    }
    grant_leave(t);
    return status;
}

void grant_unpin(struct domain *granter, grant_ref_t ref, bool write)
{
    struct grant_table *t = granter->grants;
    struct active_grant *active;
    struct page *page = NULL;
    uint16_t marks = 0;

    grant_enter(t);
    active = grant_active_at(t, ref);
    spin_lock(&active->lock);
    CHECK(write ? active->writers : active->readers);
    *(write ? &active->writers : &active->readers) -= 1;
    if (!active->writers) {
        marks = active->readers ? GTF_writing : GTF_reading | GTF_writing;
    }
    if (!active->writers && !active->readers) {
        page = active->page;
        active->page = NULL;
    }
    if (marks) {
        unmark(t, ref, marks);
    }
    spin_unlock(&active->lock);
    grant_leave(t);
    if (page) {
        p2m_put_page(page);
    }
}

int16_t grant_swap(struct domain *d, grant_ref_t a, grant_ref_t b)
{
    struct grant_table *t = d->grants;
    struct active_grant *first, *second;
    int16_t status = GNTST_okay;

    if (a == b) {
        return GNTST_okay;
    }
    grant_enter(t);
    first = grant_active_at(t, MIN(a, b));
    second = grant_active_at(t, MAX(a, b));
    if (!first || !second) {
        grant_leave(t);
        return GNTST_bad_gntref;
    }
    spin_lock(&first->lock);
    spin_lock(&second->lock);
    if (first->readers || first->writers || second->readers || second->writers) {
        status = GNTST_eagain;
    } else if (t->version == 1) {
        struct grant_entry_v1 entry = *v1_at(t, a);

        *v1_at(t, a) = *v1_at(t, b);
        *v1_at(t, b) = entry;
    } else {
        union grant_entry_v2 entry = *v2_at(t, a);

        *v2_at(t, a) = *v2_at(t, b);
        *v2_at(t, b) = entry;
    }
    spin_unlock(&second->lock);
    spin_unlock(&first->lock);
    grant_leave(t);
    return status;
}
