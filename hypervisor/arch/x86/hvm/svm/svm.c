// SPDX-License-Identifier: Apache-2.0
// AMD SVM: processors, vcpu control blocks, switching and entering.
//
// A vcpu's VMCB is written only while the vcpu does not run or by the CPU that runs it. FPU state,
// XCR0 and debug registers are switched with the vcpu, not on each exit: the hypervisor uses none
// of them. A translation change reaches a vcpu by a generation count that is compared on each
// entry; a flush is a new ASID, and all entries are flushed when a CPU has used up its ASIDs.

#include <bulkhead/console.h>
#include <bulkhead/cpu.h>
#include <bulkhead/domain.h>
#include <bulkhead/heap.h>
#include <bulkhead/string.h>
#include <x86/cpuid.h>
#include <x86/extended_state.h>
#include <x86/p2m.h>
#include <x86/registers.h>
#include <x86/vlapic.h>

#include "vmcb.h"

#define MSR_VM_CR 0xc0010114
#define MSR_VM_HSAVE_PA 0xc0010117
#define VM_CR_SVMDIS (1UL << 4)
#define CPUID_SVM_LEAF 0x8000000a
#define CPUID_SVM_NPT (1u << 0)
#define MSR_BITMAP_ORDER 1u  // two pages
#define PORT_BITMAP_ORDER 2u // three pages, the fourth unused

uint8_t *svm_msr_permissions;
static uint8_t *deny_all_ports;

// Clears the read and write intercepts of one MSR. Two bits per MSR; three ranges of 2 KiB.
static void allow_msr(uint32_t msr)
{
    uint32_t base = msr < 0x2000 ? 0 : msr < 0xc0002000 ? 0x800 : 0x1000;
    uint32_t index = msr & 0x1fff;

    svm_msr_permissions[base + index / 4] &= (uint8_t) ~(3u << (index % 4 * 2));
}

static int init_shared_tables(void)
{
    static const uint32_t direct[] = {
        MSR_FS_BASE, MSR_GS_BASE, MSR_KERNEL_GS_BASE, MSR_STAR,
        MSR_LSTAR,   MSR_CSTAR,   MSR_SYSCALL_MASK,   0x174,
        0x175,       0x176, // SYSENTER
    };

    svm_msr_permissions = heap_alloc_pages(MSR_BITMAP_ORDER, 0);
    deny_all_ports = heap_alloc_pages(PORT_BITMAP_ORDER, 0);
    if (!svm_msr_permissions || !deny_all_ports) {
        return -XEN_ENOMEM;
    }
    svm_exit_counts_init();
    memset(svm_msr_permissions, 0xff, PAGE_SIZE << MSR_BITMAP_ORDER);
    memset(deny_all_ports, 0xff, PAGE_SIZE << PORT_BITMAP_ORDER);
    for (size_t i = 0; i < ARRAY_SIZE(direct); i++) {
        allow_msr(direct[i]);
    }
    return 0;
}

int hvm_vendor_init_cpu(void)
{
    struct cpu *cpu = this_cpu();
    struct svm_cpu *svm;

    if (!(cpuid(0x80000001, 0).ecx & 4) || cpuid(0x80000000, 0).eax < CPUID_SVM_LEAF) {
        log_error("CPU%u has no SVM: guests need AMD's hardware virtualization", cpu->id);
        return -XEN_ENODEV;
    }
    if (read_msr(MSR_VM_CR) & VM_CR_SVMDIS) {
        log_error("SVM is disabled by the firmware on CPU%u: enable it in the firmware's set-up",
                  cpu->id);
        return -XEN_ENODEV;
    }
    if (!(cpuid(CPUID_SVM_LEAF, 0).edx & CPUID_SVM_NPT)) {
        log_error("CPU%u has no nested paging (NPT): guests need it", cpu->id);
        return -XEN_ENODEV;
    }
    if (!svm_msr_permissions && init_shared_tables()) {
        return -XEN_ENOMEM;
    }
    svm = heap_new(struct svm_cpu);
    if (!svm) {
        return -XEN_ENOMEM;
    }
    svm->host_save = heap_alloc_pages(0, 0);
    svm->host_state = heap_alloc_pages(0, 0);
    if (!svm->host_save || !svm->host_state) {
        return -XEN_ENOMEM; // the CPU is not brought up; boot stops
    }
    svm->host_state_address = heap_maddr(svm->host_state);
    svm->max_asid = cpuid(CPUID_SVM_LEAF, 0).ebx - 1;
    svm->next_asid = 1;
    svm->asid_generation = 1;
    cpu->arch.svm = svm;
    write_msr(MSR_EFER, read_msr(MSR_EFER) | EFER_SVME);
    write_msr(MSR_VM_HSAVE_PA, heap_maddr(svm->host_save).a);
    __asm__ volatile("vmsave %0" : : "a"(svm->host_state_address.a) : "memory");
    return extended_state_init_cpu();
}

