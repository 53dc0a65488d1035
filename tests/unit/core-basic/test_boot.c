// SPDX-License-Identifier: Apache-2.0
// The boot memory map, the boot allocator, and the reader of multiboot information, good and bad.

#include "testing.h"

#include <sys/mman.h>

#include <bulkhead/boot_info.h>
#include <bulkhead/console.h>
#include <bulkhead/page.h>
#include <x86/early_memory.h>
#include <x86/paging.h>

#include "memory_map.h"
#include "multiboot.h"

#define MB (1UL << 20)

static uint64_t given_frames;
static uint8_t *low; // memory that 32-bit addresses reach
#define LOW_SIZE 0x40000u

void page_alloc_add(mfn_t start, uint64_t count, bool dirty)
{
    assert_true(dirty);
    assert_true(early_has_ram(start.n << PAGE_SHIFT, count << PAGE_SHIFT));
    given_frames += count;
}

maddr_t hv_translate(const void *p)
{
    return MADDR((uintptr_t)p);
}

void panic(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    abort();
}

static int reset(void **state)
{
    (void)state;
    memset(&boot_info, 0, sizeof(boot_info));
    given_frames = 0;
    memset(low, 0, LOW_SIZE);
    return 0;
}

static uint32_t address_of(const void *p)
{
    return (uint32_t)(uintptr_t)p;
}

static void check_map(unsigned int count, const struct boot_region *expected)
{
    assert_true(memory_map_sort());
    assert_int_equal(boot_info.region_count, count);
    for (unsigned int i = 0; i < count; i++) {
        assert_int_equal(boot_info.regions[i].start, expected[i].start);
        assert_int_equal(boot_info.regions[i].size, expected[i].size);
        assert_int_equal(boot_info.regions[i].type, expected[i].type);
    }
}

static void memory_map_is_sorted_and_merged(void **state)
{
    const struct boot_region expected[] = {
        {0, 2 * MB, BOOT_REGION_RAM},
        {8 * MB, 4 * MB, BOOT_REGION_RESERVED},
    };

    (void)state;
    memory_map_add(8 * MB, 2 * MB, BOOT_REGION_RESERVED);
    memory_map_add(MB, MB, BOOT_REGION_RAM);
    memory_map_add(10 * MB, 2 * MB, 77); // an unknown kind is reserved
    memory_map_add(0, MB, BOOT_REGION_RAM);
    memory_map_add(5 * MB, 0, BOOT_REGION_RAM);
    check_map(2, expected);
}

static void memory_map_overlaps(void **state)
{
    const struct boot_region expected[] = {
        {0, 4 * MB, BOOT_REGION_RAM},
        {4 * MB, 2 * MB, BOOT_REGION_UNUSABLE},
        {6 * MB, 2 * MB, BOOT_REGION_RAM},
        {8 * MB, 4 * MB, BOOT_REGION_NVS},
    };

    (void)state;
    memory_map_add(0, 10 * MB, BOOT_REGION_RAM);
    memory_map_add(4 * MB, 2 * MB, BOOT_REGION_UNUSABLE);
    memory_map_add(8 * MB, 4 * MB, BOOT_REGION_NVS);
    memory_map_add(9 * MB, MB, BOOT_REGION_ACPI);
    check_map(4, expected);
}

static void memory_map_limits(void **state)
{
    (void)state;
    assert_true(memory_map_add(UINT64_MAX - MB, 5 * MB, BOOT_REGION_RAM));
    assert_int_equal(boot_info.regions[0].size, MB);
    for (unsigned int i = 1; i < BOOT_MAX_REGIONS; i++) {
        assert_true(memory_map_add(4 * i * MB, MB, BOOT_REGION_RAM));
    }
    assert_false(memory_map_add(0, MB, BOOT_REGION_RAM));
    assert_true(memory_map_sort());
    assert_int_equal(boot_info.region_count, BOOT_MAX_REGIONS);
}

static void early_memory_takes_and_hands_over(void **state)
{
    uint64_t block, page;

    (void)state;
    memory_map_add(0, MB - 0x60000, BOOT_REGION_RAM);
    memory_map_add(MB, 63 * MB, BOOT_REGION_RAM);
    assert_true(memory_map_sort());
    boot_info.image_start = MADDR(2 * MB);
    boot_info.image_end = MADDR(3 * MB);
    boot_info.modules[0] = (struct boot_module){.start = MADDR(60 * MB + 5), .size = 3};
    boot_info.module_count = 1;
    early_memory_init();

    page = early_take(PAGE_SIZE, PAGE_SIZE, 0xa0000);
    assert_int_equal(page, 0x9f000);
    block = early_take(2 * MB, 2 * MB, EARLY_BELOW_4G);
    assert_int_equal(block, 62 * MB);
    assert_int_equal(early_take(2 * MB, 2 * MB, EARLY_BELOW_4G), 58 * MB);
    assert_int_equal(early_take(2 * MB, 2 * MB, 4 * MB), 0); // the image is in the way
    assert_int_equal(early_take(1UL << 40, PAGE_SIZE, UINT64_MAX), 0);
    early_release(62 * MB);
    assert_int_equal(early_take(2 * MB, 2 * MB, EARLY_BELOW_4G), 62 * MB);
    assert_int_equal(early_max_frame(), 64 * MB >> PAGE_SHIFT);

    early_memory_handover();
    // All but page 0, the low page, the image, the module's page and two blocks.
    assert_int_equal(given_frames, (MB - 0x60000 + 63 * MB - MB - 4 * MB) / PAGE_SIZE - 3);
}

