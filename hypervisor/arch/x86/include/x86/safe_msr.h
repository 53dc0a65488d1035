// SPDX-License-Identifier: Apache-2.0
// MSR accesses that may fault, because the processor may lack the register or refuse the value.
#ifndef BULKHEAD_X86_SAFE_MSR_H
#define BULKHEAD_X86_SAFE_MSR_H

#include <bulkhead/types.h>

// True on success; *value is zero when the access faults.
bool read_msr_safe(uint32_t msr, uint64_t *value);
bool write_msr_safe(uint32_t msr, uint64_t value);
// XSETBV in the same manner: false when the processor refuses the value.
bool xsetbv_safe(uint32_t index, uint64_t value);

#endif
