// SPDX-License-Identifier: Apache-2.0
/*
 * Opcode attributes of the legacy maps, private to the decoder. One byte an opcode; zero means
 * that the opcode does not exist, so what nobody wrote down is refused. Constant data only.
 */
#ifndef BULKHEAD_X86_EMULATE_DECODE_TABLES_H
#define BULKHEAD_X86_EMULATE_DECODE_TABLES_H

#include <stdint.h>

/* What follows the opcode and ModRM bytes. */
enum x86_immediate_kind {
    IMMEDIATE_NONE,
    IMMEDIATE_BYTE,
    IMMEDIATE_WORD,
    IMMEDIATE_DWORD,
    IMMEDIATE_OPERAND,        /* operand size, at most 4 bytes */
    IMMEDIATE_FULL,           /* operand size, up to 8 bytes */
    IMMEDIATE_FAR,            /* operand-sized offset, 2-byte selector */
    IMMEDIATE_ENTER,          /* 2 bytes and 1 byte */
    IMMEDIATE_OFFSET,         /* an absolute address of address size: a memory operand */
    IMMEDIATE_GROUP3_BYTE,    /* one byte if ModRM.reg is 0 or 1 */
    IMMEDIATE_GROUP3_OPERAND, /* operand size if ModRM.reg is 0 or 1 */
    IMMEDIATE_EXTRACT,        /* two bytes with prefix 66 or F2 (EXTRQ, INSERTQ) */
    IMMEDIATE_CONTROL,        /* none; ModRM.mod is ignored, both operands are registers */
    IMMEDIATE_PREFIX,         /* not an opcode but a prefix */
};

#define OPCODE_IMMEDIATE_MASK 0x0f
#define OPCODE_MODRM 0x10
#define OPCODE_NOT_64 0x20   /* not in 64-bit code */
#define OPCODE_STACK_64 0x40 /* operand size defaults to 8 in 64-bit code */
#define OPCODE_DEFINED 0x80

extern const uint8_t x86_opcodes_one_byte[256];
extern const uint8_t x86_opcodes_0f[256];
extern const uint8_t x86_opcodes_0f38[256];
extern const uint8_t x86_opcodes_0f3a[256];

#endif
