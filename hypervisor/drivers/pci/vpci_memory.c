// SPDX-License-Identifier: Apache-2.0
// Which physical addresses a BAR may be at. A domain that owns devices chooses their addresses, so
// it must not find memory there, or the hypervisor's devices, or functions that are not its own.
// Reads what is fixed after boot, and owners, which change while nobody uses the function.
#include <bulkhead/acpi.h>
#include <bulkhead/boot_info.h>
#include <bulkhead/rangeset.h>
#include <x86/domain.h>

#include "vpci_private.h"

// Where interrupt messages go and local APICs are.
#define MESSAGE_START 0xfee00000UL
#define MESSAGE_SIZE 0x100000UL

static bool in_firmware_memory(uint64_t start, uint64_t size)
{
    for (unsigned int i = 0; i < boot_info.region_count; i++) {
        const struct boot_region *r = &boot_info.regions[i];

        if (r->type != BOOT_REGION_RESERVED && ranges_overlap(start, size, r->start, r->size)) {
            return true;
        }
    }
    return false;
}

static bool in_interrupt_controller(uint64_t start, uint64_t size)
{
    bool found = ranges_overlap(start, size, MESSAGE_START, MESSAGE_SIZE) ||
                 ranges_overlap(start, size, acpi_info.local_apic_address, PAGE_SIZE);

    for (unsigned int i = 0; i < acpi_info.io_apic_count; i++) {
        found |= ranges_overlap(start, size, acpi_info.io_apics[i].address, PAGE_SIZE);
    }
    return found;
}

static bool in_ecam(uint64_t start, uint64_t size)
{
    for (unsigned int i = 0; i < pci_ecam_count; i++) {
        const struct pci_ecam *e = &pci_ecam[i];

        if (ranges_overlap(start, size, e->address + ((uint64_t)e->first_bus << 20),
                           (uint64_t)(e->last_bus - e->first_bus + 1) << 20)) {
            return true;
        }
    }
    return false;
}

static bool in_iommu(uint64_t start, uint64_t size)
{
    uint64_t registers, bytes;

    for (unsigned int i = 0; iommu_registers(i, &registers, &bytes); i++) {
        if (ranges_overlap(start, size, registers, bytes)) {
            return true;
        }
    }
    return false;
}

static bool is_memory(const struct pci_bar *bar)
{
    return bar->type == PCI_BAR_MEMORY32 || bar->type == PCI_BAR_MEMORY64;
}

// What nobody owns yet is domain 0's to come, unless it is withheld.
static bool is_other(const struct domain *d, const struct pci_device *p)
{
    return p->owner != d && !p->removed && (p->hidden || p->withheld || p->owner || !d->privileged);
}

static bool in_other_function(const struct domain *d, uint64_t start, uint64_t size)
{
    for (const struct pci_device *p = pci_device_next(NULL); p; p = pci_device_next(p)) {
        for (unsigned int i = 0; is_other(d, p) && i < PCI_MAX_BARS; i++) {
            if (is_memory(&p->bars[i]) &&
                ranges_overlap(start, size, p->bars[i].address, p->bars[i].size)) {
                return true;
            }
        }
    }
    return false;
}

const char *vpci_forbidden_memory(const struct domain *d, uint64_t start, uint64_t size)
{
    bool hpet =
        acpi_info.hpet_address && ranges_overlap(start, size, acpi_info.hpet_address, PAGE_SIZE);

    return in_firmware_memory(start, size)        ? "there is memory"
           : in_interrupt_controller(start, size) ? "an interrupt controller is there"
           : in_ecam(start, size)                 ? "configuration space is there"
           : in_iommu(start, size)                ? "an IOMMU is there"
           : hpet                                 ? "the HPET is there"
           : in_other_function(d, start, size)    ? "a function that is not the domain's is there"
                                                  : NULL;
}

static int deny(struct rangeset *set, uint64_t start, uint64_t size, unsigned int shift)
{
    return rangeset_remove(set, start >> shift, (start + size - 1) >> shift);
}

static int deny_function(struct domain *d, const struct pci_device *pdev)
{
    int error = 0;

    for (unsigned int i = 0; !error && i < PCI_MAX_BARS; i++) {
        const struct pci_bar *bar = &pdev->bars[i];

        if (is_memory(bar)) {
            error = deny(d->io_memory, bar->address, bar->size, PAGE_SHIFT);
        } else if (bar->type == PCI_BAR_IO) {
            error = deny(d->io_ports, bar->address, bar->size, 0);
        }
    }
    return error;
}

int vpci_deny_resources(struct domain *d)
{
    uint64_t start, size;
    int error = 0;

    for (unsigned int i = 0; !error && iommu_registers(i, &start, &size); i++) {
        error = deny(d->io_memory, start, size, PAGE_SHIFT);
    }
    for (const struct pci_device *p = pci_device_next(NULL); p && !error; p = pci_device_next(p)) {
        error = p->hidden || p->withheld ? deny_function(d, p) : 0;
    }
    return error ? error : domain_update_ports(d);
}
