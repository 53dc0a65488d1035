// SPDX-License-Identifier: Apache-2.0
// Where a CPU starts after INIT and STARTUP: in 16-bit mode at the beginning of a page below 1 MiB,
// to which smp.c has copied this code and whose last words it has filled in. The page is mapped
// one to one, executable and not writable, while CPUs start. %ebx holds its address.

#include <x86/layout.h>
#include <x86/registers.h>

#define OFFSET(symbol) ((symbol) - trampoline_start)

    .section .rodata
    .balign 16
    .globl trampoline_start, trampoline_end, trampoline_parameters
trampoline_start:
    .code16
    cli
    cld
    movw %cs, %ax
    movw %ax, %ds
    xorl %ebx, %ebx
    movw %ax, %bx
    shll $4, %ebx
    leal OFFSET(gdt)(%ebx), %eax
    movl %eax, OFFSET(gdt_pointer) + 2
    lgdtl OFFSET(gdt_pointer)
    leal OFFSET(protected_mode)(%ebx), %eax
    movl %eax, OFFSET(far_pointer)
    movl $(CR0_PE | CR0_ET), %eax
    movl %eax, %cr0
    ljmpl *OFFSET(far_pointer)

    .code32
protected_mode:
    movl $SELECTOR_DATA, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl $CR4_PAE, %eax
    movl %eax, %cr4
    movl OFFSET(parameter_root)(%ebx), %eax
    movl %eax, %cr3
    movl $MSR_EFER, %ecx
    rdmsr
    orl $(EFER_LME | EFER_NXE), %eax
    wrmsr
    leal OFFSET(long_mode)(%ebx), %eax
    movl %eax, OFFSET(far_pointer)(%ebx)
    movw $0x20, OFFSET(far_pointer) + 4(%ebx)
    movl $(CR0_PG | CR0_WP | CR0_NE | CR0_ET | CR0_MP | CR0_PE), %eax
    movl %eax, %cr0
    ljmpl *OFFSET(far_pointer)(%ebx)

    .code64
long_mode:
    movq OFFSET(parameter_stack)(%rbx), %rsp
    movq OFFSET(parameter_cpu)(%rbx), %rdi
    xorl %ebp, %ebp
    movq $x86_start_other, %rax
    call *%rax
    ud2

    .balign 8
gdt: // accessed bits are set: nothing may write here any more once paging is on
    .quad 0
    .quad 0x00cf9b000000ffff // 32-bit code, at SELECTOR_CODE
    .quad 0x00cf93000000ffff // data
    .quad 0
    .quad 0x00af9b000000ffff // 64-bit code
gdt_pointer:
    .short 39
    .long 0
    .balign 4
far_pointer:
    .long 0
    .short SELECTOR_CODE
    .balign 8
trampoline_parameters:
parameter_root:  .quad 0
parameter_stack: .quad 0
parameter_cpu:   .quad 0
trampoline_end:

    .section .note.GNU-stack, "", @progbits
