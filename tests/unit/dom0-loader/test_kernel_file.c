// SPDX-License-Identifier: Apache-2.0
/*
 * Tests of the bzImage parser: good files, each field wrong, and every possible truncation.
 */
#include "kernel_file.h"

#include <stdlib.h>

#include "check.h"
#include "images.h"

static struct kernel_file found;
static struct load_error error;

static struct file text_file(const char *text, size_t size)
{
    struct file file = {.data = malloc(size), .size = size};

    memcpy(file.data, text, size);
    return file;
}

static struct file bzimage_of(const char *payload, size_t size)
{
    return make_bzimage((struct file){.data = (uint8_t *)(uintptr_t)payload, .size = size});
}

static void refuse(struct file file, const char *reason)
{
    assert_false(kernel_file_identify(file.data, file.size, &found, &error));
    assert_says(&error, reason);
    free(file.data);
}

static void test_finds_packed_kernel(void **state)
{
    struct file content = text_file("content", 7);
    struct file kernel = make_packed_kernel(content);

    (void)state;
    assert_true(kernel_file_identify(kernel.data, kernel.size, &found, &error));
    assert_true(found.packed);
    assert_int_equal(found.unpacked_size, 7);
    assert_ptr_equal(found.image, kernel.data + 2560);
    assert_int_equal(found.image_size, kernel.size - 2560 - 4);
    free(content.data);
    free(kernel.data);
}

static void test_finds_elf(void **state)
{
    struct file elf = text_file("\177ELFrest", 8);
    struct file wrapped = make_bzimage(elf);

    (void)state;
    assert_true(kernel_file_identify(elf.data, elf.size, &found, &error));
    assert_false(found.packed);
    assert_ptr_equal(found.image, elf.data);
    assert_int_equal(found.image_size, 8);
    assert_true(kernel_file_identify(wrapped.data, wrapped.size, &found, &error));
    assert_false(found.packed);
    assert_ptr_equal(found.image, wrapped.data + 2560);
    assert_int_equal(found.image_size, 8);
    free(elf.data);
    free(wrapped.data);
}

static void test_zero_setup_sectors_mean_four(void **state)
{
    struct file kernel = bzimage_of("\177ELF", 4);

    (void)state;
    kernel.data[0x1f1] = 0;
    assert_true(kernel_file_identify(kernel.data, kernel.size, &found, &error));
    assert_ptr_equal(found.image, kernel.data + 2560);
    free(kernel.data);
}

static void test_refuses_what_is_no_kernel(void **state)
{
    (void)state;
    refuse(text_file("", 0), "is no kernel: the file of 0 bytes");
    refuse(text_file("\177EL", 3), "is no kernel: the file of 3 bytes");
    refuse(text_file("#!/bin/sh\n", 10), "is no kernel: the file of 10 bytes");
    refuse((struct file){.data = calloc(1, 4096), .size = 4096}, "is no kernel");
}

static void test_names_other_packers(void **state)
{
    (void)state;
    refuse(bzimage_of("\x1f\x8b\x08\x00....", 8), "packed with gzip");
    refuse(bzimage_of("\xfd"
                      "7zXZ\0..",
                      8),
           "packed with xz");
    refuse(bzimage_of("BZh9....", 8), "packed with bzip2");
    refuse(bzimage_of("\x5d\0\0\0....", 8), "packed with lzma");
    refuse(bzimage_of("\x89LZO....", 8), "packed with lzo");
    refuse(bzimage_of("\x02\x21\x4c\x18....", 8), "packed with lz4");
    refuse(bzimage_of("whatever", 8), "no known method");
    refuse(bzimage_of("", 0), "no known method");
    refuse(bzimage_of("\x28\xb5\x2f\xfd...", 7), "no known method");
}

static void test_refuses_old_protocol(void **state)
{
    struct file kernel = bzimage_of("\177ELF", 4);

    (void)state;
    kernel.data[0x206] = 7;
    refuse(kernel, "too old: it speaks boot protocol 2.7");
}

static void test_refuses_every_truncated_bzimage(void **state)
{
    struct file content = text_file("content", 7);
    struct file kernel = make_packed_kernel(content);

    (void)state;
    for (size_t size = 0x206; size < kernel.size; size++) {
        refuse(text_file((char *)kernel.data, size), "is truncated: the file has");
    }
    free(content.data);
    free(kernel.data);
}

static void test_survives_hostile_fields(void **state)
{
    struct file kernel = bzimage_of("\177ELF", 4);

    (void)state;
    memset(kernel.data + 0x248, 0xff, 8);
    assert_false(kernel_file_identify(kernel.data, kernel.size, &found, &error));
    assert_says(&error, "is truncated: the file has 2564 bytes, its header promises 8589937150.");
    memset(kernel.data + 0x24c, 0, 4);
    assert_false(kernel_file_identify(kernel.data, kernel.size, &found, &error));
    memset(kernel.data + 0x248, 0, 8);
    memset(kernel.data + 0x1f1, 0xff, 7);
    refuse(kernel, "is truncated");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finds_packed_kernel),
        cmocka_unit_test(test_finds_elf),
        cmocka_unit_test(test_zero_setup_sectors_mean_four),
        cmocka_unit_test(test_refuses_what_is_no_kernel),
        cmocka_unit_test(test_names_other_packers),
        cmocka_unit_test(test_refuses_old_protocol),
        cmocka_unit_test(test_refuses_every_truncated_bzimage),
        cmocka_unit_test(test_survives_hostile_fields),
    };

    return cmocka_run_group_tests_name("dom0-loader: kernel file", tests, NULL, NULL);
}
