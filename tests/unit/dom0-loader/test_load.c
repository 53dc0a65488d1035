// SPDX-License-Identifier: Apache-2.0
/*
 * Tests of the whole load: what the hypervisor hands over in, an enterable kernel out, or one
 * sentence. Guest memory is 32 MiB from 1 MiB (images.h).
 */
#include "load.h"

#include <stdlib.h>

#include "check.h"
#include "images.h"
#include "physical.h"

#define MIB 0x100000ul
#define ENTRY 0x800010

/* As Linux lays its file out: constant distances at first, then destinations move down. */
static const struct segment linux_like[] = {
    {.offset = 0x200000, .address = 0x800000, .file_size = 0x180000, .memory_size = 0x180000},
    {.offset = 0x400000, .address = 0xa00000, .file_size = 0x1000, .memory_size = 0x1000},
    {.offset = 0x500000, .address = 0xa01000, .file_size = 0x2000, .memory_size = 0x2000},
    {.offset = 0x600000, .address = 0xa03000, .file_size = 0x20000, .memory_size = 0x120000},
};
/* Destinations move up and into the next one's source: only safe from the last to the first. */
static const struct segment spreading[] = {
    {.offset = 0x1000, .address = 0x800000, .file_size = 0x100000, .memory_size = 0x100000},
    {.offset = 0x101000, .address = 0x980000, .file_size = 0x80000, .memory_size = 0x90000},
    {.offset = 0x181000, .address = 0xa40000, .file_size = 0x80000, .memory_size = 0x80000},
};
/* Two segments change places: no order is safe. */
static const struct segment crossing[] = {
    {.offset = 0x1000, .address = 0x800000, .file_size = 0x100000, .memory_size = 0x100000},
    {.offset = 0x101000, .address = 0x980000, .file_size = 0x80000, .memory_size = 0x80000},
    {.offset = 0x181000, .address = 0x900000, .file_size = 0x80000, .memory_size = 0x80000},
};

static struct load_error error;
static uint32_t entry;

static void check_segments(const struct segment *segments, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        const uint8_t *memory = physical_pointer(segments[i].address);

        for (uint64_t j = 0; j < segments[i].memory_size; j++) {
            if (memory[j] != (j < segments[i].file_size ? content_byte(j) : 0)) {
                fail_msg("segment %u is wrong at 0x%lx", i, (unsigned long)j);
            }
        }
    }
}

/* Makes guest memory dirty where the kernel goes, loads, and checks all that must be there. */
static void expect_loaded(struct hvm_start_info *info, const struct segment *segments,
                          unsigned count)
{
    char *module = physical_pointer(guest_modules()[1].paddr);

    memset(physical_pointer(GUEST_BASE), 0xee, 14 * MIB);
    strcpy(module, BOOT_MODULE);
    if (!load_kernel(info, loader_range(), &entry, &error)) {
        fail_msg("%s", error.message);
    }
    assert_int_equal(entry, ENTRY);
    check_segments(segments, count);
    assert_int_equal(info->cmdline_paddr, COMMAND_LINE_ADDRESS);
    assert_string_equal(physical_pointer(COMMAND_LINE_ADDRESS), COMMAND_LINE);
    assert_string_equal(module, BOOT_MODULE);
}

static void load_packed(const struct segment *segments, unsigned count)
{
    struct file elf = make_elf(segments, count, ENTRY);
    struct file kernel = make_packed_kernel(elf);

    expect_loaded(make_guest(kernel), segments, count);
    free(elf.data);
    free(kernel.data);
}

static void test_loads_in_place(void **state)
{
    (void)state;
    load_packed(linux_like, 4);
    /* The file's own header went where the largest segment's distance puts it. */
    assert_memory_equal(physical_pointer(0x600000), "\177ELF", 4);
}

static void test_loads_in_descending_order(void **state)
{
    (void)state;
    load_packed(spreading, 3);
    assert_memory_equal(physical_pointer(0x7ff000), "\177ELF", 4);
}

static void test_loads_apart(void **state)
{
    (void)state;
    load_packed(crossing, 3);
    /* Not in place: what was there before is still in front of the first segment. */
    assert_int_equal(*(uint8_t *)physical_pointer(0x7ff000), 0xee);
}

