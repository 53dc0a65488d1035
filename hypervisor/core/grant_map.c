// SPDX-License-Identifier: Apache-2.0
// Mapping granted frames into a domain, and undoing it.
//
// Data: handles are indices into chunks of struct grant_mapping; free ones form a list. A mapping
// in use is its mapper's alone; undoing one claims it first (MAPPING_BUSY), so two vcpus that name
// the same handle do not both undo it. The address given at mapping is remembered: an unmapping
// that names another is refused, and whatever the guest has put in the mapping's place meanwhile
// stays.
// A domain with second-level tables has one address space for its processors and its devices, so
// GNTMAP_device_map comes with GNTMAP_host_map and ends with it.
// Order: the frame is pinned before it becomes visible; it leaves the p2m, and the TLBs are
// flushed, once for a batch, before it is unpinned.
// Locking: map_lock for the free list and the chunks; see grant_internal.h.

#include <bulkhead/arch/domain.h>
#include <bulkhead/cpu.h>
#include <bulkhead/heap.h>
#include <bulkhead/page.h>
#include "grant_internal.h"

#define NO_HANDLE (~0u)
#define CHUNK_ORDER 1u
#define UNMAP_AT_ONCE 16u
#define RELEASES_BEFORE_PREEMPTION 4u // batches

_Static_assert(MAPPINGS_PER_CHUNK * sizeof(struct grant_mapping) == PAGE_SIZE << CHUNK_ORDER,
               "a chunk is two pages");

static struct grant_mapping *mapping_at(const struct grant_table *t, grant_handle_t handle)
{
    if (handle / MAPPINGS_PER_CHUNK >= __atomic_load_n(&t->chunk_count, __ATOMIC_ACQUIRE)) {
        return NULL;
    }
    return &t->chunks[handle / MAPPINGS_PER_CHUNK][handle % MAPPINGS_PER_CHUNK];
}

// map_lock is held.
static bool add_chunk(struct grant_table *t)
{
    struct grant_mapping *chunk;
    uint32_t first = t->chunk_count * MAPPINGS_PER_CHUNK;

    if (t->chunk_count >= t->max_chunks) {
        return false;
    }
    if (!t->chunks) {
        t->chunks = heap_alloc_array(t->max_chunks, sizeof(*t->chunks));
    }
    chunk = t->chunks ? heap_alloc_pages(CHUNK_ORDER, 0) : NULL;
    if (!chunk) {
        return false;
    }
    for (uint32_t i = 0; i < MAPPINGS_PER_CHUNK; i++) {
        chunk[i].next_free = i + 1 < MAPPINGS_PER_CHUNK ? first + i + 1 : t->first_free;
    }
    t->chunks[t->chunk_count] = chunk;
    t->first_free = first;
    __atomic_store_n(&t->chunk_count, t->chunk_count + 1, __ATOMIC_RELEASE);
    return true;
}

static grant_handle_t take_handle(struct grant_table *t)
{
    grant_handle_t handle = NO_HANDLE;

    spin_lock(&t->map_lock);
    if (t->first_free != NO_HANDLE || add_chunk(t)) {
        handle = t->first_free;
        t->first_free = mapping_at(t, handle)->next_free;
    }
    spin_unlock(&t->map_lock);
    return handle;
}

static void return_handle(struct grant_table *t, grant_handle_t handle)
{
    struct grant_mapping *mapping = mapping_at(t, handle);

    __atomic_store_n(&mapping->state, 0, __ATOMIC_RELEASE);
    spin_lock(&t->map_lock);
    mapping->next_free = t->first_free;
    t->first_free = handle;
    spin_unlock(&t->map_lock);
}

void grant_map_free(struct grant_table *t)
{
    for (uint32_t i = 0; i < t->chunk_count; i++) {
        heap_free_pages(t->chunks[i], CHUNK_ORDER);
    }
    heap_free(t->chunks);
}

