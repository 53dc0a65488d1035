// SPDX-License-Identifier: Apache-2.0
// Memory that firmware keeps for devices (IVMD of IVRS, RMRR of DMAR): it must not be memory that
// domains get, and a device that has some belongs to domain 0 only, which sees it at its own
// address. No state; the p2m has its own lock.
#include <bulkhead/boot_info.h>
#include <bulkhead/console.h>
#include <bulkhead/errno.h>

#include "iommu_private.h"

#define LARGEST (256UL << 20)

bool iommu_overlaps_memory(uint64_t start, uint64_t size)
{
    for (unsigned int i = 0; i < boot_info.region_count; i++) {
        const struct boot_region *r = &boot_info.regions[i];

        if (r->type == BOOT_REGION_RAM && start < r->start + r->size && r->start < start + size) {
            return true;
        }
    }
    return false;
}

int iommu_region_check(const char *table, uint64_t start, uint64_t size)
{
    if (iommu_overlaps_memory(start, size)) {
        log_error("IOMMU: %s lies: it keeps %lx to %lx for devices, which is usable memory", table,
                  start, start + size - 1);
        return -XEN_EINVAL;
    }
    if (size > LARGEST) {
        log_error("IOMMU: %s lies: it keeps %lu MiB for devices", table, size >> 20);
        return -XEN_EINVAL;
    }
    return 0;
}

int iommu_region_map(struct domain *d, const struct pci_device *pdev, uint64_t start, uint64_t size)
{
    int error = d->privileged ? 0 : -XEN_EPERM;

    for (uint64_t n = start / PAGE_SIZE; !error && n < (start + size) / PAGE_SIZE; n++) {
        struct p2m_entry entry = p2m_lookup(d, GFN(n));

        error = entry.type == P2M_INVALID ? p2m_set(d, GFN(n), MFN(n), 0, P2M_MMIO)
                : entry.mfn.n == n        ? 0
                                          : -XEN_EEXIST;
    }
    if (error) {
        log_error("IOMMU: memory that firmware keeps for " PCI_FORMAT " cannot be mapped (%d)",
                  PCI_ARGUMENTS(pdev->sbdf), error);
    }
    return error;
}
