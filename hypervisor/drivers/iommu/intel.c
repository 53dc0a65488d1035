// SPDX-License-Identifier: Apache-2.0
// Intel's IOMMU (VT-d): finds the units, sets them up and serves the common code. Devices walk the
// processor's own second-level tables, whose format the IOMMU understands (x86/p2m.h). Who owns a
// requester and which of its functions are given is under intel_lock. Units of every PCI segment.
// Boot errors end the boot, so they need not be undone.
#include "intel.h"

#include <bulkhead/acpi.h>
#include <bulkhead/console.h>
#include <bulkhead/errno.h>
#include <x86/apic.h>
#include <x86/irq.h>
#include <x86/p2m.h>

struct dmar intel_dmar;
struct intel_unit intel_units[DMAR_MAX_UNITS];
struct spinlock intel_lock = SPINLOCK_INIT;
bool intel_wide;

_Static_assert(DMAR_MAX_UNITS <= IOMMU_MAX_UNITS, "units have a count in each domain");

static bool intel_covers(const struct pci_device *pdev)
{
    return intel_unit_of(pdev) != NULL;
}

static int map_regions(struct domain *d, const struct pci_device *pdev)
{
    int error = 0;

    for (unsigned int i = 0; !error && i < intel_dmar.region_count; i++) {
        const struct dmar_region *region = &intel_dmar.regions[i];

        for (unsigned int n = 0; !error && n < region->scope_count; n++) {
            if (intel_scope_matches(&intel_dmar.scopes[region->first_scope + n], region->segment,
                                    pdev)) {
                error = iommu_region_map(d, pdev, region->start, region->size);
            }
        }
    }
    return error;
}

static int attach_locked(struct domain *d, struct pci_device *pdev, struct iommu_device *r,
                         maddr_t table)
{
    struct iommu_domain *domain = d->arch.iommu;

    if (r->owner && r->owner != d) {
        return -XEN_EBUSY;
    }
    // Flushes must reach this unit before it can walk the tables. What it may remember from an
    // earlier domain of the same tag goes when the entry is written.
    __atomic_fetch_add(&domain->unit_functions[r->unit->index], 1, __ATOMIC_SEQ_CST);
    pdev->iommu = r;
    r->owner = d;
    r->table = table;
    r->functions++;
    r->silenced = false;
    intel_context_update(r);
    return 0;
}

static int intel_attach(struct domain *d, struct pci_device *pdev)
{
    struct intel_unit *unit = intel_unit_of(pdev);
    struct iommu_device *r;
    maddr_t table;
    int error = map_regions(d, pdev);

    if (!error) {
        error = p2m_root_of_levels(d, unit->levels, &table);
    }
    if (error) {
        return error;
    }
    spin_lock(&intel_lock);
    r = intel_requester(pdev, unit);
    error = r ? attach_locked(d, pdev, r, table) : -XEN_ENOMEM;
    spin_unlock(&intel_lock);
    return error;
}

static void intel_detach(struct domain *d, struct pci_device *pdev)
{
    struct iommu_domain *domain = d->arch.iommu;
    struct iommu_device *r = pdev->iommu;
    uint16_t id = pci_requester_id(pdev->sbdf);

    spin_lock(&intel_lock);
    pdev->iommu = NULL;
    if (id != r->id) {
        intel_context_block(r->unit, id, domain->id);
    }
    if (--r->functions == 0) {
        r->owner = NULL;
        intel_context_update(r);
    }
    __atomic_fetch_sub(&domain->unit_functions[r->unit->index], 1, __ATOMIC_SEQ_CST);
    spin_unlock(&intel_lock);
}

// The smallest aligned block of frames that holds a range, if the unit can be told of it.
static struct intel_entry flush_descriptor(const struct intel_unit *unit, uint16_t tag,
                                           uint64_t first, uint64_t count)
{
    uint64_t differing = first ^ (first + count - 1);
    unsigned int order = differing ? 64u - (unsigned int)__builtin_clzl(differing) : 0;

    if (count == IOMMU_FLUSH_ALL || !(unit->cap & INTEL_CAP_PAGE_SELECTIVE) ||
        order > intel_cap_mask_order(unit->cap)) {
        return intel_forget_domain(tag);
    }
    return intel_forget_pages(tag, first >> order << order, order);
}

static void intel_flush(const struct iommu_domain *domain, uint64_t first, uint64_t count)
{
    for (unsigned int i = 0; i < intel_dmar.unit_count; i++) {
        if (__atomic_load_n(&domain->unit_functions[i], __ATOMIC_SEQ_CST)) {
            struct intel_entry flush = flush_descriptor(&intel_units[i], domain->id, first, count);

            intel_run(&intel_units[i], &flush, 1);
        }
    }
}

