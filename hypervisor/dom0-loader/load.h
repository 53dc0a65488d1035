// SPDX-License-Identifier: Apache-2.0
/*
 * The loader's work, from the start_info it was given to a kernel that is ready to be entered.
 */
#ifndef DOM0_LOADER_LOAD_H
#define DOM0_LOADER_LOAD_H

#include "boot_info.h"
#include "layout.h"
#include "report.h"

/*
 * Loads module 0 of @info. @loader is the memory of the loader itself, its stack included. On
 * success *@entry is the kernel's 32-bit entry point and @info is the kernel's (boot_info.h). On
 * failure @info is unchanged; other memory that was free may have been written.
 */
bool load_kernel(struct hvm_start_info *info, struct range loader, uint32_t *entry,
                 struct load_error *error);

#endif
