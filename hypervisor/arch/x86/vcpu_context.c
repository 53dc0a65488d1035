// SPDX-License-Identifier: Apache-2.0
// Registers of a vcpu in the public structures: vcpu_guest_context for debuggers and the
// toolstack, vcpu_hvm_context for a guest that starts a vcpu by VCPUOP_initialise.
// Locking: the vcpu is paused or down. Errors: a state is checked as a whole before any of it is
// taken over; what the processor itself would refuse ends in the domain's crash at its next entry.

#include <bulkhead/arch/control.h>
#include <bulkhead/domain.h>
#include <bulkhead/guest_access.h>
#include <bulkhead/string.h>
#include <x86/hvm.h>
#include <x86/registers.h>
#include <xen/hvm/hvm_vcpu.h>

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15 };

#define RFLAGS_FIXED 2u
#define RFLAGS_DEFINED 0x3f7fd7u
#define AR_TYPE_CODE 0x8u
#define AR_S 0x10u
#define AR_PRESENT 0x80u
#define AR_LONG 0x200u
#define AR_GRANULARITY 0x800u
#define AR_UNUSED 0xf000u

void arch_vcpu_get_context(struct vcpu *v, struct vcpu_guest_context *context)
{
    struct cpu_user_regs *u = &context->user_regs;
    const uint64_t *gpr = v->arch.gpr;
    struct hvm_registers r;

    memset(context, 0, sizeof(*context));
    hvm_get_registers(v, &r);
    context->flags = VGCF_in_kernel;
    if (!(__atomic_load_n(&v->pause_flags, __ATOMIC_RELAXED) & VCPU_DOWN)) {
        context->flags |= VGCF_online;
    }
    u->rax = gpr[RAX], u->rcx = gpr[RCX], u->rdx = gpr[RDX], u->rbx = gpr[RBX];
    u->rsp = gpr[RSP], u->rbp = gpr[RBP], u->rsi = gpr[RSI], u->rdi = gpr[RDI];
    u->r8 = gpr[R8], u->r9 = gpr[R9], u->r10 = gpr[R10], u->r11 = gpr[R11];
    u->r12 = gpr[R12], u->r13 = gpr[R13], u->r14 = gpr[R14], u->r15 = gpr[R15];
    u->rip = v->arch.rip;
    u->rflags = v->arch.rflags;
    u->es = r.segment[SEGMENT_ES].selector, u->cs = r.segment[SEGMENT_CS].selector;
    u->ss = r.segment[SEGMENT_SS].selector, u->ds = r.segment[SEGMENT_DS].selector;
    u->fs = r.segment[SEGMENT_FS].selector, u->gs = r.segment[SEGMENT_GS].selector;
    context->ctrlreg[0] = r.cr0;
    context->ctrlreg[2] = r.cr2;
    context->ctrlreg[3] = r.cr3;
    context->ctrlreg[4] = r.cr4;
    context->debugreg[6] = r.dr6;
    context->debugreg[7] = r.dr7;
    context->fs_base = r.segment[SEGMENT_FS].base;
    context->gs_base_kernel = r.segment[SEGMENT_GS].base;
    context->gs_base_user = r.kernel_gs_base;
}

// Of an HVM vcpu only the general registers and the flags are taken, as the public header says.
int arch_vcpu_set_context(struct vcpu *v, const struct vcpu_guest_context *context)
{
    const struct cpu_user_regs *u = &context->user_regs;
    uint64_t *gpr = v->arch.gpr;

    if (u->rflags & ~(uint64_t)RFLAGS_DEFINED) {
        return -XEN_EINVAL;
    }
    gpr[RAX] = u->rax, gpr[RCX] = u->rcx, gpr[RDX] = u->rdx, gpr[RBX] = u->rbx;
    gpr[RSP] = u->rsp, gpr[RBP] = u->rbp, gpr[RSI] = u->rsi, gpr[RDI] = u->rdi;
    gpr[R8] = u->r8, gpr[R9] = u->r9, gpr[R10] = u->r10, gpr[R11] = u->r11;
    gpr[R12] = u->r12, gpr[R13] = u->r13, gpr[R14] = u->r14, gpr[R15] = u->r15;
    v->arch.rip = u->rip;
    v->arch.rflags = u->rflags | RFLAGS_FIXED;
    if ((context->flags & VGCF_online) && v->arch.initialised) {
        __atomic_fetch_and(&v->pause_flags, ~VCPU_DOWN, __ATOMIC_SEQ_CST);
    } else {
        __atomic_fetch_or(&v->pause_flags, VCPU_DOWN, __ATOMIC_SEQ_CST);
    }
    return 0;
}

// A segment in the compact form of the public structure.
static bool make_segment(struct segment *s, uint32_t base, uint32_t limit, uint16_t attributes)
{
    if (attributes & AR_UNUSED) {
        return false;
    }
    // A limit that granularity could not have made.
    if (attributes & AR_GRANULARITY ? (limit & 0xfff) != 0xfff : limit > 0xfffff) {
        return false;
    }
    *s = (struct segment){0, attributes, limit, base};
    return true;
}

