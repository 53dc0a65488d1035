// SPDX-License-Identifier: Apache-2.0
// Root and context tables: for each unit a root table by bus and, where functions are known, a
// context table by devfn. All under intel_lock.
// An entry never lets anything through by accident: it is made absent and forgotten before it
// changes, and the half with the present bit is written last.
#include <bulkhead/errno.h>
#include <bulkhead/heap.h>

#include "intel.h"

static struct iommu_device *requesters;

static void store(uint64_t *word, uint64_t value)
{
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
}

// Makes sure that a bus has a context table.
static bool have_table(struct intel_unit *unit, uint8_t bus)
{
    struct intel_entry *table = unit->contexts[bus];

    if (table) {
        return true;
    }
    table = heap_alloc_pages(0, 0);
    if (!table) {
        return false;
    }
    intel_write_back(table, PAGE_SIZE);
    unit->contexts[bus] = table;
    store(&unit->root[bus].q[0], heap_maddr(table).a | INTEL_PRESENT);
    intel_write_back(&unit->root[bus], sizeof(unit->root[bus]));
    return true;
}

static struct iommu_device *find(const struct intel_unit *unit, uint16_t id)
{
    struct iommu_device *r = requesters;

    while (r && (r->id != id || r->unit != unit)) {
        r = r->next;
    }
    return r;
}

struct iommu_device *intel_requester(const struct pci_device *pdev, struct intel_unit *unit)
{
    uint16_t id = pci_requester_alias(pdev);
    struct iommu_device *r = find(unit, id);

    if (!have_table(unit, pdev->sbdf.bus) || !have_table(unit, (uint8_t)(id >> 8)) || r) {
        return unit->contexts[pdev->sbdf.bus] && unit->contexts[id >> 8] ? r : NULL;
    }
    r = heap_new(struct iommu_device);
    if (r) {
        r->id = id;
        r->unit = unit;
        r->next = requesters;
        requesters = r;
    }
    return r;
}

static struct intel_entry *entry_of(const struct intel_unit *unit, uint16_t id)
{
    struct intel_entry *table = unit->contexts[id >> 8];

    return table ? &table[id & 0xff] : NULL;
}

// domain: whose tag the old entry may have been remembered with.
static void write_entry(struct intel_unit *unit, uint16_t id, uint16_t domain,
                        const struct intel_entry *new)
{
    struct intel_entry *e = entry_of(unit, id);
    // Units that remember absent entries do so under tag 0.
    struct intel_entry forget[] = {intel_forget_context(domain, id), intel_forget_domain(domain),
                                   intel_forget_context(0, id)};

    store(&e->q[0], 0);
    intel_write_back(e, sizeof(*e));
    intel_run(unit, forget, ARRAY_SIZE(forget));
    store(&e->q[1], new->q[1]);
    store(&e->q[0], new->q[0]);
    intel_write_back(e, sizeof(*e));
    intel_run(unit, forget, ARRAY_SIZE(forget));
}

void intel_context_update(struct iommu_device *requester)
{
    struct intel_unit *unit = requester->unit;
    uint16_t domain = requester->owner ? requester->owner->arch.iommu->id : 0;
    uint16_t old = intel_context_domain(entry_of(unit, requester->id));
    struct intel_entry new = {{0, 0}};

    if (requester->owner) {
        new = intel_context(requester->table, unit->levels, domain);
    }
    new.q[0] |= requester->silenced ? INTEL_CONTEXT_SILENT : 0;
    domain = domain ? domain : old;
    write_entry(unit, requester->id, domain, &new);
    // Functions behind a bridge may also send under their own id.
    for (struct pci_device *p = pci_device_next(NULL); p; p = pci_device_next(p)) {
        uint16_t id = pci_requester_id(p->sbdf);

        if (p->iommu == requester && id != requester->id) {
            write_entry(unit, id, domain, &new);
        }
    }
}

void intel_context_block(struct intel_unit *unit, uint16_t id, uint16_t domain)
{
    write_entry(unit, id, domain, &(struct intel_entry){{0, 0}});
}

int intel_context_owner(const struct intel_unit *unit, uint16_t id)
{
    const struct intel_entry *e = entry_of(unit, id);

    return e ? iommu_tag_owner(intel_context_domain(e)) : -1;
}

void intel_context_silence(struct intel_unit *unit, uint16_t id)
{
    static const struct intel_entry silent = {{INTEL_CONTEXT_SILENT, 0}};
    struct iommu_device *r = find(unit, id);

    for (struct pci_device *p = pci_device_next(NULL); !r && p; p = pci_device_next(p)) {
        r = pci_requester_id(p->sbdf) == id && p->iommu && p->iommu->unit == unit ? p->iommu : NULL;
    }
    if (r && r->owner) {
        r->silenced = true;
        intel_context_update(r);
    } else if (have_table(unit, (uint8_t)(id >> 8))) {
        write_entry(unit, id, 0, &silent);
    }
}
