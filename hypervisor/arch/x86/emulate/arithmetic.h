// SPDX-License-Identifier: Apache-2.0
/*
 * The integer operations that instructions do on memory, with their effect on RFLAGS. Pure
 * functions, no state. Flags that the manuals leave undefined become what processors make of them:
 * AF is cleared by logic, OF, SF, AF, PF stay with bit tests. Reference: AMD64 APM volume 3.
 */
#ifndef BULKHEAD_X86_EMULATE_ARITHMETIC_H
#define BULKHEAD_X86_EMULATE_ARITHMETIC_H

#include <stdint.h>

#define X86_RFLAGS_CF 0x001
#define X86_RFLAGS_PF 0x004
#define X86_RFLAGS_AF 0x010
#define X86_RFLAGS_ZF 0x040
#define X86_RFLAGS_SF 0x080
#define X86_RFLAGS_DF 0x400
#define X86_RFLAGS_OF 0x800
#define X86_RFLAGS_RF 0x10000
#define X86_RFLAGS_STATUS 0x8d5 /* CF, PF, AF, ZF, SF, OF */

/* The first eight in the order of the opcodes, BT to BTC in that of their group. */
enum x86_operation {
    X86_OPERATION_ADD,
    X86_OPERATION_OR,
    X86_OPERATION_ADC,
    X86_OPERATION_SBB,
    X86_OPERATION_AND,
    X86_OPERATION_SUB,
    X86_OPERATION_XOR,
    X86_OPERATION_CMP,
    X86_OPERATION_TEST,
    X86_OPERATION_NOT,
    X86_OPERATION_NEG,
    X86_OPERATION_INC,
    X86_OPERATION_DEC,
    X86_OPERATION_BT,
    X86_OPERATION_BTS,
    X86_OPERATION_BTR,
    X86_OPERATION_BTC,
    /* Those below are not arithmetic; mmio.c does them. */
    X86_OPERATION_MOVE,
    X86_OPERATION_MOVE_SIGN,    /* sign-extending */
    X86_OPERATION_MOVE_REVERSE, /* MOVBE */
    X86_OPERATION_EXCHANGE,
    X86_OPERATION_EXCHANGE_ADD,
    X86_OPERATION_COMPARE_EXCHANGE,
    X86_OPERATION_NONE,
};

/* The low size (1, 2, 4, 8) bytes of value. */
static inline uint64_t x86_truncate(uint64_t value, unsigned int size)
{
    return value & ~(uint64_t)0 >> (64 - 8 * size);
}

/*
 * Do an operation up to X86_OPERATION_BTC on operands of size (1, 2, 4, 8) bytes, whose higher bits
 * must be zero; bit tests: source is a bit number below 8 * size. Updates *rflags, returns the new
 * destination (for CMP, TEST and BT the old one).
 */
uint64_t x86_arithmetic(enum x86_operation operation, unsigned int size, uint64_t destination,
                        uint64_t source, uint64_t *rflags);

#endif
