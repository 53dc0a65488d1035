// SPDX-License-Identifier: Apache-2.0
/*
 * Tests of the ELF and note parser, mostly by altering one field of a good file.
 */
#include "elf_image.h"

#include <elf.h>
#include <stdlib.h>

#include "check.h"
#include "images.h"

#define ENTRY 0x1000100

static const struct segment good[] = {
    {.offset = 0x1000, .address = 0x1000000, .file_size = 0x1000, .memory_size = 0x1000},
    {.offset = 0x3000, .address = 0x2000000, .file_size = 0x10, .memory_size = 0x5000},
};

static struct elf_image image;
static struct load_error error;
static uint32_t entry;

static Elf64_Ehdr *header_of(struct file file)
{
    return (Elf64_Ehdr *)(void *)file.data;
}

static Elf64_Phdr *program_header(struct file file, unsigned index)
{
    return (Elf64_Phdr *)(void *)(file.data + sizeof(Elf64_Ehdr)) + index;
}

static bool parse(struct file file)
{
    return elf_image_parse(file.data, file.size, file.size, &image, &error);
}

static void refuse(struct file file, const char *reason)
{
    assert_false(parse(file));
    assert_says(&error, reason);
    free(file.data);
}

static void test_reads_segments_and_entry(void **state)
{
    struct file file = make_elf(good, 2, ENTRY);

    (void)state;
    assert_true(parse(file));
    assert_int_equal(image.segment_count, 2);
    assert_int_equal(image.segments[1].offset, 0x3000);
    assert_int_equal(image.segments[1].address, 0x2000000);
    assert_int_equal(image.segments[1].file_size, 0x10);
    assert_int_equal(image.segments[1].memory_size, 0x5000);
    assert_true(elf_image_find_entry(file.data, &image, &entry, &error));
    assert_int_equal(entry, ENTRY);
    free(file.data);
}

static void test_refuses_other_files(void **state)
{
    struct file file = make_elf(good, 2, ENTRY);

    (void)state;
    header_of(file)->e_ident[EI_CLASS] = ELFCLASS32;
    refuse(file, "not for 64-bit x86");
    file = make_elf(good, 2, ENTRY);
    header_of(file)->e_machine = EM_AARCH64;
    refuse(file, "not for 64-bit x86");
    file = make_elf(good, 2, ENTRY);
    file.data[0] = 0;
    refuse(file, "is no kernel");
    file = make_elf(good, 2, ENTRY);
    header_of(file)->e_phentsize = 8;
    refuse(file, "program headers are 8 bytes long");
    file = make_elf(good, 2, ENTRY);
    header_of(file)->e_phnum = 0;
    refuse(file, "nothing to load");
    file = make_elf(good, 2, ENTRY);
    header_of(file)->e_phnum = 0xffff;
    refuse(file, "its 65535 program headers do not end within");
    file = make_elf(good, 2, ENTRY);
    header_of(file)->e_phoff = UINT64_MAX - 8;
    refuse(file, "do not end within");
}

static void test_refuses_bad_segments(void **state)
{
    struct file file = make_elf(good, 2, ENTRY);

    (void)state;
    program_header(file, 0)->p_memsz = 0xfff;
    refuse(file, "has 0x1000 bytes in the file but 0xfff in memory");
    file = make_elf(good, 2, ENTRY);
    program_header(file, 0)->p_paddr = UINT64_MAX - 0xffe;
    refuse(file, "is corrupt: a segment at");
    file = make_elf(good, 2, ENTRY);
    program_header(file, 0)->p_offset = UINT64_MAX - 0x10;
    refuse(file, "is truncated");
    file = make_elf(good, 2, ENTRY);
    program_header(file, 1)->p_offset = file.size - 0xf;
    refuse(file, "is truncated");
    file = make_elf(good, 2, ENTRY);
    program_header(file, 2)->p_offset = file.size;
    refuse(file, "is truncated");
}

