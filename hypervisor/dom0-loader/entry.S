// SPDX-License-Identifier: Apache-2.0
/*
 * The way into the loader and out of it: from the PVH entry state (32-bit, paging off) to 64-bit
 * mode with an identity mapping, and back again for the kernel. Position independent: code in
 * 32-bit mode addresses everything relative to the load address in ebp, by RVA(). Interrupts stay
 * off and there is no IDT: an exception here is a bug and shuts the domain down.
 */
#include "dom0_loader.h"

#define RVA(symbol) ((symbol) - loader_start)

#define CR0_PE 0x1
#define CR0_MP 0x2
#define CR0_ET 0x10
#define CR0_WP 0x10000
#define CR0_PG 0x80000000
#define CR4_PAE 0x20
#define CR4_OSFXSR 0x200
#define CR4_OSXMMEXCPT 0x400
#define MSR_EFER 0xc0000080
#define EFER_LME 0x100
#define MSR_FS_BASE 0xc0000100
#define CPUID_EXTENDED 0x80000000
#define CPUID_FEATURES 0x80000001
#define FEATURE_1GIB_PAGES_BIT 26

#define PTE_PRESENT_WRITE 0x3
#define PTE_LARGE 0x80
#define START_INFO_RESERVED 52 /* must-be-zero last field: our stack until we know where we are */
#define STACK_SIZE 65536

/* Elf64_Rela */
#define RELA_OFFSET 0
#define RELA_ADDEND 16
#define RELA_SIZE 24

#define SELECTOR_CODE64 0x08
#define SELECTOR_CODE32 0x10
#define SELECTOR_DATA 0x18

        .section .head, "awx", @progbits
        .code32
        .globl loader_start
loader_start:
        jmp     enter
        .org    DOM0_LOADER_HEADER_OFFSET
        .long   DOM0_LOADER_MAGIC
        .long   RVA(loader_image_end)
        .long   RVA(loader_end)
        .long   DOM0_LOADER_ALIGNMENT

enter:
        cli
        cld
        leal    START_INFO_RESERVED + 4(%ebx), %esp
        call    1f
1:      popl    %ebp
        subl    $RVA(1b), %ebp
        movl    $0, START_INFO_RESERVED(%ebx)
        leal    RVA(stack_top)(%ebp), %esp
        movl    %ebx, %esi

        leal    RVA(loader_bss_start)(%ebp), %edi
        leal    RVA(loader_bss_end)(%ebp), %ecx
        subl    %edi, %ecx
        shrl    $2, %ecx
        xorl    %eax, %eax
        rep stosl

        call    build_page_tables
        leal    RVA(gdt)(%ebp), %eax
        movl    %eax, RVA(gdt_pointer + 2)(%ebp)
        lgdt    RVA(gdt_pointer)(%ebp)
        leal    RVA(root_table)(%ebp), %eax
        movl    %eax, %cr3
        movl    $(CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT), %eax
        movl    %eax, %cr4
        movl    $MSR_EFER, %ecx
        rdmsr
        orl     $EFER_LME, %eax
        wrmsr
        movl    $(CR0_PG | CR0_WP | CR0_ET | CR0_MP | CR0_PE), %eax
        movl    %eax, %cr0
        pushl   $SELECTOR_CODE64
        leal    RVA(enter64)(%ebp), %eax
        pushl   %eax
        lretl

/*
 * Maps the first DOM0_LOADER_REACH_GIB one to one, read and write. The root table and the table
 * below it are in .bss and hold zeros here. Keeps esi and ebp.
 */
build_page_tables:
        leal    RVA(gib_table)(%ebp), %edi
        leal    PTE_PRESENT_WRITE(%edi), %eax
        movl    %eax, RVA(root_table)(%ebp)

        movl    $CPUID_EXTENDED, %eax
        cpuid
        cmpl    $CPUID_FEATURES, %eax
        jb      2f
        movl    $CPUID_FEATURES, %eax
        cpuid
        btl     $FEATURE_1GIB_PAGES_BIT, %edx
        jnc     2f

        xorl    %ecx, %ecx              /* 1 GiB pages */
