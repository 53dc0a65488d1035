// SPDX-License-Identifier: Apache-2.0
// Instructions that must raise an exception in the guest, although the hypervisor sees some first.

#include "apic.h"
#include "interrupts.h"
#include "selftest.h"
#include "xen.h"

#define NO_SUCH_MSR 0xdead

#define INSTRUCTION(name, text)                                                                    \
    static void name(void *unused)                                                                 \
    {                                                                                              \
        (void)unused;                                                                              \
        __asm__ volatile(text ::: "memory", "rax", "rcx", "rdx");                                  \
    }

INSTRUCTION(run_ud2, "ud2")
INSTRUCTION(run_vmrun, "xorl %%eax, %%eax; vmrun")
INSTRUCTION(run_vmload, "xorl %%eax, %%eax; vmload")
INSTRUCTION(run_stgi, "stgi")
INSTRUCTION(run_breakpoint, "int3")
INSTRUCTION(run_divide, "xorl %%edx, %%edx; movl $1, %%eax; xorl %%ecx, %%ecx; divl %%ecx")
INSTRUCTION(run_bad_cr4, "movq %%cr4, %%rax; btsq $40, %%rax; movq %%rax, %%cr4")
INSTRUCTION(run_bad_cr0, "movl $0x20000000, %%eax; movq %%rax, %%cr0") // NW without CD
INSTRUCTION(run_la57, "movq %%cr4, %%rax; btsq $12, %%rax; movq %%rax, %%cr4")
INSTRUCTION(run_pke, "movq %%cr4, %%rax; btsq $22, %%rax; movq %%rax, %%cr4")
INSTRUCTION(run_no_pae, "movq %%cr4, %%rax; btrq $5, %%rax; movq %%rax, %%cr4")
INSTRUCTION(run_no_protection, "movq %%cr0, %%rax; btrq $0, %%rax; movq %%rax, %%cr0")
INSTRUCTION(run_no_paging, "movq %%cr0, %%rax; btrq $31, %%rax; movq %%rax, %%cr0")
INSTRUCTION(run_lmsw, "smsw %%ax; orw $4, %%ax; lmsw %%ax; smsw %%cx; andw $~4, %%ax; lmsw %%ax")
INSTRUCTION(run_write_protect, "movq %%cr0, %%rax; btcq $16, %%rax; movq %%rax, %%cr0")
INSTRUCTION(run_bad_xcr, "xorl %%eax, %%eax; xorl %%edx, %%edx; xorl %%ecx, %%ecx; xsetbv")
INSTRUCTION(run_far_read, "movabsq $0x4000000000, %%rax; movq (%%rax), %%rax")
INSTRUCTION(run_non_canonical, "movabsq $0x8000000000000000, %%rax; movq (%%rax), %%rax")

static void read_msr(void *msr)
{
    rdmsr((uint32_t)(uintptr_t)msr);
}

static void write_msr(void *msr)
{
    wrmsr((uint32_t)(uintptr_t)msr, ~0ul);
}

static void set_svme(void *unused)
{
    (void)unused;
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | 1u << 12);
}

static void clear_lme(void *unused)
{
    (void)unused;
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~(1ul << 8));
}

static void *msr_number(uint32_t msr)
{
    return (void *)(uintptr_t)msr;
}

static volatile uint32_t nmis, nmi_depth, nmi_nested;

static void send_nmi(void)
{
    hypercall(__HYPERVISOR_vcpu_op, VCPUOP_send_nmi, 0, 0, 0, 0);
}

static void leave_and_return(void)
{
    hypercall(__HYPERVISOR_xen_version, XENVER_version, 0, 0, 0, 0);
}

// The first one has another sent to itself.
static void on_nmi(void)
{
    nmi_nested += nmi_depth++ > 0;
    if (++nmis == 1) {
        send_nmi();
        leave_and_return();
    }
    nmi_depth--;
}

static void check_nmis(void)
{
    interrupt_set_handler(VECTOR_NMI, on_nmi);
    send_nmi();
    leave_and_return();
    check_equal(nmis, 2, "an NMI comes, and one that was sent by its handler");
    check_equal(nmi_nested, 0, "which waits until the handler has returned");
    interrupt_set_handler(VECTOR_NMI, NULL);
}

