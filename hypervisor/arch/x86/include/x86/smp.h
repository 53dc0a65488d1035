// SPDX-License-Identifier: Apache-2.0
// Bringing the machine's other CPUs up, and interrupts between them.
#ifndef BULKHEAD_X86_SMP_H
#define BULKHEAD_X86_SMP_H

#include <bulkhead/types.h>

struct cpu;

extern struct cpu boot_cpu;

// Sets the handlers of the IPI vectors; once.
void ipi_init(void);
// Keeps the page that the trampoline needs out of the allocator; before early_memory_handover.
void smp_reserve_trampoline(void);
// Starts the CPUs that ACPI lists; those that do not come are reported and left out. Boot CPU,
// everything else initialized.
void smp_init(void);
// What each CPU does before its cpu_loop, the boot CPU included: setup.c. 0, or -errno with what is
// wrong said.
int setup_cpu(struct cpu *cpu);

#endif
