// SPDX-License-Identifier: Apache-2.0
// CPUID policies: what the machine has, the most that a domain may see, and what each sees.
//
// A policy is a sorted list of leaves in the public ABI's form. The maximum is the machine's list
// with every feature word masked by a table in which zero hides; so a new processor's features stay
// hidden until somebody has looked at what they need. A domain's list may only narrow it.
// Fields that depend on the vcpu (APIC id, OSXSAVE, XCR0's size) are filled in when asked for.
// Locking: none; a domain's policy changes only before it first runs.

#include <bulkhead/console.h>
#include <bulkhead/domain.h>
#include <bulkhead/heap.h>
#include <bulkhead/string.h>
#include <x86/cpuid_policy.h>
#include <x86/extended_state.h>
#include <x86/hvm.h>
#include <x86/registers.h>
#include <x86/time.h>
#include <x86/vlapic.h>
#include <xen/arch-x86/cpuid.h>

#define NO_SUBLEAF XEN_CPUID_NO_SUBLEAF
#define XEN_BASE 0x40000000u
#define XEN_LAST (XEN_BASE + 5)
#define LAST_BASIC 0xdu
#define LAST_EXTENDED 0x80000008u
#define ECX1_X2APIC (1u << 21)
#define ECX1_TSC_DEADLINE (1u << 24)
#define ECX1_OSXSAVE (1u << 27)
#define ECX1_HYPERVISOR (1u << 31)
#define EDX1_HTT (1u << 28)
#define ECX_CMP_LEGACY (1u << 1) // of leaf 0x80000001

struct cpuid_policy cpuid_policy_raw, cpuid_policy_host, cpuid_policy_hvm_max,
    cpuid_policy_hvm_default;

#define MSR_PLATFORM_INFO 0xceu
#define MSR_ARCH_CAPABILITIES 0x10au

const xen_msr_entry_t cpuid_policy_msrs[CPUID_POLICY_MSRS] = {
    {.idx = MSR_PLATFORM_INFO},
    {.idx = MSR_ARCH_CAPABILITIES},
};

struct mask {
    uint32_t leaf, subleaf;
    struct cpuid_leaf keep; // bits that pass
    struct cpuid_leaf add;  // bits that are set besides: what we emulate
};

#define ALL 0xffffffffu
static const struct mask masks[] = {
    {0, NO_SUBLEAF, {ALL, ALL, ALL, ALL}, {0}},
    // Kept in ecx: SSE3 PCLMUL SSSE3 FMA CX16 PCID SSE4.1 SSE4.2 MOVBE POPCNT AES XSAVE AVX F16C
    // RDRAND. In edx all up to SSE2 but MTRR, PSN, DS, ACPI; ebx: CLFLUSH size.
    {1,
     NO_SUBLEAF,
     {ALL, 0x0000ff00, 0x76fa3203 & ~ECX1_X2APIC, 0x078bafff & ~(1u << 22)},
     {0, 0, ECX1_X2APIC | ECX1_TSC_DEADLINE | ECX1_HYPERVISOR, 0}},
    {2, NO_SUBLEAF, {ALL, ALL, ALL, ALL}, {0}},
    // FSGSBASE BMI1 AVX2 SMEP BMI2 ERMS INVPCID AVX512(F DQ) RDSEED ADX SMAP IFMA CLFLUSHOPT CLWB
    // AVX512CD SHA AVX512(BW VL); ecx: VBMI UMIP VBMI2 GFNI VAES VPCLMUL VNNI BITALG VPOPCNTDQ;
    // edx: FSRM.
    {7, 0, {0, 0xf1bf07a9 & ~(1u << 22), 0x00005f46, 0x00000010}, {0}},
    {0xd, 0, {0xe7, ALL, ALL, 0}, {0}},
    {0xd, 1, {0x7, ALL, 0, 0}, {0}}, // XSAVEOPT XSAVEC XGETBV1
    {0xd, 2, {ALL, ALL, ALL, 0}, {0}},
    {0xd, 5, {ALL, ALL, ALL, 0}, {0}},
    {0xd, 6, {ALL, ALL, ALL, 0}, {0}},
    {0xd, 7, {ALL, ALL, ALL, 0}, {0}},
    {0x80000000, NO_SUBLEAF, {ALL, ALL, ALL, ALL}, {0}},
    // LAHF CR8 ABM SSE4A MISALIGNSSE 3DNOWPREFETCH XOP FMA4 TBM; SYSCALL NX MMXEXT FFXSR 1GB LM
    // and the copies of leaf 1.
    {0x80000001, NO_SUBLEAF, {ALL, 0, 0x002109f1 & ~(1u << 9), 0xe793afff & ~(1u << 12)}, {0}},
    {0x80000002, NO_SUBLEAF, {ALL, ALL, ALL, ALL}, {0}},
    {0x80000003, NO_SUBLEAF, {ALL, ALL, ALL, ALL}, {0}},
    {0x80000004, NO_SUBLEAF, {ALL, ALL, ALL, ALL}, {0}},
    {0x80000005, NO_SUBLEAF, {ALL, ALL, ALL, ALL}, {0}},
    {0x80000006, NO_SUBLEAF, {ALL, ALL, ALL, ALL}, {0}},
    {0x80000007, NO_SUBLEAF, {0, 0, 0, 1u << 8}, {0}}, // invariant TSC
    {0x80000008, NO_SUBLEAF, {0xffff, 1u << 0, 0, 0}, {0}},
};

