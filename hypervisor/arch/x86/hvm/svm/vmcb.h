// SPDX-License-Identifier: Apache-2.0
// The virtual machine control block, AMD64 Architecture Programmer's Manual volume 2, appendix B.
#ifndef BULKHEAD_SVM_VMCB_H
#define BULKHEAD_SVM_VMCB_H

#include <bulkhead/types.h>
#include <x86/hvm.h>

#include "../../emulate/decode.h"

// intercept_cr_write
#define INTERCEPT_CR4 (1u << 4)
#define INTERCEPT_CR8 (1u << 8)
// intercepts.misc1
#define INTERCEPT_INTR (1u << 0)
#define INTERCEPT_NMI (1u << 1)
#define INTERCEPT_INIT (1u << 3)
#define INTERCEPT_CR0_SELECTIVE (1u << 5) // writes that change more than TS and MP
#define INTERCEPT_RDPMC (1u << 15)
#define INTERCEPT_CPUID (1u << 18)
#define INTERCEPT_IRET (1u << 20)
#define INTERCEPT_INVD (1u << 22)
#define INTERCEPT_HLT (1u << 24)
#define INTERCEPT_INVLPGA (1u << 26)
#define INTERCEPT_IO (1u << 27)
#define INTERCEPT_MSR (1u << 28)
#define INTERCEPT_SHUTDOWN (1u << 31)
// intercepts.misc2
#define INTERCEPT_VMRUN (1u << 0)
#define INTERCEPT_VMMCALL (1u << 1)
#define INTERCEPT_VMLOAD (1u << 2)
#define INTERCEPT_VMSAVE (1u << 3)
#define INTERCEPT_STGI (1u << 4)
#define INTERCEPT_CLGI (1u << 5)
#define INTERCEPT_SKINIT (1u << 6)
#define INTERCEPT_WBINVD (1u << 9)
#define INTERCEPT_MONITOR (1u << 10)
#define INTERCEPT_MWAIT (1u << 11)
#define INTERCEPT_XSETBV (1u << 13)
#define INTERCEPT_RDPRU (1u << 14)

enum svm_exit {
    EXIT_CR4_WRITE = 0x14,
    EXIT_CR8_WRITE = 0x18,
    EXIT_EXCEPTION_DB = 0x41,
    EXIT_EXCEPTION_AC = 0x51,
    EXIT_EXCEPTION_MC = 0x52,
    EXIT_INTR = 0x60,
    EXIT_NMI = 0x61,
    EXIT_INIT = 0x63,
    EXIT_CR0_SELECTIVE_WRITE = 0x65,
    EXIT_RDPMC = 0x6f,
    EXIT_CPUID = 0x72,
    EXIT_IRET = 0x74,
    EXIT_INVD = 0x76,
    EXIT_HLT = 0x78,
    EXIT_INVLPGA = 0x7a,
    EXIT_IO = 0x7b,
    EXIT_MSR = 0x7c,
    EXIT_SHUTDOWN = 0x7f,
    EXIT_VMRUN = 0x80,
    EXIT_VMMCALL = 0x81,
    EXIT_VMLOAD = 0x82,
    EXIT_VMSAVE = 0x83,
    EXIT_STGI = 0x84,
    EXIT_CLGI = 0x85,
    EXIT_SKINIT = 0x86,
    EXIT_WBINVD = 0x89,
    EXIT_MONITOR = 0x8a,
    EXIT_MWAIT = 0x8b,
    EXIT_XSETBV = 0x8d,
    EXIT_RDPRU = 0x8e,
    EXIT_NPF = 0x400,
};

// exit_info1 of EXIT_NPF (15.25.6). The last: met while the guest's own tables were walked.
#define NPF_WRITE (1UL << 1)
#define NPF_FETCH (1UL << 4)
#define NPF_IN_GUEST_TABLES (1UL << 33)

// interrupt control word
#define VINTR_TPR 0xffUL
#define VINTR_IRQ (1UL << 8)
#define VINTR_PRIORITY_MAX (0xfUL << 16)
#define VINTR_IGNORE_TPR (1UL << 20)
#define VINTR_MASKING (1UL << 24)
#define VINTR_VECTOR(v) ((v) << 32)

// event injection and exit interrupt information
#define EVENT_VALID (1UL << 31)
#define EVENT_ERROR_CODE_VALID (1UL << 11)
#define EVENT_TYPE(t) ((uint64_t)(t) << 8)
#define EVENT_TYPE_INTERRUPT EVENT_TYPE(0)
#define EVENT_TYPE_NMI EVENT_TYPE(2)
#define EVENT_TYPE_EXCEPTION EVENT_TYPE(3)
#define EVENT_TYPE_SOFTWARE EVENT_TYPE(4)
#define EVENT_TYPE_MASK EVENT_TYPE(7)

enum tlb_control { TLB_KEEP = 0, TLB_FLUSH_ALL = 1 };