static void test_loads_apart_when_the_place_is_taken(void **state)
{
    struct file elf = make_elf(linux_like, 4, ENTRY);
    struct file kernel = make_packed_kernel(elf);
    struct hvm_start_info *info = make_guest(kernel);

    (void)state;
    guest_modules()[1].paddr = 0x700000;
    expect_loaded(info, linux_like, 4);
    assert_int_equal(*(uint8_t *)physical_pointer(0x600000), 0xee);
    free(elf.data);
    free(kernel.data);
}

static void test_loads_unpacked(void **state)
{
    struct file elf = make_elf(linux_like, 4, ENTRY);
    struct file kernel = make_bzimage(elf);

    (void)state;
    expect_loaded(make_guest(elf), linux_like, 4);
    expect_loaded(make_guest(kernel), linux_like, 4);
    free(elf.data);
    free(kernel.data);
}

static void test_hands_over(void **state)
{
    struct file elf = make_elf(linux_like, 4, ENTRY);
    struct hvm_start_info *info = make_guest(elf);
    const struct hvm_modlist_entry *module;

    (void)state;
    expect_loaded(info, linux_like, 4);
    assert_int_equal(info->nr_modules, 1);
    module = physical_pointer(info->modlist_paddr);
    assert_int_equal(module->paddr, BOOT_MODULE_ADDRESS);
    assert_int_equal(module->size, sizeof(BOOT_MODULE));
    assert_int_equal(info->memmap_paddr, MAP_ADDRESS);
    assert_int_equal(info->memmap_entries, 3);
    assert_int_equal(info->rsdp_paddr, GUEST_END);

    info = make_guest(elf);
    info->nr_modules = 1;
    guest_modules()[0].cmdline_paddr = 0;
    assert_true(load_kernel(info, loader_range(), &entry, &error));
    assert_int_equal(info->nr_modules, 0);
    assert_int_equal(info->modlist_paddr, 0);
    assert_int_equal(info->cmdline_paddr, 0);
    free(elf.data);
}

static void refuse(struct hvm_start_info *info, const char *reason)
{
    struct hvm_start_info before = *info;

    assert_false(load_kernel(info, loader_range(), &entry, &error));
    assert_says(&error, reason);
    assert_memory_equal(info, &before, sizeof(before));
}

static void test_refuses_bad_start_info(void **state)
{
    struct file elf = make_elf(linux_like, 4, ENTRY);
    struct hvm_start_info *info = make_guest(elf);

    (void)state;
    info->magic++;
    refuse(info, "no start_info of version 1: magic 0x336ec579");
    info = make_guest(elf);
    info->version = 0;
    refuse(info, "no start_info of version 1");
    info = make_guest(elf);
    info->memmap_entries = 0;
    refuse(info, "no usable memory map");
    info = make_guest(elf);
    info->memmap_entries = UINT32_MAX;
    refuse(info, "no usable memory map");
    info = make_guest(elf);
    info->nr_modules = 0;
    refuse(info, "Domain 0 has no kernel");
    info = make_guest(elf);
    info->nr_modules = 65;
    refuse(info, "65 modules: at most 64");
    info = make_guest(elf);
    info->modlist_paddr = GUEST_END;
    refuse(info, "where the module list belongs");
    info = make_guest(elf);
    guest_modules()[1].paddr = GUEST_END - 8;
    refuse(info, "where a boot module belongs");
    info = make_guest(elf);
    guest_modules()[0].cmdline_paddr = UINT64_MAX;
    refuse(info, "A command line of domain 0 lies at 0xffffffffffffffff");
    info = make_guest(elf);
    memset(physical_pointer(GUEST_BASE), 'x', 0x20000);
    guest_modules()[1].cmdline_paddr = GUEST_BASE;
    refuse(info, "longer than 65536 bytes");
    free(elf.data);
}

static void test_refuses_conflicts(void **state)
{
    static const struct segment outside = {
        .offset = 0x1000, .address = GUEST_END - 16, .file_size = 17, .memory_size = 17};
    static const struct segment overlapping[] = {
        {.offset = 0x1000, .address = 0x800000, .file_size = 17, .memory_size = 17},
        {.offset = 0x1000, .address = 0x800010, .file_size = 17, .memory_size = 17},
    };
    struct file elf = make_elf(linux_like, 4, ENTRY);
    struct file kernel = make_packed_kernel(elf);
    struct hvm_start_info *info = make_guest(kernel);

    (void)state;
    guest_modules()[1].paddr = 0x900000;
    refuse(info, "where the kernel belongs, is taken by a boot module");
    info = make_guest(kernel);
    memcpy(physical_pointer(0x8ffff0), kernel.data, kernel.size);
    guest_modules()[0].paddr = 0x8ffff0;
    refuse(info, "where the kernel belongs, is taken by the kernel file");
    free(elf.data);

    elf = make_elf(&outside, 1, GUEST_END - 16);
    refuse(make_guest(elf), "where the kernel belongs");
    free(elf.data);
    elf = make_elf(overlapping, 2, ENTRY);
    refuse(make_guest(elf), "where the kernel belongs, is taken by the kernel");
    free(elf.data);
    free(kernel.data);
}

