// SPDX-License-Identifier: Apache-2.0
//
// Kernel files: unpacking and reading them, all before a domain exists. Nothing in a file is
// believed: every offset and size is checked against the bytes that are there.
#ifndef TOOLSTACK_KERNEL_H
#define TOOLSTACK_KERNEL_H

#include <stddef.h>
#include <stdint.h>
#include <toolstack/error.h>

// A file in memory.
struct file_bytes {
    uint8_t *bytes;
    size_t size;
};

#define FILE_SIZE_MAX (1ul << 31)

// Maps a whole file for reading. what names its purpose in errors ("kernel").
struct error *file_map(const char *path, const char *what, struct file_bytes *file) MUST_CHECK;
void file_unmap(struct file_bytes *file);

#define KERNEL_SEGMENTS_MAX 16

struct kernel_segment {
    const uint8_t *bytes; // into the image
    uint64_t address;     // guest-physical
    uint64_t file_size;
    uint64_t size; // with the zeroes that follow the bytes; never 0
};

struct kernel {
    struct kernel_segment segments[KERNEL_SEGMENTS_MAX];
    size_t count;
    uint64_t low; // of all segments, page-aligned; high is the first address after them
    uint64_t high;
    uint32_t entry;
    uint8_t *unpacked; // owned, NULL when the segments point into the caller's bytes
};

// Reads a kernel: an ELF file with a PVH entry, or a bzImage that holds one, compressed by gzip,
// bzip2, lzma, xz, lz4 or zstd or not at all. The caller keeps bytes as long as the kernel, and
// ends with kernel_free.
struct error *kernel_read(const uint8_t *bytes, size_t size, struct kernel *kernel) MUST_CHECK;
void kernel_free(struct kernel *kernel);

// The parts of kernel_read. limit bounds what unpacking may yield; *result is the caller's to free.
struct error *kernel_unpack(const uint8_t *bytes, size_t size, size_t limit, uint8_t **result,
                            size_t *result_size) MUST_CHECK;
struct error *kernel_read_elf(const uint8_t *bytes, size_t size, struct kernel *kernel) MUST_CHECK;

#endif
