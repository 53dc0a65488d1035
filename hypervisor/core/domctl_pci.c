// SPDX-License-Identifier: Apache-2.0
// Domctl: giving PCI functions to domains. A function goes from domain 0 or quarantine to the
// domain, IOMMU first and then its virtual configuration space, and back into quarantine.
// Locking: domctl_lock is held, so nobody else assigns; the drivers lock the device.
// Errors: a function that cannot be given to the domain is left in quarantine, where it can harm
// nobody, and the caller is told.

#include <bulkhead/console.h>
#include <bulkhead/cpu.h>
#include <bulkhead/domain.h>
#include <bulkhead/guest_access.h>
#include <bulkhead/iommu.h>
#include <bulkhead/pci.h>
#include <bulkhead/rangeset.h>
#include <bulkhead/vpci.h>
#include <xen/domctl.h>

#include "domctl_internal.h"

static pci_sbdf_t sbdf_of(uint32_t machine_sbdf)
{
    return PCI_SBDF(machine_sbdf >> 16, machine_sbdf >> 8 & 0xff, machine_sbdf & 0xff);
}

// The function that a request is about; NULL and *error if there is none that can be assigned.
static struct pci_device *requested(const struct xen_domctl_assign_device *request, int *error)
{
    struct pci_device *pdev;

    if (request->dev != XEN_DOMCTL_DEV_PCI) {
        *error = -XEN_ENODEV;
        return NULL;
    }
    pdev = pci_device_find(sbdf_of(request->u.pci.machine_sbdf));
    if (!pdev || pdev->removed || pdev->hidden) {
        *error = -XEN_ENODEV;
        return NULL;
    }
    return pdev;
}

// Into quarantine. 0 or -XEN_ERESTART.
static int take_away(struct pci_device *pdev)
{
    struct domain *owner = pdev->owner;
    int error = vpci_change_begin(owner);

    if (!error) {
        vpci_deassign(pdev);
        vpci_change_end(owner);
        iommu_deassign(pdev);
    }
    return error;
}

// From quarantine. 0 or an error; then it is still there.
static int give(struct domain *d, struct pci_device *pdev)
{
    int error = vpci_change_begin(d);

    if (error) {
        return error;
    }
    error = iommu_assign(d, pdev);
    if (!error) {
        error = vpci_assign(d, pdev);
        if (error) {
            iommu_deassign(pdev);
        } else {
            d->creation_flags |= XEN_DOMCTL_CDF_iommu;
        }
    }
    vpci_change_end(d);
    return error;
}

// The creation flag lets a toolstack rule devices out. It prepares nothing here, because all tables
// are fit for the IOMMU; so a domain that has not run yet can have the first device without it,
// which is how libxl 4.20 creates every PVH domain.
static int check_receiver(const struct domain *d)
{
    if (!(d->creation_flags & XEN_DOMCTL_CDF_iommu) && !d->created_paused) {
        return -XEN_EINVAL;
    }
    return d->is_dying ? -XEN_EINVAL : 0;
}

int domctl_assign_device(struct domain *d, struct xen_domctl *op)
{
    struct xen_domctl_assign_device *request = &op->u.assign_device;
    struct pci_device *pdev;
    int error = check_receiver(d);

    if (error) {
        return error;
    }
    if (request->flags & ~(uint32_t)XEN_DOMCTL_DEV_RDM_RELAXED) {
        return -XEN_EINVAL;
    }
    pdev = requested(request, &error);
    if (!pdev) {
        return error;
    }
    if (pdev->owner && pdev->owner != domain0) {
        return -XEN_EBUSY;
    }
    error = pdev->owner ? take_away(pdev) : 0;
    if (!error) {
        error = pci_reset(pdev);
    }
    if (!error) {
        error = give(d, pdev);
    }
    if (error && error != -XEN_ERESTART) {
        log_warning("PCI: " PCI_FORMAT " cannot be given to domain %u (error %d)",
                    PCI_ARGUMENTS(pdev->sbdf), d->id, error);
    }
    return error;
}

int domctl_deassign_device(struct domain *d, struct xen_domctl *op)
{
    struct pci_device *pdev;
    int error = 0;

    if (op->u.assign_device.flags) {
        return -XEN_EINVAL;
    }
    pdev = requested(&op->u.assign_device, &error);
    if (!pdev) {
        return error;
    }
    if (pdev->owner != d) {
        return -XEN_ENODEV;
    }
    return take_away(pdev);
}

// Without a domain: whether any domain but domain 0 has it; else whether d could get it.
int domctl_test_assign_device(struct domain *d, struct xen_domctl *op)
{
    struct pci_device *pdev;
    int error = d ? check_receiver(d) : 0;

    if (error) {
        return error;
    }
    if (!d && op->domain != DOMID_INVALID) {
        return -XEN_ESRCH;
    }
    if (op->u.assign_device.flags) {
        return -XEN_EINVAL;
    }
    pdev = requested(&op->u.assign_device, &error);
    if (!pdev) {
        return error;
    }
    if (pdev->owner && pdev->owner != domain0) {
        return -XEN_EBUSY;
    }
    return iommu_covers(pdev) ? 0 : -XEN_ENODEV;
}

int domctl_get_device_group(struct domain *d, struct xen_domctl *op)
{
    struct xen_domctl_get_device_group *request = &op->u.get_device_group;
    struct pci_device *of = pci_device_find(sbdf_of(request->machine_sbdf));

    (void)d;
    if (!of || of->removed) {
        return -XEN_ENODEV;
    }
    request->num_sdevs = 0;
    for (struct pci_device *p = pci_device_next(NULL); p && request->num_sdevs < request->max_sdevs;
         p = pci_device_next(p)) {
        // Bus, device and function in bits 8 to 23, where tools look for them; no segment, which is
        // the same throughout a group.
        uint32_t sbdf = (uint32_t)pci_requester_id(p->sbdf) << 8;

        if (p->removed || p == of || !pci_same_group(of, p)) {
            continue;
        }
        if (copy_to_handle(request->sdev_array, request->num_sdevs, &sbdf, 1)) {
            return -XEN_EFAULT;
        }
        request->num_sdevs++;
    }
    return 0;
}

// Messages (MSI, MSI-X) are virtual PCI's own business; lines have to be told.
static int check_line(const struct domain *d, const struct xen_domctl_bind_pt_irq *request)
{
    uint32_t gsi = request->machine_irq;

    if (request->irq_type != PT_IRQ_TYPE_PCI) {
        return -XEN_EOPNOTSUPP;
    }
    if (request->u.pci.bus) {
        return -XEN_EINVAL;
    }
    return rangeset_contains(d->irqs, gsi, gsi) &&
                   rangeset_contains(current_domain()->irqs, gsi, gsi)
               ? 0
               : -XEN_EPERM;
}

int domctl_bind_pt_irq(struct domain *d, struct xen_domctl *op)
{
    const struct xen_domctl_bind_pt_irq *request = &op->u.bind_pt_irq;
    int error = check_line(d, request);

    return error ? error
                 : vpci_bind_line(d, request->u.pci.device, request->u.pci.intx,
                                  request->machine_irq);
}

int domctl_unbind_pt_irq(struct domain *d, struct xen_domctl *op)
{
    const struct xen_domctl_bind_pt_irq *request = &op->u.bind_pt_irq;
    int error = check_line(d, request);

    return error ? error : vpci_unbind_line(d, request->u.pci.device, request->u.pci.intx);
}
