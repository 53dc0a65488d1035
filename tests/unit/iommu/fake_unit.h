// SPDX-License-Identifier: Apache-2.0
// AMD's IOMMU for the fake machine: runs its command ring, reads its tables.
#ifndef FAKE_UNIT_H
#define FAKE_UNIT_H

#include "amd_format.h"
#include "build_ivrs.h"
#include "fake_machine.h"

#define FAKE_COMMANDS 4096u
extern struct amd_command fake_commands[FAKE_COMMANDS]; // as they were executed
extern unsigned int fake_command_count;

void fake_amd_work(void);
const struct amd_dte *fake_dte(uint16_t id); // as the unit would read it
void fake_log_event(uint64_t first, uint64_t second);
// What an I/O APIC pin or MSI delivers by the remapping table; 0: nothing.
uint32_t fake_remap(uint16_t id, unsigned int index);

#endif
