// SPDX-License-Identifier: Apache-2.0
// Grant tables. See core/grant_internal.h for the data and the locking.
#ifndef BULKHEAD_GRANT_TABLE_H
#define BULKHEAD_GRANT_TABLE_H

#include <bulkhead/types.h> // before the public headers, which want stdint
#include <xen/xen.h>
#include <xen/grant_table.h>

struct domain;

// max_frames, max_maptrack: limits in pages of 4 KiB as the toolstack counts them, negative: the
// default (the limits in force are left in struct domain); max_version 1 or 2. 0, -EINVAL or
// -ENOMEM.
int grant_table_create(struct domain *d, int32_t max_frames, int32_t max_maptrack,
                       uint32_t max_version);
// Drops the mappings that d holds of others' grants; preemptible: 0 or -ERESTART. No vcpu of d runs
// any more; its p2m is still there.
int grant_table_release_mappings(struct domain *d);
// Frees the table; at the end of the domain, when nobody maps what it granted.
void grant_table_free(struct domain *d);

// The frame of table page `index` for XENMEM_add_to_physmap (XENMAPSPACE_grant_table, with
// XENMAPIDX_grant_table_status) and for acquire_resource; grows the table up to its limit. The
// frame stays as long as the domain. 0, -EINVAL (beyond the limit, no status pages) or -ENOMEM.
int grant_table_frame(struct domain *d, uint64_t index, bool status, mfn_t *mfn);
// Where the guest sees that page now, or INVALID_GFN; kept to move it and to answer setup_table.
gfn_t grant_table_get_gfn(struct domain *d, uint64_t index, bool status);
void grant_table_set_gfn(struct domain *d, uint64_t index, bool status, gfn_t gfn);
// The toolstack's seeding of reserved entries (console and xenstore rings) of a PVH domain built
// by the hypervisor itself. 0 or -errno.
int grant_table_seed(struct domain *d, grant_ref_t ref, domid_t to, gfn_t gfn);
void grant_table_dump(struct domain *d);

#endif
