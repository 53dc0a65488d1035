// SPDX-License-Identifier: Apache-2.0
// FPU and extended (XSAVE) state of vcpus.
#ifndef BULKHEAD_X86_EXTENDED_STATE_H
#define BULKHEAD_X86_EXTENDED_STATE_H

#include <bulkhead/types.h>

int extended_state_init_cpu(void); // 0, or -XEN_ENODEV: this CPU differs from the first
// State components that guests may have (bits of XCR0); 0 without XSAVE.
uint64_t extended_state_mask(void);
void *extended_state_alloc(void); // in the state after reset; NULL: no memory
void extended_state_free(void *area);
// Saves what is in the processor, all components; leaves XCR0 full.
void extended_state_save(void *area);
// Loads an area and then sets XCR0 to what the vcpu had chosen.
void extended_state_load(const void *area, uint64_t xcr0);
// XSETBV by the guest, whose state is loaded; false if the value is not valid.
bool extended_state_set_xcr0(uint64_t value);

#endif
