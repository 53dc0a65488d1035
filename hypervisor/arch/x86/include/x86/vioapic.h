// SPDX-License-Identifier: Apache-2.0
// The I/O APICs that a domain sees. Domain 0 has one for each of the machine's, whose lines are
// bound to the physical ones as it unmasks them; other domains may have one, whose lines are
// asserted by virtual devices or bound to lines of assigned devices.
#ifndef BULKHEAD_X86_VIOAPIC_H
#define BULKHEAD_X86_VIOAPIC_H

#include <bulkhead/types.h>

struct domain;
struct hvm_hw_vioapic;

#define VIOAPIC_DEFAULT_BASE 0xfec00000ul
#define VIOAPIC_DEFAULT_PINS 48u // as in the public HVM context

// Mirrors the machine's I/O APICs for domain 0; debug key Z shows them. 0 or -XEN_ENOMEM.
int vioapic_create_domain0(struct domain *d);
// One I/O APIC with 48 pins at the default address, GSI 0 on. 0 or -XEN_ENOMEM.
int vioapic_create(struct domain *d);
// Unbinds every physical line; d's vcpus do not run. NULL-safe.
void vioapic_destroy(struct domain *d);
void vioapic_reset(struct domain *d);

// Drives a line: its level is the or of the sources only if the caller makes it so. An edge-
// triggered pin fires when the line goes up. Lines out of range are ignored. Any context.
void vioapic_set_line(struct domain *d, uint32_t gsi, bool asserted);

// The guest's EOI of a level-triggered vector, from the virtual local APIC.
void vioapic_eoi(struct domain *d, uint8_t vector);

// Connects a physical level-triggered, active-low line (a PCI INTx) to the guest's line: when it
// fires it is masked, the guest's line goes up, and the guest's EOI lets it in again. 0 or as
// ioapic_bind_guest; -XEN_ENOENT: no such guest line; -XEN_EEXIST: guest line is taken.
int vioapic_bind_line(struct domain *d, uint32_t guest_gsi, uint32_t machine_gsi);
void vioapic_unbind_line(struct domain *d, uint32_t guest_gsi);

// Number of lines: guest GSIs are below it.
uint32_t vioapic_gsi_count(const struct domain *d);

// The public HVM context's record, for a domain made by vioapic_create; d is paused.
// -XEN_ENODEV: not such a domain; load: -XEN_EINVAL and nothing changed.
int vioapic_save(struct domain *d, struct hvm_hw_vioapic *record);
int vioapic_load(struct domain *d, const struct hvm_hw_vioapic *record);
// What vioapic_load would return.
int vioapic_load_check(struct domain *d, const struct hvm_hw_vioapic *record);

#endif
