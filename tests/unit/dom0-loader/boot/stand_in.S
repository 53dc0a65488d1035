// SPDX-License-Identifier: Apache-2.0
/*
 * Stands in for the hypervisor: QEMU's own PVH loader enters here, with ebx = QEMU's start_info.
 * Copies QEMU's memory map and RSDP address into the start_info that boot_test.py prepared and
 * enters the loader under test. Flat 32-bit code at STAND_IN; the addresses come from boot_test.py.
 */
#define MEMMAP_ENTRY_SIZE 24
#define RSDP 32
#define MEMMAP 40
#define MEMMAP_ENTRIES 48

        .code32
        movl    $START_INFO, %edx
        movl    RSDP(%ebx), %eax
        movl    %eax, RSDP(%edx)
        movl    MEMMAP_ENTRIES(%ebx), %eax
        movl    %eax, MEMMAP_ENTRIES(%edx)
        imull   $MEMMAP_ENTRY_SIZE, %eax, %ecx
        movl    MEMMAP(%ebx), %esi
        movl    MEMMAP(%edx), %edi
        rep movsb
        movl    %edx, %ebx
        movl    $LOADER, %eax
        jmp     *%eax
        .section .note.GNU-stack, "", @progbits
