// SPDX-License-Identifier: Apache-2.0
/*
 * Integer operations with flags. Carries are found from the operands' and the result's top bits,
 * so one formula serves all sizes. No state; every input is valid.
 */
#include "arithmetic.h"

#include <stdbool.h>

/* PF, ZF and SF follow from the result for every operation that sets them. */
static uint64_t result_flags(uint64_t result, unsigned int size)
{
    uint64_t flags = 0;

    if (!__builtin_parity((unsigned int)(result & 0xff))) {
        flags |= X86_RFLAGS_PF;
    }
    if (result == 0) {
        flags |= X86_RFLAGS_ZF;
    }
    if (result >> (8 * size - 1)) {
        flags |= X86_RFLAGS_SF;
    }
    return flags;
}

static void set_status(uint64_t *rflags, uint64_t changed, uint64_t status)
{
    *rflags = (*rflags & ~changed) | (status & changed);
}

/* Flags of an addition or subtraction, from the carry out of every bit and the result. */
static uint64_t carry_flags(uint64_t carries, uint64_t overflow, uint64_t result, unsigned int size)
{
    uint64_t flags = result_flags(result, size);

    if (carries >> (8 * size - 1) & 1) {
        flags |= X86_RFLAGS_CF;
    }
    if (carries >> 3 & 1) {
        flags |= X86_RFLAGS_AF;
    }
    if (overflow >> (8 * size - 1) & 1) {
        flags |= X86_RFLAGS_OF;
    }
    return flags;
}

static uint64_t add(unsigned int size, uint64_t a, uint64_t b, uint64_t carry, uint64_t changed,
                    uint64_t *rflags)
{
    uint64_t result = x86_truncate(a + b + carry, size);
    uint64_t carries = (a & b) | ((a | b) & ~result);

    set_status(rflags, changed, carry_flags(carries, (a ^ result) & (b ^ result), result, size));
    return result;
}

static uint64_t subtract(unsigned int size, uint64_t a, uint64_t b, uint64_t borrow,
                         uint64_t changed, uint64_t *rflags)
{
    uint64_t result = x86_truncate(a - b - borrow, size);
    uint64_t borrows = (~a & b) | ((~a | b) & result);

    set_status(rflags, changed, carry_flags(borrows, (a ^ b) & (a ^ result), result, size));
    return result;
}

static uint64_t logic(unsigned int size, uint64_t result, uint64_t *rflags)
{
    set_status(rflags, X86_RFLAGS_STATUS, result_flags(result, size));
    return result;
}

static uint64_t bit_operation(enum x86_operation operation, uint64_t destination, uint64_t number,
                              uint64_t *rflags)
{
    uint64_t bit = (uint64_t)1 << number;

    set_status(rflags, X86_RFLAGS_CF, destination & bit ? X86_RFLAGS_CF : 0);
    switch (operation) {
    case X86_OPERATION_BTS:
        return destination | bit;
    case X86_OPERATION_BTR:
        return destination & ~bit;
    case X86_OPERATION_BTC:
        return destination ^ bit;
    default:
        return destination;
    }
}

uint64_t x86_arithmetic(enum x86_operation operation, unsigned int size, uint64_t destination,
                        uint64_t source, uint64_t *rflags)
{
    const uint64_t all = X86_RFLAGS_STATUS, but_carry = X86_RFLAGS_STATUS & ~X86_RFLAGS_CF;
    uint64_t carry = *rflags & X86_RFLAGS_CF;

    switch (operation) {
    case X86_OPERATION_ADD:
        return add(size, destination, source, 0, all, rflags);
    case X86_OPERATION_ADC:
        return add(size, destination, source, carry, all, rflags);
    case X86_OPERATION_INC:
        return add(size, destination, 1, 0, but_carry, rflags);
    case X86_OPERATION_SUB:
        return subtract(size, destination, source, 0, all, rflags);
    case X86_OPERATION_SBB:
        return subtract(size, destination, source, carry, all, rflags);
    case X86_OPERATION_DEC:
        return subtract(size, destination, 1, 0, but_carry, rflags);
    case X86_OPERATION_NEG:
        return subtract(size, 0, destination, 0, all, rflags);
    case X86_OPERATION_CMP:
        subtract(size, destination, source, 0, all, rflags);
        return destination;
    case X86_OPERATION_OR:
        return logic(size, destination | source, rflags);
    case X86_OPERATION_AND:
        return logic(size, destination & source, rflags);
    case X86_OPERATION_XOR:
        return logic(size, destination ^ source, rflags);
    case X86_OPERATION_TEST:
        logic(size, destination & source, rflags);
        return destination;
    case X86_OPERATION_NOT:
        return x86_truncate(~destination, size);
    default:
        return bit_operation(operation, destination, source, rflags);
    }
}
