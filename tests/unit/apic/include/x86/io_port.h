// SPDX-License-Identifier: Apache-2.0
// Stands in for the hypervisor's: ports and the local APIC's page are the test's.
#ifndef BULKHEAD_X86_IO_PORT_H
#define BULKHEAD_X86_IO_PORT_H

#include <bulkhead/types.h>

void port_write8(uint16_t port, uint8_t value);
uint32_t mmio_read32(const volatile void *address);
void mmio_write32(volatile void *address, uint32_t value);

#endif
