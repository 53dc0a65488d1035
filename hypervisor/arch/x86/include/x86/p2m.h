// SPDX-License-Identifier: Apache-2.0
// Second-level tables of a domain: one 4-level radix tree that serves the processor's nested
// paging and the AMD IOMMU alike. The operations are in bulkhead/arch/domain.h.
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
    uint64_t max_gfn, table_pages; // written under the lock, read without
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
    bool releasing; // p2m_release has begun: nothing is mapped any more
    // Of a 1 GiB leaf that p2m_release has detached: what is still to be dropped, frames.
    uint64_t leaving_first, leaving_count;
};

int p2m_create(struct domain *d);
void p2m_free(struct domain *d);
maddr_t p2m_root(const struct domain *d);

#endif
