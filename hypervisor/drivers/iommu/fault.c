// SPDX-License-Identifier: Apache-2.0
// What an IOMMU has refused, in words, and how much of it: one fault_window for each unit counts
// the faults of a second and of its busiest devices. The unit's one reader of faults calls, so
// there is no lock. Who owns a device comes as a number, for a struct domain may be gone.
#include <bulkhead/console.h>

#include "iommu_private.h"

#define SECOND 1000000000L
#define MESSAGES_A_SECOND 10u
#define FLOOD 200u // faults of one device in a second

// Counts a fault of a device in this second; true when it has just become a flood.
static bool count_device(struct fault_window *w, uint16_t id)
{
    struct fault_count *slot = &w->counts[0];

    for (unsigned int i = 0; i < ARRAY_SIZE(w->counts); i++) {
        struct fault_count *c = &w->counts[i];

        if (c->count && c->id == id) {
            return ++c->count == FLOOD;
        }
        if (c->count < slot->count) {
            slot = c;
        }
    }
    *slot = (struct fault_count){.id = id, .count = 1};
    return false;
}

void fault_window_update(struct fault_window *w, unsigned int unit)
{
    ns_t t = now();

    if (t - w->start < SECOND) {
        return;
    }
    if (w->faults > w->said) {
        log_warning("IOMMU %u: %u more events not shown", unit, w->faults - w->said);
    }
    *w = (struct fault_window){.start = t};
}

bool fault_may_be_said(struct fault_window *w)
{
    w->faults++;
    if (w->said >= MESSAGES_A_SECOND && !iommu_debug) {
        return false;
    }
    w->said++;
    return true;
}

bool fault_window_is_calm(const struct fault_window *w)
{
    return w->faults < MESSAGES_A_SECOND;
}

bool fault_report(struct fault_window *w, unsigned int unit, const struct fault *fault)
{
    char whose[32] = "which nobody owns", where[20] = "unknown";

    if (fault_may_be_said(w)) {
        if (fault->owner >= 0) {
            format_string(whose, sizeof(whose), "of domain %d", fault->owner);
        }
        if (fault->address != FAULT_NOWHERE) {
            format_string(where, sizeof(where), "%lx", fault->address);
        }
        log_warning("IOMMU %u: %s: device " PCI_FORMAT ", %s, %s %s", unit, fault->what,
                    PCI_ARGUMENTS(fault->sbdf), whose, fault->access, where);
    }
    if (!count_device(w, pci_requester_id(fault->sbdf))) {
        return false;
    }
    log_warning("IOMMU %u: device " PCI_FORMAT " floods the event log: silenced", unit,
                PCI_ARGUMENTS(fault->sbdf));
    return true;
}
