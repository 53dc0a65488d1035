// SPDX-License-Identifier: Apache-2.0
// x86's own operations on domains.
#ifndef BULKHEAD_X86_DOMAIN_OPS_H
#define BULKHEAD_X86_DOMAIN_OPS_H

#include <bulkhead/types.h>
#include <xen/xen.h>

struct domain;

// Makes the port bitmap follow d->io_ports and the port handlers; after either has changed, with d
// paused or not yet running. 0 or -XEN_ENOMEM.
int domain_update_ports(struct domain *d);

#define DOMAIN_MAP_ENTRIES 128u

// As E820 and the public ABI have it.
struct memory_map_entry {
    uint64_t start, size;
    uint32_t type; // enum boot_region_type
} __attribute__((packed));

// The memory map that XENMEM_memory_map gives the domain. 0, -XEN_EINVAL (too long), -XEN_ENOMEM.
int domain_set_memory_map(struct domain *d, const struct memory_map_entry *entries,
                          unsigned int count);
// Writes the calling domain's map, or what *count entries hold of it, to a guest buffer, and how
// many entries that were to *count; without a buffer (0) only the map's length. 0, -XEN_EFAULT, or
// -XEN_ENOSYS: it has no map.
int domain_give_memory_map(gva_t buffer, uint32_t *count);
// Makes what a guest buffer holds the memory map of a domain that the caller controls. 0,
// -XEN_EFAULT, and as domain_set_memory_map and domain_get_controlled.
int domain_take_memory_map(domid_t id, gva_t buffer, uint32_t count);

// Builds and starts domain 0 from the boot modules; says in words what is wrong and stops the
// machine if it cannot.
void domain0_build(void);

#endif
