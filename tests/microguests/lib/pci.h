// SPDX-License-Identifier: Apache-2.0
// PCI configuration space by ports 0xcf8 and 0xcfc, and what a driver of one function needs of it.
// All functions are on bus 0, the only one that a domain has.
#ifndef MICROGUEST_PCI_H
#define MICROGUEST_PCI_H

#include "cpu.h"

#define PCI_DEVICES 32u
#define PCI_ID 0x00
#define PCI_COMMAND 0x04
#define PCI_COMMAND_MEMORY 0x2u
#define PCI_COMMAND_MASTER 0x4u
#define PCI_BAR0 0x10
#define PCI_CAPABILITIES 0x34
#define PCI_CAPABILITY_MSI 0x05

// @offset is a multiple of 4.
uint32_t pci_read(unsigned int device, unsigned int offset);
void pci_write(unsigned int device, unsigned int offset, uint32_t value);

// The first device with this vendor and device number (the latter in the upper half); 0: none, for
// device 0 is the host bridge.
unsigned int pci_find(uint32_t id);

// The offset of the first capability of a kind; 0: none.
unsigned int pci_find_capability(unsigned int device, uint8_t wanted);

// Lets messages of the device come to this vcpu as @vector; false when it can send none.
bool pci_enable_msi(unsigned int device, uint8_t vector);

#endif
