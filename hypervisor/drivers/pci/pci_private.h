// SPDX-License-Identifier: Apache-2.0
// Between the files of drivers/pci: register numbers of configuration space (PCI Local Bus
// Specification 3.0, chapter 6; PCI Express Base Specification, chapter 7) and boot steps.
#ifndef BULKHEAD_PCI_PRIVATE_H
#define BULKHEAD_PCI_PRIVATE_H

#include <bulkhead/pci.h>

#define PCI_VENDOR_ID 0x00
#define PCI_COMMAND 0x04
#define PCI_STATUS 0x06
#define PCI_CLASS_REVISION 0x08
#define PCI_HEADER_TYPE 0x0e
#define PCI_BAR0 0x10
#define PCI_BRIDGE_BUSES 0x18
#define PCI_ROM_DEVICE 0x30
#define PCI_ROM_BRIDGE 0x38
#define PCI_CAPABILITY_LIST 0x34
#define PCI_SUBSYSTEM 0x2c
#define PCI_INTERRUPT_LINE 0x3c
#define PCI_INTERRUPT_PIN 0x3d
#define PCI_EXTENDED_START 0x100

#define PCI_COMMAND_IO 0x0001u
#define PCI_COMMAND_MEMORY 0x0002u
#define PCI_COMMAND_MASTER 0x0004u
#define PCI_COMMAND_PARITY 0x0040u
#define PCI_COMMAND_SERR 0x0100u
#define PCI_COMMAND_INTX_OFF 0x0400u
#define PCI_STATUS_CAP_LIST 0x0010u
#define PCI_HEADER_MULTI 0x80u
#define PCI_HEADER_FUNCTION 0
#define PCI_HEADER_BRIDGE 1
#define PCI_BASE_CLASS_BRIDGE 0x06u
#define PCI_CLASS_BRIDGE_PCI 0x0604u
#define PCI_CLASS_BRIDGE_HOST 0x0600u
#define PCI_CLASS_IOMMU 0x0806u

#define PCI_BAR_IO_SPACE 0x1u
#define PCI_BAR_TYPE_MASK 0x6u
#define PCI_BAR_TYPE_64 0x4u
#define PCI_BAR_PREFETCH 0x8u
#define PCI_BAR_MEMORY_MASK 0xfffffff0u
#define PCI_BAR_IO_MASK 0xfffffffcu
#define PCI_ROM_MASK 0xfffff800u
#define PCI_ROM_ENABLE 0x1u

#define PCI_CAP_PM 0x01
#define PCI_CAP_MSI 0x05
#define PCI_CAP_VENDOR 0x09 // the vendor's own; its length is in byte 2
#define PCI_CAP_SECURE 0x0f // of an AMD IOMMU's function
#define PCI_CAP_PCIE 0x10
#define PCI_CAP_MSIX 0x11
#define PCI_CAP_AF 0x13
#define PCI_CAP_EA 0x14

#define PCI_EXT_SERIAL 0x03
#define PCI_EXT_ACS 0x0d
#define PCI_EXT_ATS 0x0f
#define PCI_EXT_SRIOV 0x10
#define PCI_EXT_PRI 0x13
#define PCI_EXT_REBAR 0x15
#define PCI_EXT_PASID 0x1b
#define PCI_EXT_VF_REBAR 0x24

#define PCI_ACS_CAPABILITIES 4
#define PCI_ACS_CONTROL 6
// Source validation, request and completion redirect, upstream forwarding.
#define PCI_ACS_WANTED 0x001du

#define PCI_MSI_CONTROL 2
#define PCI_MSI_ENABLE 0x0001u
#define PCI_MSI_CAPABLE_SHIFT 1
#define PCI_MSI_CAPABLE_MASK 0x000eu
#define PCI_MSI_MULTIPLE_SHIFT 4
#define PCI_MSI_MULTIPLE_MASK 0x0070u
#define PCI_MSI_64BIT 0x0080u
#define PCI_MSI_PER_VECTOR_MASK 0x0100u

#define PCI_MSIX_CONTROL 2
#define PCI_MSIX_TABLE 4
#define PCI_MSIX_PBA 8
#define PCI_MSIX_ENABLE 0x8000u
#define PCI_MSIX_MASK_ALL 0x4000u
#define PCI_MSIX_SIZE_MASK 0x07ffu
#define PCI_MSIX_BAR_MASK 0x7u
#define PCI_MSIX_ENTRY_SIZE 16u
#define PCI_MSIX_ENTRY_CONTROL 12u
#define PCI_MSIX_ENTRY_MASKED 1u

#define PCI_PCIE_FLAGS 2
#define PCI_PCIE_DEVICE_CAPABILITIES 4
#define PCI_PCIE_FLR_CAPABLE 0x10000000u
// Kinds of PCIe functions (pci_device.pcie_type).
#define PCI_PCIE_ROOT_PORT 4
#define PCI_PCIE_UPSTREAM 5
#define PCI_PCIE_DOWNSTREAM 6
#define PCI_PCIE_TO_PCI 7
#define PCI_PCIE_FROM_PCI 8
#define PCI_PCIE_INTEGRATED 9

// Capabilities that a lying list can hold at most: 48 fit between 0x40 and 0xff, and 960 extended
// ones would need 4 bytes each; a chain that is longer is a loop.
#define PCI_MAX_CAPABILITIES 48u
#define PCI_MAX_EXTENDED_CAPABILITIES 480u

// Reads MCFG. 0 or -XEN_ENOMEM.
int pci_config_init(void);

// Fills in what configuration space says of the function at pdev->sbdf (all fields before hidden);
// false when nothing is there. Sizes BARs: decode is off meanwhile.
bool pci_probe(struct pci_device *pdev);

// The capability after the one at offset (0: the first); 0 at the end of the list. Lists may loop:
// callers bound their walk.
unsigned int pci_next_capability(pci_sbdf_t sbdf, unsigned int offset);
unsigned int pci_next_extended_capability(pci_sbdf_t sbdf, unsigned int offset);

// Whether a function was named by hide=.
bool pci_hide_option_has(pci_sbdf_t sbdf);
void pci_hide_option_check(void); // warns of names without a function

// Reads [SEGMENT:]BUS:DEVICE.FUNCTION (hexadecimal); *end is the first unused character.
bool pci_parse_sbdf(const char *text, const char **end, pci_sbdf_t *out);

// The function at sbdf, looked for in configuration space if it is not known yet; NULL: none.
struct pci_device *pci_device_discover(pci_sbdf_t sbdf);

// The method of pci_reset that goes by registers of the function's own (struct method in reset.c
// has the contracts). finish ends a try, and does nothing if there was none. The device's lock is
// held.
const char *pci_own_reset_obstacle(const struct pci_device *pdev);
const char *pci_own_reset_begin(struct pci_device *pdev);
const char *pci_own_reset_end(struct pci_device *pdev);
bool pci_own_reset_is_busy(const struct pci_device *pdev);
bool pci_own_reset_is_marked(const struct pci_device *pdev);
void pci_own_reset_finish(struct pci_device *pdev);

// Offset of the first capability with this id, or 0.
unsigned int pci_find_capability(pci_sbdf_t sbdf, uint8_t id);
unsigned int pci_find_extended_capability(pci_sbdf_t sbdf, uint16_t id);

#endif
