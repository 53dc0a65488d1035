// SPDX-License-Identifier: Apache-2.0
/*
 * Opcode attributes of the four legacy maps (AMD64 APM volume 3, appendix A; Intel SDM volume 2,
 * appendix A). Constant data; tests compare every entry with libzydis in all three modes.
 * Ranges are written as in the manuals' rows of sixteen.
 */
#include "decode_tables.h"

#define PLAIN OPCODE_DEFINED
#define BYTE (OPCODE_DEFINED | IMMEDIATE_BYTE)
#define WORD (OPCODE_DEFINED | IMMEDIATE_WORD)
#define OPERAND (OPCODE_DEFINED | IMMEDIATE_OPERAND)
#define PREFIX (OPCODE_DEFINED | IMMEDIATE_PREFIX)
#define MODRM (OPCODE_DEFINED | OPCODE_MODRM)
#define MODRM_BYTE (MODRM | IMMEDIATE_BYTE)
#define MODRM_OPERAND (MODRM | IMMEDIATE_OPERAND)

/* ADD, OR, ADC, SBB, AND, SUB, XOR, CMP: six encodings each at the same place of half a row. */
#define ARITHMETIC(first)                                                                          \
    [(first)...(first) + 3] = MODRM, [(first) + 4] = BYTE, [(first) + 5] = OPERAND

const uint8_t x86_opcodes_one_byte[256] = {
    ARITHMETIC(0x00),
    [0x06 ... 0x07] = PLAIN | OPCODE_NOT_64,
    ARITHMETIC(0x08),
    [0x0e] = PLAIN | OPCODE_NOT_64,
    ARITHMETIC(0x10),
    [0x16 ... 0x17] = PLAIN | OPCODE_NOT_64,
    ARITHMETIC(0x18),
    [0x1e ... 0x1f] = PLAIN | OPCODE_NOT_64,
    ARITHMETIC(0x20),
    [0x26] = PREFIX,
    [0x27] = PLAIN | OPCODE_NOT_64,
    ARITHMETIC(0x28),
    [0x2e] = PREFIX,
    [0x2f] = PLAIN | OPCODE_NOT_64,
    ARITHMETIC(0x30),
    [0x36] = PREFIX,
    [0x37] = PLAIN | OPCODE_NOT_64,
    ARITHMETIC(0x38),
    [0x3e] = PREFIX,
    [0x3f] = PLAIN | OPCODE_NOT_64,
    [0x40 ... 0x4f] = PLAIN | OPCODE_NOT_64, /* in 64-bit code: REX */
    [0x50 ... 0x5f] = PLAIN | OPCODE_STACK_64,
    [0x60 ... 0x61] = PLAIN | OPCODE_NOT_64,
    [0x62] = MODRM | OPCODE_NOT_64, /* or EVEX */
    [0x63] = MODRM,
    [0x64 ... 0x67] = PREFIX,
    [0x68] = OPERAND | OPCODE_STACK_64,
    [0x69] = MODRM_OPERAND,
    [0x6a] = BYTE | OPCODE_STACK_64,
    [0x6b] = MODRM_BYTE,
    [0x6c ... 0x6f] = PLAIN,
    [0x70 ... 0x7f] = BYTE | OPCODE_STACK_64,
    [0x80] = MODRM_BYTE,
    [0x81] = MODRM_OPERAND,
    [0x82] = MODRM_BYTE | OPCODE_NOT_64,
    [0x83] = MODRM_BYTE,
    [0x84 ... 0x8e] = MODRM,
    [0x8f] = MODRM | OPCODE_STACK_64, /* or XOP */
    [0x90 ... 0x99] = PLAIN,
    [0x9a] = OPCODE_DEFINED | IMMEDIATE_FAR | OPCODE_NOT_64,
    [0x9b] = PLAIN,
    [0x9c ... 0x9d] = PLAIN | OPCODE_STACK_64,
    [0x9e ... 0x9f] = PLAIN,
    [0xa0 ... 0xa3] = OPCODE_DEFINED | IMMEDIATE_OFFSET,
    [0xa4 ... 0xa7] = PLAIN,
    [0xa8] = BYTE,
    [0xa9] = OPERAND,
    [0xaa ... 0xaf] = PLAIN,
    [0xb0 ... 0xb7] = BYTE,
    [0xb8 ... 0xbf] = OPCODE_DEFINED | IMMEDIATE_FULL,
    [0xc0 ... 0xc1] = MODRM_BYTE,
    [0xc2] = WORD | OPCODE_STACK_64,
    [0xc3] = PLAIN | OPCODE_STACK_64,
    [0xc4 ... 0xc5] = MODRM | OPCODE_NOT_64, /* or VEX */
    [0xc6] = MODRM_BYTE,
    [0xc7] = MODRM_OPERAND,
    [0xc8] = OPCODE_DEFINED | IMMEDIATE_ENTER | OPCODE_STACK_64,
    [0xc9] = PLAIN | OPCODE_STACK_64,
    [0xca] = WORD,
    [0xcb ... 0xcc] = PLAIN,
    [0xcd] = BYTE,
    [0xce] = PLAIN | OPCODE_NOT_64,
    [0xcf] = PLAIN,
    [0xd0 ... 0xd3] = MODRM,
    [0xd4 ... 0xd5] = BYTE | OPCODE_NOT_64,
    [0xd6] = PLAIN | OPCODE_NOT_64,
    [0xd7] = PLAIN,
    [0xd8 ... 0xdf] = MODRM,
    [0xe0 ... 0xe3] = BYTE | OPCODE_STACK_64,
    [0xe4 ... 0xe7] = BYTE,
    [0xe8 ... 0xe9] = OPERAND | OPCODE_STACK_64,
    [0xea] = OPCODE_DEFINED | IMMEDIATE_FAR | OPCODE_NOT_64,
    [0xeb] = BYTE | OPCODE_STACK_64,
    [0xec ... 0xef] = PLAIN,
    [0xf0] = PREFIX,
    [0xf1] = PLAIN,
    [0xf2 ... 0xf3] = PREFIX,
    [0xf4 ... 0xf5] = PLAIN,
    [0xf6] = MODRM | IMMEDIATE_GROUP3_BYTE,
    [0xf7] = MODRM | IMMEDIATE_GROUP3_OPERAND,
    [0xf8 ... 0xfd] = PLAIN,
    [0xfe ... 0xff] = MODRM,
};

