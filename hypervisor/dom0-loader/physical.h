// SPDX-License-Identifier: Apache-2.0
/*
 * The loader's memory is mapped at its physical address (entry.S); the host tests map a stand-in
 * for domain 0's memory at the addresses they put into start_info. So an address is a pointer.
 */
#ifndef DOM0_LOADER_PHYSICAL_H
#define DOM0_LOADER_PHYSICAL_H

#include <stdint.h>

static inline void *physical_pointer(uint64_t address)
{
    return (void *)(uintptr_t)address; // NOLINT(performance-no-int-to-ptr)
}

static inline uint64_t physical_address(const void *pointer)
{
    return (uintptr_t)pointer;
}

#endif
