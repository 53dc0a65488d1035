// SPDX-License-Identifier: Apache-2.0
// What the two multiboot protocols hand over; read by multiboot.c alone.
#ifndef BULKHEAD_X86_BOOT_MULTIBOOT_H
#define BULKHEAD_X86_BOOT_MULTIBOOT_H

#include <bulkhead/types.h>

#define MULTIBOOT1_LOADED 0x2badb002u
#define MULTIBOOT2_LOADED 0x36d76289u

// Fills boot_info from the loader's structure, which lies below 4 GiB in memory mapped one to one.
// Returns NULL, or what is wrong, as a sentence for the user.
const char *multiboot_read(uint32_t magic, uint32_t info);
// Looks for the ACPI root pointer where a BIOS has it, unless the loader gave it. While the first
// 4 GiB are mapped one to one.
void multiboot_search_rsdp(void);
// Sets boot_info.rsdp when the loader gave a copy, once the image is at its final place.
void multiboot_place_rsdp(void);

#endif
