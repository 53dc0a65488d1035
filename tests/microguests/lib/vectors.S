// SPDX-License-Identifier: Apache-2.0
// Interrupt entries, and try_call(), which turns an exception into a return value.
// Each entry is 16 bytes: it pushes an error code where the processor did not, and its vector.
// struct interrupt_frame (interrupts.h) describes what interrupt_dispatch gets.

#include "layout.h"

        .text
        .code64
        .balign 16
        .global interrupt_entries
interrupt_entries:
vector = 0
        .rept   256
        .balign 16
        // These exceptions push an error code themselves: 8, 10 to 14, 17, 21.
        .if     vector != 8 && (vector < 10 || vector > 14) && vector != 17 && vector != 21
        pushq   $0
        .endif
        pushq   $vector
        jmp     common_entry
vector = vector + 1
        .endr

// User-mode code may have changed the GS base; the kernel's is exchanged for it.
common_entry:
        testb   $3, 24(%rsp)
        jz      1f
        swapgs
1:      pushq   %rax
        pushq   %rcx
        pushq   %rdx
        pushq   %rbx
        pushq   %rbp
        pushq   %rsi
        pushq   %rdi
        pushq   %r8
        pushq   %r9
        pushq   %r10
        pushq   %r11
        pushq   %r12
        pushq   %r13
        pushq   %r14
        pushq   %r15
        cld
        movq    %rsp, %rdi
        movq    %rsp, %rbx
        andq    $-16, %rsp
        call    interrupt_dispatch
        movq    %rbx, %rsp
        popq    %r15
        popq    %r14
        popq    %r13
        popq    %r12
        popq    %r11
        popq    %r10
        popq    %r9
        popq    %r8
        popq    %rdi
        popq    %rsi
        popq    %rbp
        popq    %rbx
        popq    %rdx
        popq    %rcx
        popq    %rax
        addq    $16, %rsp
        testb   $3, 8(%rsp)
        jz      1f
        swapgs
1:      iretq

// int try_call(void (*function)(void *), void *argument)
        .global try_call, try_call_resume
try_call:
        pushq   %rbx
        pushq   %rbp
        pushq   %r12
        pushq   %r13
        pushq   %r14
        pushq   %r15
        subq    $8, %rsp
        movq    %rsp, %gs:VCPU_DATA_CATCH_STACK
        movq    %rdi, %rax
        movq    %rsi, %rdi
        call    *%rax
        movl    $-1, %eax
// An exception arrives here too, with rsp as saved above and the vector in eax.
try_call_resume:
        movq    $0, %gs:VCPU_DATA_CATCH_STACK
        addq    $8, %rsp
        popq    %r15
        popq    %r14
        popq    %r13
        popq    %r12
        popq    %rbp
        popq    %rbx
        ret

        .section .note.GNU-stack, "", @progbits
