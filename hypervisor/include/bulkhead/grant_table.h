// SPDX-License-Identifier: Apache-2.0
// Grant tables. See grant_table.c for the locking.
#ifndef BULKHEAD_GRANT_TABLE_H
#define BULKHEAD_GRANT_TABLE_H

#include <bulkhead/types.h> // before the public headers, which want stdint
#include <xen/xen.h>
#include <xen/grant_table.h>

struct domain;

// max_frames, max_maptrack: limits; max_version 1 or 2. 0 or -errno.
int grant_table_create(struct domain *d, uint32_t max_frames, uint32_t max_maptrack,
                       uint32_t max_version);
// Drops the mappings that d holds of others' grants; preemptible: 0 or -ERESTART.
int grant_table_release_mappings(struct domain *d);
void grant_table_free(struct domain *d);

// The frame of table page `index` for XENMEM_add_to_physmap (XENMAPSPACE_grant_table, with
// XENMAPIDX_grant_table_status) and for acquire_resource; grows the table up to its limit.
// Where the page is shown now is kept, to move it: gfn_t via grant_table_set_gfn.
int grant_table_frame(struct domain *d, uint64_t index, bool status, mfn_t *mfn);
gfn_t grant_table_get_gfn(struct domain *d, uint64_t index, bool status);
void grant_table_set_gfn(struct domain *d, uint64_t index, bool status, gfn_t gfn);
// The toolstack's seeding of reserved entries (console and xenstore rings) of a PVH domain built
// by the hypervisor itself.
int grant_table_seed(struct domain *d, grant_ref_t ref, domid_t to, gfn_t gfn);
void grant_table_dump(struct domain *d);

#endif
