// SPDX-License-Identifier: Apache-2.0
// How functions hang together: the bridge above one, the requester id under which its transactions
// reach the IOMMU, and which others it can reach without passing the IOMMU (its group). Access
// control services (ACS) of ports and of functions with several on a device are what keeps groups
// small; they are turned on at boot. Bridges' bus numbers are read as they are; walks end after as
// many steps as there are buses, for numbers may lie. No state, no locks.
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

static bool has_isolation(const struct pci_device *pdev)
{
    return pdev->acs &&
           (pci_read16(pdev->sbdf, pdev->acs + PCI_ACS_CONTROL) & PCI_ACS_WANTED) == PCI_ACS_WANTED;
}

void pci_isolate(struct pci_device *pdev)
{
    unsigned int control = pdev->acs + PCI_ACS_CONTROL;
    uint16_t offered;

    if (pdev->acs) {
        offered = pci_read16(pdev->sbdf, pdev->acs + PCI_ACS_CAPABILITIES);
        pci_config_write(pdev->sbdf, control, 2,
                         pci_read16(pdev->sbdf, control) | (offered & PCI_ACS_WANTED));
    }
}

// The first function of the device, if its functions reach one another.
static const struct pci_device *first_of_device(const struct pci_device *pdev)
{
    pci_sbdf_t sbdf = pdev->sbdf;

    if (has_isolation(pdev)) {
        return pdev;
    }
    for (unsigned int function = 0; function < PCI_FUNCTION(pdev->sbdf.devfn); function++) {
        const struct pci_device *p;

        sbdf.devfn = PCI_DEVFN(PCI_DEVICE(sbdf.devfn), function);
        p = pci_device_find(sbdf);
        if (p && !p->removed && !has_isolation(p)) {
            return p;
        }
    }
    return pdev;
}

// What stands for the group: the highest bridge above the function that lets those below it reach
// one another, or else the function itself; of a device with several, the first.
static const struct pci_device *group_leader(const struct pci_device *pdev)
{
    const struct pci_device *leader = pdev, *bridge = pci_parent(pdev);

    for (unsigned int i = 0; bridge && i < MAX_DEPTH; i++) {
        if (!has_isolation(bridge)) {
            leader = bridge;
        }
        bridge = pci_parent(bridge);
    }
    return first_of_device(leader);
}

bool pci_same_group(const struct pci_device *a, const struct pci_device *b)
{
    return group_leader(a) == group_leader(b);
}
