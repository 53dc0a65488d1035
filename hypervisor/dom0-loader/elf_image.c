// SPDX-License-Identifier: Apache-2.0
/*
 * ELF64 program headers and notes of an untrusted kernel file. Headers are copied out (the file
 * need not be aligned) and judged as copies. Counts are bounded by the arrays in struct elf_image;
 * the walk over a note segment ends because each record advances by at least its header.
 * No state, no locking.
 */
#include "elf_image.h"

#include <elf.h>
#include <string.h>
#include <xen/elfnote.h>

static bool is_inside(uint64_t offset, uint64_t size, uint64_t limit)
{
    return offset <= limit && size <= limit - offset;
}

static bool parse_header(const uint8_t *data, uint64_t available, uint64_t file_size,
                         Elf64_Ehdr *header, struct load_error *error)
{
    uint64_t table_size;

    if (available < sizeof(*header)) {
        return load_fail(error,
                         "Domain 0's kernel is truncated: %lu bytes cannot hold an ELF "
                         "header.",
                         available);
    }
    memcpy(header, data, sizeof(*header));
    if (memcmp(header->e_ident, ELFMAG, SELFMAG) != 0) {
        return load_fail(error, "Domain 0's kernel is no kernel: what it unpacks to is no ELF "
                                "file.");
    }
    if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_ident[EI_DATA] != ELFDATA2LSB ||
        header->e_machine != EM_X86_64) {
        return load_fail(error, "Domain 0's kernel is an ELF file, but not for 64-bit x86.");
    }
    if (header->e_phentsize != sizeof(Elf64_Phdr)) {
        return load_fail(error,
                         "Domain 0's kernel is corrupt: its program headers are %lu bytes long, "
                         "not %lu.",
                         (unsigned long)header->e_phentsize, sizeof(Elf64_Phdr));
    }
    table_size = (uint64_t)header->e_phnum * sizeof(Elf64_Phdr);
    if (!is_inside(header->e_phoff, table_size, ELF_HEADERS_MAX)) {
        return load_fail(error,
                         "Domain 0's kernel is corrupt: its %lu program headers do not end "
                         "within its first %lu bytes.",
                         (unsigned long)header->e_phnum, (unsigned long)ELF_HEADERS_MAX);
    }
    if (!is_inside(header->e_phoff, table_size, available)) {
        return load_fail(error,
                         "Domain 0's kernel is truncated: the file has %lu bytes, its "
                         "program headers end at %lu.",
                         file_size, header->e_phoff + table_size);
    }
    return true;
}

static bool add_segment(const Elf64_Phdr *header, uint64_t file_size, struct elf_image *image,
                        struct load_error *error)
{
    if (header->p_memsz == 0) {
        return true;
    }
    if (header->p_filesz > header->p_memsz) {
        return load_fail(error,
                         "Domain 0's kernel is corrupt: a segment has 0x%lx bytes in the file "
                         "but 0x%lx in memory.",
                         header->p_filesz, header->p_memsz);
    }
    if (header->p_memsz > UINT64_MAX - header->p_paddr) {
        return load_fail(error, "Domain 0's kernel is corrupt: a segment at 0x%lx has 0x%lx bytes.",
                         header->p_paddr, header->p_memsz);
    }
    if (!is_inside(header->p_offset, header->p_filesz, file_size)) {
        return load_fail(error,
                         "Domain 0's kernel is truncated: the file has %lu bytes, a segment "
                         "takes %lu from offset %lu.",
                         file_size, header->p_filesz, header->p_offset);
    }
    if (image->segment_count == ELF_SEGMENTS_MAX) {
        return load_fail(error, "Domain 0's kernel has more than %lu segments to load.",
                         (unsigned long)ELF_SEGMENTS_MAX);
    }
    image->segments[image->segment_count++] = (struct elf_segment){
        .offset = header->p_offset,
        .file_size = header->p_filesz,
        .address = header->p_paddr,
        .memory_size = header->p_memsz,
    };
    return true;
}

