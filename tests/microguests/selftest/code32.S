// SPDX-License-Identifier: Apache-2.0
// A hypercall by the 32-bit convention: far return to a 32-bit code segment of the same addresses,
// the call through the hypercall page, far jump back. Stack and page lie below 4 GiB; interrupts
// are off. rbx, which the convention uses, is kept.

#include "layout.h"

        .text
        .code64
// long hypercall_32(uint32_t number, uint32_t a1, uint32_t a2)
        .global hypercall_32
hypercall_32:
        pushq   %rbx
        movl    %edx, %ecx
        movl    %esi, %ebx
        movl    %edi, %eax
        shll    $5, %edi
        addl    $hypercall_page, %edi
        pushq   $CODE32
        pushq   $1f
        lretq
        .code32
1:      call    *%edi
        ljmp    $CODE64, $2f
        .code64
2:      movslq  %eax, %rax
        popq    %rbx
        ret

        .section .note.GNU-stack, "", @progbits
