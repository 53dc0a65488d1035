// SPDX-License-Identifier: Apache-2.0
// The local APIC: xAPIC by its registers in memory, x2APIC by MSRs where the processor has it.
#ifndef BULKHEAD_X86_APIC_H
#define BULKHEAD_X86_APIC_H

#include <bulkhead/types.h>

// Finds the mode and maps the registers; boot CPU, once, before apic_cpu_init. 0, or -XEN_ENODEV
// if there is no local APIC.
int apic_init(void);
// Enables this CPU's local APIC with all local interrupts masked.
void apic_cpu_init(void);
// Sets the local APIC's own vectors and measures the timer's rate; boot CPU, once, after time_init.
void apic_timer_init(void);
// Sets this CPU's timer up (one-shot or TSC deadline); after apic_timer_init.
void apic_timer_cpu_init(void);
bool apic_in_x2apic_mode(void);
uint32_t apic_read_id(void); // this CPU's

void apic_eoi(void);
// Makes this CPU's local APIC see whether an interrupt waits in it. A processor's always sees that;
// QEMU's loses sight of one that comes while VMRUN offers a virtual interrupt (docs/testing.md).
void apic_look_again(void);
// Sends a fixed interrupt to a CPU by the hypervisor's number.
void apic_send_ipi(unsigned int cpu, uint8_t vector);
void apic_send_nmi(unsigned int cpu);
// By APIC id, to start a CPU: page is that of its first instruction, below 256.
void apic_send_init(uint32_t apic_id);
void apic_send_startup(uint32_t apic_id, uint8_t page);

#endif