static void test_refuses_too_little_memory(void **state)
{
    struct file elf = make_elf(crossing, 3, ENTRY);
    struct file kernel = make_packed_kernel(elf);
    struct hvm_start_info *info = make_guest(kernel);
    uint32_t size = 17 * MIB;

    (void)state;
    memcpy((uint8_t *)physical_pointer(KERNEL_ADDRESS) + kernel.size - 4, &size, sizeof(size));
    refuse(info, "nowhere below 4 GiB are 17408 KiB free to unpack its kernel");
    free(elf.data);
    free(kernel.data);
}

static void test_refuses_wrong_unpacked_size(void **state)
{
    struct file elf = make_elf(linux_like, 4, ENTRY);
    struct file kernel = make_packed_kernel(elf);
    struct hvm_start_info *info = make_guest(kernel);
    uint32_t size = (uint32_t)elf.size + 1;
    uint8_t *trailer = (uint8_t *)physical_pointer(KERNEL_ADDRESS) + kernel.size - 4;

    (void)state;
    memcpy(trailer, &size, sizeof(size));
    refuse(info, "its header promises 6422529");
    size = (uint32_t)elf.size - 1;
    memcpy(trailer, &size, sizeof(size));
    refuse(info, "is truncated");
    size = 0;
    memcpy(trailer, &size, sizeof(size));
    refuse(info, "is truncated");
    free(elf.data);
    free(kernel.data);
}

static void test_refuses_wrong_frame(void **state)
{
    static const struct segment small = {
        .offset = 0x1000, .address = 0x800000, .file_size = 0x300, .memory_size = 0x300};
    struct file elf = make_elf(&small, 1, ENTRY);
    struct file packed = pack(elf);
    struct file kernel;

    (void)state;
    /* The frame lacks its last bytes, but the file's headers agree with that. */
    for (size_t cut = 1; cut < packed.size - 8; cut += 7) {
        struct file part = {.data = malloc(packed.size - cut), .size = packed.size - cut};

        memcpy(part.data, packed.data, part.size - 4);
        memcpy(part.data + part.size - 4, packed.data + packed.size - 4, 4);
        kernel = make_bzimage(part);
        refuse(make_guest(kernel), "is corrupt: its zstd data ends too early");
        free(kernel.data);
        free(part.data);
    }
    free(elf.data);
    free(packed.data);
}

/*
 * Damage of any single bit in the payload is noticed by the frame's structure or its checksum, or
 * does not matter: of the frame's window size, for instance, not every change does.
 */
static void test_notices_every_damage(void **state)
{
    static const struct segment small = {
        .offset = 0x1000, .address = 0x800000, .file_size = 0x300, .memory_size = 0x300};
    struct file elf = make_elf(&small, 1, ENTRY);
    struct file kernel = make_packed_kernel(elf);

    (void)state;
    for (size_t bit = 2560ul * 8; bit < kernel.size * 8; bit++) {
        kernel.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        if (load_kernel(make_guest(kernel), loader_range(), &entry, &error)) {
            assert_int_equal(entry, ENTRY);
            check_segments(&small, 1);
        }
        kernel.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    free(elf.data);
    free(kernel.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loads_in_place),
        cmocka_unit_test(test_loads_in_descending_order),
        cmocka_unit_test(test_loads_apart),
        cmocka_unit_test(test_loads_apart_when_the_place_is_taken),
        cmocka_unit_test(test_loads_unpacked),
        cmocka_unit_test(test_hands_over),
        cmocka_unit_test(test_refuses_bad_start_info),
        cmocka_unit_test(test_refuses_conflicts),
        cmocka_unit_test(test_refuses_too_little_memory),
        cmocka_unit_test(test_refuses_wrong_unpacked_size),
        cmocka_unit_test(test_refuses_wrong_frame),
        cmocka_unit_test(test_notices_every_damage),
    };

    return cmocka_run_group_tests_name("dom0-loader: load", tests, NULL, NULL);
}
