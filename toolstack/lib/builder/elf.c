// SPDX-License-Identifier: Apache-2.0
//
// ELF files of 32 and 64 bits as kernels: segments to load by physical address, and the note with
// the PVH entry. Headers are copied out with memcpy after their place was checked, so alignment and
// ends never matter. A file that is damaged anywhere we look is refused as a whole.
#include <toolstack/kernel.h>

#include <elf.h>
#include <stdbool.h>
#include <string.h>
#include <xen/elfnote.h>

#define ADDRESS_MAX (1ul << 32) // PVH is entered in 32-bit mode
#define HEADERS_MAX 128

struct reader {
    const uint8_t *bytes;
    size_t size;
    bool wide; // 64-bit
    uint64_t headers;
    unsigned int header_size;
    unsigned int header_count;
};

static struct error *damaged(const char *what)
{
    return error_advice(error_new(ERROR_KERNEL, "the kernel's ELF %s is damaged", what),
                        "Compare the file with its source; it may have been copied in part.");
}

static bool within(const struct reader *reader, uint64_t offset, uint64_t length)
{
    return offset <= reader->size && length <= reader->size - offset;
}

static struct error *read_header(struct reader *reader)
{
    Elf64_Ehdr wide;
    Elf32_Ehdr narrow;

    if (!within(reader, 0, sizeof(wide)))
        return damaged("header");
    memcpy(&wide, reader->bytes, sizeof(wide));
    memcpy(&narrow, reader->bytes, sizeof(narrow));
    if (wide.e_ident[EI_DATA] != ELFDATA2LSB)
        return error_new(ERROR_KERNEL, "the kernel is for a big-endian machine");
    reader->wide = wide.e_ident[EI_CLASS] == ELFCLASS64;
    unsigned int machine = reader->wide ? wide.e_machine : narrow.e_machine;

    if (machine != EM_X86_64 && machine != EM_386)
        return error_new(ERROR_KERNEL, "the kernel is for another processor (ELF machine %u)",
                         machine);
    reader->headers = reader->wide ? wide.e_phoff : narrow.e_phoff;
    reader->header_size = reader->wide ? wide.e_phentsize : narrow.e_phentsize;
    reader->header_count = reader->wide ? wide.e_phnum : narrow.e_phnum;
    size_t least = reader->wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);

    if (reader->header_size < least || reader->header_count > HEADERS_MAX ||
        !within(reader, reader->headers, (uint64_t)reader->header_size * reader->header_count))
        return damaged("program header table");
    return NULL;
}

// Reads a program header in the shape of 64 bits.
static Elf64_Phdr program_header(const struct reader *reader, unsigned int index)
{
    const uint8_t *at = reader->bytes + reader->headers + (uint64_t)index * reader->header_size;
    Elf64_Phdr wide;
    Elf32_Phdr narrow;

    if (reader->wide) {
        memcpy(&wide, at, sizeof(wide));
        return wide;
    }
    memcpy(&narrow, at, sizeof(narrow));
    return (Elf64_Phdr){
        .p_type = narrow.p_type,
        .p_offset = narrow.p_offset,
        .p_paddr = narrow.p_paddr,
        .p_filesz = narrow.p_filesz,
        .p_memsz = narrow.p_memsz,
        .p_align = narrow.p_align,
    };
}

static struct error *add_segment(const struct reader *reader, const Elf64_Phdr *header,
                                 struct kernel *kernel)
{
    if (!header->p_memsz)
        return NULL;
    if (kernel->count == KERNEL_SEGMENTS_MAX)
        return error_new(ERROR_KERNEL, "the kernel has more than %d segments", KERNEL_SEGMENTS_MAX);
    if (!within(reader, header->p_offset, header->p_filesz) || header->p_filesz > header->p_memsz)
        return damaged("segment");
    if (header->p_paddr >= ADDRESS_MAX || header->p_memsz > ADDRESS_MAX - header->p_paddr)
        return error_new(ERROR_KERNEL, "the kernel wants to be loaded above 4 GiB");
    kernel->segments[kernel->count++] = (struct kernel_segment){
        .bytes = reader->bytes + header->p_offset,
        .address = header->p_paddr,
        .file_size = header->p_filesz,
        .size = header->p_memsz,
    };
    return NULL;
}

// Looks for the entry in a note segment; a note that does not fit ends the search.
static void search_notes(const struct reader *reader, const Elf64_Phdr *header,
                         struct kernel *kernel, bool *found)
{
    uint64_t at = header->p_offset;
    uint64_t end = header->p_offset + header->p_filesz;
    Elf64_Nhdr note;

    if (!within(reader, header->p_offset, header->p_filesz))
        return;
    while (end - at >= sizeof(note)) {
        memcpy(&note, reader->bytes + at, sizeof(note));
        at += sizeof(note);
        uint64_t name = ((uint64_t)note.n_namesz + 3) & ~3ul;
        uint64_t content = ((uint64_t)note.n_descsz + 3) & ~3ul;

        if (name > end - at || content > end - at - name)
            return;
        if (note.n_type == XEN_ELFNOTE_PHYS32_ENTRY && note.n_namesz == 4 &&
            !memcmp(reader->bytes + at, "Xen", 4) && note.n_descsz >= 4) {
            memcpy(&kernel->entry, reader->bytes + at + name, sizeof(kernel->entry));
            *found = true;
        }
        at += name + content;
    }
}

static struct error *check_whole(struct kernel *kernel, bool entry)
{
    if (!kernel->count)
        return error_new(ERROR_KERNEL, "the kernel has nothing to load");
    if (!entry)
        return error_advice(
            error_new(ERROR_KERNEL, "the kernel has no PVH entry (no PHYS32_ENTRY note)"),
            "A Linux kernel needs CONFIG_PVH=y; Debian's kernels have it.");
    kernel->low = ADDRESS_MAX;
    bool inside = false;

    for (size_t i = 0; i < kernel->count; i++) {
        const struct kernel_segment *segment = &kernel->segments[i];
        uint64_t end = segment->address + segment->size;

        if (segment->address < kernel->low)
            kernel->low = segment->address;
        if (end > kernel->high)
            kernel->high = end;
        inside |= kernel->entry >= segment->address && kernel->entry < end;
    }
    if (!inside)
        return damaged("entry point");
    kernel->low &= ~4095ul;
    kernel->high = (kernel->high + 4095) & ~4095ul;
    return NULL;
}

struct error *kernel_read_elf(const uint8_t *bytes, size_t size, struct kernel *kernel)
{
    struct reader reader = {.bytes = bytes, .size = size};
    bool entry = false;

    if (size < 4 || memcmp(bytes, "\177ELF", 4) != 0)
        return error_new(ERROR_KERNEL, "what the kernel file holds is no ELF file");
    TRY(read_header(&reader));
    for (unsigned int i = 0; i < reader.header_count; i++) {
        Elf64_Phdr header = program_header(&reader, i);

        if (header.p_type == PT_LOAD)
            TRY(add_segment(&reader, &header, kernel));
        else if (header.p_type == PT_NOTE)
            search_notes(&reader, &header, kernel, &entry);
    }
    return check_whole(kernel, entry);
}
