// SPDX-License-Identifier: Apache-2.0
// memcpy, memmove and memset by eight bytes at a time. The last eight bytes, which may overlap what
// the string instruction stores, are read first and written last.

    .text

// void *memcpy(rdi to, rsi from, rdx n)
    .balign 16
    .globl memcpy
memcpy:
copy_forward:
    movq %rdi, %rax
    cmpq $8, %rdx
    jb 2f
    movq -8(%rsi, %rdx), %r8
    leaq -8(%rdi, %rdx), %r9
    leaq -1(%rdx), %rcx
    shrq $3, %rcx
    rep movsq
    movq %r8, (%r9)
    ret
2:  testl $4, %edx
    jz 3f
    movl (%rsi), %ecx
    movl -4(%rsi, %rdx), %r8d
    movl %ecx, (%rdi)
    movl %r8d, -4(%rdi, %rdx)
    ret
3:  testl %edx, %edx
    jz 4f
    movq %rdx, %r10
    shrq %r10 // first, middle and last cover one to three bytes
    movzbl (%rsi), %ecx
    movzbl -1(%rsi, %rdx), %r8d
    movzbl (%rsi, %r10), %r9d
    movb %cl, (%rdi)
    movb %r9b, (%rdi, %r10)
    movb %r8b, -1(%rdi, %rdx)
4:  ret

// void *memmove(rdi to, rsi from, rdx n)
    .balign 16
    .globl memmove
memmove:
    movq %rdi, %rax
    subq %rsi, %rax
    cmpq %rdx, %rax
    jae copy_forward // to is below from, or past its end
    movq %rdi, %rax
    movq %rdx, %rcx
    leaq -1(%rsi, %rdx), %rsi
    leaq -1(%rdi, %rdx), %rdi
    std
    rep movsb
    cld
    ret

// void *memset(rdi to, esi c, rdx n)
    .balign 16
    .globl memset
memset:
    movq %rdi, %r9
    movzbl %sil, %eax
    movabsq $0x0101010101010101, %rcx
    imulq %rcx, %rax
    movq %rdx, %rcx
    shrq $3, %rcx
    rep stosq
    andl $7, %edx
    movl %edx, %ecx
    rep stosb
    movq %r9, %rax
    ret

    .section .note.GNU-stack, "", @progbits
