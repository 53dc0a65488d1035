// SPDX-License-Identifier: Apache-2.0
// Second-level tables of a domain: one 4-level radix tree that serves the processor's nested
// paging and the IOMMU alike. The operations are in bulkhead/arch/domain.h.
#ifndef BULKHEAD_X86_P2M_H
#define BULKHEAD_X86_P2M_H

#include <bulkhead/spinlock.h>
#include <bulkhead/types.h>

struct domain;

#define P2M_DEFERRED 128u

struct p2m {
    struct spinlock lock;
    unsigned int lock_owner, lock_depth; // CPU number + 1; recursion by p2m_batch_begin
    uint64_t *root;
    uint64_t max_gfn, table_pages;    // written under the lock, read without
    uint64_t flush_first, flush_last; // frames whose translation went away; none: first > last
    // Raised by each flush; a vcpu that has seen an older one flushes on its next entry.
    uint64_t tlb_generation;
    // Frames whose entries are gone and that still wait for the flush.
    unsigned int deferred_count;
    struct {
        uint64_t frame, count;
    } deferred[P2M_DEFERRED];
    // Tables that have left the tree: how many so far, and a list of those that readers may be in.
    uint32_t detached_tables, detached_waiting;
    uint64_t detached_first; // frame; 0: none
    bool releasing;          // p2m_release has begun: nothing is mapped any more
    // Of a 1 GiB leaf that p2m_release has detached: what is still to be dropped, frames.
    uint64_t leaving_first, leaving_count;
};

// What the IOMMU asks of the tables that it shares with the processor. Without a call: AMD's.
struct p2m_rules {
    bool amd_fields;  // next level and permissions in the bits that the processor ignores; Intel's
                      // understands the processor's own bits and wants those clear
    bool flush_lines; // it reads memory past the processors' caches
    bool flush_new;   // it remembers that an entry was absent
};
// At boot, before the first domain.
void p2m_set_rules(const struct p2m_rules *rules);

// The table that translates the lowest 9 * levels + 12 bits of guest-physical addresses (3 or 4
// levels), for an IOMMU that walks no more; it stays as long as the domain. 0 or -XEN_ENOMEM.
int p2m_root_of_levels(struct domain *d, unsigned int levels, maddr_t *root);

int p2m_create(struct domain *d);
void p2m_free(struct domain *d);
maddr_t p2m_root(const struct domain *d);

#endif