// Pins the grant and makes it visible at gfn; on success *mapping is filled in and not yet in use.
static int16_t establish(struct domain *mapper, struct domain *granter,
                         const struct gnttab_map_grant_ref *op, struct grant_mapping *mapping)
{
    bool write = !(op->flags & GNTMAP_readonly);
    gfn_t gfn = gpa_to_gfn(GPA(op->host_addr));
    struct grant_pin pin;
    int16_t status = grant_pin(granter, op->ref, mapper->id, write ? PIN_WRITE : 0, &pin);
    int error;

    if (status != GNTST_okay) {
        return status;
    }
    error = p2m_set(mapper, gfn, page_to_mfn(pin.page), ORDER_4K, write ? P2M_GRANT : P2M_GRANT_RO);
    if (error) {
        grant_unpin(granter, op->ref, write);
        return error == -XEN_ENOMEM ? GNTST_no_space : GNTST_bad_virt_addr;
    }
    mapping->granter = granter;
    mapping->page = pin.page;
    mapping->gfn = gfn;
    mapping->ref = op->ref;
    return GNTST_okay;
}

static int16_t map_one(struct domain *mapper, struct gnttab_map_grant_ref *op)
{
    struct grant_table *t = mapper->grants;
    struct domain *granter;
    grant_handle_t handle;
    int16_t status;

    if (!(op->flags & GNTMAP_host_map) || (op->flags & GNTMAP_contains_pte)) {
        return GNTST_general_error;
    }
    if (op->host_addr == 0 || (op->host_addr & ~PAGE_MASK)) { // 0 means none when unmapping
        return GNTST_bad_virt_addr;
    }
    granter = domain_get_alive(op->dom);
    if (!granter) {
        return GNTST_bad_domain;
    }
    handle = take_handle(t);
    if (handle == NO_HANDLE) {
        status = GNTST_no_space;
    } else {
        struct grant_mapping *mapping = mapping_at(t, handle);

        status = establish(mapper, granter, op, mapping);
        if (status == GNTST_okay) {
            op->handle = handle;
            op->dev_bus_addr = op->host_addr;
            __atomic_store_n(&mapping->state,
                             MAPPING_USED | (op->flags & (GNTMAP_readonly | GNTMAP_device_map)),
                             __ATOMIC_RELEASE);
            return GNTST_okay; // granter's reference is the mapping's now
        }
        return_handle(t, handle);
    }
    domain_put(granter);
    return status;
}

void grant_map_batch(struct gnttab_map_grant_ref *ops, unsigned int count)
{
    struct domain *mapper = current_domain();

    for (unsigned int i = 0; i < count; i++) {
        ops[i].status = map_one(mapper, &ops[i]);
    }
}

// Claims a mapping to undo it: no other vcpu can.
static struct grant_mapping *claim(const struct grant_table *t, grant_handle_t handle)
{
    struct grant_mapping *mapping = mapping_at(t, handle);
    uint32_t state = mapping ? __atomic_load_n(&mapping->state, __ATOMIC_ACQUIRE) : 0;

