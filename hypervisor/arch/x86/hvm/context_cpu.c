// SPDX-License-Identifier: Apache-2.0
// The CPU record of the public HVM context: a vcpu's registers.
//
// Segment attributes ("arbytes") are the 12 packed bits that the VMCB has too; Debian's libxenguest
// writes 0xc9b for the flat 32-bit code segment. Whatever the processor would refuse to run, or the
// domain's CPUID policy hides, is refused here, as a whole record.
// The vcpu is paused and its state saved, so there is no lock.

#include <bulkhead/domain.h>
#include <bulkhead/string.h>
#include <x86/cpuid_policy.h>
#include <x86/extended_state.h>
#include <x86/hvm.h>
#include <x86/registers.h>
#include <x86/vlapic.h>
#include <xen/hvm/save.h>

#include "context_internal.h"

#define RFLAGS_VALID 0x3f7fd7UL
#define RFLAGS_FIXED 2UL
#define RFLAGS_VM (1UL << 17)
#define ATTRIBUTES_VALID 0xfffu
#define ATTRIBUTE_LONG 0x200u
#define ATTRIBUTE_BIG 0x400u
#define EVENT_INTERRUPT 0u
#define EVENT_NMI 2u
#define EVENT_EXCEPTION 3u

// Calls what for every register of the record that has a place of the same meaning in v->arch.gpr,
// with its number there.
#define FOR_EACH_GPR(what)                                                                         \
    what(rax, 0) what(rcx, 1) what(rdx, 2) what(rbx, 3) what(rsp, 4) what(rbp, 5) what(rsi, 6)     \
        what(rdi, 7) what(r8, 8) what(r9, 9) what(r10, 10) what(r11, 11) what(r12, 12)             \
            what(r13, 13) what(r14, 14) what(r15, 15)

#define FOR_EACH_SEGMENT(what)                                                                     \
    what(es, SEGMENT_ES) what(cs, SEGMENT_CS) what(ss, SEGMENT_SS) what(ds, SEGMENT_DS)            \
        what(fs, SEGMENT_FS) what(gs, SEGMENT_GS) what(ldtr, SEGMENT_LDTR) what(tr, SEGMENT_TR)

// Names on both sides: the record's, struct hvm_registers'.
#define FOR_EACH_REGISTER(what)                                                                    \
    what(cr0, cr0) what(cr2, cr2) what(cr3, cr3) what(cr4, cr4) what(dr6, dr6) what(dr7, dr7)      \
        what(sysenter_cs, sysenter_cs) what(sysenter_esp, sysenter_esp)                            \
            what(sysenter_eip, sysenter_eip) what(shadow_gs, kernel_gs_base)                       \
                what(msr_lstar, lstar) what(msr_star, star) what(msr_cstar, cstar)                 \
                    what(msr_syscall_mask, sfmask) what(msr_efer, efer) what(gdtr_base, gdtr.base) \
                        what(gdtr_limit, gdtr.limit) what(idtr_base, idtr.base)                    \
                            what(idtr_limit, idtr.limit)

uint32_t context_cpu_present(const struct context *c, struct vcpu *v)
{
    (void)c;
    // A vcpu that is down has no state: whoever brings it up gives it one.
    return __atomic_load_n(&v->pause_flags, __ATOMIC_SEQ_CST) & VCPU_DOWN
               ? 0
               : sizeof(struct hvm_hw_cpu);
}

void context_cpu_save(const struct context *c, struct vcpu *v, void *data)
{
    struct hvm_hw_cpu *record = data;
    struct hvm_switched_state state;
    struct hvm_registers r;

    hvm_get_registers(v, &r);
    hvm_get_switched_state(v, &state);
    memset(record, 0, sizeof(*record));
    memcpy(record->fpu_regs, state.extended_state, sizeof(record->fpu_regs));
    record->flags = XEN_X86_FPU_INITIALISED;
    record->rip = v->arch.rip;
    record->rflags = v->arch.rflags;
#define SAVE_GPR(name, number) record->name = v->arch.gpr[number];
    FOR_EACH_GPR(SAVE_GPR)
#define SAVE_SEGMENT(name, s)                                                                      \
    record->name##_sel = r.segment[s].selector;                                                    \
    record->name##_limit = r.segment[s].limit;                                                     \
    record->name##_base = r.segment[s].base;                                                       \
    record->name##_arbytes = r.segment[s].attributes;
    FOR_EACH_SEGMENT(SAVE_SEGMENT)
#define SAVE_REGISTER(name, mine) record->name = r.mine;
    FOR_EACH_REGISTER(SAVE_REGISTER)
    record->dr0 = state.debug[0];
    record->dr1 = state.debug[1];
    record->dr2 = state.debug[2];
    record->dr3 = state.debug[3];
    record->tsc = c->host_tsc + hvm_vendor_tsc_offset(v);
    record->pending_event = (uint32_t)*state.pending_event;
    record->error_code = (uint32_t)(*state.pending_event >> 32);
}

static bool canonical(uint64_t address)
{
    return (int64_t)(address << 16) >> 16 == (int64_t)address;
}

