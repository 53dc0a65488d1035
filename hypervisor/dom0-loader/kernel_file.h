// SPDX-License-Identifier: Apache-2.0
/*
 * What kind of file module 0 is: an ELF file, or a Linux bzImage that carries a packed one.
 */
#ifndef DOM0_LOADER_KERNEL_FILE_H
#define DOM0_LOADER_KERNEL_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "report.h"

struct kernel_file {
    const uint8_t *image;   /* inside the file: the ELF file, or the zstd frame it is packed in */
    uint64_t image_size;    /* bytes at @image */
    bool packed;            /* @image is a zstd frame */
    uint64_t unpacked_size; /* bytes of the ELF file, as the file promises it */
};

/*
 * Finds the kernel in the @size bytes at @data (borrowed: @file points into them). Reads the
 * bzImage fields that Linux's Documentation/arch/x86/boot.rst defines. Fails, with the reason in
 * @error, for a file that is no kernel, is truncated, is older than boot protocol 2.08, or is
 * packed with anything but zstd.
 */
bool kernel_file_identify(const uint8_t *data, uint64_t size, struct kernel_file *file,
                          struct load_error *error);

#endif
