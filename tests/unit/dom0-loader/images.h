// SPDX-License-Identifier: Apache-2.0
/*
 * Makes kernel files and a stand-in for domain 0's memory, for tests and fuzzers of the loader.
 */
#ifndef TEST_IMAGES_H
#define TEST_IMAGES_H

#include <stddef.h>
#include <stdint.h>
#include <xen/arch-x86/hvm/start_info.h>

#include "layout.h"

/* Where domain 0's memory is mapped in the test program: address and size, bytes. */
#define GUEST_BASE 0x100000ul
#define GUEST_SIZE 0x2000000ul
#define GUEST_END (GUEST_BASE + GUEST_SIZE)
/* What the stand-in for the hypervisor puts at its top. */
#define LOADER_ADDRESS (GUEST_END - 0x100000)
#define INFO_ADDRESS (GUEST_END - 0x200000)
#define MAP_ADDRESS (INFO_ADDRESS + 0x1000)
#define MODLIST_ADDRESS (INFO_ADDRESS + 0x2000)
#define COMMAND_LINE_ADDRESS (INFO_ADDRESS + 0x3000)
#define BOOT_MODULE_ADDRESS (GUEST_END - 0x300000)
#define KERNEL_ADDRESS (GUEST_END - 0x1000000)
#define KERNEL_MAX (BOOT_MODULE_ADDRESS - KERNEL_ADDRESS)

#define COMMAND_LINE "console=hvc0 root=/dev/xvda"
#define BOOT_MODULE "initial RAM disk"

/* Offset in the file of the record with the entry note. */
#define NOTE_OFFSET 0x800

struct segment {
    uint64_t offset;
    uint64_t address;
    uint64_t file_size;
    uint64_t memory_size;
};

struct file {
    uint8_t *data; /* exactly size bytes from malloc; free it */
    size_t size;
};

/* The byte that make_elf puts at @offset of a segment. */
uint8_t content_byte(uint64_t offset);

/* An ELF64 file with these segments, and an entry note unless @entry is 0. */
struct file make_elf(const struct segment *segments, unsigned count, uint64_t entry);

/* @content as a zstd frame with Linux's size trailer, in a new file. */
struct file pack(struct file content);

/* A bzImage with the payload @payload, in a new file. */
struct file make_bzimage(struct file payload);

/* make_bzimage(pack(content)). */
struct file make_packed_kernel(struct file content);

/*
 * Maps fresh zeroed guest memory (unmapping that of an earlier call) and puts into it what the
 * hypervisor does: a start_info, @kernel as module 0, one boot module. All but @kernel's content
 * may be altered before load_kernel.
 */
struct hvm_start_info *make_guest(struct file kernel);

/* The range of the loader, as make_guest leaves room for it. */
struct range loader_range(void);

/* The module list and the memory map of make_guest. */
struct hvm_modlist_entry *guest_modules(void);
struct hvm_memmap_table_entry *guest_map(void);

#endif
