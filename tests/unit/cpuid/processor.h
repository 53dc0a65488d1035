// SPDX-License-Identifier: Apache-2.0
// A processor's CPUID for tests: a table that they may change.
#ifndef TESTS_UNIT_CPUID_PROCESSOR_H
#define TESTS_UNIT_CPUID_PROCESSOR_H

#include <x86/cpuid.h>

#define PROCESSOR_COMPONENTS 0xe7UL // of XCR0, in the standard layout
#define PROCESSOR_MXCSR_MASK 0x2ffffu

// A server processor with AVX-512 and all that hypervisors hide. Zero where it has no leaf.
void processor_reset(void);
struct cpuid_leaf *processor_leaf(uint32_t leaf, uint32_t subleaf);

#endif