static void init_vmcb(struct vcpu *v, struct vmcb *vmcb)
{
    vmcb->intercept_exceptions = 1u << 1 | 1u << 17 | 1u << 18; // #DB, #AC, #MC
    vmcb->intercept_cr_write = INTERCEPT_CR4;
    vmcb->intercept_misc1 = INTERCEPT_INTR | INTERCEPT_NMI | INTERCEPT_INIT |
                            INTERCEPT_CR0_SELECTIVE | INTERCEPT_RDPMC | INTERCEPT_CPUID |
                            INTERCEPT_INVD | INTERCEPT_HLT | INTERCEPT_INVLPGA | INTERCEPT_IO |
                            INTERCEPT_MSR | INTERCEPT_SHUTDOWN;
    vmcb->intercept_misc2 = INTERCEPT_VMRUN | INTERCEPT_VMMCALL | INTERCEPT_VMLOAD |
                            INTERCEPT_VMSAVE | INTERCEPT_STGI | INTERCEPT_CLGI | INTERCEPT_SKINIT |
                            INTERCEPT_WBINVD | INTERCEPT_MONITOR | INTERCEPT_MWAIT |
                            INTERCEPT_XSETBV | INTERCEPT_RDPRU;
    vmcb->io_permissions = heap_maddr(deny_all_ports).a;
    vmcb->msr_permissions = heap_maddr(svm_msr_permissions).a;
    vmcb->virtual_interrupt = VINTR_MASKING;
    vmcb->nested_paging = 1;
    vmcb->nested_cr3 = p2m_root(v->domain).a;
    vmcb->pat = 0x0007040600070406UL; // the value after reset
    vmcb->efer = EFER_SVME;
    vmcb->rflags = 2;
    vmcb->cr0 = CR0_ET;
    vmcb->dr6 = 0xffff0ff0;
    vmcb->dr7 = 0x400;
}

int hvm_vcpu_create(struct vcpu *v)
{
    struct svm_vcpu *sv = heap_new(struct svm_vcpu);

    if (!sv) {
        return -XEN_ENOMEM;
    }
    v->arch.svm = sv;
    sv->vmcb = heap_alloc_pages(0, 0);
    sv->fpu = extended_state_alloc();
    if (!sv->vmcb || !sv->fpu) {
        hvm_vcpu_free(v);
        return -XEN_ENOMEM;
    }
    sv->vmcb_address = heap_maddr(sv->vmcb);
    sv->asid_cpu = MAX_CPUS;
    sv->xcr0 = 1;
    init_vmcb(v, sv->vmcb);
    return 0;
}

void hvm_vcpu_free(struct vcpu *v)
{
    struct svm_vcpu *sv = v->arch.svm;

    if (sv) {
        heap_free_pages(sv->vmcb, 0);
        extended_state_free(sv->fpu);
        heap_free(sv);
        v->arch.svm = NULL;
    }
}

void hvm_get_paging(const struct vcpu *v, uint64_t *cr0, uint64_t *cr3, uint64_t *cr4,
                    uint64_t *efer)
{
    const struct vmcb *vmcb = v->arch.svm->vmcb;

    *cr0 = vmcb->cr0;
    *cr3 = vmcb->cr3;
    *cr4 = vmcb->cr4;
    *efer = vmcb->efer;
}

void hvm_set_paging(struct vcpu *v, uint64_t cr0, uint64_t cr4, uint64_t efer, bool flush)
{
    struct vmcb *vmcb = v->arch.svm->vmcb;

    vmcb->cr0 = cr0;
    vmcb->cr4 = cr4;
    vmcb->efer = efer | EFER_SVME;
    if (flush) {
        v->arch.svm->asid_cpu = MAX_CPUS; // takes a new ASID on its next entry
    }
}

// The VMCB's places for the segment registers in the order of enum hvm_segment.
static struct segment *segment_place(struct vmcb *vmcb, enum hvm_segment s)
{
    struct segment *const places[SEGMENT_COUNT] = {&vmcb->es, &vmcb->cs, &vmcb->ss,   &vmcb->ds,
                                                   &vmcb->fs, &vmcb->gs, &vmcb->ldtr, &vmcb->tr};

    return places[s];
}

