// SPDX-License-Identifier: Apache-2.0
// What a guest's exits lead to: one case, one handler. Whatever a guest does that has no meaning
// here ends in an exception for it or, where the processor would shut down, in the domain's crash.

#include <bulkhead/console.h>
#include <bulkhead/cpu.h>
#include <bulkhead/domain.h>
#include <bulkhead/hypercall.h>
#include <bulkhead/page.h>
#include <x86/cpuid_policy.h>
#include <x86/extended_state.h>
#include <x86/registers.h>
#include <x86/vlapic.h>
#include <xen/sched.h>

#include "../../emulate/intercepted.h"
#include "vmcb.h"

static enum x86_mode code_mode(const struct vmcb *vmcb)
{
    return vmcb->cs.attributes & 0x200   ? X86_MODE_64
           : vmcb->cs.attributes & 0x400 ? X86_MODE_32
                                         : X86_MODE_16;
}

// Length of the intercepted instruction; 0: it is not what was intercepted any more (another vcpu
// changed it), or cannot be read: the guest tries again.
static unsigned int instruction_length(struct vcpu *v, struct vmcb *vmcb,
                                       enum x86_intercepted which)
{
    uint8_t bytes[15];
    size_t available = hvm_fetch_instruction(v, bytes);
    int length = x86_intercepted_length(bytes, available, code_mode(vmcb), which);

    if (unlikely(length <= 0)) {
        v->arch.fetch.page = 1; // its tables may map another page there by now
        return 0;
    }
    return (unsigned int)length;
}

static void skip(struct vcpu *v, struct vmcb *vmcb, unsigned int length)
{
    v->arch.rip += length;
    v->arch.rflags &= ~(uint64_t)RFLAGS_RF;
    vmcb->interrupt_shadow = 0;
}

static void handle_cpuid(struct vcpu *v, struct vmcb *vmcb)
{
    unsigned int length = instruction_length(v, vmcb, X86_INTERCEPTED_CPUID);
    struct cpuid_leaf out;

    if (!length) {
        return;
    }
    cpuid_policy_lookup(v, (uint32_t)v->arch.gpr[0], (uint32_t)v->arch.gpr[1], &out);
    v->arch.gpr[0] = out.eax;
    v->arch.gpr[3] = out.ebx;
    v->arch.gpr[1] = out.ecx;
    v->arch.gpr[2] = out.edx;
    skip(v, vmcb, length);
}

static void handle_msr(struct vcpu *v, struct vmcb *vmcb)
{
    bool write = vmcb->exit_info1 & 1;
    unsigned int length =
        instruction_length(v, vmcb, write ? X86_INTERCEPTED_WRMSR : X86_INTERCEPTED_RDMSR);
    uint32_t msr = (uint32_t)v->arch.gpr[1];
    uint64_t value = (uint32_t)v->arch.gpr[0] | v->arch.gpr[2] << 32;
    bool ok;

    if (!length) {
        return;
    }
    // The end of every interrupt of a guest in x2APIC mode: nothing else is written so often.
    if (write && msr == VLAPIC_MSR_X2APIC_EOI && !value && vlapic_in_x2apic_mode(v)) {
        vlapic_eoi(v);
        skip(v, vmcb, length);
        return;
    }
    ok = write ? hvm_write_msr(v, msr, value) : hvm_read_msr(v, msr, &value);
    if (!ok) {
        hvm_inject_exception(v, HVM_EXCEPTION_GP, 0);
        return;
    }
    if (!write) {
        v->arch.gpr[0] = (uint32_t)value;
        v->arch.gpr[2] = value >> 32;
    }
    skip(v, vmcb, length);
}

static void handle_vmmcall(struct vcpu *v, struct vmcb *vmcb)
{
    uint64_t *gpr = v->arch.gpr;
    struct hypercall call;
    unsigned int length = instruction_length(v, vmcb, X86_INTERCEPTED_VMMCALL);
    int64_t result;

    if (!length) {
        return;
    }
    if (vmcb->cpl != 0) {
        gpr[0] = (uint64_t)-XEN_EPERM;
        skip(v, vmcb, length);
        return;
    }
    if (!(vmcb->cs.attributes & 0x200)) {
        if (hvm_hypercall_32(v)) {
            skip(v, vmcb, length);
        }
        return;
    }
    // Arguments: rdi, rsi, rdx, r10, r8, r9.
    call = (struct hypercall){{gpr[7], gpr[6], gpr[2], gpr[10], gpr[8], gpr[9]}, false};
    result = hypercall_dispatch((unsigned int)gpr[0], &call);
    if (unlikely(call.restart)) {
        gpr[7] = call.arg[0];
        gpr[6] = call.arg[1];
        gpr[2] = call.arg[2];
        gpr[10] = call.arg[3];
        gpr[8] = call.arg[4];
        gpr[9] = call.arg[5];
        return;
    }
    gpr[0] = (uint64_t)result;
    skip(v, vmcb, length);
}