static bool add_notes(const Elf64_Phdr *header, uint64_t file_size, struct elf_image *image,
                      struct load_error *error)
{
    if (!is_inside(header->p_offset, header->p_filesz, file_size)) {
        return load_fail(error,
                         "Domain 0's kernel is truncated: the file has %lu bytes, its notes take "
                         "%lu from offset %lu.",
                         file_size, header->p_filesz, header->p_offset);
    }
    if (image->notes_count == ELF_NOTES_MAX) {
        return load_fail(error, "Domain 0's kernel has more than %lu note segments.",
                         (unsigned long)ELF_NOTES_MAX);
    }
    image->notes[image->notes_count++] = (struct elf_notes){
        .offset = header->p_offset,
        .size = header->p_filesz,
        .alignment = header->p_align == 8 ? 8 : 4,
    };
    return true;
}

bool elf_image_parse(const uint8_t *data, uint64_t available, uint64_t file_size,
                     struct elf_image *image, struct load_error *error)
{
    Elf64_Ehdr header;

    if (!parse_header(data, available, file_size, &header, error)) {
        return false;
    }
    *image = (struct elf_image){0};
    for (unsigned i = 0; i < header.e_phnum; i++) {
        Elf64_Phdr program_header;
        bool ok = true;

        memcpy(&program_header, data + header.e_phoff + i * sizeof(program_header),
               sizeof(program_header));
        if (program_header.p_type == PT_LOAD) {
            ok = add_segment(&program_header, file_size, image, error);
        } else if (program_header.p_type == PT_NOTE) {
            ok = add_notes(&program_header, file_size, image, error);
        }
        if (!ok) {
            return false;
        }
    }
    if (image->segment_count == 0) {
        return load_fail(error, "Domain 0's kernel is no kernel: its ELF file has nothing to "
                                "load.");
    }
    return true;
}

/* Looks for the entry note among the records in @size bytes at @data. */
static bool find_entry_note(const uint8_t *data, uint64_t size, uint64_t alignment, uint64_t *entry)
{
    uint64_t position = 0;

    while (is_inside(position, sizeof(Elf64_Nhdr), size)) {
        Elf64_Nhdr note;
        uint64_t name, description;
        uint32_t low;

        memcpy(&note, data + position, sizeof(note));
        name = position + sizeof(note);
        description = (name + note.n_namesz + alignment - 1) & -alignment;
        position = (description + note.n_descsz + alignment - 1) & -alignment;
        if (!is_inside(description, note.n_descsz, size)) {
            return false;
        }
        if (note.n_type != XEN_ELFNOTE_PHYS32_ENTRY || note.n_namesz != sizeof("Xen") ||
            memcmp(data + name, "Xen", sizeof("Xen")) != 0) {
            continue;
        }
        if (note.n_descsz == sizeof(*entry)) {
            memcpy(entry, data + description, sizeof(*entry));
            return true;
        }
        if (note.n_descsz == sizeof(low)) {
            memcpy(&low, data + description, sizeof(low));
            *entry = low;
            return true;
        }
    }
    return false;
}

static bool is_loaded(const struct elf_image *image, uint64_t address)
{
    for (unsigned i = 0; i < image->segment_count; i++) {
        const struct elf_segment *segment = &image->segments[i];

        if (address >= segment->address && address - segment->address < segment->memory_size) {
            return true;
        }
    }
    return false;
}

bool elf_image_find_entry(const uint8_t *data, const struct elf_image *image, uint32_t *entry,
                          struct load_error *error)
{
    for (unsigned i = 0; i < image->notes_count; i++) {
        const struct elf_notes *notes = &image->notes[i];
        uint64_t address;

        if (!find_entry_note(data + notes->offset, notes->size, notes->alignment, &address)) {
            continue;
        }
        if (address > UINT32_MAX || !is_loaded(image, address)) {
            return load_fail(error,
                             "Domain 0's kernel is corrupt: its PVH entry point 0x%lx is in none "
                             "of its segments.",
                             address);
        }
        *entry = (uint32_t)address;
        return true;
    }
    return load_fail(error, "Domain 0's kernel has no PVH entry note (is it built with "
                            "CONFIG_PVH?).");
}
