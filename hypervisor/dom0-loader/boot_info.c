// SPDX-License-Identifier: Apache-2.0
/*
 * Checks the start_info that the hypervisor passes. The hypervisor is trusted, but a mistake there
 * should end in a sentence, not in a hang: counts are bounded, and no pointer is followed before
 * the memory it names was found in the memory map. No locking: the loader runs on one vcpu.
 */
#include "boot_info.h"

#include "dom0_loader.h"
#include "physical.h"

static const struct hvm_modlist_entry *modules_of(const struct hvm_start_info *info)
{
    return physical_pointer(info->modlist_paddr);
}

static bool check_header(const struct hvm_start_info *info, struct load_error *error)
{
    if (info->magic != XEN_HVM_START_MAGIC_VALUE || info->version < 1) {
        return load_fail(error,
                         "The domain 0 loader was given no start_info of version 1: magic 0x%lx, "
                         "version %lu.",
                         (unsigned long)info->magic, (unsigned long)info->version);
    }
    if (info->memmap_entries == 0 || info->memmap_entries > DOM0_LOADER_MAX_MAP_ENTRIES ||
        info->memmap_paddr >= DOM0_LOADER_REACH) {
        return load_fail(error,
                         "The domain 0 loader was given no usable memory map: %lu entries at "
                         "0x%lx.",
                         (unsigned long)info->memmap_entries, info->memmap_paddr);
    }
    if (info->nr_modules == 0) {
        return load_fail(error, "Domain 0 has no kernel: no module was loaded.");
    }
    if (info->nr_modules > DOM0_LOADER_MAX_MODULES) {
        return load_fail(error, "Domain 0 has %lu modules: at most %lu are possible.",
                         (unsigned long)info->nr_modules, (unsigned long)DOM0_LOADER_MAX_MODULES);
    }
    return true;
}

/* Takes the zero-terminated string at @address; 0 means that there is none. */
static bool take_command_line(struct layout *layout, uint64_t address, struct load_error *error)
{
    const char *text = physical_pointer(address);
    uint64_t length = 0;

    if (address == 0) {
        return true;
    }
    if (address >= DOM0_LOADER_REACH - DOM0_LOADER_MAX_COMMAND_LINE) {
        return load_fail(error, "A command line of domain 0 lies at 0x%lx, above %lu GiB.", address,
                         (unsigned long)DOM0_LOADER_REACH_GIB);
    }
    while (text[length] != '\0') {
        if (++length == DOM0_LOADER_MAX_COMMAND_LINE) {
            return load_fail(error, "A command line of domain 0 is longer than %lu bytes.",
                             (unsigned long)DOM0_LOADER_MAX_COMMAND_LINE);
        }
    }
    return layout_take(layout, address, length + 1, "a command line", error);
}

static bool take_modules(const struct hvm_start_info *info, struct layout *layout,
                         struct load_error *error)
{
    const struct hvm_modlist_entry *modules = modules_of(info);

    for (uint32_t i = 0; i < info->nr_modules; i++) {
        const char *holder = i == 0 ? "the kernel file" : "a boot module";

        if (!layout_take(layout, modules[i].paddr, modules[i].size, holder, error) ||
            !take_command_line(layout, modules[i].cmdline_paddr, error)) {
            return false;
        }
    }
    return true;
}

bool boot_info_read(const struct hvm_start_info *info, struct range loader, struct layout *layout,
                    struct load_error *error)
{
    if (!check_header(info, error)) {
        return false;
    }
    *layout = (struct layout){
        .map = physical_pointer(info->memmap_paddr),
        .map_entries = info->memmap_entries,
    };
    return layout_take(layout, loader.start, loader.end - loader.start, "the domain 0 loader",
                       error) &&
           layout_take(layout, physical_address(info), sizeof(*info), "start_info", error) &&
           layout_take(layout, info->memmap_paddr,
                       info->memmap_entries * sizeof(struct hvm_memmap_table_entry),
                       "the memory map", error) &&
           layout_take(layout, info->modlist_paddr,
                       info->nr_modules * sizeof(struct hvm_modlist_entry), "the module list",
                       error) &&
           take_modules(info, layout, error);
}

const struct hvm_modlist_entry *boot_info_kernel(const struct hvm_start_info *info)
{
    return modules_of(info);
}

void boot_info_hand_over(struct hvm_start_info *info)
{
    info->cmdline_paddr = modules_of(info)->cmdline_paddr;
    info->nr_modules--;
    info->modlist_paddr =
        info->nr_modules == 0 ? 0 : info->modlist_paddr + sizeof(struct hvm_modlist_entry);
}
