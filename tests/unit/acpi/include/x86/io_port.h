// SPDX-License-Identifier: Apache-2.0
// Stands in for the hypervisor's port I/O: memory.c records the accesses.
#ifndef BULKHEAD_X86_IO_PORT_H
#define BULKHEAD_X86_IO_PORT_H

#include <bulkhead/types.h>

void port_write8(uint16_t port, uint8_t value);
void port_write16(uint16_t port, uint16_t value);
void port_write32(uint16_t port, uint32_t value);

#endif