static void test_bounds_counts(void **state)
{
    struct segment many[ELF_SEGMENTS_MAX + 1];
    struct file file;

    (void)state;
    for (unsigned i = 0; i < ELF_SEGMENTS_MAX + 1; i++) {
        many[i] = (struct segment){
            .offset = 0x1000, .address = 0x1000ul * i, .file_size = 1, .memory_size = 1};
    }
    file = make_elf(many, ELF_SEGMENTS_MAX, 1);
    assert_true(parse(file));
    free(file.data);
    /* The headers of one more reach into the note, which does not matter here. */
    refuse(make_elf(many, ELF_SEGMENTS_MAX + 1, 0), "more than 32 segments");
    for (unsigned i = 0; i < ELF_NOTES_MAX + 1; i++) {
        many[i].memory_size = 1;
    }
    file = make_elf(many, ELF_NOTES_MAX + 1, 0);
    for (unsigned i = 0; i < ELF_NOTES_MAX + 1; i++) {
        program_header(file, i)->p_type = PT_NOTE;
    }
    refuse(file, "more than 8 note segments");
}

static void test_refuses_every_truncated_elf(void **state)
{
    struct file whole = make_elf(good, 2, ENTRY);

    (void)state;
    for (size_t size = 0; size < whole.size; size += size < 0x200 ? 1 : 0x100) {
        struct file part = {.data = malloc(size), .size = size};

        memcpy(part.data, whole.data, size);
        refuse(part, "is truncated");
    }
    free(whole.data);
}

static void refuse_entry(struct file file, const char *reason)
{
    assert_true(parse(file));
    assert_false(elf_image_find_entry(file.data, &image, &entry, &error));
    assert_says(&error, reason);
    free(file.data);
}

static void test_refuses_bad_notes(void **state)
{
    struct file file;
    Elf64_Nhdr *note;

    (void)state;
    refuse_entry(make_elf(good, 2, 0), "no PVH entry note");
    refuse_entry(make_elf(good, 2, 0x1001000), "entry point 0x1001000 is in none");
    refuse_entry(make_elf(good, 2, 0x101000100), "entry point 0x101000100 is in none");

    file = make_elf(good, 2, ENTRY);
    note = (Elf64_Nhdr *)(void *)(file.data + NOTE_OFFSET);
    note->n_namesz = UINT32_MAX;
    refuse_entry(file, "no PVH entry note");
    file = make_elf(good, 2, ENTRY);
    note = (Elf64_Nhdr *)(void *)(file.data + NOTE_OFFSET);
    note->n_descsz = UINT32_MAX;
    refuse_entry(file, "no PVH entry note");
    file = make_elf(good, 2, ENTRY);
    note = (Elf64_Nhdr *)(void *)(file.data + NOTE_OFFSET);
    note->n_descsz = 7;
    refuse_entry(file, "no PVH entry note");
    file = make_elf(good, 2, ENTRY);
    program_header(file, 2)->p_filesz = 23;
    refuse_entry(file, "no PVH entry note");
    file = make_elf(good, 2, ENTRY);
    program_header(file, 2)->p_filesz = 0;
    refuse_entry(file, "no PVH entry note");
}

/* Another note before it, and a description of 4 bytes. */
static void test_finds_later_short_note(void **state)
{
    struct file file = make_elf(good, 2, ENTRY);
    uint8_t *data = file.data + NOTE_OFFSET;
    Elf64_Nhdr other = {.n_namesz = 6, .n_descsz = 1, .n_type = 18};
    Elf64_Nhdr note = {.n_namesz = 4, .n_descsz = 4, .n_type = 18};
    uint32_t value = ENTRY + 4;

    (void)state;
    memset(data, 0, 64);
    memcpy(data, &other, sizeof(other));
    memcpy(data + 12, "Other", 6);
    memcpy(data + 24, &note, sizeof(note));
    memcpy(data + 36, "Xen", 4);
    memcpy(data + 40, &value, sizeof(value));
    program_header(file, 2)->p_filesz = 44;
    assert_true(parse(file));
    assert_true(elf_image_find_entry(file.data, &image, &entry, &error));
    assert_int_equal(entry, ENTRY + 4);
    free(file.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_segments_and_entry),
        cmocka_unit_test(test_refuses_other_files),
        cmocka_unit_test(test_refuses_bad_segments),
        cmocka_unit_test(test_bounds_counts),
        cmocka_unit_test(test_refuses_every_truncated_elf),
        cmocka_unit_test(test_refuses_bad_notes),
        cmocka_unit_test(test_finds_later_short_note),
    };

    return cmocka_run_group_tests_name("dom0-loader: ELF image", tests, NULL, NULL);
}