struct vmcb {
    // Control area
    uint16_t intercept_cr_read, intercept_cr_write, intercept_dr_read, intercept_dr_write;
    uint32_t intercept_exceptions, intercept_misc1, intercept_misc2, intercept_misc3;
    uint8_t reserved1[0x3c - 0x18];
    uint16_t pause_filter_threshold, pause_filter_count;
    uint64_t io_permissions, msr_permissions, tsc_offset; // 0x40
    uint32_t asid;                                        // 0x58
    uint8_t tlb_control, reserved2[3];
    uint64_t virtual_interrupt; // 0x60
    uint64_t interrupt_shadow;
    uint64_t exit_code, exit_info1, exit_info2, exit_interrupt; // 0x70
    uint64_t nested_paging;                                     // 0x90
    uint64_t reserved3[2];
    uint64_t event_injection; // 0xa8
    uint64_t nested_cr3;
    uint64_t lbr_virtualization;
    uint64_t clean; // 0xc0
    uint64_t next_rip;
    uint8_t fetched_bytes, instruction[15]; // 0xd0
    uint8_t reserved4[0x400 - 0xe0];
    // State save area
    struct segment es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr; // 0x400
    uint8_t reserved5[0x4cb - 0x4a0];
    uint8_t cpl;
    uint32_t reserved6;
    uint64_t efer; // 0x4d0
    uint8_t reserved7[0x548 - 0x4d8];
    uint64_t cr4, cr3, cr0, dr7, dr6, rflags, rip; // 0x548
    uint8_t reserved8[0x5d8 - 0x580];
    uint64_t rsp; // 0x5d8
    uint8_t reserved9[0x5f8 - 0x5e0];
    uint64_t rax, star, lstar, cstar, sfmask, kernel_gs_base; // 0x5f8
    uint64_t sysenter_cs, sysenter_esp, sysenter_eip, cr2;    // 0x628
    uint8_t reserved10[0x668 - 0x648];
    uint64_t pat; // 0x668
    uint8_t reserved11[0x1000 - 0x670];
};

_Static_assert(offsetof(struct vmcb, io_permissions) == 0x40, "VMCB layout");
_Static_assert(offsetof(struct vmcb, exit_code) == 0x70, "VMCB layout");
_Static_assert(offsetof(struct vmcb, event_injection) == 0xa8, "VMCB layout");
_Static_assert(offsetof(struct vmcb, es) == 0x400, "VMCB layout");
_Static_assert(offsetof(struct vmcb, efer) == 0x4d0, "VMCB layout");
_Static_assert(offsetof(struct vmcb, cr4) == 0x548, "VMCB layout");
_Static_assert(offsetof(struct vmcb, rsp) == 0x5d8, "VMCB layout");
_Static_assert(offsetof(struct vmcb, rax) == 0x5f8, "VMCB layout");
_Static_assert(offsetof(struct vmcb, cr2) == 0x640, "VMCB layout");
_Static_assert(offsetof(struct vmcb, pat) == 0x668, "VMCB layout");
_Static_assert(sizeof(struct vmcb) == 4096, "VMCB size");

// From an NMI to the end of the IRET that follows, no other comes.
enum nmi_handler { NMI_NONE, NMI_RUNS, NMI_RETURNS };

struct svm_vcpu {
    struct vmcb *vmcb;
    maddr_t vmcb_address;
    // The ASID is good on asid_cpu while that CPU's generation and the p2m's are the ones seen.
    unsigned int asid_cpu;
    uint64_t asid_generation, tlb_generation;
    uint64_t pending_event; // to inject on the next entry, in the injection format; 0: none
    // The interrupt offered on this entry (0: none), whether it comes from the local APIC, and one
    // whose delivery an exit has cut short (0: none).
    uint8_t offered_vector, redeliver_vector;
    bool offered_from_apic;
    uint8_t task_priority; // what the VMCB's V_TPR was when last looked at
    uint64_t dr[4];        // DR0 to DR3 while not loaded
    bool nmi_pending;      // atomic
    enum nmi_handler nmi_handler;
    uint64_t nmi_return; // in NMI_RETURNS, where the IRET is
    void *fpu;           // XSAVE area
    uint64_t xcr0;
};

// Whether the exit came while an interrupt was being delivered. QEMU 7.2 calls such an interrupt an
// exception, but no exception has a vector above 31.
static inline bool svm_interrupt_cut_short(const struct vmcb *vmcb)
{
    uint64_t event = vmcb->exit_interrupt, type = event & EVENT_TYPE_MASK;

    return (event & EVENT_VALID) &&
           (type == EVENT_TYPE_INTERRUPT || (type == EVENT_TYPE_EXCEPTION && (uint8_t)event >= 32));
}

// Places in svm_cpu.exit_counts: a reason's own code, or one of these.
#define EXIT_COUNT_NPF 0x90u
#define EXIT_COUNT_OTHER 0x91u
#define EXIT_COUNTS 0x92u

struct svm_cpu {
    void *host_save;         // page for VMRUN's own use
    struct vmcb *host_state; // what VMLOAD restores after an exit
    maddr_t host_state_address;
    uint32_t next_asid, max_asid;
    uint64_t asid_generation;
    uint64_t exit_counts[EXIT_COUNTS]; // written by the CPU itself
};

static inline void svm_count_exit(struct svm_cpu *svm, uint64_t code)
{
    svm->exit_counts[likely(code < EXIT_COUNT_NPF) ? code
                     : code == EXIT_NPF            ? EXIT_COUNT_NPF
                                                   : EXIT_COUNT_OTHER]++;
}

// exit_counts.c: registers the debug key that shows them. Once, at boot.
void svm_exit_counts_init(void);

// entry.S: runs the guest until an exit. gpr as in struct arch_vcpu.
void svm_enter(uint64_t gpr[16], uint64_t guest_vmcb, uint64_t host_vmcb);

// svm.c: the vcpu is at the IRET of its NMI handler.
void svm_nmi_returns(struct vcpu *v);

// exit.c: handles the exit that the vmcb describes.
void svm_handle_exit(struct vcpu *v, struct vmcb *vmcb);

// control.c: carries out an intercepted write to CR0, CR4 or CR8. How much to skip; 0: the guest
// gets an exception, or the instruction is another one by now.
unsigned int svm_write_control_register(struct vcpu *v, const struct vmcb *vmcb,
                                        enum x86_mode mode);

// The bitmap of the MSRs that guests reach without an exit (svm.c).
extern uint8_t *svm_msr_permissions;

#endif
