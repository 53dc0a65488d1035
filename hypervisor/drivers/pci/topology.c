// SPDX-License-Identifier: Apache-2.0
// How functions hang together: the bridge above one, and the requester id under which its
// transactions reach the IOMMU. Bridges' bus numbers are read as they are; walks end after as many
// steps as there are buses, for numbers may lie. No state, no locks.
#include "pci_private.h"

#define MAX_DEPTH 256u

struct pci_device *pci_parent(const struct pci_device *pdev)
{
    for (struct pci_device *p = pci_device_next(NULL); p; p = pci_device_next(p)) {
        if (p->header_type == PCI_HEADER_BRIDGE && p->secondary && p != pdev &&
            p->secondary == pdev->sbdf.bus && p->sbdf.segment == pdev->sbdf.segment) {
            return p;
        }
    }
    return NULL;
}

uint16_t pci_requester_alias(const struct pci_device *pdev)
{
    uint16_t id = pci_requester_id(pdev->sbdf);
    const struct pci_device *bridge = pci_parent(pdev);

    for (unsigned int i = 0; bridge && i < MAX_DEPTH; i++) {
        if (!bridge->is_pcie || bridge->pcie_type == PCI_PCIE_FROM_PCI) {
            id = pci_requester_id(bridge->sbdf);
        } else if (bridge->pcie_type == PCI_PCIE_TO_PCI) {
            id = (uint16_t)(bridge->secondary << 8);
        }
        bridge = pci_parent(bridge);
    }
    return id;
}
