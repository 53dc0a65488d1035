// SPDX-License-Identifier: Apache-2.0
// A machine with one IOMMU in memory: registers are an array, and the unit works whenever the
// driver looks at the time (now), as it does while it waits. Addresses are the program's own.
#ifndef FAKE_MACHINE_H
#define FAKE_MACHINE_H

#include "../doubles/console.h"
#include <bulkhead/domain.h>
#include <bulkhead/iommu.h>
#include <x86/p2m.h>

#define FAKE_REGISTERS 0xfed80000UL // where firmware says they are

extern uint8_t fake_registers[0x80000];
extern void (*fake_work)(void);
extern uint8_t fake_config[256];  // of 00:02.0
extern bool fake_dead;            // the unit does nothing
extern const uint8_t *fake_table; // the ACPI table that there is
extern size_t fake_table_length;
extern struct domain fake_domains[2];
extern unsigned int fake_p2m_sets;
extern struct p2m_rules fake_rules;
extern bool fake_x2apic;

struct pci_device *fake_device(uint16_t id);
uint64_t fake_register(unsigned int offset);
void fake_set_register(unsigned int offset, uint64_t value);
void fake_interrupt(void); // the unit's own interrupt

#endif
