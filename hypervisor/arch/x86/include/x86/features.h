// SPDX-License-Identifier: Apache-2.0
// What the processors can do, as far as the hypervisor itself uses it.
#ifndef BULKHEAD_X86_FEATURES_H
#define BULKHEAD_X86_FEATURES_H

#include <bulkhead/types.h>

struct cpu_features {
    char vendor[13];
    char name[49];
    uint32_t family, model, stepping;
    uint32_t max_leaf, max_extended_leaf;
    unsigned int physical_bits; // of a machine address
    bool smep, smap, umip;
    bool x2apic, tsc_deadline, invariant_tsc;
    bool pages_1g;
    bool xsave;
    bool amd; // AMD or Hygon
};

extern struct cpu_features cpu_features; // of the boot CPU

// Reads the boot CPU's features.
void features_detect(void);
// Sets control registers and the page attribute table of this CPU.
void features_enable(void);
// Whether this CPU has what the boot CPU has; the hypervisor does without those that lack some.
bool features_match(void);

#endif
