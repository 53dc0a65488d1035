// SPDX-License-Identifier: Apache-2.0
// Where boot loaders enter, in 32-bit protected mode without paging: multiboot 1 and 2 headers,
// then the way to 64-bit mode. The image may be anywhere below 4 GiB at 2 MiB alignment: %ebp holds
// the distance from where it was linked. The tables made here map the image by 4 KiB pages with
// its final rights at its linked address and, through the same tables, one to one; the rest of the
// first 4 GiB is mapped one to one, writable and not executable, for reading what the boot loader
// left. paging_init() replaces them.

#include <x86/layout.h>
#include <x86/registers.h>

#define PHYSICAL(symbol) (symbol - IMAGE_OFFSET)
#define BOOT_PD_COUNT    4
#define BOOT_PT_COUNT    (IMAGE_MAX_SIZE >> 21)

#define MULTIBOOT1_MAGIC 0x1badb002
#define MULTIBOOT1_FLAGS 3 // modules on page boundaries, memory information
#define MULTIBOOT2_MAGIC 0xe85250d6

#define COM1 0x3f8

    .section .head, "ax"
    .code32

    .balign 8
multiboot1_header:
    .long MULTIBOOT1_MAGIC
    .long MULTIBOOT1_FLAGS
    .long -(MULTIBOOT1_MAGIC + MULTIBOOT1_FLAGS)

    .balign 8
multiboot2_header:
    .long MULTIBOOT2_MAGIC
    .long 0 // i386, protected mode
    .long multiboot2_header_end - multiboot2_header
    .long -(MULTIBOOT2_MAGIC + (multiboot2_header_end - multiboot2_header))

    .balign 8 // information request: command line, loader name, module, memory map; all needed
    .short 1, 0
    .long 8 + 4 * 4
    .long 1, 2, 3, 6

    .balign 8 // modules on page boundaries
    .short 6, 0
    .long 8

    .balign 8 // relocatable: between 2 MiB and 4 GiB, at 2 MiB alignment, low rather than high
    .short 10, 1
    .long 24
    .long 0x200000, 0xffffffff, 0x200000, 1

    .balign 8
    .short 0, 0
    .long 8
multiboot2_header_end:

    .globl boot_entry
boot_entry:
    cli
    cld
    // There is no stack yet. The first word of the loader's structure serves as one for the one
    // call that tells where we are.
    movl (%ebx), %ecx
    leal 4(%ebx), %esp
    call 1f
1:  popl %ebp
    movl %ecx, (%ebx)
    subl $PHYSICAL(1b), %ebp
    leal PHYSICAL(boot_stack_top)(%ebp), %esp
    movl %eax, %esi

    // Boot loaders clear .bss; a machine restarted without one may not have.
    xorl %eax, %eax
    leal PHYSICAL(bss_start)(%ebp), %edi
    movl $PHYSICAL(bss_end), %ecx
    subl $PHYSICAL(bss_start), %ecx
    shrl $2, %ecx
    rep stosl

    movl %esi, PHYSICAL(boot_magic)(%ebp)
    movl %ebx, PHYSICAL(boot_information)(%ebp)

    movl $0x80000000, %eax
    cpuid
    cmpl $0x80000001, %eax
    jb no_long_mode
    movl $0x80000001, %eax
    cpuid
    testl $(1 << 29), %edx
    jz no_long_mode
    testl $(1 << 20), %edx
    jz no_execute_disable

    // Page tables of the image: one pass over its pages.
    leal PHYSICAL(boot_pt)(%ebp), %edi
    leal PHYSICAL(boot_pt_end)(%ebp), %ebx
    leal PHYSICAL(image_start)(%ebp), %eax
    leal PHYSICAL(text_end)(%ebp), %ecx
    leal PHYSICAL(rodata_end)(%ebp), %edx
2:  movl %eax, (%edi)
    cmpl %ecx, %eax
    jae 3f
    orl $1, (%edi) // code: present
    jmp 5f
3:  movl $0x80000000, 4(%edi)
    cmpl %edx, %eax
    jae 4f
    orl $1, (%edi)
    jmp 5f
4:  orl $3, (%edi) // data: present, writable
5:  addl $8, %edi
    addl $0x1000, %eax
    cmpl %ebx, %edi
    jb 2b

    // The first 4 GiB by 2 MiB pages.
    leal PHYSICAL(boot_pd)(%ebp), %edi
    movl $0x83, %eax
6:  movl %eax, (%edi)
    movl $0x80000000, 4(%edi)
    addl $8, %edi
    addl $0x200000, %eax
    jnc 6b

    // The image's tables, one to one and at its linked address.
    leal PHYSICAL(boot_pt) + 1(%ebp), %eax
    orl $2, %eax
    leal PHYSICAL(image_start)(%ebp), %edi
    shrl $21, %edi
    leal PHYSICAL(boot_pd)(%ebp, %edi, 8), %edi
    leal PHYSICAL(boot_pd_high) + 8 * (IMAGE_LINK_BASE >> 21)(%ebp), %edx
    movl $BOOT_PT_COUNT, %ecx
