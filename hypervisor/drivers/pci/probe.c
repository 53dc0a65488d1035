// SPDX-License-Identifier: Apache-2.0
// Reads what one PCI function is from its configuration space: identity, BARs with sizes,
// capabilities. Hardware is believed in nothing: every walk is bounded, offsets are checked.
// No locks: called at boot, or with the device not yet (or no longer) known to anyone.
#include <bulkhead/console.h>
#include <bulkhead/errno.h>
#include <bulkhead/heap.h>
#include <bulkhead/pci.h>

#include "pci_private.h"

unsigned int pci_next_capability(pci_sbdf_t sbdf, unsigned int offset)
{
    unsigned int next;

    if (offset == 0) {
        if (!(pci_read16(sbdf, PCI_STATUS) & PCI_STATUS_CAP_LIST)) {
            return 0;
        }
        next = pci_read8(sbdf, PCI_CAPABILITY_LIST);
    } else {
        next = pci_read8(sbdf, offset + 1);
    }
    next &= 0xfc; // the low bits are reserved
    return next >= 0x40 ? next : 0;
}

unsigned int pci_next_extended_capability(pci_sbdf_t sbdf, unsigned int offset)
{
    uint32_t header;
    unsigned int next;

    if (offset == 0) {
        header = pci_read32(sbdf, PCI_EXTENDED_START);
        return header == 0 || header == ~0u ? 0 : PCI_EXTENDED_START;
    }
    next = pci_read32(sbdf, offset) >> 20 & 0xffc;
    return next >= PCI_EXTENDED_START ? next : 0;
}

unsigned int pci_find_capability(pci_sbdf_t sbdf, uint8_t id)
{
    unsigned int offset = pci_next_capability(sbdf, 0);

    for (unsigned int i = 0; offset != 0 && i < PCI_MAX_CAPABILITIES; i++) {
        if (pci_read8(sbdf, offset) == id) {
            return offset;
        }
        offset = pci_next_capability(sbdf, offset);
    }
    return 0;
}

unsigned int pci_find_extended_capability(pci_sbdf_t sbdf, uint16_t id)
{
    unsigned int offset = pci_next_extended_capability(sbdf, 0);

    for (unsigned int i = 0; offset != 0 && i < PCI_MAX_EXTENDED_CAPABILITIES; i++) {
        if (pci_read16(sbdf, offset) == id) {
            return offset;
        }
        offset = pci_next_extended_capability(sbdf, offset);
    }
    return 0;
}

// Writes all ones to a register, reads what sticks, and puts the old value back.
static uint32_t writable_bits(pci_sbdf_t sbdf, unsigned int offset, uint32_t probe)
{
    uint32_t old = pci_read32(sbdf, offset);
    uint32_t bits;

    pci_config_write(sbdf, offset, 4, probe);
    bits = pci_read32(sbdf, offset);
    pci_config_write(sbdf, offset, 4, old);
    return bits;
}

// A size is the lowest writable address bit; what is no power of two has odd bits in between and
// is taken at its lowest bit, as software must.
static uint64_t size_of_mask(uint64_t mask)
{
    return mask & -mask;
}

static void read_memory_bar(pci_sbdf_t sbdf, unsigned int offset, uint32_t value, bool has_next,
                            struct pci_bar *bar)
{
    uint64_t mask = writable_bits(sbdf, offset, ~0u) & PCI_BAR_MEMORY_MASK;

    bar->type = PCI_BAR_MEMORY32;
    bar->prefetchable = value & PCI_BAR_PREFETCH;
    bar->address = value & PCI_BAR_MEMORY_MASK;
    if ((value & PCI_BAR_TYPE_MASK) == PCI_BAR_TYPE_64 && has_next) {
        bar->type = PCI_BAR_MEMORY64;
        bar->address |= (uint64_t)pci_read32(sbdf, offset + 4) << 32;
        mask |= (uint64_t)writable_bits(sbdf, offset + 4, ~0u) << 32;
    }
    bar->size = size_of_mask(mask);
}

static void read_bars(struct pci_device *pdev, unsigned int count)
{
    for (unsigned int i = 0; i < count; i++) {
        unsigned int offset = PCI_BAR0 + i * 4;
        uint32_t value = pci_read32(pdev->sbdf, offset);
        struct pci_bar *bar = &pdev->bars[i];

        if (value & PCI_BAR_IO_SPACE) {
            bar->address = value & PCI_BAR_IO_MASK;
            bar->size = size_of_mask(writable_bits(pdev->sbdf, offset, ~0u) & PCI_BAR_IO_MASK);
            bar->type = bar->size ? PCI_BAR_IO : PCI_BAR_NONE;
            continue;
        }
        read_memory_bar(pdev->sbdf, offset, value, i + 1 < count, bar);
        if (bar->size == 0) {
            *bar = (struct pci_bar){.type = PCI_BAR_NONE};
        } else if (bar->type == PCI_BAR_MEMORY64) {
            pdev->bars[++i] = (struct pci_bar){.type = PCI_BAR_MEMORY64_HIGH};
        }
    }
}

static void read_rom(struct pci_device *pdev, unsigned int offset)
{
    uint32_t value = pci_read32(pdev->sbdf, offset);

    pdev->rom.size = size_of_mask(writable_bits(pdev->sbdf, offset, PCI_ROM_MASK) & PCI_ROM_MASK);
    if (pdev->rom.size) {
        pdev->rom.type = PCI_BAR_ROM;
        pdev->rom.address = value & PCI_ROM_MASK;
    }
}