void hvm_get_segment(struct vcpu *v, enum hvm_segment s, struct segment *out)
{
    *out = *segment_place(v->arch.svm->vmcb, s);
}

void hvm_get_registers(struct vcpu *v, struct hvm_registers *out)
{
    struct vmcb *vmcb = v->arch.svm->vmcb;

    for (unsigned int s = 0; s < SEGMENT_COUNT; s++) {
        out->segment[s] = *segment_place(vmcb, (enum hvm_segment)s);
    }
    // SYSRET leaves the descriptor's privilege as it was; it has to say what the processor's is.
    out->segment[SEGMENT_SS].attributes &= (uint16_t)~0x60u;
    out->segment[SEGMENT_SS].attributes |= (uint16_t)(vmcb->cpl << 5);
    out->gdtr = (struct table_register){vmcb->gdtr.base, vmcb->gdtr.limit};
    out->idtr = (struct table_register){vmcb->idtr.base, vmcb->idtr.limit};
    out->cr0 = vmcb->cr0;
    out->cr2 = vmcb->cr2;
    out->cr3 = vmcb->cr3;
    out->cr4 = vmcb->cr4;
    out->efer = vmcb->efer & ~(uint64_t)EFER_SVME;
    out->dr6 = vmcb->dr6;
    out->dr7 = vmcb->dr7;
    out->star = vmcb->star;
    out->lstar = vmcb->lstar;
    out->cstar = vmcb->cstar;
    out->sfmask = vmcb->sfmask;
    out->kernel_gs_base = vmcb->kernel_gs_base;
    out->sysenter_cs = vmcb->sysenter_cs;
    out->sysenter_esp = vmcb->sysenter_esp;
    out->sysenter_eip = vmcb->sysenter_eip;
    out->pat = vmcb->pat;
}

void hvm_set_registers(struct vcpu *v, const struct hvm_registers *in)
{
    struct vmcb *vmcb = v->arch.svm->vmcb;

    for (unsigned int s = 0; s < SEGMENT_COUNT; s++) {
        *segment_place(vmcb, (enum hvm_segment)s) = in->segment[s];
    }
    vmcb->cpl = in->segment[SEGMENT_SS].attributes >> 5 & 3;
    vmcb->gdtr.base = in->gdtr.base;
    vmcb->gdtr.limit = in->gdtr.limit;
    vmcb->idtr.base = in->idtr.base;
    vmcb->idtr.limit = in->idtr.limit;
    vmcb->cr0 = in->cr0;
    vmcb->cr2 = in->cr2;
    vmcb->cr3 = in->cr3;
    vmcb->cr4 = in->cr4;
    vmcb->efer = in->efer | EFER_SVME;
    vmcb->dr6 = in->dr6;
    vmcb->dr7 = in->dr7;
    vmcb->star = in->star;
    vmcb->lstar = in->lstar;
    vmcb->cstar = in->cstar;
    vmcb->sfmask = in->sfmask;
    vmcb->kernel_gs_base = in->kernel_gs_base;
    vmcb->sysenter_cs = in->sysenter_cs;
    vmcb->sysenter_esp = in->sysenter_esp;
    vmcb->sysenter_eip = in->sysenter_eip;
    vmcb->pat = in->pat;
}

void hvm_vendor_set_tsc_offset(struct vcpu *v, uint64_t offset)
{
    v->arch.svm->vmcb->tsc_offset = offset;
}

uint64_t hvm_vendor_tsc_offset(const struct vcpu *v)
{
    return v->arch.svm->vmcb->tsc_offset;
}

void hvm_vendor_set_task_priority(struct vcpu *v, uint8_t cr8)
{
    struct vmcb *vmcb = v->arch.svm->vmcb;

    v->arch.svm->task_priority = cr8;
    vmcb->virtual_interrupt = (vmcb->virtual_interrupt & ~VINTR_TPR) | cr8;
}

void hvm_vendor_use_ports(struct vcpu *v)
{
    const uint8_t *permissions = v->domain->arch.port_permissions;

    v->arch.svm->vmcb->io_permissions = heap_maddr(permissions ? permissions : deny_all_ports).a;
}

void hvm_inject_exception(struct vcpu *v, uint8_t vector, uint32_t error_code)
{
    // #DF, #TS, #NP, #SS, #GP, #PF, #AC have an error code.
    bool has_code = vector < 32 && ((1u << 8 | 0xfu << 10 | 1u << 14 | 1u << 17) >> vector & 1);

    v->arch.svm->pending_event =
        EVENT_VALID | EVENT_TYPE_EXCEPTION | vector |
        (has_code ? EVENT_ERROR_CODE_VALID | (uint64_t)error_code << 32 : 0);
}

