// SPDX-License-Identifier: Apache-2.0
/*
 * libFuzzer target for the domain 0 loader: a hostile kernel file. The first byte of the input
 * chooses what the rest is: the file itself, or the ELF file (or anything) that a well-formed
 * bzImage packs, since the fuzzer would not find its way through zstd's checksum. Guest memory is
 * a mapping with nothing around it: a write outside of it ends the run, and the boot module and
 * the command line must survive.
 */
#include <stdlib.h>
#include <string.h>

#include "images.h"
#include "load.h"
#include "physical.h"

#define PACKED 1

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct file kernel_of(const uint8_t *data, size_t size, bool packed)
{
    struct file content = {.data = malloc(size > 0 ? size : 1), .size = size};
    struct file kernel;

    memcpy(content.data, data, size);
    if (!packed) {
        return content;
    }
    kernel = make_packed_kernel(content);
    free(content.data);
    return kernel;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hvm_start_info *info;
    struct load_error error = {{0}};
    struct file kernel;
    uint32_t entry;

    if (size == 0 || size > KERNEL_MAX / 2) {
        return 0;
    }
    kernel = kernel_of(data + 1, size - 1, (data[0] & PACKED) != 0);
    info = make_guest(kernel);
    if (!load_kernel(info, loader_range(), &entry, &error) && error.message[0] == '\0') {
        abort();
    }
    if (strcmp(physical_pointer(BOOT_MODULE_ADDRESS), BOOT_MODULE) != 0 ||
        strcmp(physical_pointer(COMMAND_LINE_ADDRESS), COMMAND_LINE) != 0) {
        abort();
    }
    free(kernel.data);
    return 0;
}