static void intel_dump(void)
{
    for (unsigned int i = 0; i < intel_dmar.unit_count; i++) {
        const struct intel_unit *unit = &intel_units[i];

        if (unit->dmar) {
            log_info("IOMMU %u: registers at %lx, capabilities %lx %lx, status %x, faults %x, %u "
                     "completions, faults %s",
                     i, unit->dmar->address, unit->cap, unit->ecap,
                     intel_read(unit, INTEL_REG_STATUS), intel_read(unit, INTEL_REG_FAULT_STATUS),
                     unit->completions, unit->polling ? "polled" : "by interrupt");
        }
    }
    for (const struct pci_device *p = pci_device_next(NULL); p; p = pci_device_next(p)) {
        const struct intel_unit *unit = intel_unit_of(p);
        int owner = unit ? intel_context_owner(unit, pci_requester_id(p->sbdf)) : -1;

        if (owner >= 0) {
            log_info("IOMMU %u: " PCI_FORMAT " serves domain %d", unit->index,
                     PCI_ARGUMENTS(p->sbdf), owner);
        }
    }
}

static bool intel_registers(unsigned int index, uint64_t *start, uint64_t *size)
{
    if (index >= intel_dmar.unit_count) {
        return false;
    }
    *start = intel_dmar.units[index].address;
    *size = intel_dmar.units[index].size;
    return true;
}

static struct iommu_ops intel_ops = {
    .name = "Intel VT-d",
    .covers = intel_covers,
    .attach = intel_attach,
    .detach = intel_detach,
    .flush = intel_flush,
    .irq_alloc = intel_irq_alloc,
    .irq_free = intel_irq_free,
    .irq_set = intel_irq_set,
    .irq_block = intel_irq_block,
    .registers = intel_registers,
    .dump = intel_dump,
};

// Every unit has to work: what one leaves alone could reach everything.
static int find_units(void)
{
    int error = 0;

    for (unsigned int i = 0; !error && i < intel_dmar.unit_count; i++) {
        intel_units[i].index = i;
        intel_units[i].dmar = &intel_dmar.units[i];
        error = intel_unit_init(&intel_units[i]);
    }
    return error;
}

// What all units have in common decides how tables and interrupts look.
static int agree(void)
{
    struct p2m_rules rules = {0};
    bool wide = true;

    intel_ops.tags = 1u << 16;
    for (unsigned int i = 0; i < intel_dmar.unit_count; i++) {
        const struct intel_unit *unit = &intel_units[i];

        intel_ops.tags = MIN(intel_ops.tags, intel_cap_domains(unit->cap));
        rules.flush_lines = rules.flush_lines || !(unit->ecap & INTEL_ECAP_COHERENT);
        rules.flush_new = rules.flush_new || unit->cap & INTEL_CAP_CACHING;
        wide = wide && unit->ecap & INTEL_ECAP_X2APIC;
    }
    p2m_set_rules(&rules);
    if (!apic_in_x2apic_mode()) {
        return 0;
    }
    if (!wide) {
        log_error("IOMMU: it cannot send interrupts to processors in x2APIC mode");
        return -XEN_ENODEV;
    }
    intel_wide = true;
    irq_allow_wide_destinations();
    return 0;
}

static int start(void)
{
    int error = 0;

    for (unsigned int i = 0; !error && i < intel_dmar.unit_count; i++) {
        error = intel_unit_enable(&intel_units[i]);
    }
    if (!error) {
        error = intel_io_apics_init();
    }
    for (unsigned int i = 0; !error && i < intel_dmar.unit_count; i++) {
        error = intel_faults_init(&intel_units[i]);
    }
    return error;
}

static int read_table(void)
{
    size_t length;
    const void *table = acpi_find_table("DMAR", 0, &length);
    const char *wrong;
    int error = 0;

    if (!table) {
        return -XEN_ENODEV;
    }
    wrong = dmar_parse(&intel_dmar, table, length);
    if (wrong) {
        log_error("IOMMU: ACPI table DMAR is wrong: %s", wrong);
        return -XEN_EINVAL;
    }
    if (!(intel_dmar.flags & DMAR_INTERRUPT_REMAPPING)) {
        log_error("IOMMU: ACPI table DMAR says that interrupts cannot be remapped; that is "
                  "required (QEMU: intel-iommu,intremap=on)");
        return -XEN_EINVAL;
    }
    for (unsigned int i = 0; !error && i < intel_dmar.region_count; i++) {
        error = iommu_region_check("DMAR", intel_dmar.regions[i].start, intel_dmar.regions[i].size);
    }
    return error;
}

int intel_iommu_init(const struct iommu_ops **ops)
{
    int error = read_table();

    if (!error) {
        error = find_units();
    }
    if (!error) {
        error = agree();
    }
    if (!error) {
        error = start();
    }
    if (!error) {
        *ops = &intel_ops;
    }
    return error;
}
