// SPDX-License-Identifier: Apache-2.0
// Detects the processor's features once, on the boot CPU, and sets every CPU up in the same way.
// cpu_features is written before other CPUs run and constant from then on.

#include <bulkhead/string.h>
#include <x86/cpuid.h>
#include <x86/features.h>
#include <x86/registers.h>

// Page attribute table: entry 1 (PWT alone) is made write-combining, the others are as after
// reset: write-back, UC-, uncached (AMD64 APM 2, 7.8.2).
#define HOST_PAT 0x0007050600070106UL

struct cpu_features cpu_features;

static void read_name(struct cpu_features *f)
{
    uint32_t text[12];

    if (f->max_extended_leaf < 0x80000004) {
        return;
    }
    for (unsigned int i = 0; i < 3; i++) {
        struct cpuid_leaf leaf = cpuid(0x80000002 + i, 0);

        memcpy(&text[4 * i], &leaf, sizeof(leaf));
    }
    memcpy(f->name, text, sizeof(text));
}

static void read_version(struct cpu_features *f, uint32_t eax)
{
    f->stepping = eax & 15;
    f->model = (eax >> 4) & 15;
    f->family = (eax >> 8) & 15;
    if (f->family == 15) {
        f->family += (eax >> 20) & 0xff;
    }
    if (f->family == 6 || f->family >= 15) {
        f->model += ((eax >> 16) & 15) << 4;
    }
}

static void read_features(struct cpu_features *f)
{
    struct cpuid_leaf leaf = cpuid(0, 0);
    uint32_t vendor[3] = {leaf.ebx, leaf.edx, leaf.ecx};

    memset(f, 0, sizeof(*f));
    f->max_leaf = leaf.eax;
    memcpy(f->vendor, vendor, sizeof(vendor));
    f->amd = !strcmp(f->vendor, "AuthenticAMD") || !strcmp(f->vendor, "HygonGenuine");
    f->max_extended_leaf = cpuid(0x80000000, 0).eax;

    leaf = cpuid(1, 0);
    read_version(f, leaf.eax);
    f->x2apic = leaf.ecx & (1u << 21);
    f->tsc_deadline = leaf.ecx & (1u << 24);
    f->xsave = leaf.ecx & (1u << 26);
    if (f->max_leaf >= 7) {
        leaf = cpuid(7, 0);
        f->smep = leaf.ebx & (1u << 7);
        f->smap = leaf.ebx & (1u << 20);
        f->umip = leaf.ecx & (1u << 2);
    }
    f->pages_1g = cpuid(0x80000001, 0).edx & (1u << 26);
    if (f->max_extended_leaf >= 0x80000007) {
        f->invariant_tsc = cpuid(0x80000007, 0).edx & (1u << 8);
    }
    f->physical_bits = f->max_extended_leaf >= 0x80000008 ? cpuid(0x80000008, 0).eax & 0xff : 36;
    read_name(f);
}

void features_detect(void)
{
    read_features(&cpu_features);
}

bool features_match(void)
{
    struct cpu_features own;

    read_features(&own);
    return !memcmp(own.vendor, cpu_features.vendor, sizeof(own.vendor)) &&
           own.smep == cpu_features.smep && own.smap == cpu_features.smap &&
           own.xsave == cpu_features.xsave && own.x2apic == cpu_features.x2apic &&
           own.tsc_deadline == cpu_features.tsc_deadline;
}

void features_enable(void)
{
    uint64_t cr4 = CR4_PAE | CR4_DE | CR4_MCE | CR4_OSFXSR | CR4_OSXMMEXCPT;

    if (cpu_features.smep) {
        cr4 |= CR4_SMEP;
    }
    if (cpu_features.smap) {
        cr4 |= CR4_SMAP;
    }
    if (cpu_features.umip) {
        cr4 |= CR4_UMIP;
    }
    if (cpu_features.xsave) {
        cr4 |= CR4_OSXSAVE;
    }
    write_cr4(cr4);
    write_cr0(CR0_PG | CR0_WP | CR0_NE | CR0_ET | CR0_MP | CR0_PE);
    write_msr(MSR_EFER, read_msr(MSR_EFER) | EFER_NXE);
    write_msr(MSR_PAT, HOST_PAT);
}
