// SPDX-License-Identifier: Apache-2.0
// Grant tables: frames, growth, versions.
//
// See grant_internal.h for data and locking. Growing prepares a frame completely and then counts
// it. Status frames (version 2) are made along with the frames they belong to, and kept when the
// guest goes back to version 1. A change of version waits for operations on entries to finish; it
// converts the reserved entries, in use or not, and empties the others.

#include <bulkhead/console.h>
#include <bulkhead/heap.h>
#include <bulkhead/page.h>
#include <bulkhead/string.h>
#include "grant_internal.h"

#define DEFAULT_FRAMES 64
#define DEFAULT_MAPTRACK 1024
#define LIMIT_FRAMES 2048
#define LIMIT_MAPTRACK 65536
#define ACTIVE_ORDER 2u
#define USERS_LOCKED_OUT 0x80000000u
#define IN_USE ((uint16_t)(GTF_reading | GTF_writing))

_Static_assert(GRANT_V1_PER_FRAME * sizeof(struct active_grant) <= PAGE_SIZE << ACTIVE_ORDER,
               "the records of a frame take four pages");

int grant_table_create(struct domain *d, int32_t max_frames, int32_t max_maptrack,
                       uint32_t max_version)
{
    struct grant_table *t;

    max_frames = max_frames < 0 ? DEFAULT_FRAMES : max_frames;
    max_maptrack = max_maptrack < 0 ? DEFAULT_MAPTRACK : max_maptrack;
    if (max_frames == 0 || max_frames > LIMIT_FRAMES || max_maptrack > LIMIT_MAPTRACK ||
        max_version < 1 || max_version > 2) {
        return -XEN_EINVAL;
    }
    t = heap_new(struct grant_table);
    if (!t) {
        return -XEN_ENOMEM;
    }
    spin_lock_init(&t->lock);
    spin_lock_init(&t->map_lock);
    t->version = 1;
    t->max_version = max_version;
    t->max_frames = (uint32_t)max_frames;
    t->max_chunks = (uint32_t)max_maptrack;
    t->first_free = ~0u;
    t->frames = heap_alloc_array(t->max_frames, sizeof(*t->frames));
    t->status =
        heap_alloc_array(DIV_ROUND_UP(t->max_frames * GRANT_V2_PER_FRAME, GRANT_STATUS_PER_FRAME),
                         sizeof(*t->status));
    if (!t->frames || !t->status) {
        heap_free(t->frames);
        heap_free(t->status);
        heap_free(t);
        return -XEN_ENOMEM;
    }
    d->max_grant_frames = t->max_frames;
    d->max_maptrack_frames = t->max_chunks;
    d->grants = t;
    return 0;
}

static void put_shared(void *p)
{
    page_put(mfn_to_page(heap_mfn(p)));
}

void grant_table_free(struct domain *d)
{
    struct grant_table *t = d->grants;

    if (!t) {
        return;
    }
    for (uint32_t i = 0; i < t->frame_count; i++) {
        put_shared(t->frames[i].shared);
        heap_free_pages(t->frames[i].active, ACTIVE_ORDER);
    }
    for (uint32_t i = 0; i < t->status_count; i++) {
        put_shared(t->status[i].words);
    }
    grant_map_free(t);
    heap_free(t->frames);
    heap_free(t->status);
    heap_free(t);
    d->grants = NULL;
}

void grant_enter(struct grant_table *t)
{
    while (__atomic_fetch_add(&t->users, 1, __ATOMIC_ACQUIRE) & USERS_LOCKED_OUT) {
        __atomic_fetch_sub(&t->users, 1, __ATOMIC_RELAXED);
        while (__atomic_load_n(&t->users, __ATOMIC_RELAXED) & USERS_LOCKED_OUT) {
            arch_spin_wait();
        }
    }
}

void grant_leave(struct grant_table *t)
{
    __atomic_fetch_sub(&t->users, 1, __ATOMIC_RELEASE);
}

// table.lock is held.
static void lock_users_out(struct grant_table *t)
{
    __atomic_fetch_or(&t->users, USERS_LOCKED_OUT, __ATOMIC_ACQUIRE);
    while (__atomic_load_n(&t->users, __ATOMIC_ACQUIRE) != USERS_LOCKED_OUT) {
        arch_spin_wait();
    }
}

static void let_users_in(struct grant_table *t)
{
    __atomic_fetch_and(&t->users, ~USERS_LOCKED_OUT, __ATOMIC_RELEASE);
}

static uint32_t entry_count(const struct grant_table *t)
{
    uint32_t frames = __atomic_load_n(&t->frame_count, __ATOMIC_ACQUIRE);

    return frames * (uint32_t)(t->version == 1 ? GRANT_V1_PER_FRAME : GRANT_V2_PER_FRAME);
}