struct tag {
    uint32_t type, size;
};

// Appends a tag with its content to the multiboot 2 structure in low memory.
static void append(uint32_t type, const void *content, uint32_t size)
{
    uint32_t *total = (uint32_t *)low;
    struct tag tag = {type, size + 8};

    memcpy(low + *total, &tag, sizeof(tag));
    memcpy(low + *total + 8, content, size);
    *total += (size + 8 + 7) & ~7u;
}

static void begin_multiboot2(void)
{
    struct {
        uint32_t entry_size, version;
        uint64_t start, length;
        uint32_t type, reserved;
    } map = {24, 0, MB, 512 * MB, 1, 0};

    *(uint32_t *)low = 8;
    append(6, &map, sizeof(map));
}

static void multiboot2_is_read(void **state)
{
    struct {
        uint32_t start, end;
        char text[16];
    } module = {0x1000000, 0x1000100, "root=/dev/x"};
    char rsdp[36] = "RSD PTR ";

    (void)state;
    begin_multiboot2();
    append(1, "a b=c", 6);
    append(2, "GRUB 2.12", 10);
    append(3, &module, 8 + 12);
    append(15, rsdp, sizeof(rsdp));
    append(0, "", 0);
    assert_null(multiboot_read(MULTIBOOT2_LOADED, address_of(low)));
    assert_string_equal(boot_info.command_line, "a b=c");
    assert_string_equal(boot_info.loader_name, "GRUB 2.12");
    assert_int_equal(boot_info.module_count, 1);
    assert_int_equal(boot_info.modules[0].start.a, 0x1000000);
    assert_int_equal(boot_info.modules[0].size, 0x100);
    assert_string_equal(boot_info.modules[0].command_line, "root=/dev/x");
    assert_int_equal(boot_info.region_count, 1);
    multiboot_place_rsdp();
    assert_memory_equal((void *)boot_info.rsdp.a, rsdp, sizeof(rsdp));
}

static void multiboot2_errors(void **state)
{
    uint32_t module[3] = {0x2000, 0x1000, 0};

    (void)state;
    assert_non_null(multiboot_read(0x12345678, address_of(low)));
    begin_multiboot2();
    append(3, module, 9);
    assert_non_null(strstr(multiboot_read(MULTIBOOT2_LOADED, address_of(low)), "before it begins"));

    reset(NULL);
    begin_multiboot2();
    for (module[0] = 0x1000; module[0] < 0x1000 + 33; module[0]++) {
        append(3, module, 9);
        module[1] = 0x3000;
    }
    module[0] = 0x1000;
    assert_non_null(multiboot_read(MULTIBOOT2_LOADED, address_of(low)));

    reset(NULL);
    *(uint32_t *)low = 8;
    append(1, "x", 2);
    assert_non_null(strstr(multiboot_read(MULTIBOOT2_LOADED, address_of(low)), "no memory map"));
}

// Random bytes where tags belong: whatever they say, reading stays inside and ends.
static void multiboot2_garbage(void **state)
{
    unsigned int seed = 99, errors = 0;

    (void)state;
    for (unsigned int round = 0; round < 20000; round++) {
        uint32_t module[5] = {0x1000, 0x2000};

        reset(NULL);
        begin_multiboot2();
        append(3, module, sizeof(module));
        append(1, "x", 2);
        append(15, module, sizeof(module));
        for (unsigned int i = 0; i < 4; i++) {
            seed = seed * 1103515245 + 12345;
            low[8 + (seed >> 16) % 120] = (uint8_t)(seed >> 8);
        }
        errors += multiboot_read(MULTIBOOT2_LOADED, address_of(low)) != NULL;
    }
    assert_in_range(errors, 1, 19999);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(memory_map_is_sorted_and_merged, reset),
        cmocka_unit_test_setup(memory_map_overlaps, reset),
        cmocka_unit_test_setup(memory_map_limits, reset),
        cmocka_unit_test_setup(early_memory_takes_and_hands_over, reset),
        cmocka_unit_test_setup(multiboot2_is_read, reset),
        cmocka_unit_test_setup(multiboot2_errors, reset),
        cmocka_unit_test_setup(multiboot2_garbage, reset),
    };

    low = mmap(NULL, LOW_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1,
               0);
    return low == MAP_FAILED || cmocka_run_group_tests(tests, NULL, NULL);
}
