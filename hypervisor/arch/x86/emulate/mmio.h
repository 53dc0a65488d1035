// SPDX-License-Identifier: Apache-2.0
/*
 * Emulation of one instruction that touches memory which must be emulated, in four steps:
 *
 *   x86_mmio_plan        what is read and written, where, how wide; changes nothing
 *   (caller)             reads access.size bytes at access.read_address, if access.reads
 *   x86_mmio_evaluate    computes the value to write, the registers, the flags; changes nothing
 *   (caller)             writes access.write_value at access.write_address, if access.writes
 *   x86_mmio_complete    changes the registers; cannot fail
 *
 * so that a caller who fails on the way has nothing to undo but its own work, and may keep the
 * struct x86_mmio_access (plain data) while a device model answers. No state, no locks.
 * Reference: AMD64 APM volume 3.
 *
 * What the processor would check is the caller's: translate both addresses with the guest's page
 * tables and the rights of its CPL, refuse non-canonical ones, and emulate only what those
 * translations say is emulated memory. A guest that changes its code while we look thus gains
 * nothing. Also the caller's: the interrupt shadow, single-stepping (RFLAGS.TF).
 */
#ifndef BULKHEAD_X86_EMULATE_MMIO_H
#define BULKHEAD_X86_EMULATE_MMIO_H

#include "decode.h"

/* The result of x86_mmio_plan for what it does not emulate; beside enum x86_decode_error. */
#define X86_MMIO_UNSUPPORTED (-4)

/* General registers in the order of their numbers (enum x86_register). */
struct x86_registers {
    uint64_t gpr[16];
    uint64_t rip;
    uint64_t rflags;
};

struct x86_mmio_access {
    /* For the caller. Addresses are linear; those of an access that does not happen are 0. */
    bool reads;
    bool writes;
    bool vector;  /* the value goes from or to vector_register; the caller transfers it */
    bool lock;    /* LOCK or XCHG: reading and writing were to be one atomic step */
    uint8_t size; /* bytes of each access: 1, 2, 4, 8; 16 for vectors */
    uint8_t vector_register;
    int8_t step;         /* string instructions: from one iteration's addresses to the next's */
    uint64_t iterations; /* left, this one included; 1 without REP; 0: nothing to do at all */
    uint64_t read_address;
    uint64_t write_address; /* differs from read_address for MOVS only, when both happen */
    uint64_t write_value;   /* valid after x86_mmio_evaluate; not for vectors */

    /* For x86_mmio_evaluate and x86_mmio_complete. */
    uint8_t operation; /* enum x86_operation */
    bool moves_rsi;    /* string instructions: which registers step */
    bool moves_rdi;
    bool to_register; /* the destination of the operation is a register, not memory */
    bool repeats;
    bool register_changes; /* result goes to destination; set by x86_mmio_evaluate */
    uint8_t address_size;
    uint8_t destination;       /* register number */
    uint8_t destination_shift; /* 8 for AH, CH, DH, BH */
    uint8_t destination_size;
    uint64_t source;    /* value of the operand that is not memory */
    uint64_t comparand; /* CMPXCHG: the accumulator */
    uint64_t result;
    uint64_t rflags;
    uint64_t next_rip;
};

/*
 * Plan the emulation of a decoded instruction with the registers as they are before it; their bits
 * above 31 are ignored where the mode has none. segment_base: by enum x86_segment, for ES to GS;
 * in 64-bit code only FS and GS are looked at. An access may cross a page: both are to translate.
 * Covers MOV, MOVZX, MOVSX, MOVSXD, MOVBE, MOVNTI, XCHG, XADD, CMPXCHG, ADD, OR, ADC, SBB, AND,
 * SUB, XOR, CMP, TEST, NOT, NEG, INC, DEC, BT, BTS, BTR, BTC, MOVS, STOS, LODS (one iteration), and
 * 16-byte SSE moves.
 * Returns 0, or X86_MMIO_UNSUPPORTED for another instruction or no memory operand.
 */
int x86_mmio_plan(const struct x86_instruction *instruction, const struct x86_registers *registers,
                  const uint64_t segment_base[X86_SEGMENTS], struct x86_mmio_access *access);

/*
 * The linear address of an instruction's memory operand (it has one: instruction->memory), for what
 * is carried out elsewhere. Registers and bases as for x86_mmio_plan.
 */
uint64_t x86_memory_address(const struct x86_instruction *instruction,
                            const struct x86_registers *registers,
                            const uint64_t segment_base[X86_SEGMENTS]);

/*
 * Compute with the value read: access.size bytes at access.read_address, higher bits ignored; any
 * value if nothing was to be read.
 */
void x86_mmio_evaluate(struct x86_mmio_access *access, uint64_t value);

/*
 * Apply an evaluated access to the registers it was planned with: results, flags, RIP. RIP stays
 * at a string instruction that has iterations left: plan again, after having looked for events.
 */
void x86_mmio_complete(const struct x86_mmio_access *access, struct x86_registers *registers);

#endif
