// SPDX-License-Identifier: Apache-2.0
// Intel's IOMMU for the fake machine: obeys its command register, runs its invalidation queue,
// reads its tables, records faults.
#ifndef FAKE_INTEL_H
#define FAKE_INTEL_H

#include "build_dmar.h"
#include "fake_machine.h"
#include "intel_format.h"

#define FAKE_DESCRIPTORS 4096u
#define FAKE_RECORDS 2u
extern struct intel_entry fake_descriptors[FAKE_DESCRIPTORS]; // as they were executed
extern unsigned int fake_descriptor_count;

void fake_intel_start(uint64_t cap, uint64_t ecap); // adds where the fault records are
// The context entry of an id as the unit would read it; all zero when its bus has no table.
struct intel_entry fake_context(uint16_t id);
// What the unit makes of a message from a requester: the entry's first half, or 0 when it refuses.
uint64_t fake_interrupt_entry(uint16_t id, uint64_t address, uint32_t data);
// Records a fault, or notes the overflow when no record is free.
void fake_fault(uint16_t id, uint8_t reason, uint64_t address, bool write);

#endif
