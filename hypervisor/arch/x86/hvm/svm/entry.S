/* SPDX-License-Identifier: Apache-2.0 */
/* The world switch. The guest's rax, rsp, rip and rflags are in the VMCB; the other general
 * registers are loaded and stored here. Global interrupts are off from CLGI to STGI, so the
 * interrupt flag may be set for VMRUN: while the guest runs, physical interrupts then cause an
 * exit, and they stay pending until the hypervisor opens a window for them.
 * FPU and extended state are the guest's all the time: the hypervisor does not use them. */

    .text
    .globl svm_enter
    .type svm_enter, @function
/* rdi = gpr array, rsi = guest VMCB address, rdx = host VMCB address */
svm_enter:
    push %rbp
    push %rbx
    push %r12
    push %r13
    push %r14
    push %r15
    push %rdx
    push %rdi
    mov %rsi, %rax
    clgi
    sti
    mov 0x08(%rdi), %rcx
    mov 0x10(%rdi), %rdx
    mov 0x18(%rdi), %rbx
    mov 0x28(%rdi), %rbp
    mov 0x30(%rdi), %rsi
    mov 0x40(%rdi), %r8
    mov 0x48(%rdi), %r9
    mov 0x50(%rdi), %r10
    mov 0x58(%rdi), %r11
    mov 0x60(%rdi), %r12
    mov 0x68(%rdi), %r13
    mov 0x70(%rdi), %r14
    mov 0x78(%rdi), %r15
    mov 0x38(%rdi), %rdi
    vmload %rax
    vmrun %rax
    vmsave %rax
    xchg (%rsp), %rdi
    mov %rcx, 0x08(%rdi)
    mov %rdx, 0x10(%rdi)
    mov %rbx, 0x18(%rdi)
    mov %rbp, 0x28(%rdi)
    mov %rsi, 0x30(%rdi)
    mov %r8, 0x40(%rdi)
    mov %r9, 0x48(%rdi)
    mov %r10, 0x50(%rdi)
    mov %r11, 0x58(%rdi)
    mov %r12, 0x60(%rdi)
    mov %r13, 0x68(%rdi)
    mov %r14, 0x70(%rdi)
    mov %r15, 0x78(%rdi)
    pop %rcx
    mov %rcx, 0x38(%rdi)
    pop %rax
    vmload %rax
    cli
    stgi
    /* Nothing of the guest's stays in registers that a speculative path might use. */
    xor %edx, %edx
    xor %esi, %esi
    xor %r8d, %r8d
    xor %r9d, %r9d
    xor %r10d, %r10d
    xor %r11d, %r11d
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbx
    pop %rbp
    ret
    .size svm_enter, . - svm_enter

    .section .note.GNU-stack, "", @progbits
