// SPDX-License-Identifier: Apache-2.0
/*
 * The loader's flat binary as read-only data of the hypervisor (dom0_loader.h).
 */
        .section .rodata.dom0_loader, "a", @progbits
        .balign 16
        .globl  dom0_loader_start, dom0_loader_end
dom0_loader_start:
        .incbin "loader.bin"
dom0_loader_end:
        .size   dom0_loader_start, . - dom0_loader_start
        .section .note.GNU-stack, "", @progbits