struct active_grant *grant_active_at(const struct grant_table *t, grant_ref_t ref)
{
    if (ref >= entry_count(t)) {
        return NULL;
    }
    return &t->frames[ref / GRANT_V1_PER_FRAME].active[ref % GRANT_V1_PER_FRAME];
}

static uint32_t status_frames_for(uint32_t frames)
{
    return (uint32_t)DIV_ROUND_UP(frames * GRANT_V2_PER_FRAME, GRANT_STATUS_PER_FRAME);
}

uint32_t grant_status_frames(const struct grant_table *t)
{
    return t->version == 2 ? status_frames_for(t->frame_count) : 0;
}

static int add_status_frames(struct domain *d, uint32_t wanted)
{
    struct grant_table *t = d->grants;

    while (t->status_count < wanted) {
        struct grant_status_frame *status = &t->status[t->status_count];

        status->words = domain_shared_page_alloc(d);
        if (!status->words) {
            return -XEN_ENOMEM;
        }
        status->gfn = INVALID_GFN;
        t->status_count++;
    }
    return 0;
}

static int add_frame(struct domain *d)
{
    struct grant_table *t = d->grants;
    struct grant_frame *frame = &t->frames[t->frame_count];

    if (t->version == 2 && add_status_frames(d, status_frames_for(t->frame_count + 1))) {
        return -XEN_ENOMEM;
    }
    frame->gfn = INVALID_GFN;
    frame->active = heap_alloc_pages(ACTIVE_ORDER, 0);
    if (!frame->active) {
        return -XEN_ENOMEM;
    }
    for (uint32_t i = 0; i < GRANT_V1_PER_FRAME; i++) {
        spin_lock_init(&frame->active[i].lock);
    }
    frame->shared = domain_shared_page_alloc(d);
    if (!frame->shared) {
        heap_free_pages(frame->active, ACTIVE_ORDER);
        return -XEN_ENOMEM;
    }
    __atomic_store_n(&t->frame_count, t->frame_count + 1, __ATOMIC_RELEASE);
    return 0;
}

static int grow_locked(struct domain *d, uint64_t frames)
{
    int error = frames > d->grants->max_frames ? -XEN_EINVAL : 0;

    while (!error && d->grants->frame_count < frames) {
        error = add_frame(d);
    }
    return error;
}

int grant_table_grow(struct domain *d, uint32_t frames)
{
    int error;

    spin_lock(&d->grants->lock);
    error = grow_locked(d, frames);
    spin_unlock(&d->grants->lock);
    return error;
}

int grant_table_frame(struct domain *d, uint64_t index, bool status, mfn_t *mfn)
{
    struct grant_table *t = d->grants;
    int error;

    spin_lock(&t->lock);
    if (!status) {
        error = index < t->max_frames ? grow_locked(d, index + 1) : -XEN_EINVAL;
        if (!error) {
            *mfn = heap_mfn(t->frames[index].shared);
        }
    } else if (t->version != 2 || index >= status_frames_for(t->max_frames)) {
        error = -XEN_EINVAL;
    } else {
        uint64_t first_ref = index * GRANT_STATUS_PER_FRAME;

        error = grow_locked(d, first_ref / GRANT_V2_PER_FRAME + 1);
        if (!error) {
            *mfn = heap_mfn(t->status[index].words);
        }
    }
    spin_unlock(&t->lock);
    return error;
}

gfn_t grant_table_get_gfn(struct domain *d, uint64_t index, bool status)
{
    struct grant_table *t = d->grants;
    gfn_t gfn = INVALID_GFN;

    spin_lock(&t->lock);
    if (status && index < t->status_count) {
        gfn = t->status[index].gfn;
    } else if (!status && index < t->frame_count) {
        gfn = t->frames[index].gfn;
    }
    spin_unlock(&t->lock);
    return gfn;
}

void grant_table_set_gfn(struct domain *d, uint64_t index, bool status, gfn_t gfn)
{
    struct grant_table *t = d->grants;

    spin_lock(&t->lock);
    if (status && index < t->status_count) {
        t->status[index].gfn = gfn;
    } else if (!status && index < t->frame_count) {
        t->frames[index].gfn = gfn;
    }
    spin_unlock(&t->lock);
}

// Whether an entry beyond the reserved ones is in use. There may be tens of thousands: few
// instructions for each.
static bool any_active(const struct grant_table *t)
{
    grant_ref_t count = entry_count(t);

    for (grant_ref_t ref = GNTTAB_NR_RESERVED_ENTRIES; ref < count; ref++) {
        const struct active_grant *active =
            &t->frames[ref / GRANT_V1_PER_FRAME].active[ref % GRANT_V1_PER_FRAME];

        if (active->readers || active->writers) {
            return true;
        }
    }
    return false;
}

