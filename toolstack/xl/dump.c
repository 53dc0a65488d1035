// SPDX-License-Identifier: Apache-2.0
//
// xl dump-core: a domain's memory as an ELF core file, a load segment for each run of pages that
// the domain has. Pages are mapped in pieces; a piece that cannot be mapped whole is tried page by
// page, and pages that are not there are left as holes in a sparse file.
#include "xl.h"

#include <toolstack/create.h>
#include <toolstack/guest_image.h>
#include <toolstack/memory.h>

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE_PAGES = 1024, SEGMENTS = 2 };

struct dump {
    struct hypervisor *hypervisor;
    unsigned int domid;
    int file;
};

struct segment {
    uint64_t first; // frames
    uint64_t count;
    uint64_t offset; // in the file
};

static struct error *write_headers(const struct dump *dump, const struct segment *segments,
                                   unsigned int count)
{
    struct {
        Elf64_Ehdr file;
        Elf64_Phdr segments[SEGMENTS];
    } headers = {
        .file = {
            .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
            .e_type = ET_CORE,
            .e_machine = EM_X86_64,
            .e_version = EV_CURRENT,
            .e_phoff = sizeof(Elf64_Ehdr),
            .e_ehsize = sizeof(Elf64_Ehdr),
            .e_phentsize = sizeof(Elf64_Phdr),
            .e_phnum = (Elf64_Half)count,
        }};

    for (unsigned int i = 0; i < count; i++)
        headers.segments[i] = (Elf64_Phdr){
            .p_type = PT_LOAD,
            .p_flags = PF_R | PF_W | PF_X,
            .p_offset = segments[i].offset,
            .p_paddr = segments[i].first << PAGE_SHIFT,
            .p_filesz = segments[i].count << PAGE_SHIFT,
            .p_memsz = segments[i].count << PAGE_SHIFT,
        };
    if (pwrite(dump->file, &headers, sizeof(headers), 0) != sizeof(headers))
        return error_errno(ERROR_SYSTEM, errno, "cannot write the dump");
    return NULL;
}

// Writes pages that can be mapped; false when writing failed.
static bool write_pages(const struct dump *dump, uint64_t frame, size_t count, uint64_t offset)
{
    void *pages = hypervisor_map_range(dump->hypervisor, (uint16_t)dump->domid, frame, count);

    if (!pages) {
        bool written = true;

        // One missing page spoils a piece; alone it is a hole.
        for (size_t i = 0; i < count && count > 1 && written; i++)
            written = write_pages(dump, frame + i, 1, offset + i * PAGE_SIZE);
        return written;
    }
    ssize_t size = (ssize_t)(count * PAGE_SIZE);
    bool written = pwrite(dump->file, pages, (size_t)size, (off_t)offset) == size;

    hypervisor_unmap(dump->hypervisor, pages, count);
    return written;
}

static struct error *write_segment(const struct dump *dump, const struct segment *segment)
{
    for (uint64_t done = 0; done < segment->count; done += PIECE_PAGES) {
        uint64_t count = segment->count - done < PIECE_PAGES ? segment->count - done : PIECE_PAGES;

        if (!write_pages(dump, segment->first + done, count,
                         segment->offset + (done << PAGE_SHIFT)))
            return error_errno(ERROR_SYSTEM, errno, "cannot write the dump");
    }
    return NULL;
}

// How many frames of RAM the domain may have, from 0 on without the hole below 4 GiB. What lies
// beyond is the toolstack's own.
static struct error *ram_frames(struct xl *xl, unsigned int domid, uint64_t *frames)
{
    domain_info info;

    TRY(toolstack_open(&xl->toolstack));
    TRY(domain_get_info(&xl->toolstack, domid, &info));
    long most =
        store_read_number(xl->toolstack.store, 0, "/local/domain/%u/memory/static-max", domid);

    *frames = (uint64_t)most >> (PAGE_SHIFT - 10);
    if (*frames < info.tot_pages)
        *frames = info.tot_pages;
    return NULL;
}

static struct error *dump_to(const struct dump *dump, uint64_t frames)
{
    uint64_t most_low = LOW_RAM_END >> PAGE_SHIFT;
    uint64_t low = frames < most_low ? frames : most_low;
    struct segment segments[SEGMENTS] = {{0, low, PAGE_SIZE}};
    unsigned int count = 1;

    if (frames > low) {
        segments[1] =
            (struct segment){HIGH_RAM >> PAGE_SHIFT, frames - low, PAGE_SIZE + (low << PAGE_SHIFT)};
        count = 2;
    }
    TRY(write_headers(dump, segments, count));
    for (unsigned int i = 0; i < count; i++)
        TRY(write_segment(dump, &segments[i]));
    uint64_t size = segments[count - 1].offset + (segments[count - 1].count << PAGE_SHIFT);

    if (ftruncate(dump->file, (off_t)size) != 0)
        return error_errno(ERROR_SYSTEM, errno, "cannot write the dump");
    return NULL;
}

struct error *dump_core(struct xl *xl, unsigned int domid, const char *path)
{
    uint64_t frames;

    TRY(ram_frames(xl, domid, &frames));
    struct dump dump = {.hypervisor = xl->toolstack.hypervisor, .domid = domid};
    char *slash = strrchr(path, '/');

    if (slash && slash != path) {
        char *folder = memory_copy_text(path);

        folder[slash - path] = '\0';
        mkdir(folder, 0700);
        free(folder);
    }
    dump.file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (dump.file < 0)
        return error_errno(ERROR_SYSTEM, errno, "cannot make %s", path);
    TRY(domain_pause(&xl->toolstack, domid));
    struct error *error = dump_to(&dump, frames);

    error = error_first(error, domain_unpause(&xl->toolstack, domid));
    close(dump.file);
    if (error)
        unlink(path);
    return error_in_domain(error, NULL, (int)domid);
}

COMMAND(dump_core)
{
    unsigned int domid;

    while (xl_option(xl, argc, argv, "h", NULL) >= 0)
        ;
    TRY(xl_expect_arguments(xl, argc, 2, 2));
    TRY(xl_domain(xl, argv[optind], &domid));
    return dump_core(xl, domid, argv[optind + 1]);
}
