// SPDX-License-Identifier: Apache-2.0
// A machine with one AMD IOMMU in memory: registers are an array, and the unit works whenever the
// driver looks at the time (now), as it does while it waits. Addresses are the program's own.
#ifndef FAKE_UNIT_H
#define FAKE_UNIT_H

#include <bulkhead/domain.h>
#include <bulkhead/iommu.h>

#include "amd_format.h"
#include "build_ivrs.h"

#define FAKE_COMMANDS 4096u
extern struct amd_command fake_commands[FAKE_COMMANDS]; // as they were executed
extern unsigned int fake_command_count;
extern uint8_t fake_registers[AMD_REG_SIZE_LARGE];
extern uint8_t fake_config[256]; // of 00:02.0, the IOMMU
extern bool fake_dead;           // the unit does nothing
extern struct ivrs_image fake_ivrs;
extern struct domain fake_domains[2];
extern char fake_log[65536]; // all messages
extern unsigned int fake_p2m_sets;

struct pci_device *fake_device(uint16_t id);
const struct amd_dte *fake_dte(uint16_t id); // as the unit would read it
uint64_t fake_register(unsigned int offset);
void fake_set_register(unsigned int offset, uint64_t value);
void fake_log_event(uint64_t first, uint64_t second);
void fake_interrupt(void); // the unit's own interrupt
// What an I/O APIC pin or MSI delivers by the remapping table; 0: nothing.
uint32_t fake_remap(uint16_t id, unsigned int index);

#endif
