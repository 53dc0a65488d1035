// SPDX-License-Identifier: Apache-2.0
// Reads what a multiboot 1 or 2 boot loader left (Multiboot Specification 0.6.96, 2.0) into
// boot_info: command lines, modules, the memory map, the ACPI root pointer.
// Runs once on the boot CPU while the first 4 GiB are mapped one to one. The loader is trusted as
// far as addresses go, but every count is bounded and every text cut to its place. Anything that
// we cannot work with comes back as a sentence for the user.

#include <bulkhead/boot_info.h>
#include <bulkhead/string.h>
#include <x86/paging.h>

#include "memory_map.h"
#include "multiboot.h"

struct boot_info boot_info;

// The loader's copy of the ACPI root pointer lies in memory that will be used for something else.
static uint8_t rsdp_copy[36] __attribute__((aligned(64)));
static bool rsdp_copied;

struct multiboot1_info {
    uint32_t flags;
    uint32_t mem_lower, mem_upper;
    uint32_t boot_device;
    uint32_t command_line;
    uint32_t module_count, modules;
    uint32_t symbols[4];
    uint32_t map_length, map;
    uint32_t drives_length, drives;
    uint32_t config_table;
    uint32_t loader_name;
};

#define MULTIBOOT1_HAS_COMMAND_LINE 0x004u
#define MULTIBOOT1_HAS_MODULES 0x008u
#define MULTIBOOT1_HAS_MAP 0x040u
#define MULTIBOOT1_HAS_LOADER_NAME 0x200u

struct multiboot1_module {
    uint32_t start, end, command_line, reserved;
};

struct multiboot1_region {
    uint32_t size; // of what follows
    uint64_t start, length;
    uint32_t type;
} __attribute__((packed));

struct multiboot2_tag {
    uint32_t type, size;
};

enum multiboot2_tag_type {
    TAG_END = 0,
    TAG_COMMAND_LINE = 1,
    TAG_LOADER_NAME = 2,
    TAG_MODULE = 3,
    TAG_MEMORY_MAP = 6,
    TAG_RSDP_OLD = 14,
    TAG_RSDP_NEW = 15,
};

struct multiboot2_module {
    struct multiboot2_tag tag;
    uint32_t start, end;
    char command_line[];
};

struct multiboot2_map {
    struct multiboot2_tag tag;
    uint32_t entry_size, entry_version;
    uint8_t entries[];
};

struct multiboot2_region {
    uint64_t start, length;
    uint32_t type, reserved;
};

#define MULTIBOOT2_MAX_SIZE (1u << 20) // of the whole structure: a sane loader's is far smaller

static const char too_many_modules[] = "The boot loader passed more than 32 modules.";
static const char too_many_regions[] = "The memory map of the firmware has too many entries.";
static const char bad_module[] = "The boot loader passed a module that ends before it begins.";

// Low memory, where nothing that the compiler knows of lies: its object bounds do not apply.
static const void *at(uint32_t address)
{
    const void *p = (const void *)(uintptr_t)address;

    __asm__("" : "+r"(p));
    return p;
}

// Loaders other than GRUB 2 put the file's name first: "FILE OPTIONS".
static const char *skip_file_name(const char *text)
{
    if (!strncmp(boot_info.loader_name, "GRUB 2", 6)) {
        return text;
    }
    while (*text == ' ') {
        text++;
    }
    while (*text && *text != ' ') {
        text++;
    }
    while (*text == ' ') {
        text++;
    }
    return text;
}

// Copies a text that may lack its end within the given limit.
static void take_text(char *to, size_t size, const char *from, size_t limit)
{
    size_t length = strnlen(from, MIN(size - 1, limit));

    memcpy(to, from, length);
    to[length] = 0;
}

static const char *add_module(uint32_t start, uint32_t end, const char *command_line, size_t max)
{
    struct boot_module *module;

    if (boot_info.module_count == BOOT_MAX_MODULES) {
        return too_many_modules;
    }
    if (end < start) {
        return bad_module;
    }
    module = &boot_info.modules[boot_info.module_count++];
    module->start = MADDR(start);
    module->size = end - start;
    take_text(module->command_line, sizeof(module->command_line), command_line, max);
    return NULL;
}

static const char *read_modules1(const struct multiboot1_info *info)
{
    const struct multiboot1_module *modules = at(info->modules);

    if (info->module_count > BOOT_MAX_MODULES) {
        return too_many_modules;
    }
    for (uint32_t i = 0; i < info->module_count; i++) {
        const char *text =
            modules[i].command_line ? skip_file_name(at(modules[i].command_line)) : "";
        const char *error = add_module(modules[i].start, modules[i].end, text, SIZE_MAX);

        if (error) {
            return error;
        }
    }
    return NULL;
}

static const char *read_map1(const struct multiboot1_info *info)
{
    uint32_t offset = 0;

    while (offset + sizeof(struct multiboot1_region) <= info->map_length) {
        const struct multiboot1_region *region = at(info->map + offset);

        if (!memory_map_add(region->start, region->length, region->type)) {
            return too_many_regions;
        }
        if (region->size > info->map_length) {
            break;
        }
        offset += region->size + sizeof(region->size);
    }
    return NULL;
}

