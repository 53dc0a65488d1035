// SPDX-License-Identifier: Apache-2.0
// Random accesses of every size to the domain's PCI configuration space, by ports and by memory:
// mostly to the functions that it owns, with values that move BARs anywhere and switch everything
// on and off, and to the page of a function's MSI-X table. Nothing is put back. Other registers of
// a device are left alone: what an emulated one makes of nonsense says nothing about the
// hypervisor.

#include "hostile.h"
#include "pci.h"

#define PORT_ADDRESS 0xcf8
#define PORT_DATA 0xcfc
#define ADDRESS_ENABLE (1u << 31)
#define ECAM 0xf0000000ul
#define ECAM_SIZE 0x100000ul
#define FUNCTION_SIZE 0x1000u
#define OWNED 4u // devices from 0 on that are likely to be there
#define PCI_CAPABILITY_MSIX 0x11
#define REGISTERS 0xe0000000ul
#define TABLE_REGISTER 4

static uint64_t answers;

static uint32_t random_function(void)
{
    return (uint32_t)(random_once_in(4) ? random_below(256) : random_below(OWNED) << 3);
}

// A register of the header or of a capability mostly, with values that mean something mostly.
static uint32_t random_offset(uint32_t limit)
{
    return (uint32_t)(random_once_in(4) ? random_below(limit) : random_below(0x100));
}

static uint32_t random_value(void)
{
    switch (random_below(4)) {
    case 0:
        return 0xffffffff;
    case 1:
        return (uint32_t)random_below(8);
    default:
        return (uint32_t)random_number();
    }
}

static void access_by_ports(void)
{
    uint32_t address = ADDRESS_ENABLE | random_function() << 8 | (random_offset(0x100) & ~3u);
    uint16_t port = (uint16_t)(PORT_DATA + random_below(4));
    uint32_t value = random_value();

    outl(PORT_ADDRESS, random_once_in(8) ? (uint32_t)random64() : address);
    switch (random_below(5)) {
    case 0:
        outb(port, (uint8_t)value);
        break;
    case 1:
        __asm__ volatile("outw %w0, %w1" : : "a"(value), "d"(port));
        break;
    case 2:
        outl(port, value);
        break;
    case 3:
        answers += inb(port) != 0xff;
        break;
    default:
        answers += inl(port) != 0xffffffff;
    }
}

static void access_memory(uint64_t address)
{
    uint64_t value = random_once_in(2) ? random_value() : random64();

    switch (random_below(6)) {
    case 0:
        *(volatile uint8_t *)address = (uint8_t)value;
        break;
    case 1:
        *(volatile uint16_t *)address = (uint16_t)value;
        break;
    case 2:
        *(volatile uint32_t *)address = (uint32_t)value;
        break;
    case 3:
        *(volatile uint64_t *)address = value;
        break;
    case 4:
        answers += *(volatile uint32_t *)address != 0xffffffff;
        break;
    default:
        answers += *(volatile uint64_t *)address != ~0ul;
    }
}

static void access_by_memory(void)
{
    uint64_t offset = random_function() * FUNCTION_SIZE + random_offset(FUNCTION_SIZE);

    if (offset < ECAM_SIZE - sizeof(uint64_t)) {
        access_memory(ECAM + offset);
    }
}

// The table's page, wherever the BAR was; it is switched on for that.
static void access_table(void)
{
    unsigned int device = 1 + (unsigned int)random_below(OWNED - 1);
    unsigned int msix = pci_find_capability(device, PCI_CAPABILITY_MSIX);
    uint32_t table = msix ? pci_read(device, msix + TABLE_REGISTER) : 0;

    if (!msix || table & 7) {
        return; // none, or in another BAR than the first
    }
    pci_write(device, PCI_BAR0, REGISTERS);
    pci_write(device, PCI_BAR0 + 4, 0);
    pci_write(device, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    for (unsigned int i = 0; i < 16; i++) {
        access_memory(REGISTERS + table + random_below(PAGE_SIZE - sizeof(uint64_t)));
    }
}

void touch_configuration(void)
{
    for (uint64_t step = 0; !finished(step); step++) {
        switch (random_below(8)) {
        case 0:
            access_table();
            break;
        case 1:
        case 2:
        case 3:
            access_by_memory();
            break;
        default:
            access_by_ports();
        }
    }
    say("hostile: %lu accesses were answered", answers);
}
