// SPDX-License-Identifier: Apache-2.0
// Model-specific registers as guests see them. What is not named here does not exist: #GP.
// Registers without an exit (segment bases, SYSCALL, SYSENTER) are in svm.c's list.

#include <bulkhead/console.h>
#include <bulkhead/domain.h>
#include <bulkhead/mapping.h>
#include <bulkhead/page.h>
#include <bulkhead/string.h>
#include <x86/cpuid_policy.h>
#include <x86/hvm.h>
#include <x86/registers.h>
#include <x86/vlapic.h>

#define MSR_PATCH_LEVEL 0x8b
#define MSR_MCG_CAP 0x179
#define MSR_MCG_STATUS 0x17a
#define MSR_DEBUGCTL 0x1d9
#define MSR_SYSCFG 0xc0010010
#define MSR_HWCR 0xc0010015
#define MSR_NB_CFG 0xc001001f
#define MSR_VM_CR_GUEST 0xc0010114
#define MSR_BU_CFG2 0xc001102a
#define MSR_DE_CFG 0xc0011029
#define MSR_LS_CFG 0xc0011020
#define MSR_IC_CFG 0xc0011021
#define MSR_XEN_HYPERCALL 0x40000000
#define HWCR_TSC_FREQ_SEL (1UL << 24)
#define DE_CFG_LFENCE (1UL << 1)

// Fills a page of the guest with one stub of 32 bytes for each hypercall number.
static bool write_hypercall_page(struct vcpu *v, uint64_t value)
{
    struct page *page = p2m_get_page(v->domain, GFN(value >> PAGE_SHIFT), true, NULL);
    uint8_t *stub;

    if (!page || (value & (PAGE_SIZE - 1))) {
        if (page) {
            page_put(page);
        }
        return false;
    }
    stub = map_frame(page_to_mfn(page));
    memset(stub, 0xcc, PAGE_SIZE);
    for (uint32_t number = 0; number < PAGE_SIZE / 32; number++) {
        uint8_t *code = stub + number * 32;

        code[0] = 0xb8; // mov $number, %eax
        memcpy(code + 1, &number, sizeof(number));
        memcpy(code + 5, "\x0f\x01\xd9\xc3", 4); // vmmcall; ret
    }
    unmap_frame(stub);
    page_put(page);
    return true;
}

static bool is_apic_msr(uint32_t msr)
{
    return msr == VLAPIC_MSR_BASE || msr == VLAPIC_MSR_TSC_DEADLINE ||
           (msr >= VLAPIC_MSR_X2APIC_FIRST && msr <= VLAPIC_MSR_X2APIC_LAST);
}

bool hvm_read_msr(struct vcpu *v, uint32_t msr, uint64_t *value)
{
    struct hvm_registers r;

    if (is_apic_msr(msr)) {
        return v->arch.vlapic && vlapic_read_msr(v, msr, value);
    }
    switch (msr) {
    case MSR_EFER:
        hvm_get_registers(v, &r);
        *value = r.efer;
        return true;
    case MSR_PAT:
        hvm_get_registers(v, &r);
        *value = r.pat;
        return true;
    case MSR_TSC:
        *value = read_tsc() + hvm_vendor_tsc_offset(v);
        return true;
    case MSR_HWCR:
        *value = HWCR_TSC_FREQ_SEL;
        return true;
    case MSR_DE_CFG:
        *value = DE_CFG_LFENCE;
        return true;
    case MSR_VM_CR_GUEST:
        *value = 1UL << 4; // SVM disabled
        return true;
    case MSR_PATCH_LEVEL:
        *value = read_msr(MSR_PATCH_LEVEL);
        return true;
    case MSR_MCG_CAP: // no banks
    case MSR_MCG_STATUS:
    case MSR_DEBUGCTL:
    case MSR_SYSCFG:
    case MSR_NB_CFG:
    case MSR_BU_CFG2:
    case MSR_LS_CFG:
    case MSR_IC_CFG:
        *value = 0;
        return true;
    default:
        return false;
    }
}

static bool write_pat(struct vcpu *v, uint64_t value)
{
    struct hvm_registers r;

    for (unsigned int i = 0; i < 8; i++) {
        uint8_t type = (uint8_t)(value >> (8 * i));

        if (type > 7 || type == 2 || type == 3) {
            return false;
        }
    }
    hvm_get_registers(v, &r);
    r.pat = value;
    hvm_set_registers(v, &r);
    return true;
}

bool hvm_write_msr(struct vcpu *v, uint32_t msr, uint64_t value)
{
    if (is_apic_msr(msr)) {
        return v->arch.vlapic && vlapic_write_msr(v, msr, value);
    }
    switch (msr) {
    case MSR_EFER:
        return hvm_write_efer(v, value);
    case MSR_PAT:
        return write_pat(v, value);
    case MSR_TSC:
        hvm_vendor_set_tsc_offset(v, value - read_tsc());
        arch_vcpu_update_time(v);
        return true;
    case MSR_XEN_HYPERCALL:
        return write_hypercall_page(v, value);
    case MSR_PATCH_LEVEL:
    case MSR_MCG_STATUS:
    case MSR_DEBUGCTL:
    case MSR_HWCR:
    case MSR_SYSCFG:
    case MSR_NB_CFG:
    case MSR_DE_CFG:
    case MSR_BU_CFG2:
    case MSR_LS_CFG:
    case MSR_IC_CFG:
        return true; // written by kernels as work-arounds for hardware that we look after
    default:
        return false;
    }
}
