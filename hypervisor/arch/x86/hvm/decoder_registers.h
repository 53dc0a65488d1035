// SPDX-License-Identifier: Apache-2.0
// A vcpu's registers as the instruction decoder's library takes them.
#ifndef BULKHEAD_DECODER_REGISTERS_H
#define BULKHEAD_DECODER_REGISTERS_H

#include <bulkhead/domain.h>
#include <x86/hvm.h>

#include "../emulate/mmio.h"

// v: the current vcpu; r: what it has. Fills the general registers and the segments' bases.
static inline void decoder_registers(const struct vcpu *v, const struct hvm_registers *r,
                                     struct x86_registers *registers, uint64_t bases[X86_SEGMENTS])
{
    for (unsigned int s = 0; s < X86_SEGMENTS; s++) {
        bases[s] = r->segment[s].base; // both count ES CS SS DS FS GS
    }
    for (unsigned int i = 0; i < ARRAY_SIZE(registers->gpr); i++) {
        registers->gpr[i] = v->arch.gpr[i];
    }
    registers->rip = v->arch.rip;
    registers->rflags = v->arch.rflags;
}

#endif
