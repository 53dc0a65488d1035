// SPDX-License-Identifier: Apache-2.0
// x86's share of sysctl and xen_version: processor topology and features, CPUID policies, what
// kinds of guests run here.
// All of it is constant after the processors are up; no locking. Errors: -XEN_EFAULT for buffers,
// -XEN_ENOBUFS (with the size wanted) when they are too small.

#include <bulkhead/arch/control.h>
#include <bulkhead/cpu.h>
#include <bulkhead/domain.h>
#include <bulkhead/errno.h>
#include <bulkhead/guest_access.h>
#include <x86/cpuid_policy.h>
#include <x86/features.h>
#include <x86/time.h>
#include <xen/features.h>

#define LEAF_TOPOLOGY 0xbu
#define LEAF_AMD_SIZES 0x80000008u
#define LEAF_AMD_CORE 0x8000001eu
#define LEVEL_SMT 1u
#define MAX_LEVELS 8u
#define FEATURE_WORDS 19u
#define EDX1_HTT (1u << 28)
#define ECX81_TOPOLOGY (1u << 22)

// How many low bits of an APIC id tell threads of a core, and processors of a socket, apart.
struct topology_bits {
    unsigned int thread, socket;
};

static unsigned int bits_for(unsigned int count)
{
    return count <= 1 ? 0 : 32 - (unsigned int)__builtin_clz(count - 1);
}

static bool bits_by_topology_leaf(struct topology_bits *bits)
{
    bool found = false;

    if (cpu_features.max_leaf < LEAF_TOPOLOGY) {
        return false;
    }
    for (unsigned int level = 0; level < MAX_LEVELS; level++) {
        struct cpuid_leaf leaf = cpuid(LEAF_TOPOLOGY, level);
        unsigned int type = leaf.ecx >> 8 & 0xff;

        if (!type || !leaf.ebx) {
            break;
        }
        bits->socket = leaf.eax & 0x1f;
        if (type == LEVEL_SMT) {
            bits->thread = bits->socket;
        }
        found = true;
    }
    return found;
}

static struct topology_bits topology_bits(void)
{
    struct topology_bits bits = {0, 0};
    struct cpuid_leaf basic = cpuid(1, 0);

    if (bits_by_topology_leaf(&bits) || !(basic.edx & EDX1_HTT)) {
        return bits;
    }
    bits.socket = bits_for(basic.ebx >> 16 & 0xff);
    if (cpu_features.amd && cpu_features.max_extended_leaf >= LEAF_AMD_SIZES) {
        unsigned int sizes = cpuid(LEAF_AMD_SIZES, 0).ecx;

        bits.socket = sizes >> 12 & 0xf ? sizes >> 12 & 0xf : bits_for((sizes & 0xff) + 1);
        if (cpu_features.max_extended_leaf >= LEAF_AMD_CORE &&
            (cpuid(0x80000001, 0).ecx & ECX81_TOPOLOGY)) {
            bits.thread = bits_for((cpuid(LEAF_AMD_CORE, 0).ebx >> 8 & 0xff) + 1);
        }
    } else if (cpu_features.max_leaf >= 4) {
        unsigned int cores = (cpuid(4, 0).eax >> 26) + 1;

        bits.thread = bits_for((basic.ebx >> 16 & 0xff) / cores);
    }
    return bits;
}

void arch_cpu_topology(unsigned int cpu, struct xen_sysctl_cputopo *out)
{
    struct topology_bits bits = topology_bits();
    uint32_t id = cpus[cpu]->arch.apic_id;

    out->core = (id & ((1u << bits.socket) - 1)) >> bits.thread;
    out->socket = id >> bits.socket;
    out->node = 0;
}

uint64_t arch_cpu_physical_id(unsigned int cpu)
{
    return (uint64_t)cpus[cpu]->arch.acpi_id << 32 | cpus[cpu]->arch.apic_id;
}

// A word of the public feature set (arch-x86/cpufeatureset.h): where CPUID has it.
static const struct {
    uint32_t leaf, subleaf;
    unsigned int reg; // 0 to 3: eax to edx
} feature_words[FEATURE_WORDS] = {
    {1, XEN_CPUID_NO_SUBLEAF, 3},
    {1, XEN_CPUID_NO_SUBLEAF, 2},
    {0x80000001, XEN_CPUID_NO_SUBLEAF, 3},
    {0x80000001, XEN_CPUID_NO_SUBLEAF, 2},
    {0xd, 1, 0},
    {7, 0, 1},
    {7, 0, 2},
    {0x80000007, XEN_CPUID_NO_SUBLEAF, 3},
    {0x80000008, XEN_CPUID_NO_SUBLEAF, 1},
    {7, 0, 3},
    {7, 1, 0},
    {0x80000021, XEN_CPUID_NO_SUBLEAF, 0},
    {7, 1, 1},
    {7, 2, 3},
    {7, 1, 2},
    {7, 1, 3},
    {0, 0, 4}, // MSR_ARCH_CAPABILITIES, which no domain has
    {0, 0, 4},
    {0x80000021, XEN_CPUID_NO_SUBLEAF, 2},
};

static uint32_t feature_word(const struct cpuid_policy *policy, unsigned int word)
{
    for (unsigned int i = 0; i < policy->count; i++) {
        const xen_cpuid_leaf_t *l = &policy->leaves[i];

        if (l->leaf == feature_words[word].leaf && l->subleaf == feature_words[word].subleaf) {
            const uint32_t registers[] = {l->a, l->b, l->c, l->d, 0};

            return registers[feature_words[word].reg];
        }
    }
    return 0;
}

