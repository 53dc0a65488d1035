// SPDX-License-Identifier: Apache-2.0
/*
 * The computing and completing halves of memory access emulation (see mmio.h). Both work on the
 * plan alone, which holds every value needed, and cannot fail.
 */
#include "mmio.h"
#include "arithmetic.h"

/* The low size (2, 4, 8) bytes of value, in the other byte order. */
static uint64_t reverse_bytes(uint64_t value, unsigned int size)
{
    return __builtin_bswap64(value) >> (64 - 8 * size);
}

static uint64_t extend_sign(uint64_t value, unsigned int size)
{
    unsigned int shift = 64 - 8 * size;

    return (uint64_t)((int64_t)(value << shift) >> shift);
}

static void evaluate_to_register(struct x86_mmio_access *access, uint64_t value)
{
    enum x86_operation operation = (enum x86_operation)access->operation;

    access->register_changes = operation != X86_OPERATION_CMP;
    switch (operation) {
    case X86_OPERATION_MOVE:
        access->result = value;
        break;
    case X86_OPERATION_MOVE_SIGN:
        access->result = extend_sign(value, access->size);
        break;
    case X86_OPERATION_MOVE_REVERSE:
        access->result = reverse_bytes(value, access->size);
        break;
    default:
        access->result =
            x86_arithmetic(operation, access->size, access->source, value, &access->rflags);
        break;
    }
}

static void evaluate_compare_exchange(struct x86_mmio_access *access, uint64_t value)
{
    x86_arithmetic(X86_OPERATION_CMP, access->size, access->comparand, value, &access->rflags);
    if (access->comparand == value) {
        access->write_value = access->source;
        return;
    }
    /* The processor writes in any case; so must we, for a device sees it. */
    access->write_value = value;
    access->result = value;
    access->register_changes = true;
}

static void evaluate_to_memory(struct x86_mmio_access *access, uint64_t value)
{
    enum x86_operation operation = (enum x86_operation)access->operation;

    switch (operation) {
    case X86_OPERATION_MOVE: /* MOVS moves what it has read */
        access->write_value = access->reads ? value : access->source;
        break;
    case X86_OPERATION_MOVE_REVERSE:
        access->write_value = reverse_bytes(access->source, access->size);
        break;
    case X86_OPERATION_EXCHANGE:
        access->write_value = access->source;
        access->result = value;
        access->register_changes = true;
        break;
    case X86_OPERATION_EXCHANGE_ADD:
        access->write_value =
            x86_arithmetic(X86_OPERATION_ADD, access->size, value, access->source, &access->rflags);
        access->result = value;
        access->register_changes = true;
        break;
    case X86_OPERATION_COMPARE_EXCHANGE:
        evaluate_compare_exchange(access, value);
        break;
    default:
        access->write_value =
            x86_arithmetic(operation, access->size, value, access->source, &access->rflags);
        break;
    }
}

void x86_mmio_evaluate(struct x86_mmio_access *access, uint64_t value)
{
    if (access->vector || access->iterations == 0) {
        return;
    }
    value = x86_truncate(value, access->size);
    if (access->to_register) {
        evaluate_to_register(access, value);
    } else {
        evaluate_to_memory(access, value);
    }
}

/* 4-byte writes clear the upper half of a register, smaller ones keep what is above them. */
static void write_register(uint64_t *target, unsigned int size, unsigned int shift, uint64_t value)
{
    uint64_t mask;

    if (size >= 4) {
        *target = x86_truncate(value, size);
        return;
    }
    mask = (size == 1 ? (uint64_t)0xff : (uint64_t)0xffff) << shift;
    *target = (*target & ~mask) | (value << shift & mask);
}

/* Move the string registers; returns whether iterations are left. */
static bool complete_string(const struct x86_mmio_access *access, struct x86_registers *registers)
{
    unsigned int size = access->address_size;
    uint64_t *gpr = registers->gpr;

    if (access->iterations == 0) {
        return false;
    }
    if (access->moves_rsi) {
        write_register(&gpr[X86_RSI], size, 0, gpr[X86_RSI] + (uint64_t)access->step);
    }
    if (access->moves_rdi) {
        write_register(&gpr[X86_RDI], size, 0, gpr[X86_RDI] + (uint64_t)access->step);
    }
    if (access->repeats) {
        write_register(&gpr[X86_RCX], size, 0, gpr[X86_RCX] - 1);
    }
    return access->iterations > 1;
}

void x86_mmio_complete(const struct x86_mmio_access *access, struct x86_registers *registers)
{
    if (access->register_changes) {
        write_register(&registers->gpr[access->destination], access->destination_size,
                       access->destination_shift, access->result);
    }
    if ((access->moves_rsi || access->moves_rdi) && complete_string(access, registers)) {
        return;
    }
    registers->rflags = access->rflags & ~(uint64_t)X86_RFLAGS_RF;
    registers->rip = access->next_rip;
}
