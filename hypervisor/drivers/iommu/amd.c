// SPDX-License-Identifier: Apache-2.0
// AMD's IOMMU: finds the units, sets them up and serves the common code. Who owns a requester and
// which of its functions are given is under amd_lock. One PCI segment (0) is supported: units of
// others are left alone, and functions there have no IOMMU.
// Boot errors end the boot, so they need not be undone.
#include <bulkhead/acpi.h>
#include <bulkhead/console.h>
#include <bulkhead/errno.h>
#include <x86/ioapic.h>

#include "amd.h"

struct ivrs amd_ivrs;
struct amd_unit amd_units[IVRS_MAX_UNITS];
unsigned int amd_unit_count;
struct spinlock amd_lock = SPINLOCK_INIT;

_Static_assert(IVRS_MAX_UNITS <= IOMMU_MAX_UNITS, "units have a count in each domain");

static const struct ivrs_range *range_of(const struct pci_device *pdev)
{
    if (pdev->sbdf.segment != 0) {
        return NULL;
    }
    return ivrs_find(&amd_ivrs, 0, pci_requester_id(pdev->sbdf));
}

static bool amd_covers(const struct pci_device *pdev)
{
    return range_of(pdev) != NULL;
}

static int map_regions(struct domain *d, const struct pci_device *pdev)
{
    uint16_t id = pci_requester_id(pdev->sbdf);
    int error = 0;

    for (unsigned int i = 0; !error && i < amd_ivrs.region_count; i++) {
        const struct ivrs_region *region = &amd_ivrs.regions[i];

        if (id >= region->first && id <= region->last) {
            error = iommu_region_map(d, pdev, region->start, region->size);
        }
    }
    return error;
}

// How many interrupt entries a function may need.
static unsigned int interrupts_of(const struct pci_device *pdev)
{
    return MAX((unsigned int)pdev->msix_count, 32u);
}

static int attach_locked(struct domain *d, struct pci_device *pdev, struct iommu_device *r)
{
    struct iommu_domain *domain = d->arch.iommu;
    struct amd_command flush = amd_invalidate_pages(domain->id, 0, IOMMU_FLUSH_ALL);
    int error;

    if (r->owner && r->owner != d) {
        return -XEN_EBUSY;
    }
    error = amd_irq_table(r, interrupts_of(pdev));
    if (error) {
        return error;
    }
    // Flushes must reach this unit before it can walk the tables; what it may remember from an
    // earlier domain of the same number has to go.
    __atomic_fetch_add(&domain->unit_functions[r->unit->index], 1, __ATOMIC_SEQ_CST);
    amd_run_commands(r->unit, &flush, 1);
    pdev->iommu = r;
    r->owner = d;
    r->functions++;
    r->silenced = false;
    amd_table_update(r);
    return 0;
}

static int amd_attach(struct domain *d, struct pci_device *pdev)
{
    const struct ivrs_range *range = range_of(pdev);
    uint16_t id = pci_requester_id(pdev->sbdf);
    struct iommu_device *r;
    int error = map_regions(d, pdev);

    if (error) {
        return error;
    }
    spin_lock(&amd_lock);
    r = amd_requester(range->has_alias ? range->alias : id, range);
    error = r ? attach_locked(d, pdev, r) : -XEN_ENOMEM;
    spin_unlock(&amd_lock);
    return error;
}

static void amd_detach(struct domain *d, struct pci_device *pdev)
{
    struct iommu_domain *domain = d->arch.iommu;
    struct amd_command flush = amd_invalidate_pages(domain->id, 0, IOMMU_FLUSH_ALL);
    struct iommu_device *r = pdev->iommu;

    spin_lock(&amd_lock);
    pdev->iommu = NULL;
    if (pci_requester_id(pdev->sbdf) != r->id) {
        amd_table_block(r->unit, pci_requester_id(pdev->sbdf));
    }
    if (--r->functions == 0) {
        r->owner = NULL;
        amd_table_update(r);
    }
    amd_run_commands(r->unit, &flush, 1);
    __atomic_fetch_sub(&domain->unit_functions[r->unit->index], 1, __ATOMIC_SEQ_CST);
    spin_unlock(&amd_lock);
}

static void amd_flush(const struct iommu_domain *domain, uint64_t first, uint64_t count)
{
    struct amd_command command = amd_invalidate_pages(domain->id, first, count);

    for (unsigned int i = 0; i < amd_unit_count; i++) {
        if (__atomic_load_n(&domain->unit_functions[i], __ATOMIC_SEQ_CST)) {
            amd_run_commands(&amd_units[i], &command, 1);
        }
    }
}

