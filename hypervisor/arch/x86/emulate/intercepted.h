// SPDX-License-Identifier: Apache-2.0
/*
 * Length of an instruction whose intercept has told what it is. Processors without next-RIP save
 * leave this to the hypervisor, on its hottest path: the common encoding, without prefixes, is one
 * load and one comparison, inlined; everything else goes through x86_decode. No state, no locks.
 * Reference: AMD64 APM volume 2, section 15.7 (intercepts), and volume 3 for the encodings.
 */
#ifndef BULKHEAD_X86_EMULATE_INTERCEPTED_H
#define BULKHEAD_X86_EMULATE_INTERCEPTED_H

#include "decode.h"

/*
 * A value describes its instruction: bits 0 to 23 the first bytes in memory order, bits 24 to 27
 * how many of them to compare, bits 28 to 30 the length of the encoding without prefixes. Values
 * that compare no bytes have no fast form; for opcode 0F 01 the third byte is ModRM.reg.
 */
#define X86_INTERCEPTED(length, compared, bytes) ((length) << 28 | (compared) << 24 | (bytes))

enum x86_intercepted {
    X86_INTERCEPTED_CPUID = X86_INTERCEPTED(2, 2, 0xa20f),
    X86_INTERCEPTED_RDMSR = X86_INTERCEPTED(2, 2, 0x320f),
    X86_INTERCEPTED_WRMSR = X86_INTERCEPTED(2, 2, 0x300f),
    X86_INTERCEPTED_VMCALL = X86_INTERCEPTED(3, 3, 0xc1010f),
    X86_INTERCEPTED_VMMCALL = X86_INTERCEPTED(3, 3, 0xd9010f),
    X86_INTERCEPTED_HLT = X86_INTERCEPTED(1, 1, 0xf4),
    X86_INTERCEPTED_PAUSE = X86_INTERCEPTED(2, 2, 0x90f3),
    X86_INTERCEPTED_RDTSC = X86_INTERCEPTED(2, 2, 0x310f),
    X86_INTERCEPTED_RDTSCP = X86_INTERCEPTED(3, 3, 0xf9010f),
    X86_INTERCEPTED_RDPMC = X86_INTERCEPTED(2, 2, 0x330f),
    X86_INTERCEPTED_RDPRU = X86_INTERCEPTED(3, 3, 0xfd010f),
    X86_INTERCEPTED_INVD = X86_INTERCEPTED(2, 2, 0x080f),
    X86_INTERCEPTED_WBINVD = X86_INTERCEPTED(2, 2, 0x090f), /* and WBNOINVD */
    X86_INTERCEPTED_XSETBV = X86_INTERCEPTED(3, 3, 0xd1010f),
    X86_INTERCEPTED_MONITOR = X86_INTERCEPTED(3, 3, 0xc8010f),
    X86_INTERCEPTED_MWAIT = X86_INTERCEPTED(3, 3, 0xc9010f),
    X86_INTERCEPTED_CLTS = X86_INTERCEPTED(2, 2, 0x060f),
    X86_INTERCEPTED_MOV_FROM_CR = X86_INTERCEPTED(3, 2, 0x200f),
    X86_INTERCEPTED_MOV_TO_CR = X86_INTERCEPTED(3, 2, 0x220f),
    X86_INTERCEPTED_MOV_FROM_DR = X86_INTERCEPTED(3, 2, 0x210f),
    X86_INTERCEPTED_MOV_TO_DR = X86_INTERCEPTED(3, 2, 0x230f),
    X86_INTERCEPTED_SMSW = X86_INTERCEPTED(0, 0, 0x04010f),
    X86_INTERCEPTED_LMSW = X86_INTERCEPTED(0, 0, 0x06010f),
    X86_INTERCEPTED_INVLPG = X86_INTERCEPTED(0, 0, 0x07010f),
    X86_INTERCEPTED_IO = X86_INTERCEPTED(0, 0, 0), /* IN, OUT, INS, OUTS */
    X86_INTERCEPTED_INT3 = X86_INTERCEPTED(1, 1, 0xcc),
    X86_INTERCEPTED_INT = X86_INTERCEPTED(2, 1, 0xcd),
    X86_INTERCEPTED_INTO = X86_INTERCEPTED(1, 1, 0xce),
    X86_INTERCEPTED_ICEBP = X86_INTERCEPTED(1, 1, 0xf1),
    X86_INTERCEPTED_IRET = X86_INTERCEPTED(1, 1, 0xcf),
};

/* The general form of x86_intercepted_length, same contract. */
int x86_intercepted_length_decoded(const uint8_t *bytes, size_t available, enum x86_mode mode,
                                   enum x86_intercepted which);

/*
 * Length of the instruction at bytes, of which available can be read, if it is the intercepted
 * one; redundant prefixes are allowed. bytes may lie in memory that the guest can change: whatever
 * it becomes, what is returned holds for bytes that were there. Give 15 bytes where the page
 * allows; with fewer than 4 the fast form is not tried.
 * Returns 1 to 15, or an enum x86_decode_error; X86_DECODE_MISMATCH for another instruction.
 */
static inline int x86_intercepted_length(const uint8_t *bytes, size_t available, enum x86_mode mode,
                                         enum x86_intercepted which)
{
    unsigned int pattern = (unsigned int)which;
    unsigned int compared = pattern >> 24 & 15;
    uint32_t start;

    if (compared != 0 && available >= sizeof(start)) {
        __builtin_memcpy(&start, bytes, sizeof(start));
        if ((start ^ pattern) << (32 - 8 * compared) == 0) {
            return (int)(pattern >> 28);
        }
    }
    return x86_intercepted_length_decoded(bytes, available, mode, which);
}

#endif
