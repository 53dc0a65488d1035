// SPDX-License-Identifier: Apache-2.0
// The table's frame takes the place of a page of the image. An entry's flags are written last,
// which is what makes it valid. No locking: one vcpu uses it.

#include "grant.h"

#include "xen.h"

static grant_entry_v1_t entries[PAGE_SIZE / sizeof(grant_entry_v1_t)]
    __attribute__((aligned(PAGE_SIZE)));
static bool mapped;

long grant_access(uint32_t reference, domid_t domid, const void *address)
{
    if (!mapped) {
        long rc = xen_add_to_physmap(XENMAPSPACE_grant_table, 0, entries);

        if (rc) {
            return rc;
        }
        mapped = true;
    }
    entries[reference].frame = (uint32_t)((unsigned long)address / PAGE_SIZE);
    entries[reference].domid = domid;
    __atomic_store_n(&entries[reference].flags, GTF_permit_access, __ATOMIC_SEQ_CST);
    return 0;
}

void grant_end(uint32_t reference)
{
    __atomic_store_n(&entries[reference].flags, 0, __ATOMIC_SEQ_CST);
}
