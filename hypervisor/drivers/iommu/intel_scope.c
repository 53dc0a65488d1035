// SPDX-License-Identifier: Apache-2.0
// Which unit of DMAR translates for a function. A scope is a path of bridges from a bus on; the
// bridges' secondary bus numbers are followed as configuration space has them. No state, no locks.
#include "intel.h"

// The function that a scope names, or NULL; its address in *at.
static struct pci_device *follow(const struct dmar_scope *scope, uint16_t segment, pci_sbdf_t *at)
{
    uint8_t bus = scope->start_bus;

    for (unsigned int i = 0;; i++) {
        struct pci_device *p;

        *at = PCI_SBDF(segment, bus, scope->path[i]);
        p = pci_device_find(*at);
        if (i + 1u == scope->depth) {
            return p;
        }
        if (!p || p->header_type != 1 || !p->secondary) {
            return NULL;
        }
        bus = p->secondary;
    }
}

bool intel_scope_matches(const struct dmar_scope *scope, uint16_t segment,
                         const struct pci_device *pdev)
{
    const struct pci_device *named;
    pci_sbdf_t at;

    if (pdev->sbdf.segment != segment ||
        (scope->type != DMAR_SCOPE_ENDPOINT && scope->type != DMAR_SCOPE_BRIDGE)) {
        return false;
    }
    named = follow(scope, segment, &at);
    if (!named) {
        return false;
    }
    return named == pdev ||
           (scope->type == DMAR_SCOPE_BRIDGE && named->secondary &&
            pdev->sbdf.bus >= named->secondary && pdev->sbdf.bus <= named->subordinate);
}

static bool names(const struct dmar_unit *unit, const struct pci_device *pdev)
{
    for (unsigned int i = 0; i < unit->scope_count; i++) {
        if (intel_scope_matches(&intel_dmar.scopes[unit->first_scope + i], unit->segment, pdev)) {
            return true;
        }
    }
    return false;
}

struct intel_unit *intel_unit_of(const struct pci_device *pdev)
{
    struct intel_unit *rest = NULL;

    for (unsigned int i = 0; i < intel_dmar.unit_count; i++) {
        struct intel_unit *unit = &intel_units[i];
        const struct dmar_unit *dmar = &intel_dmar.units[i];

        if (dmar->segment != pdev->sbdf.segment) {
            continue;
        }
        if (names(dmar, pdev)) {
            return unit->dmar ? unit : NULL;
        }
        if (dmar->include_all && unit->dmar) {
            rest = unit;
        }
    }
    return rest;
}
