// SPDX-License-Identifier: Apache-2.0
// See pci.h. There is no lock: one vcpu at a time uses the address port.

#include "pci.h"

#include "apic.h"

#define PORT_ADDRESS 0xcf8
#define PORT_DATA 0xcfc
#define ADDRESS_ENABLE (1u << 31)
#define CAPABILITIES_MAX 48u
#define MSI_ENABLE (1u << 16)
#define MSI_64BIT (1u << 23)

uint32_t pci_read(unsigned int device, unsigned int offset)
{
    uint32_t value;

    outl(PORT_ADDRESS, ADDRESS_ENABLE | device << 11 | offset);
    value = inl(PORT_DATA);
    return value;
}

void pci_write(unsigned int device, unsigned int offset, uint32_t value)
{
    outl(PORT_ADDRESS, ADDRESS_ENABLE | device << 11 | offset);
    outl(PORT_DATA, value);
}

unsigned int pci_find(uint32_t id)
{
    for (unsigned int device = 1; device < PCI_DEVICES; device++) {
        if (pci_read(device, PCI_ID) == id) {
            return device;
        }
    }
    return 0;
}

unsigned int pci_find_capability(unsigned int device, uint8_t wanted)
{
    unsigned int offset = pci_read(device, PCI_CAPABILITIES) & 0xfc;

    for (unsigned int i = 0; offset && i < CAPABILITIES_MAX; i++) {
        uint32_t header = pci_read(device, offset);

        if ((header & 0xff) == wanted) {
            return offset;
        }
        offset = header >> 8 & 0xfc;
    }
    return 0;
}

bool pci_enable_msi(unsigned int device, uint8_t vector)
{
    unsigned int msi = pci_find_capability(device, PCI_CAPABILITY_MSI);
    uint32_t control;

    if (!msi) {
        return false;
    }
    control = pci_read(device, msi);
    pci_write(device, msi + 4, APIC_PAGE | apic_own_id() << 12);
    if (control & MSI_64BIT) {
        pci_write(device, msi + 8, 0);
    }
    pci_write(device, msi + (control & MSI_64BIT ? 12 : 8), vector);
    pci_write(device, msi, control | MSI_ENABLE);
    return true;
}