static void add_leaf(struct cpuid_policy *p, uint32_t leaf, uint32_t subleaf,
                     const struct cpuid_leaf *value)
{
    CHECK(p->count < CPUID_POLICY_MAX_LEAVES);
    p->leaves[p->count++] =
        (xen_cpuid_leaf_t){leaf, subleaf, value->eax, value->ebx, value->ecx, value->edx};
}

static const xen_cpuid_leaf_t *find(const struct cpuid_policy *p, uint32_t leaf, uint32_t subleaf)
{
    for (unsigned int i = 0; i < p->count; i++) {
        const xen_cpuid_leaf_t *l = &p->leaves[i];

        if (l->leaf == leaf && (l->subleaf == subleaf || l->subleaf == NO_SUBLEAF)) {
            return l;
        }
    }
    return NULL;
}

static bool machine_has(uint32_t leaf)
{
    return leaf <= cpuid(leaf & 0x80000000u, 0).eax;
}

static struct cpuid_leaf limit(const struct mask *m, struct cpuid_leaf value)
{
    if (m->leaf == 0) {
        value.eax = MIN(value.eax, LAST_BASIC);
    } else if (m->leaf == 0x80000000) {
        value.eax = MIN(value.eax, LAST_EXTENDED);
    } else if (m->leaf == 0xd && m->subleaf == 0) {
        value.eax &= (uint32_t)extended_state_mask();
    }
    value.eax = (value.eax & m->keep.eax) | m->add.eax;
    value.ebx = (value.ebx & m->keep.ebx) | m->add.ebx;
    value.ecx = (value.ecx & m->keep.ecx) | m->add.ecx;
    value.edx = (value.edx & m->keep.edx) | m->add.edx;
    return value;
}

void cpuid_policy_init(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(masks); i++) {
        const struct mask *m = &masks[i];
        struct cpuid_leaf value, limited;

        if (!machine_has(m->leaf)) {
            continue;
        }
        value = cpuid(m->leaf, m->subleaf == NO_SUBLEAF ? 0 : m->subleaf);
        limited = limit(m, value);
        add_leaf(&cpuid_policy_raw, m->leaf, m->subleaf, &value);
        add_leaf(&cpuid_policy_host, m->leaf, m->subleaf, &value);
        add_leaf(&cpuid_policy_hvm_max, m->leaf, m->subleaf, &limited);
        add_leaf(&cpuid_policy_hvm_default, m->leaf, m->subleaf, &limited);
    }
}

// Which feature each bit of a register needs: bit numbers in one word of a leaf.
struct register_bits {
    uint32_t leaf, subleaf;
    unsigned int word; // 0 to 3: eax to edx
    unsigned int feature;
    uint64_t cr4, efer;
};

static const struct register_bits register_bits[] = {
    {1, NO_SUBLEAF, 3, 1, CR4_VME | CR4_PVI, 0},
    {1, NO_SUBLEAF, 3, 2, CR4_DE, 0},
    {1, NO_SUBLEAF, 3, 3, CR4_PSE, 0},
    {1, NO_SUBLEAF, 3, 4, CR4_TSD, 0},
    {1, NO_SUBLEAF, 3, 6, CR4_PAE, 0},
    {1, NO_SUBLEAF, 3, 7, CR4_MCE, 0},
    {1, NO_SUBLEAF, 3, 13, CR4_PGE, 0},
    {1, NO_SUBLEAF, 3, 24, CR4_OSFXSR, 0},
    {1, NO_SUBLEAF, 3, 25, CR4_OSXMMEXCPT, 0},
    {1, NO_SUBLEAF, 2, 17, CR4_PCIDE, 0},
    {1, NO_SUBLEAF, 2, 26, CR4_OSXSAVE, 0},
    {7, 0, 1, 0, CR4_FSGSBASE, 0},
    {7, 0, 1, 7, CR4_SMEP, 0},
    {7, 0, 1, 20, CR4_SMAP, 0},
    {7, 0, 2, 2, CR4_UMIP, 0},
    {7, 0, 2, 16, CR4_LA57, 0},
    {0x80000001, NO_SUBLEAF, 3, 11, 0, EFER_SCE},
    {0x80000001, NO_SUBLEAF, 3, 20, 0, EFER_NXE},
    {0x80000001, NO_SUBLEAF, 3, 25, 0, EFER_FFXSR},
    {0x80000001, NO_SUBLEAF, 3, 29, 0, EFER_LME},
};