void arch_physinfo(struct xen_sysctl_physinfo *info)
{
    struct xen_sysctl_cputopo first, other;
    unsigned int cpu, cores = 0;

    arch_cpu_topology(cpumask_next(&online_cpus, 0), &first);
    for_each_cpu (cpu, &online_cpus) {
        arch_cpu_topology(cpu, &other);
        cores += other.socket == first.socket;
        info->threads_per_core += other.socket == first.socket && other.core == first.core;
    }
    info->cores_per_socket = cores / info->threads_per_core;
    info->cpu_khz = (uint32_t)tsc_khz;
    info->capabilities |= XEN_SYSCTL_PHYSCAP_hvm | XEN_SYSCTL_PHYSCAP_hap;
    for (unsigned int word = 0; word < ARRAY_SIZE(info->hw_cap); word++) {
        info->hw_cap[word] = feature_word(&cpuid_policy_host, word);
    }
}

const char *arch_capabilities(void)
{
    // A PVH domain enters in 32-bit mode, and goes where it likes from there. The last word offers
    // no PV guests: xenctx takes the size of the hypervisor's structures from "xen-3.0-x86_64"
    // anywhere in the text. Who reads words as a whole, or for what they begin with, finds in it
    // what he has found already, or nothing.
    return "hvm-3.0-x86_32 hvm-3.0-x86_32p hvm-3.0-x86_64 hvm-3.0-x86_64/not-xen-3.0-x86_64";
}

uint32_t arch_features(const struct domain *d)
{
    (void)d;
    return 1u << XENFEAT_hvm_safe_pvclock | 1u << XENFEAT_hvm_callback_vector;
}

// Without a buffer: tells how much can come.
static int give_leaves(struct xen_sysctl_cpu_policy *request, const struct cpuid_policy *policy)
{
    bool room = request->nr_leaves >= policy->count;

    if (!request->leaves.p) {
        request->nr_leaves = CPUID_POLICY_MAX_LEAVES;
        return 0;
    }
    request->nr_leaves = policy->count;
    if (!room) {
        return -XEN_ENOBUFS;
    }
    return copy_to_handle(request->leaves, 0, policy->leaves, policy->count) ? -XEN_EFAULT : 0;
}

static int give_msrs(struct xen_sysctl_cpu_policy *request)
{
    bool room = request->nr_msrs >= CPUID_POLICY_MSRS;

    request->nr_msrs = CPUID_POLICY_MSRS;
    if (!request->msrs.p) {
        return 0;
    }
    if (!room) {
        return -XEN_ENOBUFS;
    }
    return copy_to_handle(request->msrs, 0, cpuid_policy_msrs, CPUID_POLICY_MSRS) ? -XEN_EFAULT : 0;
}

static int get_cpu_policy(struct xen_sysctl_cpu_policy *request, bool *copy_back)
{
    static const struct cpuid_policy *const policies[] = {
        [XEN_SYSCTL_cpu_policy_raw] = &cpuid_policy_raw,
        [XEN_SYSCTL_cpu_policy_host] = &cpuid_policy_host,
        [XEN_SYSCTL_cpu_policy_hvm_max] = &cpuid_policy_hvm_max,
        [XEN_SYSCTL_cpu_policy_hvm_default] = &cpuid_policy_hvm_default,
    };
    const struct cpuid_policy *policy;
    int error;

    if (request->_rsvd || request->index >= ARRAY_SIZE(policies)) {
        return -XEN_EINVAL;
    }
    policy = policies[request->index];
    if (!policy) {
        return -XEN_EOPNOTSUPP; // for PV guests, which there are none of
    }
    *copy_back = true;
    error = give_leaves(request, policy);
    return error ? error : give_msrs(request);
}

static int get_featureset(struct xen_sysctl_cpu_featureset *request, bool *copy_back)
{
    static const struct cpuid_policy *const policies[] = {
        [XEN_SYSCTL_cpu_featureset_raw] = &cpuid_policy_raw,
        [XEN_SYSCTL_cpu_featureset_host] = &cpuid_policy_host,
        [XEN_SYSCTL_cpu_featureset_hvm] = &cpuid_policy_hvm_default,
        [XEN_SYSCTL_cpu_featureset_hvm_max] = &cpuid_policy_hvm_max,
    };
    uint32_t count = MIN(request->nr_features, FEATURE_WORDS);
    uint32_t words[FEATURE_WORDS] = {0};

    if (request->index >= ARRAY_SIZE(policies)) {
        return -XEN_EINVAL;
    }
    if (!policies[request->index]) {
        return -XEN_EOPNOTSUPP;
    }
    *copy_back = true;
    if (!request->features.p) {
        request->nr_features = FEATURE_WORDS;
        return 0;
    }
    for (uint32_t i = 0; i < count; i++) {
        words[i] = feature_word(policies[request->index], i);
    }
    if (copy_to_handle(request->features, 0, words, count)) {
        return -XEN_EFAULT;
    }
    request->nr_features = count;
    return count < FEATURE_WORDS ? -XEN_ENOBUFS : 0;
}

int arch_sysctl(struct xen_sysctl *op, bool *copy_back)
{
    switch (op->cmd) {
    case XEN_SYSCTL_get_cpu_levelling_caps:
        op->u.cpu_levelling_caps.caps = 0; // levelling is done by intercepting CPUID
        *copy_back = true;
        return 0;
    case XEN_SYSCTL_get_cpu_featureset:
        return get_featureset(&op->u.cpu_featureset, copy_back);
    case XEN_SYSCTL_get_cpu_policy:
        return get_cpu_policy(&op->u.cpu_policy, copy_back);
    default:
        return -XEN_ENOSYS;
    }
}