static void handle_control_write(struct vcpu *v, struct vmcb *vmcb)
{
    unsigned int length = svm_write_control_register(v, vmcb, code_mode(vmcb));

    if (length) {
        skip(v, vmcb, length);
    }
}

// Also called when the next instruction may be HLT; does nothing if it is another.
static void handle_hlt(struct vcpu *v, struct vmcb *vmcb)
{
    unsigned int length = instruction_length(v, vmcb, X86_INTERCEPTED_HLT);

    if (!length) {
        return;
    }
    skip(v, vmcb, length);
    if (!(v->arch.rflags & RFLAGS_IF)) {
        // Only an NMI or INIT could wake it: a CPU that has been taken down halts like this.
        hvm_vcpu_down(v);
        return;
    }
    vcpu_block();
}

// Between STI and HLT, the guest halts at once: QEMU 7.2 forgets the interrupt shadow on VMRUN and
// would deliver an interrupt before the HLT, which then waits for the next one.
static void handle_interrupt(struct vcpu *v, struct vmcb *vmcb)
{
    arch_interrupt_window();
    if (unlikely(vmcb->interrupt_shadow & 1)) {
        handle_hlt(v, vmcb);
    }
}

// String instructions go through the instruction emulator; the others are fully described.
static void handle_io(struct vcpu *v, struct vmcb *vmcb)
{
    uint64_t info = vmcb->exit_info1;
    uint16_t port = (uint16_t)(info >> 16);
    unsigned int size = info >> 4 & 7;
    uint64_t mask = size == 4 ? 0xffffffffUL : size == 2 ? 0xffffUL : 0xffUL;
    uint64_t value;

    if (info & 4) {
        if (!hvm_emulate_string_io(v, port, size, info & 1, info & 8, vmcb->exit_info2)) {
            hvm_inject_exception(v, HVM_EXCEPTION_GP, 0);
        }
        return;
    }
    if (info & 1) {
        hvm_port_read(v, port, size, &value);
        v->arch.gpr[0] = size == 4 ? value & mask : (v->arch.gpr[0] & ~mask) | (value & mask);
    } else {
        hvm_port_write(v, port, size, v->arch.gpr[0] & mask);
    }
    // The processor gives the next rip for port exits.
    v->arch.rip = vmcb->exit_info2;
    v->arch.rflags &= ~(uint64_t)RFLAGS_RF;
    vmcb->interrupt_shadow = 0;
}

static void handle_xsetbv(struct vcpu *v, struct vmcb *vmcb)
{
    unsigned int length = instruction_length(v, vmcb, X86_INTERCEPTED_XSETBV);
    uint64_t value = (uint32_t)v->arch.gpr[0] | v->arch.gpr[2] << 32;

    if (!length) {
        return;
    }
    if (vmcb->cpl || (uint32_t)v->arch.gpr[1] != 0 || !cpuid_policy_allows_xcr0(v, value) ||
        !extended_state_set_xcr0(value)) {
        hvm_inject_exception(v, HVM_EXCEPTION_GP, 0);
        return;
    }
    v->arch.svm->xcr0 = value;
    skip(v, vmcb, length);
}

static void handle_cache_flush(struct vcpu *v, struct vmcb *vmcb, enum x86_intercepted which)
{
    // The guest's memory is coherent for all that it can reach; only a device's owner has more.
    unsigned int length = instruction_length(v, vmcb, which);

    if (v->domain->arch.iommu) {
        __asm__ volatile("wbinvd" : : : "memory");
    }
    skip(v, vmcb, length);
}