// Sizes BARs and ROM with decode off, so that no access goes astray meanwhile. Host bridges keep
// theirs as they are: decode of some of them cannot be turned off without losing memory.
static void read_resources(struct pci_device *pdev)
{
    uint16_t command = pci_read16(pdev->sbdf, PCI_COMMAND);
    uint16_t decode = PCI_COMMAND_IO | PCI_COMMAND_MEMORY;

    if (pdev->class_code >> 8 == PCI_CLASS_BRIDGE_HOST || pdev->header_type > 1) {
        return;
    }
    pci_config_write(pdev->sbdf, PCI_COMMAND, 2, command & ~decode);
    if (pdev->header_type == PCI_HEADER_BRIDGE) {
        read_bars(pdev, 2);
        read_rom(pdev, PCI_ROM_BRIDGE);
    } else {
        read_bars(pdev, PCI_MAX_BARS);
        read_rom(pdev, PCI_ROM_DEVICE);
    }
    pci_config_write(pdev->sbdf, PCI_COMMAND, 2, command);
}

static uint64_t read_serial(pci_sbdf_t sbdf)
{
    unsigned int offset = pci_find_extended_capability(sbdf, PCI_EXT_SERIAL);

    return offset ? pci_read32(sbdf, offset + 4) | (uint64_t)pci_read32(sbdf, offset + 8) << 32 : 0;
}

static void read_pcie(struct pci_device *pdev)
{
    pci_sbdf_t sbdf = pdev->sbdf;

    pdev->pcie = (uint8_t)pci_find_capability(sbdf, PCI_CAP_PCIE);
    pdev->is_pcie = pdev->pcie != 0;
    pdev->config_size = PCI_CONFIG_SIZE;
    pdev->serial = 0;
    if (!pdev->is_pcie) {
        return;
    }
    pdev->pcie_type = pci_read16(sbdf, pdev->pcie + PCI_PCIE_FLAGS) >> 4 & 0xf;
    pdev->has_flr =
        pci_read32(sbdf, pdev->pcie + PCI_PCIE_DEVICE_CAPABILITIES) & PCI_PCIE_FLR_CAPABLE;
    if (!pci_ecam_covers(sbdf)) {
        return;
    }
    pdev->config_size = PCI_CONFIG_EXTENDED_SIZE;
    pdev->serial = read_serial(sbdf);
    pdev->acs = (uint16_t)pci_find_extended_capability(sbdf, PCI_EXT_ACS);
    pdev->ats = (uint16_t)pci_find_extended_capability(sbdf, PCI_EXT_ATS);
    pdev->sriov = (uint16_t)pci_find_extended_capability(sbdf, PCI_EXT_SRIOV);
}

static void read_capabilities(struct pci_device *pdev)
{
    pci_sbdf_t sbdf = pdev->sbdf;

    read_pcie(pdev);
    pdev->msi = (uint8_t)pci_find_capability(sbdf, PCI_CAP_MSI);
    pdev->msix = (uint8_t)pci_find_capability(sbdf, PCI_CAP_MSIX);
    pdev->pm = (uint8_t)pci_find_capability(sbdf, PCI_CAP_PM);
    pdev->af = (uint8_t)pci_find_capability(sbdf, PCI_CAP_AF);
    pdev->msix_count = 0;
    if (pdev->msix) {
        pdev->msix_count =
            (pci_read16(sbdf, pdev->msix + PCI_MSIX_CONTROL) & PCI_MSIX_SIZE_MASK) + 1;
    }
}

static bool function_present(pci_sbdf_t sbdf)
{
    uint32_t id = pci_read32(sbdf, PCI_VENDOR_ID);

    return (id & 0xffff) != 0xffff && id != 0;
}

bool pci_probe(struct pci_device *pdev)
{
    pci_sbdf_t sbdf = pdev->sbdf;

    if (!function_present(sbdf)) {
        return false;
    }
    pdev->vendor = pci_read16(sbdf, PCI_VENDOR_ID);
    pdev->device = pci_read16(sbdf, PCI_VENDOR_ID + 2);
    pdev->class_code = pci_read32(sbdf, PCI_CLASS_REVISION) >> 8;
    pdev->header_type = pci_read8(sbdf, PCI_HEADER_TYPE) & ~PCI_HEADER_MULTI & 0xff;
    for (unsigned int i = 0; i < PCI_MAX_BARS; i++) {
        pdev->bars[i] = (struct pci_bar){.type = PCI_BAR_NONE};
    }
    pdev->rom = (struct pci_bar){.type = PCI_BAR_NONE};
    if (pdev->header_type == PCI_HEADER_BRIDGE) {
        pdev->secondary = pci_read8(sbdf, PCI_BRIDGE_BUSES + 1);
        pdev->subordinate = pci_read8(sbdf, PCI_BRIDGE_BUSES + 2);
    }
    pdev->used = pci_read16(sbdf, PCI_COMMAND) & PCI_COMMAND_MASTER;
    pdev->is_iommu = pdev->class_code >> 8 == PCI_CLASS_IOMMU;
    read_capabilities(pdev);
    read_resources(pdev);
    return true;
}