    if (!(state & MAPPING_USED) || (state & MAPPING_BUSY) ||
        !__atomic_compare_exchange_n(&mapping->state, &state, state | MAPPING_BUSY, false,
                                     __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
        return NULL;
    }
    return mapping;
}

static void unclaim(struct grant_mapping *mapping)
{
    __atomic_fetch_and(&mapping->state, ~MAPPING_BUSY, __ATOMIC_RELEASE);
}

// Undoes up to UNMAP_AT_ONCE claimed mappings with one flush.
static void undo_claimed(struct domain *mapper, const grant_handle_t *handles, unsigned int count)
{
    struct grant_table *t = mapper->grants;

    if (!count) {
        return;
    }
    p2m_batch_begin(mapper);
    for (unsigned int i = 0; i < count; i++) {
        struct grant_mapping *mapping = mapping_at(t, handles[i]);

        // Not there any more if the guest has removed or replaced it: then that is undone already.
        p2m_clear_match(mapper, mapping->gfn, page_to_mfn(mapping->page));
    }
    p2m_batch_end(mapper);
    for (unsigned int i = 0; i < count; i++) {
        struct grant_mapping *mapping = mapping_at(t, handles[i]);
        struct domain *granter = mapping->granter;

        grant_unpin(granter, mapping->ref, !(mapping->state & GNTMAP_readonly));
        return_handle(t, handles[i]);
        domain_put(granter);
    }
}

// Checks one request; GNTST_okay and *undo set when the mapping is to be undone.
static int16_t begin_unmap(struct domain *mapper, const struct gnttab_unmap_grant_ref *op,
                           bool *undo)
{
    struct grant_mapping *mapping = claim(mapper->grants, op->handle);
    int16_t status = GNTST_okay;
    uint64_t address;

    *undo = false;
    if (!mapping) {
        return GNTST_bad_handle;
    }
    address = gfn_to_gpa(mapping->gfn).a;
    if (op->host_addr && op->host_addr != address) {
        status = GNTST_bad_virt_addr;
    } else if (op->dev_bus_addr &&
               (op->dev_bus_addr != address || !(mapping->state & GNTMAP_device_map))) {
        status = GNTST_bad_dev_addr;
    } else if (op->host_addr) {
        *undo = true;
    } else if (op->dev_bus_addr) {
        __atomic_fetch_and(&mapping->state, ~(uint32_t)GNTMAP_device_map, __ATOMIC_RELAXED);
    }
    if (!*undo) {
        unclaim(mapping);
    }
    return status;
}

void grant_unmap_batch(struct gnttab_unmap_grant_ref *ops, unsigned int count)
{
    struct domain *mapper = current_domain();
    grant_handle_t handles[UNMAP_AT_ONCE];
    unsigned int claimed = 0;

    for (unsigned int i = 0; i < count; i++) {
        bool undo;

        ops[i].status = begin_unmap(mapper, &ops[i], &undo);
        if (undo) {
            handles[claimed++] = ops[i].handle;
        }
        if (claimed == UNMAP_AT_ONCE) {
            undo_claimed(mapper, handles, claimed);
            claimed = 0;
        }
    }
    undo_claimed(mapper, handles, claimed);
}

void grant_unmap_and_replace_batch(struct gnttab_unmap_and_replace *ops, unsigned int count)
{
    for (unsigned int i = 0; i < count; i++) {
        struct gnttab_unmap_grant_ref op = {.host_addr = ops[i].host_addr, .handle = ops[i].handle};

        // There is no page table entry of a translated domain to move to the mapping's place.
        if (ops[i].new_addr) {
            ops[i].status = GNTST_general_error;
        } else {
            grant_unmap_batch(&op, 1);
            ops[i].status = op.status;
        }
    }
}

void grant_map_undo_batch(const struct gnttab_map_grant_ref *ops, unsigned int count)
{
    for (unsigned int i = 0; i < count; i++) {
        if (ops[i].status == GNTST_okay) {
            struct gnttab_unmap_grant_ref op = {.host_addr = ops[i].host_addr,
                                                .handle = ops[i].handle};

            grant_unmap_batch(&op, 1);
        }
    }
}

int grant_table_release_mappings(struct domain *d)
{
    struct grant_table *t = d->grants;
    uint32_t end = t->chunk_count * MAPPINGS_PER_CHUNK;

    for (unsigned int batches = 1; t->release_next < end; batches++) {
        grant_handle_t handles[UNMAP_AT_ONCE];
        unsigned int claimed = 0, looked_at = 0;

        while (t->release_next < end && claimed < UNMAP_AT_ONCE &&
               looked_at++ < MAPPINGS_PER_CHUNK) {
            if (claim(t, t->release_next)) {
                handles[claimed++] = t->release_next;
            }
            t->release_next++;
        }
        undo_claimed(d, handles, claimed);
        if (batches % RELEASES_BEFORE_PREEMPTION == 0 && preempt_needed()) {
            return -XEN_ERESTART;
        }
    }
    return 0;
}
