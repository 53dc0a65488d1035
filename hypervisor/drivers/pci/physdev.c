// SPDX-License-Identifier: Apache-2.0
// What domain 0 tells about PCI: functions that came or went (public header physdev.h). Arguments
// are copied once. Domain 0 owns what it reports, unless it is hidden.
#include <bulkhead/console.h>
#include <bulkhead/errno.h>
#include <bulkhead/guest_access.h>
#include <xen/physdev.h>

#include "vpci_private.h"

int pci_device_add(pci_sbdf_t sbdf)
{
    struct pci_device *pdev = pci_device_discover(sbdf);
    bool returned;
    int error;

    if (!pdev) {
        return -XEN_ENODEV;
    }
    spin_lock(&pdev->lock);
    returned = pdev->removed && pci_probe(pdev);
    pdev->removed = pdev->removed && !returned;
    spin_unlock(&pdev->lock);
    if (pdev->removed) {
        return -XEN_ENODEV;
    }
    if (pdev->hidden || pdev->withheld || pdev->owner || !domain0) {
        return 0;
    }
    error = pci_reset(pdev);
    if (!error) {
        error = vpci_change_begin(domain0);
    }
    if (!error) {
        error = vpci_give_to_hardware_domain(domain0, pdev);
        vpci_change_end(domain0);
    }
    return error;
}

int pci_device_remove(pci_sbdf_t sbdf)
{
    struct pci_device *pdev = pci_device_find(sbdf);
    struct domain *owner;
    int error;

    if (!pdev || pdev->removed) {
        return -XEN_ENODEV;
    }
    owner = pdev->owner ? pdev->owner : domain0;
    error = vpci_change_begin(owner);
    if (error) {
        return error;
    }
    vpci_deassign(pdev);
    iommu_deassign(pdev);
    pdev->removed = true;
    vpci_change_end(owner);
    return 0;
}

static int add(uint64_t argument)
{
    struct physdev_pci_device_add info;

    if (copy_from_guest(&info, GVA(argument), offsetof(struct physdev_pci_device_add, optarr))) {
        return -XEN_EFAULT;
    }
    if (info.flags & XEN_PCI_DEV_VIRTFN) {
        return -XEN_EOPNOTSUPP; // SR-IOV is hidden, there can be none
    }
    return pci_device_add(PCI_SBDF(info.seg, info.bus, info.devfn));
}

static int add_segment0(uint64_t argument, bool extended)
{
    struct physdev_manage_pci_ext info = {0};

    if (copy_from_guest(&info, GVA(argument),
                        extended ? sizeof(info) : sizeof(struct physdev_manage_pci))) {
        return -XEN_EFAULT;
    }
    if (extended && info.is_virtfn) {
        return -XEN_EOPNOTSUPP;
    }
    return pci_device_add(PCI_SBDF(0, info.bus, info.devfn));
}

static int remove_device(uint64_t argument, bool segment0)
{
    struct physdev_manage_pci old;
    struct physdev_pci_device info;

    if (segment0) {
        if (copy_from_guest(&old, GVA(argument), sizeof(old))) {
            return -XEN_EFAULT;
        }
        return pci_device_remove(PCI_SBDF(0, old.bus, old.devfn));
    }
    if (copy_from_guest(&info, GVA(argument), sizeof(info))) {
        return -XEN_EFAULT;
    }
    return pci_device_remove(PCI_SBDF(info.seg, info.bus, info.devfn));
}

// Domain 0 found an ECAM window reserved by ACPI, as it should be. Windows that MCFG does not have
// are not taken up.
static int ecam_reserved(uint64_t argument)
{
    struct physdev_pci_mmcfg_reserved info;

    if (copy_from_guest(&info, GVA(argument), sizeof(info))) {
        return -XEN_EFAULT;
    }
    for (unsigned int i = 0; i < pci_ecam_count; i++) {
        if (pci_ecam[i].segment == info.segment && pci_ecam[i].address == info.address) {
            return 0;
        }
    }
    return -XEN_EOPNOTSUPP;
}

int pci_physdev_op(uint32_t command, uint64_t argument)
{
    switch (command) {
    case PHYSDEVOP_pci_device_add:
        return add(argument);
    case PHYSDEVOP_manage_pci_add:
        return add_segment0(argument, false);
    case PHYSDEVOP_manage_pci_add_ext:
        return add_segment0(argument, true);
    case PHYSDEVOP_pci_device_remove:
        return remove_device(argument, false);
    case PHYSDEVOP_manage_pci_remove:
        return remove_device(argument, true);
    case PHYSDEVOP_pci_mmcfg_reserved:
        return ecam_reserved(argument);
    default:
        return -XEN_ENOSYS;
    }
}

void pci_dump(void)
{
    for (struct pci_device *p = pci_device_next(NULL); p; p = pci_device_next(p)) {
        char whose[24] = "nobody's";

        spin_lock(&p->lock); // keeps the owner
        if (p->owner) {
            format_string(whose, sizeof(whose), "domain %u's", p->owner->id);
        }
        spin_unlock(&p->lock);
        log_info("PCI: " PCI_FORMAT " %04x:%04x class %06x, %s%s", PCI_ARGUMENTS(p->sbdf),
                 p->vendor, p->device, p->class_code, whose,
                 p->hidden     ? ", the hypervisor's own"
                 : p->removed  ? ", gone"
                 : p->withheld ? ", withheld from domain 0"
                               : "");
        vpci_dump(p);
    }
}
