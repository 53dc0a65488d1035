// SPDX-License-Identifier: Apache-2.0
// The sysctl commands that report on the machine: core/sysctl_info.c for the table in sysctl.c.
// Each works on a copy of the caller's structure; 0 or -errno.
#ifndef BULKHEAD_SYSCTL_INTERNAL_H
#define BULKHEAD_SYSCTL_INTERNAL_H

struct xen_sysctl;

int sysctl_read_console(struct xen_sysctl *op);
int sysctl_physinfo(struct xen_sysctl *op);
int sysctl_domain_list(struct xen_sysctl *op);
int sysctl_debug_keys(struct xen_sysctl *op);
int sysctl_cpu_info(struct xen_sysctl *op);
int sysctl_available_heap(struct xen_sysctl *op);
int sysctl_cpu_topology(struct xen_sysctl *op);
int sysctl_numa_info(struct xen_sysctl *op);
int sysctl_pci_topology(struct xen_sysctl *op);

#endif
