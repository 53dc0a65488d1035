// SPDX-License-Identifier: Apache-2.0
// Interrupt remapping by Intel's IOMMU: each unit has one table of 16-byte entries for all its
// devices. A message (or an I/O APIC's redirection entry) holds the index of its entry instead of a
// vector, and the entry names the requester that may use it.
// Allocation and entries under intel_lock. An entry is absent and forgotten before it changes.
#include <bulkhead/console.h>
#include <bulkhead/errno.h>
#include <x86/ioapic.h>

#include "intel.h"

static struct io_apic {
    struct intel_unit *unit; // NULL: no more
    uint8_t id;
    unsigned int first, pins; // its entries
    uint16_t requester;
} io_apics[16];

static bool is_used(const struct intel_unit *unit, unsigned int index)
{
    return unit->used[index / 64] >> index % 64 & 1;
}

static void mark(struct intel_unit *unit, unsigned int first, unsigned int count, bool used)
{
    for (unsigned int i = first; i < first + count; i++) {
        unit->used[i / 64] = (unit->used[i / 64] & ~(1UL << i % 64)) | (uint64_t)used << i % 64;
    }
}

// count is a power of two; the block is aligned to it.
static int find_block(struct intel_unit *unit, unsigned int count)
{
    for (unsigned int first = 0; first + count <= INTEL_IRT_ENTRIES; first += count) {
        unsigned int i = 0;

        while (i < count && !is_used(unit, first + i)) {
            i++;
        }
        if (i == count) {
            mark(unit, first, count, true);
            return (int)first;
        }
    }
    return -XEN_ENOSPC;
}

static void write_entry(struct intel_unit *unit, unsigned int index, struct intel_entry new)
{
    struct intel_entry *e = &unit->interrupts[index];
    struct intel_entry forget = intel_forget_interrupt(index);

    if (e->q[0] & INTEL_PRESENT) {
        __atomic_store_n(&e->q[0], 0, __ATOMIC_RELEASE);
        intel_write_back(e, sizeof(*e));
        intel_run(unit, &forget, 1);
    }
    if (!(new.q[0] & INTEL_PRESENT)) {
        return;
    }
    __atomic_store_n(&e->q[1], new.q[1], __ATOMIC_RELEASE);
    __atomic_store_n(&e->q[0], new.q[0], __ATOMIC_RELEASE);
    intel_write_back(e, sizeof(*e));
    if (unit->cap & INTEL_CAP_CACHING) {
        intel_run(unit, &forget, 1);
    }
}

static const struct intel_entry absent;

int intel_irq_alloc(struct pci_device *pdev, unsigned int count)
{
    int result;

    spin_lock(&intel_lock);
    result = find_block(pdev->iommu->unit, count);
    spin_unlock(&intel_lock);
    return result;
}

void intel_irq_free(struct pci_device *pdev, unsigned int index, unsigned int count)
{
    struct intel_unit *unit = pdev->iommu->unit;

    spin_lock(&intel_lock);
    for (unsigned int i = index; i < index + count; i++) {
        write_entry(unit, i, absent);
    }
    mark(unit, index, count, false);
    spin_unlock(&intel_lock);
}

void intel_irq_set(struct pci_device *pdev, unsigned int index,
                   const struct interrupt_target *target, struct msi_message *message)
{
    const struct iommu_device *r = pdev->iommu;
    struct intel_entry entry = intel_irte(target->vector, target->apic_id, target->delivery_mode,
                                          target->logical, false, intel_wide);

    // What a bridge signs may carry its id or the function's, both on the bus behind it.
    entry.q[1] = r->id == pci_requester_id(pdev->sbdf) ? intel_irte_source(r->id)
                                                       : intel_irte_bus(pdev->sbdf.bus);
    spin_lock(&intel_lock);
    write_entry(r->unit, index, entry);
    spin_unlock(&intel_lock);
    message->address = intel_message_address(index);
    message->data = 0;
}

void intel_irq_block(struct pci_device *pdev, unsigned int index)
{
    spin_lock(&intel_lock);
    write_entry(pdev->iommu->unit, index, absent);
    spin_unlock(&intel_lock);
}

// The I/O APIC code's hook (x86/ioapic.h); called with its lock held.
static int remap_pin(uint8_t ioapic_id, unsigned int pin, const struct ioapic_route *route,
                     uint64_t *rte)
{
    const struct io_apic *io = io_apics;
    struct intel_entry entry = absent;

    while (io->unit && io->id != ioapic_id) {
        io++;
    }
    if (!io->unit || pin >= io->pins) {
        return -XEN_ENODEV;
    }
    if (route) {
        entry = intel_irte(route->vector, route->destination, 0, false, route->level, intel_wide);
        entry.q[1] = intel_irte_source(io->requester);
        *rte = intel_redirection(io->first + pin, route->vector);
    }
    spin_lock(&intel_lock);
    write_entry(io->unit, io->first + pin, entry);
    spin_unlock(&intel_lock);
    return 0;
}

// The unit and scope that DMAR names for an I/O APIC.
static const struct dmar_scope *find_scope(uint8_t id, struct intel_unit **unit)
{
    for (unsigned int i = 0; i < intel_dmar.unit_count; i++) {
        const struct dmar_unit *dmar = &intel_dmar.units[i];

        for (unsigned int n = 0; n < dmar->scope_count; n++) {
            const struct dmar_scope *scope = &intel_dmar.scopes[dmar->first_scope + n];

            if (scope->type == DMAR_SCOPE_IO_APIC && scope->handle == id && intel_units[i].dmar) {
                *unit = &intel_units[i];
                return scope;
            }
        }
    }
    return NULL;
}

static int init_io_apic(struct io_apic *io, const struct ioapic_info *info)
{
    struct intel_unit *unit = NULL;
    const struct dmar_scope *scope = find_scope(info->id, &unit);
    unsigned int block = 1;
    int first;

    // An I/O APIC is no PCI function: its path leads through no bridge.
    if (!scope || scope->depth != 1) {
        log_error("IOMMU: DMAR lies: it does not name I/O APIC %u, whose interrupts could then not "
                  "be remapped",
                  info->id);
        return -XEN_EINVAL;
    }
    while (block < info->pins) {
        block *= 2;
    }
    spin_lock(&intel_lock);
    first = find_block(unit, block);
    spin_unlock(&intel_lock);
    if (first < 0) {
        log_error("IOMMU: no room for the interrupts of I/O APIC %u", info->id);
        return first;
    }
    *io = (struct io_apic){.unit = unit,
                           .id = info->id,
                           .first = (unsigned int)first,
                           .pins = info->pins,
                           .requester = (uint16_t)(scope->start_bus << 8 | scope->path[0])};
    return 0;
}

int intel_io_apics_init(void)
{
    int error = 0;

    if (ioapic_count() >= ARRAY_SIZE(io_apics)) {
        log_error("IOMMU: this machine has too many I/O APICs");
        return -XEN_ENOSPC;
    }
    for (unsigned int i = 0; !error && i < ioapic_count(); i++) {
        error = init_io_apic(&io_apics[i], ioapic_get(i));
    }
    if (!error) {
        ioapic_remap = remap_pin;
        ioapic_reprogram();
    }
    return error;
}