static const char *read_multiboot1(const struct multiboot1_info *info)
{
    const char *error = NULL;

    if (info->flags & MULTIBOOT1_HAS_LOADER_NAME) {
        take_text(boot_info.loader_name, sizeof(boot_info.loader_name), at(info->loader_name),
                  SIZE_MAX);
    }
    if (info->flags & MULTIBOOT1_HAS_COMMAND_LINE) {
        take_text(boot_info.command_line, sizeof(boot_info.command_line),
                  skip_file_name(at(info->command_line)), SIZE_MAX);
    }
    if (info->flags & MULTIBOOT1_HAS_MODULES) {
        error = read_modules1(info);
    }
    if (!error && (info->flags & MULTIBOOT1_HAS_MAP)) {
        error = read_map1(info);
    }
    return error;
}

static const char *read_map2(const struct multiboot2_map *map)
{
    uint32_t offset = 0;

    if (map->entry_size < sizeof(struct multiboot2_region) || map->entry_size % 8) {
        return "The boot loader's memory map has entries of an impossible size.";
    }
    while (sizeof(*map) + offset + map->entry_size <= map->tag.size) {
        const struct multiboot2_region *region = (const void *)(map->entries + offset);

        if (!memory_map_add(region->start, region->length, region->type)) {
            return too_many_regions;
        }
        offset += map->entry_size;
    }
    return NULL;
}

static const char *read_tag2(const struct multiboot2_tag *tag)
{
    const struct multiboot2_module *module = (const void *)tag;
    const char *text = (const char *)(tag + 1);
    size_t text_size = tag->size - sizeof(*tag);

    switch (tag->type) {
    case TAG_COMMAND_LINE:
        take_text(boot_info.command_line, sizeof(boot_info.command_line), text, text_size);
        return NULL;
    case TAG_LOADER_NAME:
        take_text(boot_info.loader_name, sizeof(boot_info.loader_name), text, text_size);
        return NULL;
    case TAG_MODULE:
        if (tag->size <= sizeof(*module)) {
            return "The boot loader passed a damaged module description.";
        }
        return add_module(module->start, module->end, module->command_line,
                          tag->size - sizeof(*module));
    case TAG_MEMORY_MAP:
        return read_map2((const void *)tag);
    case TAG_RSDP_OLD:
    case TAG_RSDP_NEW: // of version 2 or later; it comes in either order and is preferred
        if (tag->type == TAG_RSDP_NEW || !rsdp_copied) {
            memcpy(rsdp_copy, text, MIN(text_size, sizeof(rsdp_copy)));
            rsdp_copied = true;
        }
        return NULL;
    default:
        return NULL;
    }
}

static const char *read_multiboot2(const uint8_t *info)
{
    uint32_t total = *(const uint32_t *)info;
    uint32_t offset = 8;

    if (total > MULTIBOOT2_MAX_SIZE) {
        return "The boot loader's information is too large.";
    }
    while (offset + sizeof(struct multiboot2_tag) <= total) {
        const struct multiboot2_tag *tag = (const void *)(info + offset);
        const char *error;

        if (tag->type == TAG_END) {
            break;
        }
        if (tag->size < sizeof(*tag) || tag->size > total - offset) {
            return "The boot loader's information is damaged.";
        }
        error = read_tag2(tag);
        if (error) {
            return error;
        }
        offset += ALIGN_UP(tag->size, 8u);
    }
    return NULL;
}

// Searches the BIOS's places for the ACPI root pointer (ACPI 6.4, 5.2.5.1): the first KiB of the
// extended BIOS data area, and 0xe0000 to 0xfffff. Its first 20 bytes sum up to zero.
static maddr_t find_rsdp(uint32_t start, uint32_t size)
{
    for (uint32_t a = start; a + 20 <= start + size; a += 16) {
        const uint8_t *p = at(a);
        uint8_t sum = 0;

        if (memcmp(p, "RSD PTR ", 8)) {
            continue;
        }
        for (unsigned int i = 0; i < 20; i++) {
            sum = (uint8_t)(sum + p[i]);
        }
        if (sum == 0) {
            return MADDR(a);
        }
    }
    return MADDR(0);
}

void multiboot_search_rsdp(void)
{
    const uint16_t *segment = at(0x40e);
    uint32_t extended_area = (uint32_t)*segment << 4;

    if (rsdp_copied) {
        return;
    }
    if (extended_area >= 0x400 && extended_area < 0xa0000) {
        boot_info.rsdp = find_rsdp(extended_area, 1024);
    }
    if (!boot_info.rsdp.a) {
        boot_info.rsdp = find_rsdp(0xe0000, 0x20000);
    }
}

const char *multiboot_read(uint32_t magic, uint32_t info)
{
    const char *error;

    if (magic == MULTIBOOT1_LOADED) {
        error = read_multiboot1(at(info));
    } else if (magic == MULTIBOOT2_LOADED) {
        error = read_multiboot2(at(info));
    } else {
        error = "Not started by a multiboot boot loader.";
    }
    if (!error && boot_info.region_count == 0) {
        error = "The boot loader passed no memory map.";
    }
    if (!error && !memory_map_sort()) {
        error = too_many_regions;
    }
    return error;
}

void multiboot_place_rsdp(void)
{
    if (rsdp_copied) {
        boot_info.rsdp = hv_translate(rsdp_copy);
    }
}
