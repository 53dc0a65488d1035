// SPDX-License-Identifier: Apache-2.0
// What the boot loader told us, whatever its protocol: filled by the port's boot code.
#ifndef BULKHEAD_BOOT_INFO_H
#define BULKHEAD_BOOT_INFO_H

#include <bulkhead/types.h>

#define BOOT_MAX_REGIONS 256u
#define BOOT_MAX_MODULES 32u

enum boot_region_type { // the numbers of the E820 map
    BOOT_REGION_RAM = 1,
    BOOT_REGION_RESERVED = 2,
    BOOT_REGION_ACPI = 3,
    BOOT_REGION_NVS = 4,
    BOOT_REGION_UNUSABLE = 5,
};

struct boot_region {
    uint64_t start, size;
    uint32_t type;
};

struct boot_module {
    maddr_t start;
    uint64_t size;
    char command_line[1024];
};

struct boot_info {
    char command_line[1024];
    char loader_name[64];
    unsigned int region_count, module_count;
    struct boot_region regions[BOOT_MAX_REGIONS]; // sorted, disjoint
    struct boot_module modules[BOOT_MAX_MODULES];
    maddr_t rsdp; // 0: not found
    maddr_t image_start, image_end;
    ns_t boot_time_wallclock; // seconds since 1970 at system time 0, in nanoseconds
};

extern struct boot_info boot_info;

#endif