void hvm_inject_page_fault(struct vcpu *v, uint64_t address, uint32_t error_code)
{
    v->arch.svm->vmcb->cr2 = address;
    hvm_inject_exception(v, HVM_EXCEPTION_PF, error_code);
}

void hvm_vcpu_nmi(struct vcpu *v)
{
    __atomic_store_n(&v->arch.svm->nmi_pending, true, __ATOMIC_SEQ_CST);
    vcpu_kick(v);
}

bool hvm_nmi_pending(const struct vcpu *v)
{
    return __atomic_load_n(&v->arch.svm->nmi_pending, __ATOMIC_SEQ_CST);
}

static void save_debug_registers(struct svm_vcpu *sv)
{
    __asm__ volatile("mov %%db0, %0" : "=r"(sv->dr[0]));
    __asm__ volatile("mov %%db1, %0" : "=r"(sv->dr[1]));
    __asm__ volatile("mov %%db2, %0" : "=r"(sv->dr[2]));
    __asm__ volatile("mov %%db3, %0" : "=r"(sv->dr[3]));
}

static void load_debug_registers(const struct svm_vcpu *sv)
{
    __asm__ volatile("mov %0, %%db0" : : "r"(sv->dr[0]));
    __asm__ volatile("mov %0, %%db1" : : "r"(sv->dr[1]));
    __asm__ volatile("mov %0, %%db2" : : "r"(sv->dr[2]));
    __asm__ volatile("mov %0, %%db3" : : "r"(sv->dr[3]));
}

void arch_vcpu_switch(struct vcpu *prev, struct vcpu *next)
{
    if (prev) {
        prev->arch.svm->xcr0 = extended_state_save(prev->arch.svm->fpu);
        save_debug_registers(prev->arch.svm);
    }
    if (next) {
        extended_state_load(next->arch.svm->fpu, next->arch.svm->xcr0);
        load_debug_registers(next->arch.svm);
        if (next->arch.vlapic) {
            vlapic_migrate_timer(next);
        }
    }
}

// Gives the vcpu an ASID under which this CPU holds no stale translation.
static void choose_asid(struct vcpu *v, struct svm_vcpu *sv, struct cpu *cpu)
{
    struct svm_cpu *svm = cpu->arch.svm;
    uint64_t tlb = __atomic_load_n(&v->domain->arch.p2m->tlb_generation, __ATOMIC_SEQ_CST);

    sv->vmcb->tlb_control = TLB_KEEP;
    if (likely(sv->asid_cpu == cpu->id && sv->asid_generation == svm->asid_generation &&
               sv->tlb_generation == tlb)) {
        return;
    }
    if (svm->next_asid > svm->max_asid) {
        svm->asid_generation++;
        svm->next_asid = 1;
        sv->vmcb->tlb_control = TLB_FLUSH_ALL;
    }
    sv->vmcb->asid = svm->next_asid++;
    sv->asid_cpu = cpu->id;
    sv->asid_generation = svm->asid_generation;
    sv->tlb_generation = tlb;
}

// The interrupt that the guest is to get next, or -1.
static int next_vector(struct vcpu *v, struct svm_vcpu *sv, bool apic)
{
    int vector;

    sv->offered_from_apic = false;
    if (unlikely(sv->redeliver_vector)) {
        return sv->redeliver_vector;
    }
    // The local APIC's before the callback: its handler ends with an exit, its EOI, after which the
    // callback is offered. The other way round nothing need ever exit.
    if (apic) {
        vector = vlapic_pending_vector(v);
        if (vector >= 0) {
            sv->offered_from_apic = true;
            return vector;
        }
    }
    return v->domain->arch.callback_vector && event_pending(v) ? v->domain->arch.callback_vector
                                                               : -1;
}

// Injects an NMI, unless the handler of the last one runs; its IRET is intercepted, and is over
// when the vcpu is found elsewhere. (A processor with virtual NMIs would do all this itself.)
static void deliver_nmi(struct vcpu *v, struct svm_vcpu *sv, struct vmcb *vmcb)
{
    bool over = sv->nmi_handler == NMI_NONE ||
                (sv->nmi_handler == NMI_RETURNS && v->arch.rip != sv->nmi_return);

    if (over && !vmcb->interrupt_shadow) {
        __atomic_store_n(&sv->nmi_pending, false, __ATOMIC_SEQ_CST);
        vmcb->event_injection = EVENT_VALID | EVENT_TYPE_NMI | 2;
        vmcb->intercept_misc1 |= INTERCEPT_IRET;
        sv->nmi_handler = NMI_RUNS;
    }
}

