// SPDX-License-Identifier: Apache-2.0
// Grant tables: what the core/grant_*.c files share.
//
// Data: per frame of the table, the page shared with the guest and the hypervisor's own record of
// each entry in it (struct active_grant): who uses it, how often, and which frame it stood for when
// the first use began. The guest may change its entries at any time; only the record is believed.
// A mapping is remembered by the domain that maps ("maptrack"), under a handle, with a reference on
// the granter. The granter's structure outlives all uses of its grants.
// Locking: table.lock for growth, versions and gfns; each active_grant has a lock for its fields;
// map_lock for the list of free handles. A table's version changes only while no operation on
// entries is under way: those count themselves in table.users. Frames and their records, once
// there, stay to the end. At most one table's locks are held at a time; order: table.lock,
// active_grant.lock (lower reference first), then p2m and the heap.
#ifndef BULKHEAD_GRANT_INTERNAL_H
#define BULKHEAD_GRANT_INTERNAL_H

#include <bulkhead/domain.h>
#include <bulkhead/grant_table.h>

#define GRANT_V1_PER_FRAME (PAGE_SIZE / sizeof(struct grant_entry_v1))
#define GRANT_V2_PER_FRAME (PAGE_SIZE / sizeof(union grant_entry_v2))
#define GRANT_STATUS_PER_FRAME (PAGE_SIZE / sizeof(grant_status_t))

struct page;

enum active_kind {
    ACTIVE_PAGE,     // a whole frame
    ACTIVE_SUB_PAGE, // a range of one, for copies only
    ACTIVE_TRANSITIVE,
};

struct active_grant {
    struct spinlock lock;
    uint32_t readers, writers; // both zero: not in use, the rest is meaningless
    struct page *page;         // referenced once; NULL for a transitive grant
    domid_t domid;             // who uses it
    uint16_t start, length;    // the granted bytes of the frame
    uint8_t kind;              // enum active_kind
    bool page_read_only;
};

struct grant_frame {
    void *shared;
    struct active_grant *active; // GRANT_V1_PER_FRAME of them
    gfn_t gfn;
};

struct grant_status_frame {
    grant_status_t *words;
    gfn_t gfn;
};

#define MAPPING_USED 0x80000000u // in struct grant_mapping.state, beside GNTMAP_* flags
#define MAPPING_BUSY 0x40000000u // being undone
#define MAPPINGS_PER_CHUNK 256u

struct grant_mapping {
    struct domain *granter; // referenced
    struct page *page;
    gfn_t gfn; // where the mapper sees it
    union {
        grant_ref_t ref;
        grant_handle_t next_free;
    };
    uint32_t state; // 0: free
};

struct grant_table {
    struct spinlock lock;
    uint32_t users; // operations under way, or USERS_LOCKED_OUT
    uint32_t version, max_version;
    uint32_t frame_count, max_frames;
    uint32_t status_count; // allocated; 0 or more even while the version is 1
    struct grant_frame *frames;
    struct grant_status_frame *status;

    struct spinlock map_lock;
    struct grant_mapping **chunks; // NULL until the first mapping
    uint32_t chunk_count, max_chunks;
    grant_handle_t first_free;
    uint32_t release_next; // progress of grant_table_release_mappings
};

// grant_table.c
uint32_t grant_status_frames(const struct grant_table *t); // as many as belong to frame_count
int grant_table_grow(struct domain *d, uint32_t frames);   // 0, -EINVAL or -ENOMEM
int grant_set_version(struct domain *d, uint32_t version);
// While an operation on entries is under way the version stays.
void grant_enter(struct grant_table *t);
void grant_leave(struct grant_table *t);
// Between enter and leave: the record of an entry, or NULL if the table has no such entry.
struct active_grant *grant_active_at(const struct grant_table *t, grant_ref_t ref);

// grant_entry.c
#define PIN_WRITE 1u
#define PIN_COPY 2u       // partial frames will do
#define PIN_TRANSITIVE 4u // with PIN_COPY: transitive grants, too

struct grant_pin {
    struct page *page; // referenced by the record until unpinned; NULL: transitive
    uint16_t start, length;
    domid_t next_domain; // transitive: who granted it to the granter, and how
    grant_ref_t next_ref;
};

// Takes granter's entry into use for `user`: marks it in the guest's table and counts it. GNTST_*.
int16_t grant_pin(struct domain *granter, grant_ref_t ref, domid_t user, unsigned int flags,
                  struct grant_pin *pin);
void grant_unpin(struct domain *granter, grant_ref_t ref, bool write);
int16_t grant_swap(struct domain *d, grant_ref_t a, grant_ref_t b);

// The batched operations: perform `count` of them, with a status in each.
void grant_map_batch(struct gnttab_map_grant_ref *ops, unsigned int count);
void grant_map_undo_batch(const struct gnttab_map_grant_ref *ops, unsigned int count);
void grant_unmap_batch(struct gnttab_unmap_grant_ref *ops, unsigned int count);
void grant_unmap_and_replace_batch(struct gnttab_unmap_and_replace *ops, unsigned int count);
void grant_map_free(struct grant_table *t); // memory of the mappings
void grant_copy_batch(struct gnttab_copy *ops, unsigned int count);

#endif
