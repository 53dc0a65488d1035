// SPDX-License-Identifier: Apache-2.0
// The simulated machine's part of the control interface: it has no commands of its own, and a
// vcpu's state is the function that is its guest, which no structure describes.

#include <bulkhead/arch/control.h>
#include <bulkhead/domain.h>
#include <xen/features.h>

int arch_domctl(struct domain *d, struct xen_domctl *op, bool *copy_back)
{
    (void)d;
    (void)op;
    *copy_back = false;
    return -XEN_ENOSYS;
}

int arch_sysctl(struct xen_sysctl *op, bool *copy_back)
{
    (void)op;
    *copy_back = false;
    return -XEN_ENOSYS;
}

void arch_domain_info(struct domain *d, struct xen_domctl_getdomaininfo *info)
{
    (void)d;
    info->flags |= XEN_DOMINF_hvm_guest | XEN_DOMINF_hap;
}

void arch_physinfo(struct xen_sysctl_physinfo *info)
{
    info->threads_per_core = 1;
    info->cores_per_socket = 1;
    info->capabilities |= XEN_SYSCTL_PHYSCAP_hvm | XEN_SYSCTL_PHYSCAP_hap;
}

void arch_cpu_topology(unsigned int cpu, struct xen_sysctl_cputopo *out)
{
    out->core = cpu;
    out->socket = 0;
    out->node = 0;
}

const char *arch_capabilities(void)
{
    return "";
}

uint32_t arch_features(const struct domain *d)
{
    (void)d;
    return 1u << XENFEAT_auto_translated_physmap;
}

int arch_vcpu_initialise(struct vcpu *v, gva_t context)
{
    (void)v;
    (void)context;
    return -XEN_EOPNOTSUPP;
}

uint64_t arch_cpu_physical_id(unsigned int cpu)
{
    return cpu;
}

void arch_vcpu_get_context(struct vcpu *v, struct vcpu_guest_context *context)
{
    (void)v;
    (void)context;
}

int arch_vcpu_set_context(struct vcpu *v, const struct vcpu_guest_context *context)
{
    (void)v;
    (void)context;
    return -XEN_EINVAL;
}

int arch_domain_update_ports(struct domain *d)
{
    (void)d;
    return 0;
}
