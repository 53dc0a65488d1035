// SPDX-License-Identifier: Apache-2.0
// CR0, CR4 and EFER: what a vcpu may have in them, and the writes of its own.
//
// A domain may set what its CPUID policy offers, whatever the processor itself would take: the
// state then is valid wherever the domain goes on, and no entry fails. Rules: AMD64 Architecture
// Programmer's Manual volume 2, 3.1 and 5.3, volume 3, MOV CRn; where processors leave a change
// that no software makes undefined, it is refused. The vcpu is the current one or paused; no lock.
// Nothing changes when a write is refused (#GP).

#include <bulkhead/domain.h>
#include <x86/cpuid_policy.h>
#include <x86/hvm.h>
#include <x86/registers.h>

#define CR0_DEFINED                                                                                \
    (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD |     \
     (uint64_t)CR0_PG)
// Changes after which the processor holds no translation of before.
#define CR0_FLUSHES (CR0_PE | CR0_WP | (uint64_t)CR0_PG)
#define CR4_FLUSHES                                                                                \
    (CR4_PSE | CR4_PAE | CR4_PGE | (uint64_t)CR4_PCIDE | CR4_SMEP | CR4_SMAP | CR4_LA57)
#define EFER_FLUSHES ((uint64_t)EFER_NXE)
#define PCID_MASK 0xfffUL
#define ATTRIBUTE_LONG 0x200u

static bool cr0_valid(uint64_t cr0)
{
    return !(cr0 >> 32) && ((cr0 & CR0_PE) || !(cr0 & CR0_PG)) &&
           ((cr0 & CR0_CD) || !(cr0 & CR0_NW));
}

bool hvm_control_valid(const struct domain *d, uint64_t cr0, uint64_t cr4, uint64_t efer)
{
    const struct cpuid_policy *policy = d->arch.policy;
    bool long_mode = (efer & EFER_LME) && (cr0 & CR0_PG);

    return cr0_valid(cr0) && !(cr0 & ~CR0_DEFINED) && !(cr4 & ~policy->cr4_valid) &&
           !(efer & ~(policy->efer_valid | EFER_LMA)) && long_mode == ((efer & EFER_LMA) != 0) &&
           (long_mode ? (cr4 & CR4_PAE) != 0 : !(cr4 & CR4_PCIDE));
}

static bool in_64_bit_code(struct vcpu *v)
{
    struct segment cs;

    hvm_get_segment(v, SEGMENT_CS, &cs);
    return cs.attributes & ATTRIBUTE_LONG;
}

bool hvm_write_cr0(struct vcpu *v, uint64_t value)
{
    uint64_t cr0, cr3, cr4, efer, changed;

    hvm_get_paging(v, &cr0, &cr3, &cr4, &efer);
    if (!cr0_valid(value)) {
        return false;
    }
    value = (value & CR0_DEFINED) | CR0_ET; // the others keep their zeros
    changed = value ^ cr0;
    if ((changed & CR0_PG) && (efer & EFER_LME)) {
        // Into and out of long mode only by 32-bit code, and with the tables that it needs.
        if (in_64_bit_code(v) || !(cr4 & CR4_PAE) || (cr4 & CR4_PCIDE)) {
            return false;
        }
        efer ^= EFER_LMA;
    }
    hvm_set_paging(v, value, cr4, efer, changed & CR0_FLUSHES);
    return true;
}

bool hvm_write_cr4(struct vcpu *v, uint64_t value)
{
    uint64_t cr0, cr3, cr4, efer, changed;

    hvm_get_paging(v, &cr0, &cr3, &cr4, &efer);
    changed = value ^ cr4;
    if (value & ~v->domain->arch.policy->cr4_valid) {
        return false;
    }
    if (efer & EFER_LMA) {
        if (!(value & CR4_PAE) || (changed & CR4_LA57) ||
            ((changed & value & CR4_PCIDE) && (cr3 & PCID_MASK))) {
            return false;
        }
    } else if (value & CR4_PCIDE) {
        return false;
    }
    hvm_set_paging(v, cr0, value, efer, changed & CR4_FLUSHES);
    return true;
}

bool hvm_write_efer(struct vcpu *v, uint64_t value)
{
    uint64_t cr0, cr3, cr4, efer;

    hvm_get_paging(v, &cr0, &cr3, &cr4, &efer);
    if (value & ~(v->domain->arch.policy->efer_valid | EFER_LMA)) {
        return false;
    }
    value = (value & ~(uint64_t)EFER_LMA) | (efer & EFER_LMA); // LMA is the processor's
    if ((cr0 & CR0_PG) && ((value ^ efer) & EFER_LME)) {
        return false;
    }
    hvm_set_paging(v, cr0, cr4, value, (value ^ efer) & EFER_FLUSHES);
    return true;
}
