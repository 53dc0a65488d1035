// SPDX-License-Identifier: Apache-2.0
/*
 * A kernel for the loader to load: it checks the PVH entry state and its own segments, says on
 * port 0xe9 what it was given, and ends QEMU through isa-debug-exit. Three segments: .text at
 * 16 MiB, .data and .bss further on; the file keeps other distances between them, so that the
 * loader has to move some (test_kernel.lds).
 */
#include <xen/elfnote.h>

#define CONSOLE 0xe9
#define DEBUG_EXIT 0xf4
#define START_MAGIC 0x336ec578
#define NR_MODULES 12
#define MODLIST 16
#define CMDLINE 24
#define DATA_MAGIC 0x61746164

        .section .note.Xen, "a", @note
        .long   4, 8, XEN_ELFNOTE_PHYS32_ENTRY
        .asciz  "Xen"
        .quad   kernel_entry

        .text
        .code32
        .skip   64
        .globl  kernel_entry
kernel_entry:
        movl    $kernel_stack, %esp
        movl    %cr0, %eax
        cmpl    $0x11, %eax             /* PE and ET alone */
        movl    $wrong_cr0, %esi
        jne     finish
        movl    %cr4, %eax
        testl   %eax, %eax
        movl    $wrong_cr4, %esi
        jnz     finish
        cmpl    $START_MAGIC, (%ebx)
        movl    $wrong_magic, %esi
        jne     finish
        cmpl    $DATA_MAGIC, data_word
        movl    $wrong_data, %esi
        jne     finish
        movl    $bss_start, %edi
        movl    $(bss_size / 4), %ecx
        xorl    %eax, %eax
        repe scasl
        movl    $wrong_bss, %esi
        jne     finish

        movl    $greeting, %esi
        call    print
        movl    CMDLINE(%ebx), %esi
        call    print
        movl    $modules, %esi
        call    print
        movl    NR_MODULES(%ebx), %eax
        addl    $'0', %eax
        outb    %al, $CONSOLE
        movl    $newline, %esi
        call    print
        movl    MODLIST(%ebx), %edi     /* the module is text, in this test */
        movl    (%edi), %esi
finish: call    print
        movl    $newline, %esi
        call    print
        xorl    %eax, %eax
        outl    %eax, $DEBUG_EXIT
1:      hlt
        jmp     1b

print:  lodsb
        testb   %al, %al
        jz      1f
        outb    %al, $CONSOLE
        jmp     print
1:      ret

greeting:       .asciz "kernel entered, command line: "
modules:        .asciz "; modules: "
newline:        .asciz "\n"
wrong_cr0:      .asciz "wrong: cr0"
wrong_cr4:      .asciz "wrong: cr4"
wrong_magic:    .asciz "wrong: start_info"
wrong_data:     .asciz "wrong: data"
wrong_bss:      .asciz "wrong: bss"

        .data
data_word:
        .long   DATA_MAGIC
        .skip   100000, 0x5a

        .bss
        .balign 16
bss_start:
        .skip   300000
bss_end:
        .set    bss_size, bss_end - bss_start

        .section .stack, "aw", @nobits
        .skip   4096
kernel_stack:
        .section .note.GNU-stack, "", @progbits
