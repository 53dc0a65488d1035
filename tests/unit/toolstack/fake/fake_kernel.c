// SPDX-License-Identifier: Apache-2.0
// The smallest kernel: a few bytes of code and the note with its entry. Failures abort.
#include "fake.h"

#include <elf.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

void fake_write_kernel(const char *path)
{
    struct {
        Elf64_Ehdr header;
        Elf64_Phdr segments[2];
        uint32_t note[5];
        char code[16];
    } image = {
        .header = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB},
                   .e_machine = EM_X86_64,
                   .e_phoff = sizeof(Elf64_Ehdr),
                   .e_phentsize = sizeof(Elf64_Phdr),
                   .e_phnum = 2},
        .note = {4, 4, 18, 0x006e6558, FAKE_LOAD_ADDRESS},
        .code = "this is the code",
    };
    FILE *file = fopen(path, "w");

    image.segments[0] = (Elf64_Phdr){.p_type = PT_LOAD,
                                     .p_offset = (size_t)((char *)image.code - (char *)&image),
                                     .p_paddr = FAKE_LOAD_ADDRESS,
                                     .p_filesz = 16,
                                     .p_memsz = 5000};
    image.segments[1] = (Elf64_Phdr){.p_type = PT_NOTE,
                                     .p_offset = (size_t)((char *)image.note - (char *)&image),
                                     .p_filesz = sizeof(image.note)};
    if (!file || fwrite(&image, sizeof(image), 1, file) != 1 || fclose(file) != 0)
        abort();
}
