// SPDX-License-Identifier: Apache-2.0
// Stands in for the hypervisor's: model-specific registers are the test's.
#ifndef TESTS_UNIT_APIC_REGISTERS_H
#define TESTS_UNIT_APIC_REGISTERS_H

#define read_msr read_msr_of_hardware
#define write_msr write_msr_of_hardware
#include_next <x86/registers.h>
#undef read_msr
#undef write_msr

uint64_t read_msr(uint32_t msr);
void write_msr(uint32_t msr, uint64_t value);

#endif
