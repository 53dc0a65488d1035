// SPDX-License-Identifier: Apache-2.0
/*
 * Writes the first inputs for fuzz_load into the directory that is its argument: good kernel files
 * of each kind. Any failure aborts.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "images.h"

static void write_seed(const char *directory, const char *name, char kind, struct file file)
{
    char path[4096];
    FILE *output;

    assert(snprintf(path, sizeof(path), "%s/%s", directory, name) < (int)sizeof(path));
    output = fopen(path, "wb");
    assert(output != NULL);
    assert(fputc(kind, output) == kind);
    assert(fwrite(file.data, file.size, 1, output) == 1);
    assert(fclose(output) == 0);
}

int main(int argc, char **argv)
{
    static const struct segment segments[] = {
        {.offset = 0x1000, .address = 0x800000, .file_size = 0x80, .memory_size = 0x80},
        {.offset = 0x1080, .address = 0x800090, .file_size = 0x80, .memory_size = 0x800},
    };
    struct file elf = make_elf(segments, 2, 0x800010);
    struct file kernel = make_packed_kernel(elf);

    assert(argc == 2);
    write_seed(argv[1], "elf", 0, elf);
    write_seed(argv[1], "packed-elf", 1, elf);
    write_seed(argv[1], "bzimage", 0, kernel);
    free(elf.data);
    free(kernel.data);
    return 0;
}
