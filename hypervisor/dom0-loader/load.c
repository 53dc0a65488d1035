// SPDX-License-Identifier: Apache-2.0
/*
 * Puts the pieces together. All that can be checked before memory is written is checked first: of
 * a packed kernel the beginning is unpacked into a buffer of our own, which tells where its
 * segments go, and only then the whole to a place chosen by that. The large tables are static, to
 * keep the stack small: one load at a time.
 */
#include "load.h"

#include "elf_image.h"
#include "kernel_file.h"
#include "physical.h"
#include "placement.h"
#include "unpack.h"

static struct layout layout;
static struct elf_image elf;
static uint8_t beginning[ELF_HEADERS_MAX + UNPACK_BLOCK_MAX] __attribute__((section(".bss.unset")));

/* Unpacks @file and leaves its segments described in elf, its address in @placement. */
static bool unpack_kernel(const struct kernel_file *file, struct placement *placement,
                          struct load_error *error)
{
    uint64_t available;
    bool in_place;

    if (!unpack_beginning(file->image, file->image_size, beginning, sizeof(beginning),
                          ELF_HEADERS_MAX, &available, error) ||
        !elf_image_parse(beginning, available, file->unpacked_size, &elf, error)) {
        return false;
    }
    in_place = placement_find_in_place(&layout, &elf, file->unpacked_size, placement);
    if (!placement_take_segments(&layout, &elf, error) ||
        (!in_place && !placement_find_apart(&layout, file->unpacked_size, placement, error))) {
        return false;
    }
    return unpack_all(file->image, file->image_size, physical_pointer(placement->file_address),
                      file->unpacked_size, error);
}

/* Describes the segments of an unpacked @file, which stays where it is. */
static bool use_kernel(const struct kernel_file *file, struct placement *placement,
                       struct load_error *error)
{
    placement->file_address = physical_address(file->image);
    placement->descending = false;
    return elf_image_parse(file->image, file->image_size, file->image_size, &elf, error) &&
           placement_take_segments(&layout, &elf, error);
}

bool load_kernel(struct hvm_start_info *info, struct range loader, uint32_t *entry,
                 struct load_error *error)
{
    const struct hvm_modlist_entry *module;
    struct placement placement;
    struct kernel_file file;

    if (!boot_info_read(info, loader, &layout, error)) {
        return false;
    }
    module = boot_info_kernel(info);
    if (!kernel_file_identify(physical_pointer(module->paddr), module->size, &file, error) ||
        !(file.packed ? unpack_kernel(&file, &placement, error)
                      : use_kernel(&file, &placement, error)) ||
        !elf_image_find_entry(physical_pointer(placement.file_address), &elf, entry, error)) {
        return false;
    }
    placement_move_segments(&elf, &placement);
    boot_info_hand_over(info);
    return true;
}
