// SPDX-License-Identifier: Apache-2.0
// The device table: one entry of 32 bytes for each requester id, shared by all units, and the
// requesters that have more than the blocking entry. All under amd_lock.
// An entry never lets anything through by accident: before it changes it is made to block, and the
// word that allows DMA is written last.
#include <bulkhead/console.h>
#include <bulkhead/errno.h>
#include <bulkhead/heap.h>
#include <x86/p2m.h>

#include "amd.h"

static struct amd_dte *table;
static unsigned int table_order;
static size_t table_entries;
static struct iommu_device *requesters;

int amd_table_init(void)
{
    size_t bytes = ((size_t)ivrs_highest_id(&amd_ivrs) + 1) * sizeof(struct amd_dte);

    for (struct pci_device *p = pci_device_next(NULL); p; p = pci_device_next(p)) {
        if (p->sbdf.segment == 0) {
            bytes = MAX(bytes, ((size_t)pci_requester_id(p->sbdf) + 1) * sizeof(struct amd_dte));
        }
    }
    while (PAGE_SIZE << table_order < bytes) {
        table_order++;
    }
    table = heap_alloc_pages(table_order, 0);
    if (!table) {
        log_error("IOMMU: no memory for the device table (%lu KiB)",
                  (PAGE_SIZE << table_order) / 1024);
        return -XEN_ENOMEM;
    }
    table_entries = amd_table_size() / sizeof(struct amd_dte);
    for (size_t i = 0; i < table_entries; i++) {
        table[i] = amd_dte_blocked();
    }
    return 0;
}

maddr_t amd_table_address(void)
{
    return heap_maddr(table);
}

size_t amd_table_size(void)
{
    return PAGE_SIZE << table_order;
}

struct iommu_device *amd_requester_find(uint16_t id)
{
    struct iommu_device *r = requesters;

    while (r && r->id != id) {
        r = r->next;
    }
    return r;
}

struct iommu_device *amd_requester(uint16_t id, const struct ivrs_range *range)
{
    struct iommu_device *r = amd_requester_find(id);

    if (r || id >= table_entries) {
        return r;
    }
    r = heap_new(struct iommu_device);
    if (r) {
        r->id = id;
        r->unit = &amd_units[range->unit];
        r->settings = range->settings;
        r->next = requesters;
        requesters = r;
    }
    return r;
}

static void store(uint64_t *word, uint64_t value)
{
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
}

static void invalidate(struct amd_unit *unit, uint16_t id)
{
    struct amd_command commands[] = {amd_invalidate_dte(id), amd_invalidate_interrupts(id)};

    amd_run_commands(unit, commands, ARRAY_SIZE(commands));
}

static void write_entry(struct amd_unit *unit, uint16_t id, const struct amd_dte *new)
{
    struct amd_dte *dte = &table[id];
    struct amd_dte blocked = amd_dte_blocked();

    store(&dte->q[0], blocked.q[0]);
    store(&dte->q[2], blocked.q[2]);
    invalidate(unit, id);
    store(&dte->q[1], new->q[1]);
    store(&dte->q[3], new->q[3]);
    store(&dte->q[2], new->q[2]);
    store(&dte->q[0], new->q[0]);
    invalidate(unit, id);
}

static struct amd_dte entry_for(const struct iommu_device *r)
{
    struct amd_dte dte = amd_dte_blocked();

    if (r->owner) {
        amd_dte_set_dma(&dte, p2m_root(r->owner), r->owner->arch.iommu->id);
    }
    if (r->entries) {
        amd_dte_set_interrupts(&dte, heap_maddr(r->entries), r->entry_count, r->settings);
    }
    if (r->silenced) {
        dte.q[1] |= AMD_DTE_SUPPRESS_ALL;
    }
    return dte;
}

void amd_table_update(struct iommu_device *requester)
{
    struct amd_dte dte = entry_for(requester);

    write_entry(requester->unit, requester->id, &dte);
    // Functions with an alias may also send under their own id.
    for (struct pci_device *p = pci_device_next(NULL); p; p = pci_device_next(p)) {
        uint16_t id = pci_requester_id(p->sbdf);

        if (p->iommu == requester && id != requester->id && id < table_entries) {
            write_entry(requester->unit, id, &dte);
        }
    }
}

void amd_table_block(struct amd_unit *unit, uint16_t id)
{
    struct amd_dte dte = amd_dte_blocked();

    if (id < table_entries) {
        write_entry(unit, id, &dte);
    }
}

int amd_table_owner(uint16_t id)
{
    return id < table_entries ? iommu_tag_owner((uint16_t)table[id].q[1]) : -1;
}

void amd_table_silence(uint16_t id)
{
    struct iommu_device *r = amd_requester_find(id);
    const struct ivrs_range *range = ivrs_find(&amd_ivrs, 0, id);
    struct amd_dte dte = amd_dte_blocked();

    if (r) {
        r->silenced = true;
        amd_table_update(r);
    } else if (range && id < table_entries) {
        dte.q[1] |= AMD_DTE_SUPPRESS_ALL;
        write_entry(&amd_units[range->unit], id, &dte);
    }
}