7:  movl %eax, (%edi)
    movl $0, 4(%edi)
    movl %eax, (%edx)
    addl $0x1000, %eax
    addl $8, %edi
    addl $8, %edx
    loop 7b

    // Upper levels.
    leal PHYSICAL(boot_pd) + 3(%ebp), %eax
    leal PHYSICAL(boot_pdpt)(%ebp), %edi
    movl $BOOT_PD_COUNT, %ecx
8:  movl %eax, (%edi)
    addl $0x1000, %eax
    addl $8, %edi
    loop 8b
    leal PHYSICAL(boot_pd_high) + 3(%ebp), %eax
    movl %eax, PHYSICAL(boot_pdpt_high) + 8 * 510(%ebp)
    leal PHYSICAL(boot_pdpt) + 3(%ebp), %eax
    movl %eax, PHYSICAL(boot_pml4)(%ebp)
    leal PHYSICAL(boot_pdpt_high) + 3(%ebp), %eax
    movl %eax, PHYSICAL(boot_pml4) + 8 * 511(%ebp)

    movl $CR4_PAE, %eax
    movl %eax, %cr4
    leal PHYSICAL(boot_pml4)(%ebp), %eax
    movl %eax, %cr3
    movl $MSR_EFER, %ecx
    rdmsr
    orl $(EFER_LME | EFER_NXE), %eax
    wrmsr
    movl $(CR0_PG | CR0_WP | CR0_NE | CR0_ET | CR0_MP | CR0_PE), %eax
    movl %eax, %cr0

    leal PHYSICAL(boot_gdt)(%ebp), %eax
    movl %eax, PHYSICAL(boot_gdt_pointer) + 2(%ebp)
    lgdt PHYSICAL(boot_gdt_pointer)(%ebp)
    leal PHYSICAL(entry64)(%ebp), %eax
    pushl $SELECTOR_CODE
    pushl %eax
    lret

no_long_mode:
    leal PHYSICAL(text_no_long_mode)(%ebp), %esi
    jmp boot_failure
no_execute_disable:
    leal PHYSICAL(text_no_execute_disable)(%ebp), %esi
boot_failure: // writes the text at %esi to the serial port, each wait bounded, and halts
    movw $(COM1 + 3), %dx
    movb $3, %al
    outb %al, %dx
9:  movl $100000, %ecx
    movw $(COM1 + 5), %dx
10: inb %dx, %al
    testb $0x20, %al
    jnz 11f
    loop 10b
11: movw $COM1, %dx
    lodsb
    testb %al, %al
    jz 12f
    outb %al, %dx
    jmp 9b
12: hlt
    jmp 12b

    .code64
entry64:
    movl $SELECTOR_DATA, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    xorl %eax, %eax
    movl %eax, %fs
    movl %eax, %gs
    movl PHYSICAL(boot_magic)(%rbp), %edi
    movl PHYSICAL(boot_information)(%rbp), %esi
    leaq IMAGE_LINK_BASE(%rbp), %rdx
    movq $boot_stack_top, %rsp
    xorl %ebp, %ebp
    movq $x86_start, %rax
    call *%rax
    ud2

// void paging_move_image(rdi to, rsi from, rdx size, rcx root)
    .text
    .globl paging_move_image
paging_move_image:
    movq %rcx, %rax
    movq %rdx, %rcx
    shrq $3, %rcx
    rep movsq
    movq %rax, %cr3
    ret

    .section .rodata
text_no_long_mode:
    .asciz "\r\nBulkhead: this processor has no 64-bit mode. Halted.\r\n"
text_no_execute_disable:
    .asciz "\r\nBulkhead: this processor has no execute-disable bit. Halted.\r\n"

    .data
    .balign 8
boot_gdt:
    .quad 0
    .quad 0x00af9a000000ffff // 64-bit code
    .quad 0x00cf92000000ffff // data
    .short 0
boot_gdt_pointer:
    .short 23
    .long 0
    .long 0

    .section .bss.boot_only, "aw", @nobits
    .balign 4096
boot_pml4:      .skip 4096
boot_pdpt:      .skip 4096
boot_pdpt_high: .skip 4096
boot_pd_high:   .skip 4096
boot_pd:        .skip 4096 * BOOT_PD_COUNT
boot_pt:        .skip 4096 * BOOT_PT_COUNT
boot_pt_end:
boot_stack:     .skip 4096 * STACK_PAGES
boot_stack_top:
boot_magic:       .skip 4
boot_information: .skip 4

    .section .note.GNU-stack, "", @progbits
