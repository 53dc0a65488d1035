// SPDX-License-Identifier: Apache-2.0
// Which capabilities a domain sees. From domain 0 those are hidden that would let it change what we
// rely on (sizes and places of BARs, new functions) or bypass translation (ATS and its relatives,
// SR-IOV, enhanced allocation, access control services, which keep groups apart). A hidden one is
// taken out of its list and its bytes read as zero. Other domains see only the few that are known
// to be safe, and no extended ones. Lists are the device's and may lie: walks are bounded and end
// at the first repetition.
#include <bulkhead/errno.h>

#include "msi.h"
#include "vpci_private.h"

#define PCIE_SIZE 0x3cu
#define MSIX_SIZE 12u

struct hidden_capability {
    uint16_t id;
    uint16_t size; // bytes to cover, header included
};

static const struct hidden_capability hidden[] = {{PCI_CAP_EA, 0x40}};

static const struct hidden_capability hidden_extended[] = {
    {PCI_EXT_ATS, 0x08},   {PCI_EXT_SRIOV, 0x40},    {PCI_EXT_PRI, 0x10}, {PCI_EXT_REBAR, 0x34},
    {PCI_EXT_PASID, 0x08}, {PCI_EXT_VF_REBAR, 0x34}, {PCI_EXT_ACS, 0x08},
};

static unsigned int hidden_size(const struct hidden_capability *list, size_t count, unsigned int id)
{
    for (size_t i = 0; i < count; i++) {
        if (list[i].id == id) {
            return list[i].size;
        }
    }
    return 0;
}

static bool add_constant(struct vpci_device *v, unsigned int offset, unsigned int size,
                         uint32_t value)
{
    return vpci_register_add(v, (struct vpci_register){.offset = (uint16_t)offset,
                                                       .size = (uint16_t)size,
                                                       .argument = value});
}

// Link bytes are written once, when the next shown capability (or the end) is known: the first
// register that covers a byte wins.
static bool hide_conventional(struct vpci_device *v)
{
    pci_sbdf_t sbdf = v->pdev->sbdf;
    unsigned int link = PCI_CAPABILITY_LIST; // byte that leads to the next one
    unsigned int offset = pci_next_capability(sbdf, 0);
    bool room = true, skipped = false;

    for (unsigned int i = 0; offset && i < PCI_MAX_CAPABILITIES && room; i++) {
        unsigned int next = pci_next_capability(sbdf, offset);
        unsigned int size = hidden_size(hidden, ARRAY_SIZE(hidden), pci_read8(sbdf, offset));

        if (size) {
            size = MIN(size, next > offset ? next - offset : PCI_CONFIG_SIZE - offset);
            room = add_constant(v, offset, size, 0);
            skipped = true;
        } else {
            room = !skipped || add_constant(v, link, 1, offset);
            link = offset + 1;
            skipped = false;
        }
        offset = next;
    }
    return room && (!skipped || add_constant(v, link, 1, 0));
}

// Bytes of a capability that a filtered function shows; 0: it is not shown.
static unsigned int shown_size(pci_sbdf_t sbdf, unsigned int offset)
{
    switch (pci_read8(sbdf, offset)) {
    case PCI_CAP_MSI:
        return msi_capability_size(pci_read16(sbdf, offset + PCI_MSI_CONTROL));
    case PCI_CAP_MSIX:
        return MSIX_SIZE;
    case PCI_CAP_PCIE:
        return PCIE_SIZE;
    case PCI_CAP_VENDOR:
        return pci_read8(sbdf, offset + 2);
    default:
        return 0;
    }
}

// Shown on a bus of the domain's own, where no port is above it.
static bool show_as_integrated(struct vpci_device *v, unsigned int offset)
{
    uint16_t flags = pci_read16(v->pdev->sbdf, offset + PCI_PCIE_FLAGS);

    return add_constant(v, offset + PCI_PCIE_FLAGS, 2, (flags & ~0xf0u) | PCI_PCIE_INTEGRATED << 4);
}

// Every link is written; a capability ends where the next of the hardware's begins.
static bool show_few(struct vpci_device *v)
{
    pci_sbdf_t sbdf = v->pdev->sbdf;
    unsigned int link = PCI_CAPABILITY_LIST;
    unsigned int offset = pci_next_capability(sbdf, 0);
    bool room = true;

    for (unsigned int i = 0; offset && i < PCI_MAX_CAPABILITIES && room; i++) {
        unsigned int next = pci_next_capability(sbdf, offset);
        unsigned int size = shown_size(sbdf, offset);

        if (size >= 4) {
            size = MIN(size, next > offset ? next - offset : PCI_CONFIG_SIZE - offset);
            vpci_make_readable(v, offset, size);
            room = add_constant(v, link, 1, offset) &&
                   (pci_read8(sbdf, offset) != PCI_CAP_PCIE || show_as_integrated(v, offset));
            link = offset + 1;
        }
        offset = next;
    }
    return room && add_constant(v, link, 1, 0);
}

// The first extended capability cannot be taken out: it is shown without an id.
static bool hide_extended(struct vpci_device *v)
{
    pci_sbdf_t sbdf = v->pdev->sbdf;
    unsigned int offset = pci_next_extended_capability(sbdf, 0);
    unsigned int shown = offset; // the one whose header leads to the next
    uint32_t header = 0;         // its id and version
    bool room = true, skipped = false;

    for (unsigned int i = 0; offset && i < PCI_MAX_EXTENDED_CAPABILITIES && room; i++) {
        unsigned int next = pci_next_extended_capability(sbdf, offset);
        unsigned int size =
            hidden_size(hidden_extended, ARRAY_SIZE(hidden_extended), pci_read16(sbdf, offset));

        if (size) {
            size = MIN(size, next > offset ? next - offset : PCI_CONFIG_EXTENDED_SIZE - offset);
            room = offset != PCI_EXTENDED_START ? add_constant(v, offset, size, 0)
                                                : add_constant(v, offset + 4, size - 4, 0);
            skipped = true;
        } else {
            room = !skipped || add_constant(v, shown, 4, header | (uint32_t)offset << 20);
            shown = offset;
            header = pci_read32(sbdf, offset) & 0xfffff;
            skipped = false;
        }
        offset = next;
    }
    return room && (!skipped || add_constant(v, shown, 4, header));
}

bool vpci_capabilities_init(struct vpci_device *v)
{
    if (v->filtered) {
        return show_few(v);
    }
    return hide_conventional(v) && (v->pdev->config_size == PCI_CONFIG_SIZE || hide_extended(v));
}