static void find_register_bits(struct cpuid_policy *p)
{
    p->cr4_valid = CR4_PCE; // RDPMC is part of no feature
    p->efer_valid = 0;
    for (size_t i = 0; i < ARRAY_SIZE(register_bits); i++) {
        const struct register_bits *bits = &register_bits[i];
        const xen_cpuid_leaf_t *l = find(p, bits->leaf, bits->subleaf);
        const uint32_t words[] = {l ? l->a : 0, l ? l->b : 0, l ? l->c : 0, l ? l->d : 0};

        if (words[bits->word] >> bits->feature & 1) {
            p->cr4_valid |= bits->cr4;
            p->efer_valid |= bits->efer;
        }
    }
}

int cpuid_policy_create(struct domain *d)
{
    d->arch.policy = heap_new(struct cpuid_policy);
    if (!d->arch.policy) {
        return -XEN_ENOMEM;
    }
    *d->arch.policy = cpuid_policy_hvm_default;
    find_register_bits(d->arch.policy);
    return 0;
}

void cpuid_policy_destroy(struct domain *d)
{
    heap_free(d->arch.policy);
    d->arch.policy = NULL;
}

// What in a leaf's words are features, which a domain may have only if the maximum has them. The
// rest describes: names, sizes, topology (HTT and CMP_LEGACY too), or is the vcpu's (OSXSAVE).
static const struct mask feature_words[] = {
    {1, NO_SUBLEAF, {0, 0, ALL & ~ECX1_OSXSAVE, ALL & ~EDX1_HTT}, {0}},
    {7, 0, {0, ALL, ALL, ALL}, {0}},
    {0xd, 0, {ALL, 0, 0, ALL}, {0}},
    {0xd, 1, {ALL, 0, ALL, ALL}, {0}},
    {0x80000001, NO_SUBLEAF, {0, 0, ALL & ~ECX_CMP_LEGACY, ALL}, {0}},
    {0x80000007, NO_SUBLEAF, {0, ALL, ALL, ALL}, {0}},
    {0x80000008, NO_SUBLEAF, {0, ALL, 0, 0}, {0}},
};

// Leaves whose eax is the highest leaf or subleaf.
static bool counts_leaves(const xen_cpuid_leaf_t *in)
{
    return in->leaf == 0 || in->leaf == 0x80000000 || (in->leaf == 7 && in->subleaf == 0);
}

// Whether a leaf from the toolstack claims more than the maximum has.
static bool exceeds(const xen_cpuid_leaf_t *in)
{
    const xen_cpuid_leaf_t *max = find(&cpuid_policy_hvm_max, in->leaf, in->subleaf);

    if (!max) {
        return false; // not taken over
    }
    if (counts_leaves(in) && in->a > max->a) {
        return true;
    }
    for (size_t i = 0; i < ARRAY_SIZE(feature_words); i++) {
        const struct mask *m = &feature_words[i];

        if (m->leaf == max->leaf && m->subleaf == max->subleaf) {
            return (in->a & ~max->a & m->keep.eax) || (in->b & ~max->b & m->keep.ebx) ||
                   (in->c & ~max->c & m->keep.ecx) || (in->d & ~max->d & m->keep.edx);
        }
    }
    return false;
}

int cpuid_policy_set(struct domain *d, const xen_cpuid_leaf_t *leaves, unsigned int count,
                     uint32_t *leaf, uint32_t *subleaf)
{
    for (unsigned int i = 0; i < count; i++) {
        if (exceeds(&leaves[i])) {
            *leaf = leaves[i].leaf;
            *subleaf = leaves[i].subleaf;
            return -XEN_EINVAL;
        }
    }
    for (unsigned int i = 0; i < count; i++) {
        xen_cpuid_leaf_t *mine =
            (xen_cpuid_leaf_t *)find(d->arch.policy, leaves[i].leaf, leaves[i].subleaf);

        // Leaves that we compute or do not have are the hypervisor's to say.
        if (mine) {
            mine->a = leaves[i].a;
            mine->b = leaves[i].b;
            mine->c = leaves[i].c;
            mine->d = leaves[i].d;
        }
    }
    find_register_bits(d->arch.policy);
    return 0;
}