static bool segments_valid(const struct hvm_hw_cpu *r)
{
    bool ok = true;

#define CHECK_SEGMENT(name, s)                                                                     \
    ok &= r->name##_sel <= UINT16_MAX && !(r->name##_arbytes & ~ATTRIBUTES_VALID) &&               \
          canonical(r->name##_base);
    FOR_EACH_SEGMENT(CHECK_SEGMENT)
    if (r->cs_arbytes & ATTRIBUTE_LONG) {
        // 64-bit code: only in long mode, and not at the same time 32-bit code.
        ok &= (r->msr_efer & EFER_LMA) && !(r->cs_arbytes & ATTRIBUTE_BIG) && canonical(r->rip);
    } else {
        ok &= r->rip <= UINT32_MAX;
    }
    return ok && canonical(r->gdtr_base) && canonical(r->idtr_base);
}

static bool control_registers_valid(struct vcpu *v, const struct hvm_hw_cpu *r)
{
    struct cpuid_leaf sizes;

    cpuid_policy_lookup(v, 0x80000008, 0, &sizes);
    return hvm_control_valid(v->domain, r->cr0, r->cr4, r->msr_efer) &&
           !((r->msr_efer & EFER_LMA) && (r->rflags & RFLAGS_VM)) &&
           !(r->cr3 >> MAX(MIN(sizes.eax & 0xff, 52u), 32u)) && !(r->dr6 >> 32) && !(r->dr7 >> 32);
}

static bool event_valid(const struct hvm_hw_cpu *r)
{
    if (!r->pending_valid) {
        return true;
    }
    switch (r->pending_type) {
    case EVENT_INTERRUPT:
    case EVENT_NMI:
        return !r->pending_reserved && !r->pending_error_valid;
    case EVENT_EXCEPTION:
        return !r->pending_reserved && r->pending_vector < 32 && r->pending_vector != 2;
    default:
        return false;
    }
}

int context_cpu_check(const struct context *c, struct vcpu *v, const void *data, uint32_t length)
{
    const struct hvm_hw_cpu *r = data;
    bool ok = segments_valid(r) && control_registers_valid(v, r) && event_valid(r);

    (void)c;
    (void)length;
    ok = ok && !(r->rflags & ~RFLAGS_VALID) && !(r->flags & ~XEN_X86_FPU_INITIALISED);
    ok = ok && canonical(r->msr_lstar) && canonical(r->msr_cstar) && canonical(r->shadow_gs) &&
         canonical(r->sysenter_esp) && canonical(r->sysenter_eip);
    // There is no RDTSCP and no IA32_TSC_AUX for guests, so none can have set it.
    ok = ok && !r->msr_tsc_aux;
    if (ok && (r->flags & XEN_X86_FPU_INITIALISED)) {
        ok = extended_state_legacy_valid(r->fpu_regs);
    }
    return ok ? 0 : -XEN_EINVAL;
}

static void load_registers(struct vcpu *v, const struct hvm_hw_cpu *record)
{
    struct hvm_registers r;

    hvm_get_registers(v, &r); // for the PAT, which has a record of its own
#define LOAD_GPR(name, number) v->arch.gpr[number] = record->name;
    FOR_EACH_GPR(LOAD_GPR)
#define LOAD_SEGMENT(name, s)                                                                      \
    r.segment[s] =                                                                                 \
        (struct segment){(uint16_t)record->name##_sel, (uint16_t)record->name##_arbytes,           \
                         record->name##_limit, record->name##_base};
    FOR_EACH_SEGMENT(LOAD_SEGMENT)
#define LOAD_REGISTER(name, mine) r.mine = record->name;
    FOR_EACH_REGISTER(LOAD_REGISTER)
    r.cr0 |= CR0_ET;
    v->arch.rip = record->rip;
    v->arch.rflags = record->rflags | RFLAGS_FIXED;
    v->arch.fetch.page = 1;
    hvm_set_registers(v, &r);
}

void context_cpu_load(const struct context *c, struct vcpu *v, const void *data)
{
    const struct hvm_hw_cpu *record = data;
    struct hvm_switched_state state;

    load_registers(v, record);
    hvm_get_switched_state(v, &state);
    if (record->flags & XEN_X86_FPU_INITIALISED) {
        extended_state_put_legacy(state.extended_state, record->fpu_regs);
    } else {
        extended_state_reset(state.extended_state);
    }
    *state.xcr0 = 1;
    state.debug[0] = record->dr0;
    state.debug[1] = record->dr1;
    state.debug[2] = record->dr2;
    state.debug[3] = record->dr3;
    *state.pending_event =
        record->pending_valid ? record->pending_event | (uint64_t)record->error_code << 32 : 0;
    hvm_forget_transient_state(v);
    hvm_vendor_set_tsc_offset(v, record->tsc - c->host_tsc);
    arch_vcpu_update_time(v);
    v->arch.initialised = true;
    v->arch.waiting_for_startup = false;
    __atomic_store_n(&v->arch.startup_request, 0, __ATOMIC_SEQ_CST);
    // The domain is paused: the scheduler looks at the vcpu when it is unpaused.
    __atomic_fetch_and(&v->pause_flags, ~(VCPU_DOWN | VCPU_BLOCKED), __ATOMIC_SEQ_CST);
}
