// SPDX-License-Identifier: Apache-2.0
// Interrupt remapping by AMD's IOMMU: a table of 32-bit entries for each requester. A message (or
// an I/O APIC's redirection entry) holds the index of its entry instead of a vector.
// Tables and allocation under amd_lock; an entry is one word, so it changes at once, and the units
// forget the old one before the change is reported done.
#include <bulkhead/console.h>
#include <bulkhead/errno.h>
#include <bulkhead/heap.h>
#include <x86/ioapic.h>

#include "amd.h"

#define MINIMUM_ENTRIES 32u // one function's multiple-message MSI

// The redirection entry's fields (82093AA I/O APIC datasheet, section 3.2.4).
#define RTE_ACTIVE_LOW (1UL << 13)
#define RTE_LEVEL (1UL << 15)

#define MAX_PINS 256u // of one I/O APIC

int amd_irq_table(struct iommu_device *requester, unsigned int count)
{
    unsigned int entries = MINIMUM_ENTRIES;
    uintptr_t raw;

    if (requester->entries) {
        return 0;
    }
    while (entries < count && entries < AMD_MAX_IRQ_ENTRIES) {
        entries *= 2;
    }
    raw = (uintptr_t)heap_alloc(entries * sizeof(uint32_t) + AMD_IRQ_TABLE_ALIGN);
    if (!raw) {
        return -XEN_ENOMEM;
    }
    // Never freed, so the address that the heap gave need not be kept.
    requester->entries = (uint32_t *)ALIGN_UP(raw, (uintptr_t)AMD_IRQ_TABLE_ALIGN);
    requester->entry_count = entries;
    return 0;
}

static bool block_free(const struct iommu_device *r, unsigned int first, unsigned int count)
{
    for (unsigned int i = first; i < first + count; i++) {
        if (r->used[i / 64] >> i % 64 & 1) {
            return false;
        }
    }
    return true;
}

static void mark(struct iommu_device *r, unsigned int first, unsigned int count, bool used)
{
    for (unsigned int i = first; i < first + count; i++) {
        if (used) {
            r->used[i / 64] |= 1UL << i % 64;
        } else {
            r->used[i / 64] &= ~(1UL << i % 64);
        }
    }
}

static int find_block(struct iommu_device *r, unsigned int count)
{
    for (unsigned int first = 0; first + count <= r->entry_count; first += count) {
        if (block_free(r, first, count)) {
            mark(r, first, count, true);
            return (int)first;
        }
    }
    return -XEN_ENOSPC;
}

// Writes an entry and makes every id of the requester forget the old one.
static void write_entry(struct iommu_device *r, uint16_t other_id, unsigned int index,
                        uint32_t value)
{
    struct amd_command commands[] = {amd_invalidate_interrupts(r->id),
                                     amd_invalidate_interrupts(other_id)};

    __atomic_store_n(&r->entries[index], value, __ATOMIC_RELEASE);
    amd_run_commands(r->unit, commands, r->id == other_id ? 1 : 2);
}

int amd_irq_alloc(struct pci_device *pdev, unsigned int count)
{
    int result;

    spin_lock(&amd_lock);
    result = find_block(pdev->iommu, count);
    spin_unlock(&amd_lock);
    return result;
}

void amd_irq_free(struct pci_device *pdev, unsigned int index, unsigned int count)
{
    uint16_t id = pci_requester_id(pdev->sbdf);

    spin_lock(&amd_lock);
    for (unsigned int i = index; i < index + count; i++) {
        write_entry(pdev->iommu, id, i, 0);
    }
    mark(pdev->iommu, index, count, false);
    spin_unlock(&amd_lock);
}

void amd_irq_set(struct pci_device *pdev, unsigned int index, const struct interrupt_target *target,
                 struct msi_message *message)
{
    uint32_t entry =
        amd_irte(target->vector, (uint8_t)target->apic_id, target->delivery_mode, target->logical);

    spin_lock(&amd_lock);
    write_entry(pdev->iommu, pci_requester_id(pdev->sbdf), index, entry);
    spin_unlock(&amd_lock);
    message->address = 0xfee00000UL;
    message->data = index;
}

void amd_irq_block(struct pci_device *pdev, unsigned int index)
{
    spin_lock(&amd_lock);
    write_entry(pdev->iommu, pci_requester_id(pdev->sbdf), index, 0);
    spin_unlock(&amd_lock);
}

static int find_io_apic(uint8_t id)
{
    for (unsigned int i = 0; i < amd_ivrs.special_count; i++) {
        if (amd_ivrs.special[i].kind == IVRS_SPECIAL_IO_APIC && amd_ivrs.special[i].handle == id &&
            amd_ivrs.units[amd_ivrs.special[i].unit].segment == 0) {
            return (int)i;
        }
    }
    return -1;
}

// The I/O APIC code's hook (x86/ioapic.h); called with its lock held. Each pin has the entry of its
// own number, which the redirection entry's vector field then holds.
static int remap_pin(uint8_t ioapic_id, unsigned int pin, const struct ioapic_route *route,
                     uint64_t *rte)
{
    int special = find_io_apic(ioapic_id);
    struct iommu_device *r;

    if (special < 0 || pin >= MAX_PINS) {
        return -XEN_ENODEV;
    }
    spin_lock(&amd_lock);
    r = amd_requester_find(amd_ivrs.special[special].id);
    write_entry(r, r->id, pin,
                route ? amd_irte(route->vector, (uint8_t)route->destination, 0, false) : 0);
    spin_unlock(&amd_lock);
    if (route) {
        *rte = pin | (route->level ? RTE_LEVEL : 0) | (route->active_low ? RTE_ACTIVE_LOW : 0);
    }
    return 0;
}

static int init_io_apic(const struct ioapic_info *info)
{
    int special = find_io_apic(info->id);
    const struct ivrs_range *range;
    struct iommu_device *r;

    if (special < 0) {
        log_error("IOMMU: IVRS lies: it does not name I/O APIC %u, whose interrupts could then "
                  "not be remapped",
                  info->id);
        return -XEN_EINVAL;
    }
    range = ivrs_find(&amd_ivrs, 0, amd_ivrs.special[special].id);
    r = amd_requester(amd_ivrs.special[special].id, range);
    if (!r || amd_irq_table(r, AMD_MAX_IRQ_ENTRIES)) {
        log_error("IOMMU: no memory for the interrupts of I/O APIC %u", info->id);
        return -XEN_ENOMEM;
    }
    if (!block_free(r, 0, MAX_PINS)) {
        log_error("IOMMU: IVRS lies: two I/O APICs share requester id %04x", r->id);
        return -XEN_EINVAL;
    }
    mark(r, 0, MAX_PINS, true); // a PCI function with the same id uses the others
    r->settings |= amd_ivrs.special[special].settings;
    amd_table_update(r);
    return 0;
}

int amd_io_apics_init(void)
{
    int error = 0;

    spin_lock(&amd_lock);
    for (unsigned int i = 0; !error && i < ioapic_count(); i++) {
        error = init_io_apic(ioapic_get(i));
    }
    spin_unlock(&amd_lock);
    if (!error) {
        ioapic_remap = remap_pin;
        ioapic_reprogram();
    }
    return error;
}
