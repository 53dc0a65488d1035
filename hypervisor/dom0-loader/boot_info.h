// SPDX-License-Identifier: Apache-2.0
/*
 * The PVH start_info (public header xen/arch-x86/hvm/start_info.h): read as the hypervisor made
 * it, rewritten as the kernel shall see it.
 */
#ifndef DOM0_LOADER_BOOT_INFO_H
#define DOM0_LOADER_BOOT_INFO_H

#include <stdint.h>
#include <xen/arch-x86/hvm/start_info.h>

#include "layout.h"
#include "report.h"

/*
 * Checks @info and its tables, and fills @layout: the memory map, and as taken the loader itself
 * (@loader) and everything @info refers to. @layout borrows the memory map from @info.
 */
bool boot_info_read(const struct hvm_start_info *info, struct range loader, struct layout *layout,
                    struct load_error *error);

/* The kernel file's entry. Only after boot_info_read has succeeded. */
const struct hvm_modlist_entry *boot_info_kernel(const struct hvm_start_info *info);

/*
 * Makes @info the kernel's own: its command line is that of module 0, its first module is the one
 * after. Only after boot_info_read has succeeded.
 */
void boot_info_hand_over(struct hvm_start_info *info);

#endif
