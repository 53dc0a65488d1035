// SPDX-License-Identifier: Apache-2.0
// Stands in for the hypervisor's register accesses: machine.c simulates the I/O APICs behind them.
#ifndef BULKHEAD_X86_IO_PORT_H
#define BULKHEAD_X86_IO_PORT_H

#include <bulkhead/types.h>

uint32_t mmio_read32(const volatile void *address);
void mmio_write32(volatile void *address, uint32_t value);

#endif
