// SPDX-License-Identifier: Apache-2.0
// What the files of the control interface (domctl, sysctl) share: CPU sets in the guest's format,
// and the description of a domain.
#ifndef BULKHEAD_CONTROL_H
#define BULKHEAD_CONTROL_H

#include <bulkhead/types.h> // before the public headers, which want stdint
#include <xen/xen.h>
#include <xen/domctl.h>

struct cpumask;
struct domain;

// Between a CPU set and the caller's bitmap: as many bytes as the caller has room for, the rest of
// his bytes zeroed. 0 or -XEN_EFAULT.
int control_give_cpumask(const struct xenctl_bitmap *bitmap, const struct cpumask *mask);
int control_take_cpumask(struct cpumask *mask, const struct xenctl_bitmap *bitmap);

// How long a CPU has been idle in all, in nanoseconds.
ns_t control_idle_time(unsigned int cpu);

// What getdomaininfo says of d.
void control_domain_info(struct domain *d, struct xen_domctl_getdomaininfo *info);

#endif
