// SPDX-License-Identifier: Apache-2.0
// Into generated code: all registers from a structure, then a jump or a return to user mode.
// void sandbox_enter_kernel(struct sandbox_registers *r, void *code): code ends with a jump to
// sandbox_leave, or with an exception that try_call catches. The registers that C keeps are saved
// by try_call as well as here.
// void sandbox_enter_user(struct sandbox_registers *r, uint64_t rip): never returns.

        .text
        .code64
.macro  load_registers
        movq    0(%rdi), %rax
        movq    8(%rdi), %rcx
        movq    16(%rdi), %rdx
        movq    24(%rdi), %rbx
        movq    40(%rdi), %rbp
        movq    48(%rdi), %rsi
        movq    64(%rdi), %r8
        movq    72(%rdi), %r9
        movq    80(%rdi), %r10
        movq    88(%rdi), %r11
        movq    96(%rdi), %r12
        movq    104(%rdi), %r13
        movq    112(%rdi), %r14
        movq    120(%rdi), %r15
        movq    56(%rdi), %rdi
.endm

        .global sandbox_enter_kernel, sandbox_leave, sandbox_enter_user
sandbox_enter_kernel:
        pushq   %rbx
        pushq   %rbp
        pushq   %r12
        pushq   %r13
        pushq   %r14
        pushq   %r15
        movq    %rsp, saved_stack
        movq    %rsi, saved_target
        load_registers
        jmp     *saved_target

sandbox_leave:
        movq    saved_stack, %rsp
        popq    %r15
        popq    %r14
        popq    %r13
        popq    %r12
        popq    %rbp
        popq    %rbx
        cld
        ret

sandbox_enter_user:
        pushq   $0x23                   // user data
        pushq   32(%rdi)
        pushq   $0x202                  // interrupts on
        pushq   $0x2b                   // user code
        pushq   %rsi
        load_registers
        swapgs
        iretq

        .bss
        .balign 8
saved_stack:  .skip 8
saved_target: .skip 8

        .section .note.GNU-stack, "", @progbits
