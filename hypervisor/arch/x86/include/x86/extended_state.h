// SPDX-License-Identifier: Apache-2.0
// FPU and extended (XSAVE) state of vcpus.
#ifndef BULKHEAD_X86_EXTENDED_STATE_H
#define BULKHEAD_X86_EXTENDED_STATE_H

#include <bulkhead/types.h>

int extended_state_init_cpu(void); // 0, or -XEN_ENODEV: this CPU differs from the first
// State components that guests may have (bits of XCR0); 0 without XSAVE.
uint64_t extended_state_mask(void);
// The bits of MXCSR that the processor has.
uint32_t extended_state_mxcsr_mask(void);
void *extended_state_alloc(void); // in the state after reset; NULL: no memory
void extended_state_free(void *area);
// Saves what is in the processor, all components; leaves XCR0 full. Returns XCR0 as it was: a guest
// may change it without an exit (QEMU's SVM does not intercept XSETBV).
uint64_t extended_state_save(void *area);
// Loads an area and then sets XCR0 to what the vcpu had chosen.
void extended_state_load(const void *area, uint64_t xcr0);
// XSETBV by the guest, whose state is loaded; false if the value is not valid.
bool extended_state_set_xcr0(uint64_t value);

// Images of areas (extended_state_image.c), in the processor's standard form; for areas whose state
// is not loaded.
#define EXTENDED_STATE_LEGACY 512u              // bytes of x87 and SSE state at the beginning
bool extended_state_xcr0_valid(uint64_t value); // whether XCR0 could hold it
// Bytes of an area that hold the components.
size_t extended_state_size(uint64_t components);
void extended_state_reset(void *area);
// The components that are not as after reset.
uint64_t extended_state_in_use(const void *area);
// Whether the processor would load it: EXTENDED_STATE_LEGACY bytes; a whole image of components.
bool extended_state_legacy_valid(const void *image);
bool extended_state_image_valid(const void *image, uint64_t components);
// Take over a valid image; components that are not in it are as after reset.
void extended_state_put_legacy(void *area, const void *image);
void extended_state_put(void *area, const void *image, uint64_t components);

#endif
