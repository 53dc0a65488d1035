// SPDX-License-Identifier: Apache-2.0
//
// The processor that a domain sees: the hypervisor's default policy, with the number of vcpus put
// into the leaves that tell of topology. Leaves and bits are those of the processor manuals
// (CPUID).
#include "build.h"

#include <errno.h>
#include <string.h>

enum { LEAVES_MAX = 512, MSRS_MAX = 64 };

#define LEAF1_HTT (1u << 28)
#define LEAF1_COUNT_SHIFT 16

// The leaf's entry, or NULL.
static xen_cpuid_leaf_t *find_leaf(xen_cpuid_leaf_t *leaves, unsigned int count, uint32_t leaf)
{
    for (unsigned int i = 0; i < count; i++)
        if (leaves[i].leaf == leaf)
            return &leaves[i];
    return NULL;
}

// Local APIC ids are twice the vcpu's number, so there is room for twice as many.
static void set_topology(xen_cpuid_leaf_t *leaves, unsigned int count, unsigned int vcpus)
{
    xen_cpuid_leaf_t *basic = find_leaf(leaves, count, 1);
    xen_cpuid_leaf_t *extended = find_leaf(leaves, count, 0x80000008);
    unsigned int ids = vcpus * 2;

    if (basic) {
        basic->b = (basic->b & 0xff00ffff) | (ids < 255 ? ids : 255) << LEAF1_COUNT_SHIFT;
        basic->d |= LEAF1_HTT;
    }
    if (extended) {
        unsigned int bits = 0;

        while (1u << bits < ids)
            bits++;
        // Low byte: processors minus one; bits 12 to 15: how many bits of an id number them.
        extended->c = (extended->c & ~0xf0ffu) | (ids - 1) | bits << 12;
    }
}

struct error *build_cpu_policy(struct hypervisor *hypervisor, unsigned int domid,
                               unsigned int vcpus)
{
    xen_cpuid_leaf_t *leaves = hypervisor_buffer(hypervisor, LEAVES_MAX * sizeof(*leaves));
    xen_msr_entry_t *msrs = hypervisor_buffer(hypervisor, MSRS_MAX * sizeof(*msrs));
    struct xen_domctl operation = {.cmd = XEN_DOMCTL_get_cpu_policy, .domain = (domid_t)domid};

    operation.u.cpu_policy.nr_leaves = LEAVES_MAX;
    operation.u.cpu_policy.nr_msrs = MSRS_MAX;
    set_xen_guest_handle_raw(operation.u.cpu_policy.leaves, leaves);
    set_xen_guest_handle_raw(operation.u.cpu_policy.msrs, msrs);
    int result = hypervisor_domctl(hypervisor, &operation);
    if (result >= 0) {
        set_topology(leaves, operation.u.cpu_policy.nr_leaves, vcpus);
        operation.cmd = XEN_DOMCTL_set_cpu_policy;
        result = hypervisor_domctl(hypervisor, &operation);
    }
    hypervisor_buffer_free(hypervisor, leaves);
    hypervisor_buffer_free(hypervisor, msrs);
    if (result >= 0)
        return NULL;
    return error_errno(ERROR_HYPERVISOR, result,
                       "cannot set its processor's features (leaf 0x%x, subleaf 0x%x, msr 0x%x)",
                       operation.u.cpu_policy.err_leaf, operation.u.cpu_policy.err_subleaf,
                       operation.u.cpu_policy.err_msr);
}