static void xen_leaf(struct vcpu *v, uint32_t leaf, uint32_t subleaf, struct cpuid_leaf *out)
{
    switch (leaf - XEN_BASE) {
    case 0:
        *out = (struct cpuid_leaf){XEN_LAST, XEN_CPUID_SIGNATURE_EBX, XEN_CPUID_SIGNATURE_ECX,
                                   XEN_CPUID_SIGNATURE_EDX};
        break;
    case 1:
        out->eax = 4 << 16 | 20;
        break;
    case 2:
        out->eax = 1;        // one hypercall page,
        out->ebx = XEN_BASE; // whose address is written to this MSR
        break;
    case 3:
        if (subleaf == 0) {
            out->eax = 0x8; // the TSC is never emulated
            out->ecx = tsc_khz;
        } else if (subleaf == 1) {
            out->ecx = tsc_scale.mul;
            out->edx = (uint32_t)tsc_scale.shift;
        } else if (subleaf == 2) {
            out->eax = tsc_khz;
        }
        break;
    case 4:
        // x2APIC accesses are cheap here; the vcpu's and domain's ids are given.
        out->eax = XEN_HVM_CPUID_X2APIC_VIRT | XEN_HVM_CPUID_VCPU_ID_PRESENT |
                   XEN_HVM_CPUID_DOMID_PRESENT |
                   (v->domain->arch.iommu ? XEN_HVM_CPUID_IOMMU_MAPPINGS : 0);
        out->ebx = v->id;
        out->ecx = v->domain->id;
        break;
    default:
        break;
    }
}

// Topology: every vcpu is a core of one package; the APIC id is twice the vcpu's number.
static void topology_leaf(const struct vcpu *v, uint32_t subleaf, struct cpuid_leaf *out)
{
    unsigned int bits = 1;

    while (1u << bits < v->domain->max_vcpus * 2) {
        bits++;
    }
    out->ecx = subleaf & 0xff;
    out->edx = vlapic_id(v);
    if (subleaf == 0) {
        out->eax = 1;
        out->ebx = 1;
        out->ecx |= 1u << 8;
    } else if (subleaf == 1) {
        out->eax = bits;
        out->ebx = v->domain->max_vcpus;
        out->ecx |= 2u << 8;
    }
}

static void dynamic_fields(struct vcpu *v, uint32_t leaf, uint32_t subleaf, struct cpuid_leaf *out)
{
    uint64_t cr0, cr3, cr4, efer;

    if (leaf == 1) {
        hvm_get_paging(v, &cr0, &cr3, &cr4, &efer);
        out->ebx = (out->ebx & 0x0000ff00) | vlapic_id(v) << 24 |
                   MIN(v->domain->max_vcpus * 2, 255u) << 16;
        out->ecx &= ~ECX1_OSXSAVE;
        out->ecx |= cr4 & CR4_OSXSAVE ? ECX1_OSXSAVE : 0;
        out->edx |= v->domain->max_vcpus > 1 ? EDX1_HTT : 0;
    } else if (leaf == 0xd && subleaf == 0) {
        // The size for what is enabled now: the guest's XCR0 is loaded.
        out->ebx = cpuid(0xd, 0).ebx;
    } else if (leaf == 0xd && subleaf == 1) {
        out->ebx = 0;
    }
}

// Whether the domain's own highest leaf includes this one.
static bool leaf_exists(const struct cpuid_policy *p, uint32_t leaf)
{
    const xen_cpuid_leaf_t *first = find(p, leaf & 0x80000000u, NO_SUBLEAF);

    return first && leaf <= first->a;
}

void cpuid_policy_lookup(struct vcpu *v, uint32_t leaf, uint32_t subleaf, struct cpuid_leaf *out)
{
    const xen_cpuid_leaf_t *found;

    *out = (struct cpuid_leaf){0};
    if (leaf - XEN_BASE <= XEN_LAST - XEN_BASE) {
        xen_leaf(v, leaf, subleaf, out);
        return;
    }
    if (!leaf_exists(v->domain->arch.policy, leaf)) {
        return;
    }
    if (leaf == 0xb) {
        topology_leaf(v, subleaf, out);
        return;
    }
    found = find(v->domain->arch.policy, leaf, subleaf);
    if (found) {
        *out = (struct cpuid_leaf){found->a, found->b, found->c, found->d};
        dynamic_fields(v, leaf, subleaf, out);
    }
}

bool cpuid_policy_allows_xcr0(const struct vcpu *v, uint64_t xcr0)
{
    const xen_cpuid_leaf_t *found = find(v->domain->arch.policy, 0xd, 0);

    return found && !(xcr0 & ~(found->a | (uint64_t)found->d << 32));
}
