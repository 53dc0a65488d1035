// SPDX-License-Identifier: Apache-2.0
// The granting guest's side of grant tables, for tests.
#ifndef TEST_GRANTS_H
#define TEST_GRANTS_H

#include "world.h"

// Frame `index` of d's table or status pages as the guest sees it.
void *grants_frame(struct domain *d, uint64_t index, bool status);
struct grant_entry_v1 *grants_v1(struct domain *d, grant_ref_t ref);
union grant_entry_v2 *grants_v2(struct domain *d, grant_ref_t ref);
uint16_t *grants_status(struct domain *d, grant_ref_t ref);
// Grants d's frame gfn to another domain by version 1 or 2.
void grants_give(struct domain *d, grant_ref_t ref, domid_t to, uint64_t gfn, uint16_t flags);
void grants_give_v2(struct domain *d, grant_ref_t ref, domid_t to, uint64_t gfn, uint16_t flags);
// Takes it back as a guest does: only if it is not in use. True if that worked.
bool grants_end(struct domain *d, grant_ref_t ref);
int64_t grants_set_version(struct domain *d, uint32_t version);

// GNTTABOP_map_grant_ref and unmap_grant_ref of one entry; the status is returned.
int16_t grants_map(struct domain *mapper, domid_t granter, grant_ref_t ref, uint64_t gfn,
                   uint32_t flags, grant_handle_t *handle);
int16_t grants_unmap(struct domain *mapper, uint64_t gfn, grant_handle_t handle);

#endif
