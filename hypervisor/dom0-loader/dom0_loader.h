// SPDX-License-Identifier: Apache-2.0
/*
 * What the hypervisor and the domain 0 loader agree on. The hypervisor embeds the loader as an
 * opaque flat binary, copies it into domain 0's memory and starts domain 0 there; it never reads
 * a kernel file itself. This header is also read by the loader's assembly.
 *
 * Contract, for the hypervisor:
 * - the binary is position independent: it may lie at any 4 KiB boundary whose memory, up to
 *   header.memory_size bytes, is RAM of domain 0 below 4 GiB. Its content past image_size needs
 *   no particular value. Only image_size bytes need to be copied;
 * - it is entered at its first byte in the state that the PVH ABI (docs/misc/pvh.pandoc of the
 *   public documentation) gives to a kernel: 32-bit protected mode, flat segments, paging off,
 *   ebx = physical address of struct hvm_start_info, which must be writable;
 * - start_info has version 1 or newer. Module 0 is the kernel file, with the kernel's command
 *   line in that entry's cmdline_paddr (0: empty). start_info.cmdline_paddr is not used. Modules
 *   1 to n are handed to the kernel as its modules 0 to n-1. There are at most
 *   DOM0_LOADER_MAX_MODULES of them and at most DOM0_LOADER_MAX_MAP_ENTRIES memory map entries;
 * - start_info, its tables, the modules, the command lines and the loader do not overlap, lie
 *   below DOM0_LOADER_REACH, and keep clear of where the kernel belongs (Linux: from 14 MiB,
 *   about 60 MiB): put them at the top of the RAM below 4 GiB;
 * - what must survive in RAM and is not named here (ACPI tables) is no RAM in the memory map.
 *
 * Contract, towards the kernel: it is entered as the PVH ABI says, ebx = the same start_info,
 * rewritten in place: cmdline_paddr is module 0's, the module list begins with module 1. All the
 * rest is untouched. The loader's memory is free for the kernel's use.
 *
 * On an error the loader writes one sentence and a newline to I/O port DOM0_LOADER_CONSOLE_PORT
 * and asks for SHUTDOWN_crash with the sched_op hypercall.
 */
#ifndef DOM0_LOADER_H
#define DOM0_LOADER_H

#define DOM0_LOADER_HEADER_OFFSET 16
#define DOM0_LOADER_MAGIC 0x304c4842 /* "BHL0", little endian */
#define DOM0_LOADER_ALIGNMENT 4096
#define DOM0_LOADER_CONSOLE_PORT 0xe9
#define DOM0_LOADER_MAX_MODULES 64
#define DOM0_LOADER_MAX_MAP_ENTRIES 512
#define DOM0_LOADER_MAX_COMMAND_LINE 65536
/* The loader maps, and so accepts addresses in, the first 64 GiB. */
#define DOM0_LOADER_REACH_GIB 64

#ifndef __ASSEMBLER__
#include <stdint.h>

#define DOM0_LOADER_REACH ((uint64_t)DOM0_LOADER_REACH_GIB << 30)

/* Found DOM0_LOADER_HEADER_OFFSET bytes from the start of the binary. */
struct dom0_loader_header {
    uint32_t magic;       /* DOM0_LOADER_MAGIC */
    uint32_t image_size;  /* bytes to copy */
    uint32_t memory_size; /* bytes to reserve: the image, its variables and its stack */
    uint32_t alignment;   /* of the load address, bytes */
};

/* The binary inside the hypervisor's read-only data (embed.S). */
extern const uint8_t dom0_loader_start[];
extern const uint8_t dom0_loader_end[];
#endif

#endif
