// SPDX-License-Identifier: Apache-2.0
// What CPUID says to a domain, in the public ABI's list of leaves.
#ifndef BULKHEAD_X86_CPUID_POLICY_H
#define BULKHEAD_X86_CPUID_POLICY_H

#include <bulkhead/types.h>
#include <xen/xen.h>
#include <xen/arch-x86/xen.h>
#include <x86/cpuid.h>

struct domain;
struct vcpu;

#define CPUID_POLICY_MAX_LEAVES 96u

struct cpuid_policy {
    unsigned int count;
    // Sorted by leaf and subleaf; subleaf XEN_CPUID_NO_SUBLEAF for leaves without.
    xen_cpuid_leaf_t leaves[CPUID_POLICY_MAX_LEAVES];
    // What of CR4 and EFER (but for LMA) belongs to the features of the leaves.
    uint64_t cr4_valid, efer_valid;
};

// The registers that belong to every policy beside the leaves, in the public ABI's order. What they
// would announce (CPUID faulting, immunity to attacks) is offered to no domain: all are zero.
#define CPUID_POLICY_MSRS 2u
extern const xen_msr_entry_t cpuid_policy_msrs[CPUID_POLICY_MSRS];

void cpuid_policy_init(void); // once, on the boot CPU
// The machine's own values; the most that a PVH or HVM domain may see; what it sees by default.
extern struct cpuid_policy cpuid_policy_raw, cpuid_policy_host, cpuid_policy_hvm_max,
    cpuid_policy_hvm_default;

int cpuid_policy_create(struct domain *d); // the default; 0 or -XEN_ENOMEM
void cpuid_policy_destroy(struct domain *d);
// Takes over leaves from the toolstack: each must be at most what the maximum has; d has not run.
// 0; -XEN_EINVAL with the offending leaf in *leaf, *subleaf.
int cpuid_policy_set(struct domain *d, const xen_cpuid_leaf_t *leaves, unsigned int count,
                     uint32_t *leaf, uint32_t *subleaf);
// The answer to a CPUID instruction of v, with the fields that depend on the vcpu's state.
void cpuid_policy_lookup(struct vcpu *v, uint32_t leaf, uint32_t subleaf, struct cpuid_leaf *out);
// Whether the domain's policy includes the state components.
bool cpuid_policy_allows_xcr0(const struct vcpu *v, uint64_t xcr0);

#endif