void svm_nmi_returns(struct vcpu *v)
{
    struct svm_vcpu *sv = v->arch.svm;

    sv->vmcb->intercept_misc1 &= ~INTERCEPT_IRET;
    sv->nmi_handler = NMI_RETURNS;
    sv->nmi_return = v->arch.rip;
}

// Exceptions and NMIs are injected. Interrupts are offered: the processor delivers the virtual
// interrupt as soon as the guest takes it, without an exit. (Injected interrupts are also what QEMU
// 7.2 delivers twice, the second time whatever the guest's interrupt flag says.) What is offered
// counts as in service, so that the same vector can be posted again while the guest runs.
static void deliver_events(struct vcpu *v, struct svm_vcpu *sv, struct vmcb *vmcb)
{
    uint64_t control = VINTR_MASKING | (vmcb->virtual_interrupt & VINTR_TPR);
    bool apic = vlapic_may_have_pending(v);
    int vector;

    vmcb->virtual_interrupt = control;
    sv->offered_vector = 0;
    if (unlikely(sv->pending_event)) {
        vmcb->event_injection = sv->pending_event;
        sv->pending_event = 0;
    } else if (unlikely(__atomic_load_n(&sv->nmi_pending, __ATOMIC_RELAXED))) {
        deliver_nmi(v, sv, vmcb);
    }
    vector = next_vector(v, sv, apic);
    // While an interrupt waits in the local APIC, a change of CR8 may let it in or hold it back.
    // And while any is offered, QEMU 7.2 must not see the write: it aborts.
    vmcb->intercept_cr_write =
        unlikely(apic || vector >= 0) ? INTERCEPT_CR4 | INTERCEPT_CR8 : INTERCEPT_CR4;
    if (vector >= 0) {
        sv->offered_vector = (uint8_t)vector;
        if (sv->offered_from_apic) {
            vlapic_accept(v, sv->offered_vector);
        }
        vmcb->virtual_interrupt = control | VINTR_IRQ | VINTR_PRIORITY_MAX | VINTR_IGNORE_TPR |
                                  VINTR_VECTOR((uint64_t)vector);
    }
}

// After the exit: takes the offer back if the guest has not taken it. An interrupt whose delivery
// the exit cut short was taken, and is delivered again by requeue_event.
static void settle_offer(struct vcpu *v, struct svm_vcpu *sv, struct vmcb *vmcb)
{
    if (!sv->offered_vector) {
        return;
    }
    if (!(vmcb->virtual_interrupt & VINTR_IRQ) || svm_interrupt_cut_short(vmcb)) {
        sv->redeliver_vector = 0;
    } else if (sv->offered_from_apic) {
        vlapic_retract(v, sv->offered_vector);
    }
}

// The guest has written CR8 without an exit: it is the upper half of the local APIC's TPR.
static void take_task_priority(struct vcpu *v, struct svm_vcpu *sv, const struct vmcb *vmcb)
{
    sv->task_priority = (uint8_t)(vmcb->virtual_interrupt & VINTR_TPR);
    if (v->arch.vlapic) {
        vlapic_set_cr8(v, sv->task_priority);
    }
}

void arch_vcpu_run(struct vcpu *v)
{
    struct cpu *cpu = this_cpu();
    struct svm_vcpu *sv = v->arch.svm;
    struct vmcb *vmcb = sv->vmcb;

    while (likely(!__atomic_load_n(&cpu->work, __ATOMIC_SEQ_CST) && vcpu_runnable(v))) {
        if (unlikely(__atomic_load_n(&v->arch.startup_request, __ATOMIC_RELAXED))) {
            hvm_handle_startup(v);
            continue;
        }
        deliver_events(v, sv, vmcb);
        choose_asid(v, sv, cpu);
        vmcb->rax = v->arch.gpr[0];
        vmcb->rsp = v->arch.gpr[4];
        vmcb->rip = v->arch.rip;
        vmcb->rflags = v->arch.rflags;
        svm_enter(v->arch.gpr, sv->vmcb_address.a, cpu->arch.svm->host_state_address.a);
        v->arch.gpr[0] = vmcb->rax;
        v->arch.gpr[4] = vmcb->rsp;
        v->arch.rip = vmcb->rip;
        v->arch.rflags = vmcb->rflags;
        vmcb->event_injection = 0;
        settle_offer(v, sv, vmcb);
        if (unlikely((vmcb->virtual_interrupt & VINTR_TPR) != sv->task_priority)) {
            take_task_priority(v, sv, vmcb);
        }
        svm_handle_exit(v, vmcb);
    }
}
