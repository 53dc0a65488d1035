// SPDX-License-Identifier: Apache-2.0
/*
 * Files are built in memory of exactly their size, so that the address sanitizer sees every read
 * behind their end. Guest memory is mapped at a fixed low address with nothing around it, so that
 * a write outside of RAM ends the test. Any failure to set up aborts.
 */
#include "images.h"

#include <assert.h>
#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <xen/elfnote.h>
#include <zstd.h>

#include "physical.h"

#define SETUP_SECTORS 4

uint8_t content_byte(uint64_t offset)
{
    return (uint8_t)(offset * 7 + (offset >> 8) + 1);
}

static struct file new_file(size_t size)
{
    struct file file = {.data = calloc(1, size > 0 ? size : 1), .size = size};

    assert(file.data != NULL);
    return file;
}

static void write_note(uint8_t *data, uint64_t entry)
{
    Elf64_Nhdr note = {.n_namesz = 4, .n_descsz = 8, .n_type = XEN_ELFNOTE_PHYS32_ENTRY};

    memcpy(data, &note, sizeof(note));
    memcpy(data + sizeof(note), "Xen", 4);
    memcpy(data + sizeof(note) + 4, &entry, sizeof(entry));
}

static size_t file_end(const struct segment *segments, unsigned count)
{
    size_t end = 0x1000;

    for (unsigned i = 0; i < count; i++) {
        if (segments[i].offset + segments[i].file_size > end) {
            end = segments[i].offset + segments[i].file_size;
        }
    }
    return end;
}

struct file make_elf(const struct segment *segments, unsigned count, uint64_t entry)
{
    struct file file = new_file(file_end(segments, count));
    Elf64_Ehdr header = {
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_EXEC,
        .e_machine = EM_X86_64,
        .e_version = EV_CURRENT,
        .e_phoff = sizeof(header),
        .e_ehsize = sizeof(header),
        .e_phentsize = sizeof(Elf64_Phdr),
        .e_phnum = (Elf64_Half)(count + 1),
    };
    Elf64_Phdr notes = {.p_type = PT_NOTE, .p_offset = NOTE_OFFSET, .p_filesz = 24, .p_align = 4};
    uint8_t *position = file.data + sizeof(header);

    memcpy(file.data, &header, sizeof(header));
    for (unsigned i = 0; i < count; i++) {
        Elf64_Phdr load = {
            .p_type = PT_LOAD,
            .p_offset = segments[i].offset,
            .p_paddr = segments[i].address,
            .p_filesz = segments[i].file_size,
            .p_memsz = segments[i].memory_size,
        };

        memcpy(position, &load, sizeof(load));
        position += sizeof(load);
        for (uint64_t j = 0; j < segments[i].file_size; j++) {
            file.data[segments[i].offset + j] = content_byte(j);
        }
    }
    memcpy(position, &notes, sizeof(notes));
    if (entry != 0) {
        write_note(file.data + NOTE_OFFSET, entry);
    }
    return file;
}

struct file pack(struct file content)
{
    size_t bound = ZSTD_compressBound(content.size);
    struct file file = new_file(bound + 4);
    uint32_t size = (uint32_t)content.size;
    ZSTD_CCtx *context = ZSTD_createCCtx();

    ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
    file.size = ZSTD_compress2(context, file.data, bound, content.data, content.size);
    assert(!ZSTD_isError(file.size));
    ZSTD_freeCCtx(context);
    memcpy(file.data + file.size, &size, sizeof(size));
    file.size += sizeof(size);
    file.data = realloc(file.data, file.size);
    return file;
}

struct file make_bzimage(struct file payload)
{
    size_t setup = (SETUP_SECTORS + 1) * 512;
    struct file file = new_file(setup + payload.size);
    uint16_t version = 0x20f;
    uint32_t paragraphs = (uint32_t)((payload.size + 15) / 16);
    uint32_t size = (uint32_t)payload.size;

    file.data[0x1f1] = SETUP_SECTORS;
    memcpy(file.data + 0x1f4, &paragraphs, sizeof(paragraphs));
    memcpy(file.data + 0x202, "HdrS", 4);
    memcpy(file.data + 0x206, &version, sizeof(version));
    memcpy(file.data + 0x24c, &size, sizeof(size));
    memcpy(file.data + setup, payload.data, payload.size);
    return file;
}

struct file make_packed_kernel(struct file content)
{
    struct file packed = pack(content);
    struct file kernel = make_bzimage(packed);

    free(packed.data);
    return kernel;
}

struct range loader_range(void)
{
    return (struct range){LOADER_ADDRESS, GUEST_END};
}

struct hvm_modlist_entry *guest_modules(void)
{
    return physical_pointer(MODLIST_ADDRESS);
}

struct hvm_memmap_table_entry *guest_map(void)
{
    return physical_pointer(MAP_ADDRESS);
}

struct hvm_start_info *make_guest(struct file kernel)
{
    struct hvm_start_info *info = physical_pointer(INFO_ADDRESS);
    void *memory;

    assert(kernel.size <= KERNEL_MAX);
    munmap(physical_pointer(GUEST_BASE), GUEST_SIZE);
    memory = mmap(physical_pointer(GUEST_BASE), GUEST_SIZE, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    assert(memory == physical_pointer(GUEST_BASE));
    memcpy(physical_pointer(KERNEL_ADDRESS), kernel.data, kernel.size);
    strcpy(physical_pointer(COMMAND_LINE_ADDRESS), COMMAND_LINE);
    strcpy(physical_pointer(BOOT_MODULE_ADDRESS), BOOT_MODULE);
    guest_modules()[0] = (struct hvm_modlist_entry){
        .paddr = KERNEL_ADDRESS, .size = kernel.size, .cmdline_paddr = COMMAND_LINE_ADDRESS};
    guest_modules()[1] =
        (struct hvm_modlist_entry){.paddr = BOOT_MODULE_ADDRESS, .size = sizeof(BOOT_MODULE)};
    /* RAM in two adjoining pieces, and something else above it. */
    guest_map()[0] = (struct hvm_memmap_table_entry){
        .addr = GUEST_BASE, .size = 0x80000, .type = XEN_HVM_MEMMAP_TYPE_RAM};
    guest_map()[1] = (struct hvm_memmap_table_entry){.addr = GUEST_BASE + 0x80000,
                                                     .size = GUEST_SIZE - 0x80000,
                                                     .type = XEN_HVM_MEMMAP_TYPE_RAM};
    guest_map()[2] = (struct hvm_memmap_table_entry){
        .addr = GUEST_END, .size = 0x100000, .type = XEN_HVM_MEMMAP_TYPE_ACPI};
    *info = (struct hvm_start_info){
        .magic = XEN_HVM_START_MAGIC_VALUE,
        .version = 1,
        .nr_modules = 2,
        .modlist_paddr = MODLIST_ADDRESS,
        .rsdp_paddr = GUEST_END,
        .memmap_paddr = MAP_ADDRESS,
        .memmap_entries = 3,
    };
    return info;
}
