// SPDX-License-Identifier: Apache-2.0
// One 16-byte stub for each vector, which pushes the vector (and a zero where the processor pushes
// no error code), then the common path: saves the general registers as a struct interrupt_frame and
// calls interrupt_dispatch. The hypervisor is only ever interrupted in its own mode, so there is no
// change of the GS base.

    .text
    .balign 16
    .globl interrupt_entry_table
interrupt_entry_table:
    vector = 0
    .rept 256
    .balign 16
    // Exceptions with an error code: 8, 10 to 14, 17, 21, 29, 30 (AMD64 APM 2, table 8-1).
    .if !((vector == 8) || ((vector >= 10) && (vector <= 14)) || (vector == 17) || (vector == 21) || (vector == 29) || (vector == 30))
    pushq $0
    .endif
    pushq $vector
    jmp interrupt_common
    vector = vector + 1
    .endr

    .balign 16
    .globl interrupt_common
interrupt_common:
    cld
    pushq %rax
    pushq %rcx
    pushq %rdx
    pushq %rbx
    pushq %rbp
    pushq %rsi
    pushq %rdi
    pushq %r8
    pushq %r9
    pushq %r10
    pushq %r11
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, %rdi
    call interrupt_dispatch
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %r11
    popq %r10
    popq %r9
    popq %r8
    popq %rdi
    popq %rsi
    popq %rbp
    popq %rbx
    popq %rdx
    popq %rcx
    popq %rax
    addq $16, %rsp
    iretq

    .section .note.GNU-stack, "", @progbits