static void handle_nested_fault(struct vcpu *v, struct vmcb *vmcb)
{
    uint64_t info = vmcb->exit_info1;

    hvm_handle_nested_fault(v, GPA(vmcb->exit_info2),
                            (info & NPF_WRITE ? HVM_ACCESS_WRITE : 0) |
                                (info & NPF_FETCH ? HVM_ACCESS_FETCH : 0) |
                                (info & NPF_IN_GUEST_TABLES ? HVM_ACCESS_TABLES : 0) |
                                (vmcb->exit_interrupt & EVENT_VALID ? HVM_ACCESS_DELIVERY : 0));
}

// An interrupt or exception whose delivery the exit cut short is delivered again.
static void requeue_event(struct svm_vcpu *sv, struct vmcb *vmcb)
{
    uint64_t event = vmcb->exit_interrupt;

    // Software interrupts and traps are repeated by the instruction itself.
    if (svm_interrupt_cut_short(vmcb)) {
        sv->redeliver_vector = (uint8_t)event;
    } else if ((event & EVENT_TYPE_MASK) != EVENT_TYPE_SOFTWARE) {
        sv->pending_event = event;
    }
}

// Exits that are rare, or that a well-behaved guest does not cause: those end in an exception or in
// its crash.
static void handle_unusual(struct vcpu *v, struct vmcb *vmcb)
{
    switch (vmcb->exit_code) {
    case EXIT_EXCEPTION_DB:
        hvm_inject_exception(v, HVM_EXCEPTION_DB, 0);
        break;
    case EXIT_EXCEPTION_AC:
        hvm_inject_exception(v, 17, (uint32_t)vmcb->exit_info1);
        break;
    case EXIT_IRET:
        svm_nmi_returns(v);
        break;
    case EXIT_RDPMC:
        hvm_inject_exception(v, HVM_EXCEPTION_GP, 0);
        break;
    case EXIT_EXCEPTION_MC:
    case EXIT_INIT:
        arch_interrupt_window();
        break;
    case EXIT_VMRUN:
    case EXIT_VMLOAD:
    case EXIT_VMSAVE:
    case EXIT_STGI:
    case EXIT_CLGI:
    case EXIT_SKINIT:
    case EXIT_INVLPGA:
    case EXIT_MONITOR:
    case EXIT_MWAIT:
    case EXIT_RDPRU:
        hvm_inject_exception(v, HVM_EXCEPTION_UD, 0);
        break;
    case EXIT_SHUTDOWN:
        domain_crash(v->domain, "vcpu %u: triple fault at rip %lx", v->id, v->arch.rip);
        break;
    default:
        domain_crash(v->domain, "vcpu %u: exit %lx at rip %lx (info %lx %lx)", v->id,
                     vmcb->exit_code, v->arch.rip, vmcb->exit_info1, vmcb->exit_info2);
    }
}

void svm_handle_exit(struct vcpu *v, struct vmcb *vmcb)
{
    struct svm_vcpu *sv = v->arch.svm;

    v->exits++;
    if (unlikely(vmcb->exit_interrupt & EVENT_VALID)) {
        requeue_event(sv, vmcb);
    }
    switch (vmcb->exit_code) {
    case EXIT_VMMCALL:
        handle_vmmcall(v, vmcb);
        break;
    case EXIT_INTR:
    case EXIT_NMI:
        handle_interrupt(v, vmcb);
        break;
    case EXIT_MSR:
        handle_msr(v, vmcb);
        break;
    case EXIT_NPF:
        handle_nested_fault(v, vmcb);
        break;
    case EXIT_HLT:
        handle_hlt(v, vmcb);
        break;
    case EXIT_CPUID:
        handle_cpuid(v, vmcb);
        break;
    case EXIT_IO:
        handle_io(v, vmcb);
        break;
    case EXIT_CR4_WRITE:
    case EXIT_CR8_WRITE:
    case EXIT_CR0_SELECTIVE_WRITE:
        handle_control_write(v, vmcb);
        break;
    case EXIT_XSETBV:
        handle_xsetbv(v, vmcb);
        break;
    case EXIT_INVD:
        handle_cache_flush(v, vmcb, X86_INTERCEPTED_INVD);
        break;
    case EXIT_WBINVD:
        handle_cache_flush(v, vmcb, X86_INTERCEPTED_WBINVD);
        break;
    default:
        handle_unusual(v, vmcb);
    }
}
