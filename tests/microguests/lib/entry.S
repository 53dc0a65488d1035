// SPDX-License-Identifier: Apache-2.0
// From the PVH entry (32-bit, paging off, ebx = start_info) and from real mode (vcpus started by
// INIT and SIPI) to 64-bit C code. All vcpus share one set of tables that maps the first 4 GiB one
// to one with 2 MiB pages, which covers RAM, start_info and the local APIC.
// A starting vcpu takes the next index; vcpus beyond MAX_VCPUS sleep for good.

#include "layout.h"
#include <xen/elfnote.h>

#define PAGE_FLAGS 3   // present, writable
#define LARGE_FLAGS 0x83

        .section .note.xen, "a", @note
        .balign 4
        .long   4, 4, XEN_ELFNOTE_PHYS32_ENTRY
        .asciz  "Xen"
        .long   pvh_entry

        .text
        .code32
        .global pvh_entry
pvh_entry:
        cld
        movl    %ebx, start_info_address

        movl    $page_directories, %edi
        movl    $LARGE_FLAGS, %eax
        movl    $(4 * 512), %ecx
1:      movl    %eax, (%edi)
        movl    $0, 4(%edi)
        addl    $0x200000, %eax
        addl    $8, %edi
        loop    1b

        movl    $pointer_table, %edi
        movl    $(page_directories + PAGE_FLAGS), %eax
        movl    $4, %ecx
1:      movl    %eax, (%edi)
        addl    $4096, %eax
        addl    $8, %edi
        loop    1b
        movl    $(pointer_table + PAGE_FLAGS), top_table

// Every vcpu comes here in 32-bit mode, paging off.
enter_long_mode:
        lgdt    gdt_pointer
        movl    $DATA, %eax
        movl    %eax, %ds
        movl    %eax, %es
        movl    %eax, %ss
        movl    %cr4, %eax
        orl     $(1 << 5 | 1 << 9 | 1 << 10), %eax      // PAE, OSFXSR, OSXMMEXCPT
        movl    %eax, %cr4
        movl    $top_table, %eax
        movl    %eax, %cr3
        movl    $0xc0000080, %ecx                       // EFER
        rdmsr
        orl     $(1 << 8), %eax                         // long mode
        wrmsr
        movl    %cr0, %eax
        andl    $~(1 << 2 | 1 << 29 | 1 << 30), %eax    // no FPU emulation; caches on
        orl     $(1 << 31 | 1 << 5 | 1 << 1 | 1), %eax  // PG, NE, MP, PE
        movl    %eax, %cr0
        ljmp    $CODE64, $long_mode

        .code64
long_mode:
        movl    $1, %edi
        lock xaddl %edi, vcpus_entered
        cmpl    $MAX_VCPUS, %edi
        jae     1f
        imull   $STACK_SIZE, %edi, %eax
        leaq    stacks + STACK_SIZE(%rax), %rsp
        xorl    %ebp, %ebp
        call    vcpu_start                              // vcpu index
1:      cli
        hlt
        jmp     1b

// Copied to TRAMPOLINE; runs in real mode with cs = TRAMPOLINE >> 4.
        .code16
        .global trampoline_start, trampoline_end
trampoline_start:
        cli
        lgdtl   %cs:(trampoline_gdt_pointer - trampoline_start)
        movl    %cr0, %eax
        orl     $1, %eax
        movl    %eax, %cr0
        ljmpl   $CODE32, $enter_flat
        .balign 8
trampoline_gdt_pointer:
        .word   gdt_end - gdt - 1
        .long   gdt
trampoline_end:

        .code32
enter_flat:
        movl    $DATA, %eax
        movl    %eax, %ds
        jmp     enter_long_mode

        .data
        .balign 16
gdt:    .quad   0
        .quad   0x00af9b000000ffff      // CODE64
        .quad   0x00cf93000000ffff      // DATA
        .quad   0x00cf9b000000ffff      // CODE32
gdt_end:
gdt_pointer:
        .word   gdt_end - gdt - 1
        .long   gdt
        .balign 4
vcpus_entered:
        .long   0
        .global start_info_address
start_info_address:
        .long   0

        .bss
        .balign 4096
top_table:        .skip 4096
pointer_table:    .skip 4096
page_directories: .skip 4 * 4096
stacks:           .skip MAX_VCPUS * STACK_SIZE

        .section .note.GNU-stack, "", @progbits