void check_exceptions(void)
{
    check_equal(try_call(run_ud2, NULL), VECTOR_UD, "UD2 gives #UD");
    check_equal(try_call(run_vmrun, NULL), VECTOR_UD, "VMRUN gives #UD");
    check_equal(try_call(run_vmload, NULL), VECTOR_UD, "VMLOAD gives #UD");
    check_equal(try_call(run_stgi, NULL), VECTOR_UD, "STGI gives #UD");
    check_equal(try_call(run_breakpoint, NULL), VECTOR_BP, "INT3 gives #BP");
    check_equal(try_call(run_divide, NULL), 0, "division by 0 gives #DE");
    check_equal(try_call(run_far_read, NULL), VECTOR_PF, "an unmapped page gives #PF");
    check_equal((long)this_vcpu()->fault_address, UNMAPPED, "with its address in CR2");
    check_equal((long)this_vcpu()->fault_error, 0, "and its error code");
    check_equal(try_call(run_non_canonical, NULL), VECTOR_GP, "no canonical address gives #GP");
    check_equal(try_call(read_msr, msr_number(NO_SUCH_MSR)), VECTOR_GP, "RDMSR of none gives #GP");
    check_equal((long)this_vcpu()->fault_error, 0, "with error code 0");
    check_equal(try_call(write_msr, msr_number(NO_SUCH_MSR)), VECTOR_GP, "WRMSR of none gives #GP");
    check_equal(try_call(write_msr, msr_number(MSR_EFER)), VECTOR_GP,
                "reserved bits of EFER give #GP");
    check_equal(try_call(write_msr, msr_number(MSR_APIC_BASE)), VECTOR_GP,
                "reserved bits of the APIC's base give #GP");
    if (!apic_is_x2apic()) {
        check_equal(try_call(read_msr, msr_number(0x802)), VECTOR_GP,
                    "x2APIC registers in xAPIC mode give #GP");
    }
    if (cpuid(1, 0).ecx & 1u << 26) {
        write_cr4(read_cr4() | 1ul << 18);
        check_equal(try_call(run_bad_xcr, NULL), VECTOR_GP, "XCR0 without x87 gives #GP");
    }
    check_nmis();
}

static void check_writes_that_are_taken(void)
{
    uint64_t before = read_cr4();

    write_cr4(before ^ 1ul << 7);
    check_equal((long)read_cr4(), (long)(before ^ 1ul << 7), "CR4.PGE can be changed");
    write_cr4(before);
    check_equal(try_call(run_lmsw, NULL), NO_EXCEPTION, "LMSW sets and clears CR0.EM");
    check_equal(try_call(run_write_protect, NULL), NO_EXCEPTION, "CR0.WP can be changed");
    check_equal(try_call(run_write_protect, NULL), NO_EXCEPTION, "and changed back");
}

// A processor refuses many of these by itself; an emulated one may leave it to the hypervisor.
void check_control_registers(void)
{
    struct cpuid seven = cpuid(7, 0);

    check_equal(try_call(run_bad_cr4, NULL), VECTOR_GP, "a reserved bit of CR4 gives #GP");
    check_equal(try_call(run_bad_cr0, NULL), VECTOR_GP, "CR0.NW without CR0.CD gives #GP");
    check_equal(try_call(run_no_pae, NULL), VECTOR_GP, "CR4.PAE stays set in 64-bit mode");
    check_equal(try_call(run_no_protection, NULL), VECTOR_GP, "CR0.PG needs CR0.PE");
    check_equal(try_call(run_no_paging, NULL), VECTOR_GP, "CR0.PG stays set in 64-bit mode");
    check_equal(try_call(set_svme, NULL), VECTOR_GP, "EFER.SVME gives #GP");
    check_equal(try_call(clear_lme, NULL), VECTOR_GP, "EFER.LME stays while paging is on");
    if (!(seven.ecx & 1u << 16)) {
        check_equal(try_call(run_la57, NULL), VECTOR_GP, "CR4.LA57 needs its feature");
    }
    if (!(seven.ecx & 1u << 3)) {
        check_equal(try_call(run_pke, NULL), VECTOR_GP, "CR4.PKE needs its feature");
    }
    check_writes_that_are_taken();
}