static bool is_code(const struct segment *s)
{
    return (s->attributes & (AR_S | AR_PRESENT | AR_TYPE_CODE)) ==
           (AR_S | AR_PRESENT | AR_TYPE_CODE);
}

static bool is_data_or_absent(const struct segment *s)
{
    return !(s->attributes & AR_PRESENT) || ((s->attributes & AR_S) && !is_code(s));
}

static bool take_32(const struct vcpu_hvm_x86_32 *in, struct hvm_registers *r, uint64_t gpr[16],
                    uint64_t *rip, uint64_t *rflags)
{
    struct segment *s = r->segment;

    if (in->pad1 || in->pad2[0] || in->pad2[1] || in->pad2[2]) {
        return false;
    }
    gpr[RAX] = in->eax, gpr[RCX] = in->ecx, gpr[RDX] = in->edx, gpr[RBX] = in->ebx;
    gpr[RSP] = in->esp, gpr[RBP] = in->ebp, gpr[RSI] = in->esi, gpr[RDI] = in->edi;
    *rip = in->eip;
    *rflags = in->eflags;
    r->cr0 = in->cr0 | CR0_ET;
    r->cr3 = in->cr3;
    r->cr4 = in->cr4;
    r->efer = in->efer;
    return make_segment(&s[SEGMENT_CS], in->cs_base, in->cs_limit, in->cs_ar) &&
           make_segment(&s[SEGMENT_DS], in->ds_base, in->ds_limit, in->ds_ar) &&
           make_segment(&s[SEGMENT_SS], in->ss_base, in->ss_limit, in->ss_ar) &&
           make_segment(&s[SEGMENT_ES], in->es_base, in->es_limit, in->es_ar) &&
           make_segment(&s[SEGMENT_TR], in->tr_base, in->tr_limit, in->tr_ar) &&
           is_code(&s[SEGMENT_CS]) && !(in->cs_ar & AR_LONG) && in->eip <= in->cs_limit &&
           is_data_or_absent(&s[SEGMENT_DS]) && is_data_or_absent(&s[SEGMENT_SS]) &&
           is_data_or_absent(&s[SEGMENT_ES]);
}

static bool take_64(const struct vcpu_hvm_x86_64 *in, struct hvm_registers *r, uint64_t gpr[16],
                    uint64_t *rip, uint64_t *rflags)
{
    gpr[RAX] = in->rax, gpr[RCX] = in->rcx, gpr[RDX] = in->rdx, gpr[RBX] = in->rbx;
    gpr[RSP] = in->rsp, gpr[RBP] = in->rbp, gpr[RSI] = in->rsi, gpr[RDI] = in->rdi;
    *rip = in->rip;
    *rflags = in->rflags;
    r->cr0 = in->cr0 | CR0_ET;
    r->cr3 = in->cr3;
    r->cr4 = in->cr4;
    r->efer = in->efer;
    for (unsigned int s = SEGMENT_ES; s <= SEGMENT_GS; s++) {
        r->segment[s] = (struct segment){0, 0xc93, ~0u, 0};
    }
    r->segment[SEGMENT_CS].attributes = 0xa9b;
    r->segment[SEGMENT_TR] = (struct segment){0, 0x8b, 0x67, 0};
    // Straight into 64-bit mode and nowhere else.
    return (in->cr0 & CR0_PG) && (in->efer & EFER_LMA);
}

int arch_vcpu_initialise(struct vcpu *v, gva_t at)
{
    struct hvm_registers r = {.dr6 = 0xffff0ff0, .dr7 = 0x400, .pat = 0x0007040600070406UL};
    uint64_t gpr[16] = {0}, rip, rflags;
    struct vcpu_hvm_context context;
    bool valid = false;

    if (copy_from_guest(&context, at, sizeof(context))) {
        return -XEN_EFAULT;
    }
    if (context.pad) {
        return -XEN_EINVAL;
    }
    r.segment[SEGMENT_LDTR] = (struct segment){0, 0x82, 0xffff, 0};
    if (context.mode == VCPU_HVM_MODE_32B) {
        valid = take_32(&context.cpu_regs.x86_32, &r, gpr, &rip, &rflags);
    } else if (context.mode == VCPU_HVM_MODE_64B) {
        valid = take_64(&context.cpu_regs.x86_64, &r, gpr, &rip, &rflags);
    }
    if (!valid || (rflags & ~(uint64_t)RFLAGS_DEFINED) ||
        !hvm_control_valid(v->domain, r.cr0, r.cr4, r.efer)) {
        return -XEN_EINVAL;
    }
    memcpy(v->arch.gpr, gpr, sizeof(gpr));
    v->arch.rip = rip;
    v->arch.rflags = rflags | RFLAGS_FIXED;
    v->arch.fetch.page = 1; // nothing is remembered of the vcpu's former tables
    hvm_set_registers(v, &r);
    v->arch.initialised = true;
    return 0;
}
