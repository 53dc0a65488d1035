// SPDX-License-Identifier: Apache-2.0
// What second-level tables and guest table walks want of the rest of the hypervisor, watched.
#ifndef MM_TEST_GUEST_H
#define MM_TEST_GUEST_H

#include <bulkhead/domain.h>

// A domain with second-level tables and one vcpu, which is the current one.
struct domain *guest_create(uint64_t max_pages);
// The order of flushing and letting frames go is no longer watched: several threads change tables.
void guest_stop_watching(void);
// Its tables are released first; nothing may be left. Returns how many times p2m_release wanted to
// be called again.
unsigned int guest_end(struct domain *d);

// The vcpu's paging registers, for hvm_get_paging.
extern uint64_t guest_cr0, guest_cr3, guest_cr4, guest_efer;

// Frames released (page_put that was the last or not) since the last call of preempt_needed, at
// most; reset by reading.
uint64_t guest_most_puts_at_once(void);
// Called by iommu_flush when set.
extern void (*guest_at_flush)(void);
// Frames that iommu_flush was told of; reset by reading. The domain has an IOMMU while set.
void guest_use_iommu(struct domain *d, bool use);
uint64_t guest_iommu_flushed(void);
bool guest_iommu_was_flushed(gfn_t gfn);

#endif