static void amd_dump(void)
{
    for (unsigned int i = 0; i < amd_unit_count; i++) {
        const struct amd_unit *unit = &amd_units[i];

        if (!unit->registers) {
            continue;
        }
        log_info("IOMMU %u: " PCI_FORMAT ", registers at %lx, features %lx, control %lx, status "
                 "%lx, %lu completions, event log %s",
                 i, PCI_ARGUMENTS(unit->sbdf), unit->ivrs->address, unit->features,
                 amd_read(unit, AMD_REG_CONTROL), amd_read(unit, AMD_REG_STATUS), unit->completions,
                 unit->polling ? "polled" : "by interrupt");
    }
    for (const struct pci_device *p = pci_device_next(NULL); p; p = pci_device_next(p)) {
        int owner = p->sbdf.segment == 0 ? amd_table_owner(pci_requester_id(p->sbdf)) : -1;

        if (owner >= 0) {
            log_info("IOMMU: " PCI_FORMAT " serves domain %d", PCI_ARGUMENTS(p->sbdf), owner);
        }
    }
}

// Units of other segments too: what is not ours is no domain's either. The larger size of newer
// units, with performance counters.
static bool amd_registers(unsigned int index, uint64_t *start, uint64_t *size)
{
    if (index >= amd_ivrs.unit_count) {
        return false;
    }
    *start = amd_ivrs.units[index].address;
    *size = *start % AMD_REG_SIZE_LARGE ? AMD_REG_SIZE : AMD_REG_SIZE_LARGE;
    return true;
}

static const struct iommu_ops amd_ops = {
    .name = "AMD-Vi",
    .tags = 1u << 16,
    .covers = amd_covers,
    .attach = amd_attach,
    .detach = amd_detach,
    .flush = amd_flush,
    .irq_alloc = amd_irq_alloc,
    .irq_free = amd_irq_free,
    .irq_set = amd_irq_set,
    .irq_block = amd_irq_block,
    .registers = amd_registers,
    .dump = amd_dump,
};

// amd_units has the same order as IVRS; what is not used has no registers.
static int find_units(void)
{
    unsigned int used = 0;

    amd_unit_count = amd_ivrs.unit_count;
    for (unsigned int i = 0; i < amd_unit_count; i++) {
        struct amd_unit *unit = &amd_units[i];
        const struct ivrs_unit *ivrs = &amd_ivrs.units[i];
        int error;

        if (ivrs->segment != 0) {
            log_warning("IOMMU: one of PCI segment %u is not supported: devices there stay unused",
                        ivrs->segment);
            continue;
        }
        unit->index = i;
        unit->ivrs = ivrs;
        unit->sbdf = PCI_SBDF(ivrs->segment, ivrs->device_id >> 8, ivrs->device_id & 0xff);
        error = amd_unit_init(unit);
        if (error) {
            return error;
        }
        pci_hide(unit->sbdf);
        used++;
    }
    return used ? 0 : -XEN_ENODEV;
}

// Forgets whatever the unit has cached, and sees whether it does what it is told.
static int start_unit(struct amd_unit *unit)
{
    amd_unit_enable(unit, amd_table_address(), amd_table_size());
    if (unit->features & AMD_FEATURE_INVALIDATE_ALL) {
        if (amd_try_command(unit, amd_invalidate_all())) {
            return 0;
        }
    } else {
        size_t entries = amd_table_size() / sizeof(struct amd_dte);
        bool works = true;

        for (size_t id = 0; works && id < entries; id++) {
            works = amd_try_command(unit, amd_invalidate_dte((uint16_t)id)) &&
                    amd_try_command(unit, amd_invalidate_interrupts((uint16_t)id));
        }
        if (works) {
            return 0;
        }
    }
    log_error("IOMMU: the one at %lx does not answer", unit->ivrs->address);
    return -XEN_EIO;
}

static int start(void)
{
    int error = amd_table_init();

    for (unsigned int i = 0; !error && i < amd_unit_count; i++) {
        error = amd_units[i].registers ? start_unit(&amd_units[i]) : 0;
    }
    if (!error) {
        error = amd_io_apics_init();
    }
    for (unsigned int i = 0; !error && i < amd_unit_count; i++) {
        error = amd_units[i].registers ? amd_events_init(&amd_units[i]) : 0;
    }
    return error;
}

int amd_iommu_init(const struct iommu_ops **ops)
{
    size_t length;
    const void *table = acpi_find_table("IVRS", 0, &length);
    const char *wrong;
    int error = 0;

    if (!table) {
        return -XEN_ENODEV;
    }
    wrong = ivrs_parse(&amd_ivrs, table, length);
    if (wrong) {
        log_error("IOMMU: ACPI table IVRS is wrong: %s", wrong);
        return -XEN_EINVAL;
    }
    for (unsigned int i = 0; !error && i < amd_ivrs.region_count; i++) {
        error = iommu_region_check("IVRS", amd_ivrs.regions[i].start, amd_ivrs.regions[i].size);
    }
    if (!error) {
        error = find_units();
    }
    if (!error) {
        error = start();
    }
    if (!error) {
        *ops = &amd_ops;
    }
    return error;
}