1:      movl    %ecx, %eax
        shll    $30, %eax
        orl     $(PTE_PRESENT_WRITE | PTE_LARGE), %eax
        movl    %ecx, %edx
        shrl    $2, %edx
        movl    %eax, (%edi,%ecx,8)
        movl    %edx, 4(%edi,%ecx,8)
        incl    %ecx
        cmpl    $DOM0_LOADER_REACH_GIB, %ecx
        jb      1b
        ret

2:      xorl    %ecx, %ecx              /* a table of 2 MiB pages for each GiB */
        leal    (RVA(large_page_tables) + PTE_PRESENT_WRITE)(%ebp), %eax
3:      movl    %eax, (%edi,%ecx,8)
        addl    $4096, %eax
        incl    %ecx
        cmpl    $DOM0_LOADER_REACH_GIB, %ecx
        jb      3b
        leal    RVA(large_page_tables)(%ebp), %edi
        xorl    %ecx, %ecx
4:      movl    %ecx, %eax
        shll    $21, %eax
        orl     $(PTE_PRESENT_WRITE | PTE_LARGE), %eax
        movl    %ecx, %edx
        shrl    $11, %edx
        movl    %eax, (%edi,%ecx,8)
        movl    %edx, 4(%edi,%ecx,8)
        incl    %ecx
        cmpl    $(DOM0_LOADER_REACH_GIB * 512), %ecx
        jb      4b
        ret

        .code64
enter64:
        movl    $SELECTOR_DATA, %eax
        movl    %eax, %ds
        movl    %eax, %es
        movl    %eax, %ss
        xorl    %eax, %eax
        movl    %eax, %fs
        movl    %eax, %gs

        /* libzstd is built with a stack protector, whose canary is at %fs:40. */
        leaq    stack_canary - 40(%rip), %rax
        movq    %rax, %rdx
        shrq    $32, %rdx
        movl    $MSR_FS_BASE, %ecx
        wrmsr

        /* Pointers in tables: add the load address to each (R_X86_64_RELATIVE only). */
        leaq    loader_start(%rip), %rbp
        leaq    loader_relocations_start(%rip), %rax
        leaq    loader_relocations_end(%rip), %rcx
1:      cmpq    %rcx, %rax
        jae     2f
        movq    RELA_OFFSET(%rax), %rdi
        movq    RELA_ADDEND(%rax), %rdx
        addq    %rbp, %rdx
        movq    %rdx, (%rbp,%rdi)
        addq    $RELA_SIZE, %rax
        jmp     1b

2:      movl    %esp, %esp              /* the upper halves are undefined so far */
        movl    %esi, %ebx
        movl    %esi, %edi
        movq    %rbp, %rsi
        leaq    loader_end(%rip), %rdx
        call    loader_main             /* keeps rbx */

        movl    %eax, %edi
        pushq   $SELECTOR_CODE32
        leaq    leave32(%rip), %rax
        pushq   %rax
        lretq

        .code32
leave32:
        movl    $SELECTOR_DATA, %eax
        movl    %eax, %ds
        movl    %eax, %es
        movl    %eax, %ss
        movl    %eax, %fs
        movl    %eax, %gs
        movl    $(CR0_PE | CR0_ET), %eax
        movl    %eax, %cr0
        movl    $MSR_EFER, %ecx
        rdmsr
        andl    $~EFER_LME, %eax
        wrmsr
        xorl    %eax, %eax
        movl    %eax, %cr4
        jmp     *%edi

        .section .data, "aw", @progbits
        .balign 8
gdt:
        .quad   0
        .quad   0x00af9b000000ffff      /* 64-bit code */
        .quad   0x00cf9b000000ffff      /* 32-bit code, flat */
        .quad   0x00cf93000000ffff      /* data, flat */
gdt_pointer:
        .word   gdt_pointer - gdt - 1
        .long   0                       /* set to gdt's address */
        .balign 8
stack_canary:
        .quad   0x6b63617473000aff      /* holds the bytes that string functions stop at */

        .section .bss, "aw", @nobits
        .balign 4096
root_table:
        .skip   4096
gib_table:
        .skip   4096

        .section .bss.unset, "aw", @nobits
        .balign 4096
large_page_tables:
        .skip   DOM0_LOADER_REACH_GIB * 4096
        .skip   STACK_SIZE
stack_top:

        .section .note.GNU-stack, "", @progbits
