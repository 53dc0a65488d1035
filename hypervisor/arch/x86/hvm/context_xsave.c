// SPDX-License-Identifier: Apache-2.0
// The CPU_XSAVE record of the public HVM context: XCR0, and the XSAVE area in its standard form up
// to the last component that the vcpu has enabled or that holds something.
// The vcpu is paused. A record is checked as a whole before anything of it is taken.

#include <bulkhead/domain.h>
#include <bulkhead/string.h>
#include <x86/cpuid_policy.h>
#include <x86/extended_state.h>
#include <x86/hvm.h>
#include <xen/hvm/save.h>

#include "context_internal.h"

#define AREA offsetof(struct hvm_hw_cpu_xsave, save_area)
#define X87_AND_SSE 3UL

static uint32_t record_length(uint64_t components)
{
    return (uint32_t)(AREA + extended_state_size(components));
}

static uint64_t components_to_save(struct vcpu *v)
{
    struct hvm_switched_state state;

    hvm_get_switched_state(v, &state);
    return *state.xcr0 | extended_state_in_use(state.extended_state) | X87_AND_SSE;
}

uint32_t context_xsave_max(void)
{
    uint64_t all = extended_state_mask();

    return all ? record_length(all | X87_AND_SSE) : 0;
}

uint32_t context_xsave_present(const struct context *c, struct vcpu *v)
{
    uint64_t components = components_to_save(v);

    // A domain without XSAVE has all in its CPU record; so has a vcpu that is down.
    return context_cpu_present(c, v) && extended_state_mask() &&
                   cpuid_policy_allows_xcr0(v, components)
               ? record_length(components)
               : 0;
}

void context_xsave_save(const struct context *c, struct vcpu *v, void *data)
{
    uint64_t components = components_to_save(v);
    struct hvm_hw_cpu_xsave *record = data;
    struct hvm_switched_state state;

    (void)c;
    hvm_get_switched_state(v, &state);
    record->xfeature_mask = extended_state_mask();
    record->xcr0 = *state.xcr0;
    record->xcr0_accum = components;
    memcpy(&record->save_area, state.extended_state, extended_state_size(components));
}

int context_xsave_check(const struct context *c, struct vcpu *v, const void *data, uint32_t length)
{
    const struct hvm_hw_cpu_xsave *record = data;

    (void)c;
    if (length < sizeof(*record) || !extended_state_xcr0_valid(record->xcr0) ||
        !extended_state_xcr0_valid(record->xcr0_accum) || record->xcr0 & ~record->xcr0_accum ||
        !cpuid_policy_allows_xcr0(v, record->xcr0_accum) ||
        length != record_length(record->xcr0_accum) ||
        !extended_state_image_valid(&record->save_area, record->xcr0_accum)) {
        return -XEN_EINVAL;
    }
    return 0;
}

void context_xsave_load(const struct context *c, struct vcpu *v, const void *data)
{
    const struct hvm_hw_cpu_xsave *record = data;
    struct hvm_switched_state state;

    (void)c;
    hvm_get_switched_state(v, &state);
    extended_state_put(state.extended_state, &record->save_area, record->xcr0_accum);
    *state.xcr0 = record->xcr0;
}
