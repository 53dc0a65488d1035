// SPDX-License-Identifier: Apache-2.0
// Contract: what a port supplies to the control interface (domctl, sysctl, vcpu_op, xen_version).
#ifndef BULKHEAD_ARCH_CONTROL_H
#define BULKHEAD_ARCH_CONTROL_H

#include <bulkhead/types.h> // before the public headers, which want stdint
#include <xen/xen.h>
#include <xen/domctl.h>
#include <xen/sysctl.h>

struct domain;
struct vcpu;

// The commands that only the port knows; as the core's own handlers: 0 or -errno (-XEN_ERESTART:
// again from the start), *copy_back says whether the caller gets the structure back.
// -XEN_ENOSYS: unknown here too.
int arch_domctl(struct domain *d, struct xen_domctl *op, bool *copy_back);
int arch_sysctl(struct xen_sysctl *op, bool *copy_back);

// Fills what the core cannot know of these, in structures that are zeroed but for its own part.
void arch_domain_info(struct domain *d, struct xen_domctl_getdomaininfo *info);
void arch_physinfo(struct xen_sysctl_physinfo *info);
void arch_cpu_topology(unsigned int cpu, struct xen_sysctl_cputopo *out);

// XENVER_capabilities: which guests run here; and the XENFEAT_* bits that are the port's.
const char *arch_capabilities(void);
uint32_t arch_features(const struct domain *d);

// VCPUOP_initialise: context is the caller's structure; v is down and has no state to start from.
// 0, -XEN_EFAULT, -XEN_EINVAL, -XEN_EOPNOTSUPP.
int arch_vcpu_initialise(struct vcpu *v, gva_t context);
// The identification of a CPU, for VCPUOP_get_physid.
uint64_t arch_cpu_physical_id(unsigned int cpu);

// struct vcpu_guest_context as the toolstack and debuggers use it; v is paused. Set: 0 or
// -XEN_EINVAL, and then nothing has changed.
void arch_vcpu_get_context(struct vcpu *v, struct vcpu_guest_context *context);
int arch_vcpu_set_context(struct vcpu *v, const struct vcpu_guest_context *context);

// Makes d's ports follow d->io_ports after a change; d is paused. 0 or -XEN_ENOMEM.
int arch_domain_update_ports(struct domain *d);

#endif