const uint8_t x86_opcodes_0f[256] = {
    [0x00 ... 0x03] = MODRM,
    [0x05 ... 0x09] = PLAIN,
    [0x0b] = PLAIN,
    [0x0d] = MODRM,
    [0x0e] = PLAIN,
    [0x0f] = MODRM_BYTE, /* 3DNow!: the suffix is the real opcode */
    [0x10 ... 0x1f] = MODRM,
    [0x20 ... 0x23] = MODRM | IMMEDIATE_CONTROL,
    [0x28 ... 0x2f] = MODRM,
    [0x30 ... 0x35] = PLAIN,
    [0x37] = PLAIN,
    [0x40 ... 0x6f] = MODRM,
    [0x70 ... 0x73] = MODRM_BYTE,
    [0x74 ... 0x76] = MODRM,
    [0x77] = PLAIN,
    [0x78] = MODRM | IMMEDIATE_EXTRACT,
    [0x79] = MODRM,
    [0x7c ... 0x7f] = MODRM,
    [0x80 ... 0x8f] = OPERAND | OPCODE_STACK_64,
    [0x90 ... 0x9f] = MODRM,
    [0xa0 ... 0xa1] = PLAIN | OPCODE_STACK_64,
    [0xa2] = PLAIN,
    [0xa3] = MODRM,
    [0xa4] = MODRM_BYTE,
    [0xa5 ... 0xa7] = MODRM,
    [0xa8 ... 0xa9] = PLAIN | OPCODE_STACK_64,
    [0xaa] = PLAIN,
    [0xab] = MODRM,
    [0xac] = MODRM_BYTE,
    [0xad ... 0xb9] = MODRM,
    [0xba] = MODRM_BYTE,
    [0xbb ... 0xc1] = MODRM,
    [0xc2] = MODRM_BYTE,
    [0xc3] = MODRM,
    [0xc4 ... 0xc6] = MODRM_BYTE,
    [0xc7] = MODRM,
    [0xc8 ... 0xcf] = PLAIN,
    [0xd0 ... 0xff] = MODRM,
};

const uint8_t x86_opcodes_0f38[256] = {
    [0x00 ... 0x0b] = MODRM, [0x10] = MODRM,          [0x14 ... 0x15] = MODRM,
    [0x17] = MODRM,          [0x1c ... 0x1e] = MODRM, [0x20 ... 0x25] = MODRM,
    [0x28 ... 0x2b] = MODRM, [0x30 ... 0x35] = MODRM, [0x37 ... 0x41] = MODRM,
    [0x80 ... 0x82] = MODRM, [0xc8 ... 0xcd] = MODRM, [0xcf] = MODRM,
    [0xd8] = MODRM,          [0xdb ... 0xdf] = MODRM, [0xf0 ... 0xf1] = MODRM,
    [0xf5 ... 0xf6] = MODRM, [0xf8 ... 0xfc] = MODRM,
};

const uint8_t x86_opcodes_0f3a[256] = {
    [0x08 ... 0x0f] = MODRM_BYTE, [0x14 ... 0x17] = MODRM_BYTE, [0x20 ... 0x22] = MODRM_BYTE,
    [0x40 ... 0x42] = MODRM_BYTE, [0x44] = MODRM_BYTE,          [0x60 ... 0x63] = MODRM_BYTE,
    [0xcc] = MODRM_BYTE,          [0xce ... 0xcf] = MODRM_BYTE, [0xdf] = MODRM_BYTE,
    [0xf0] = MODRM_BYTE,
};
