// SPDX-License-Identifier: Apache-2.0
// Power off and reset by the FADT's registers (ACPI 6.5, 4.8.3.2 and 4.8.3.6). Called by the last
// CPU that does anything, with interrupts off; nothing is locked. Both return when the machine is
// still there after a bounded wait, so that the caller tries something else.
#include "acpi_tables.h"

#include <bulkhead/timer.h>
#include <xen/errno.h>
#include <x86/io_port.h>
#include <x86/paging.h>

#define SLEEP_ENABLE (1u << 13)
#define SETTLE_TIME 1000000000 // ns that a platform may take to go down

#define SPACE_MEMORY 0
#define SPACE_PORT 1
#define SPACE_PCI 2

#define PCI_ADDRESS_PORT 0xcf8u
#define PCI_DATA_PORT 0xcfcu

static void wait_for_the_end(void)
{
    ns_t end = now() + SETTLE_TIME;

    while (now() < end) {
        __builtin_ia32_pause();
    }
}

int acpi_enter_sleep(uint32_t pm1a_value, uint32_t pm1b_value)
{
    if (!acpi_info.pm1a_control_port) {
        return -XEN_ENODEV;
    }
    port_write16(acpi_info.pm1a_control_port, (uint16_t)(pm1a_value | SLEEP_ENABLE));
    if (acpi_info.pm1b_control_port) {
        port_write16(acpi_info.pm1b_control_port, (uint16_t)(pm1b_value | SLEEP_ENABLE));
    }
    wait_for_the_end();
    return -XEN_EIO;
}

// The register is in the configuration space of a function on bus 0: device in bits 47 to 32 of the
// address, function in 31 to 16, offset below.
static void write_pci_register(uint64_t address, uint8_t value)
{
    uint32_t device = address >> 32 & 0x1f, function = address >> 16 & 7, offset = address & 0xff;

    port_write32(PCI_ADDRESS_PORT, 1u << 31 | device << 11 | function << 8 | (offset & ~3u));
    port_write8((uint16_t)(PCI_DATA_PORT + (offset & 3)), value);
}

bool acpi_reset(void)
{
    const struct acpi_address *reg = &acpi_info.reset_register;
    volatile uint8_t *mapped;

    if (!acpi_info.has_reset_register) {
        return false;
    }
    switch (reg->space) {
    case SPACE_PORT:
        port_write8((uint16_t)reg->address, acpi_info.reset_value);
        break;
    case SPACE_MEMORY:
        mapped = hv_ioremap(MADDR(reg->address), 1);
        if (!mapped) {
            return false;
        }
        *mapped = acpi_info.reset_value;
        break;
    case SPACE_PCI:
        write_pci_register(reg->address, acpi_info.reset_value);
        break;
    }
    wait_for_the_end();
    return false;
}
