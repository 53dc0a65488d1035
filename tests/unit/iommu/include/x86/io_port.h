// SPDX-License-Identifier: Apache-2.0
// In place of the hypervisor's: device registers are memory, and whoever plays the device is told
// of every write.
#ifndef BULKHEAD_X86_IO_PORT_H
#define BULKHEAD_X86_IO_PORT_H

#include <bulkhead/types.h>

// Called after a write to a register, if set; old is what was there.
extern void (*fake_written)(volatile void *address, unsigned int size, uint64_t old);

static inline uint32_t mmio_read32(const volatile void *address)
{
    return *(const volatile uint32_t *)address;
}

static inline void mmio_write32(volatile void *address, uint32_t value)
{
    uint32_t old = mmio_read32(address);

    *(volatile uint32_t *)address = value;
    if (fake_written) {
        fake_written(address, sizeof(value), old);
    }
}

static inline uint64_t mmio_read64(const volatile void *address)
{
    return *(const volatile uint64_t *)address;
}

static inline void mmio_write64(volatile void *address, uint64_t value)
{
    uint64_t old = mmio_read64(address);

    *(volatile uint64_t *)address = value;
    if (fake_written) {
        fake_written(address, sizeof(value), old);
    }
}

#endif