// Reads a reserved entry in either version as version 2, with the marks of use in its flags.
// -ERANGE if version 1 cannot express it.
static int read_reserved(const struct grant_table *t, grant_ref_t ref, union grant_entry_v2 *entry)
{
    const struct grant_entry_v1 *v1 = t->frames[0].shared;
    const union grant_entry_v2 *v2 = t->frames[0].shared;

    memset(entry, 0, sizeof(*entry));
    if (t->version == 1) {
        entry->full_page.hdr.flags = v1[ref].flags;
        entry->full_page.hdr.domid = v1[ref].domid;
        entry->full_page.frame = v1[ref].frame;
        return 0;
    }
    *entry = v2[ref];
    entry->hdr.flags |= t->status[0].words[ref] & IN_USE;
    return (entry->hdr.flags & GTF_type_mask) == GTF_transitive ||
                   (entry->hdr.flags & GTF_sub_page) || entry->full_page.frame > UINT32_MAX
               ? -XEN_ERANGE
               : 0;
}

static void write_reserved(struct grant_table *t, grant_ref_t ref,
                           const union grant_entry_v2 *entry)
{
    struct grant_entry_v1 *v1 = t->frames[0].shared;
    union grant_entry_v2 *v2 = t->frames[0].shared;

    if (t->version == 1) {
        v1[ref].domid = entry->hdr.domid;
        v1[ref].frame = (uint32_t)entry->full_page.frame;
        __atomic_store_n(&v1[ref].flags, entry->hdr.flags, __ATOMIC_RELEASE);
        return;
    }
    v2[ref] = *entry;
    v2[ref].hdr.flags &= (uint16_t)~IN_USE;
    t->status[0].words[ref] = entry->hdr.flags & IN_USE;
}

// Rewrites the table for the other version; nobody else works on entries.
static int convert(struct grant_table *t, uint32_t version)
{
    union grant_entry_v2 reserved[GNTTAB_NR_RESERVED_ENTRIES];

    if (any_active(t)) {
        return -XEN_EBUSY;
    }
    for (grant_ref_t ref = 0; t->frame_count && ref < ARRAY_SIZE(reserved); ref++) {
        if (read_reserved(t, ref, &reserved[ref])) {
            return -XEN_ERANGE;
        }
    }
    for (uint32_t i = 0; i < t->frame_count; i++) {
        memset(t->frames[i].shared, 0, PAGE_SIZE);
    }
    for (uint32_t i = 0; i < t->status_count; i++) {
        memset(t->status[i].words, 0, PAGE_SIZE);
    }
    t->version = version;
    for (grant_ref_t ref = 0; t->frame_count && ref < ARRAY_SIZE(reserved); ref++) {
        write_reserved(t, ref, &reserved[ref]);
    }
    return 0;
}

int grant_set_version(struct domain *d, uint32_t version)
{
    struct grant_table *t = d->grants;
    int error = 0;

    if (version != 1 && version != 2) {
        return -XEN_EINVAL;
    }
    if (version > t->max_version) {
        return -XEN_ENOSYS; // as if there were no versions
    }
    spin_lock(&t->lock);
    if (version == 2) {
        error = add_status_frames(d, status_frames_for(t->frame_count));
    }
    if (!error && version != t->version) {
        lock_users_out(t);
        error = convert(t, version);
        let_users_in(t);
    }
    spin_unlock(&t->lock);
    return error;
}

int grant_table_seed(struct domain *d, grant_ref_t ref, domid_t to, gfn_t gfn)
{
    struct grant_table *t = d->grants;
    union grant_entry_v2 entry = {
        .full_page = {.hdr = {.flags = GTF_permit_access, .domid = to}, .frame = gfn.n}};
    int error;

    if (ref >= GNTTAB_NR_RESERVED_ENTRIES || gfn.n > UINT32_MAX) {
        return -XEN_EINVAL;
    }
    spin_lock(&t->lock);
    error = grow_locked(d, 1);
    if (!error) {
        write_reserved(t, ref, &entry);
    }
    spin_unlock(&t->lock);
    return error;
}

void grant_table_dump(struct domain *d)
{
    struct grant_table *t = d->grants;

    log_error("domain %u: grant table version %u, %u of %u frames", d->id, t->version,
              t->frame_count, t->max_frames);
    grant_enter(t);
    for (grant_ref_t ref = 0; ref < entry_count(t); ref++) {
        struct active_grant *active = grant_active_at(t, ref);

        spin_lock(&active->lock);
        if (active->readers || active->writers) {
            log_error("  %u: used by domain %u, frame 0x%llx, %u readers, %u writers", ref,
                      active->domid,
                      (unsigned long long)(active->page ? page_to_mfn(active->page).n : 0),
                      active->readers, active->writers);
        }
        spin_unlock(&active->lock);
    }
    grant_leave(t);
}
