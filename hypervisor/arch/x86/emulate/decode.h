// SPDX-License-Identifier: Apache-2.0
/*
 * x86 instruction decoder: finds the form of one instruction (length, prefixes, opcode, ModRM
 * operand, immediates). A plain library: no global mutable state, no locks, no allocation, no
 * libc beyond memcpy; it builds for the hypervisor and for host tests alike.
 * References: AMD64 Architecture Programmer's Manual, volume 3, chapter 1 and appendix A;
 * Intel Software Developer's Manual, volume 2, chapter 2 and appendix A.
 * Errors are the negative values of enum x86_decode_error.
 */
#ifndef BULKHEAD_X86_EMULATE_DECODE_H
#define BULKHEAD_X86_EMULATE_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The architectural limit; a longer instruction raises #GP. */
#define X86_INSTRUCTION_MAX 15

/* Code size, from CS.L and CS.D. The value is the default address size in bytes. */
enum x86_mode {
    X86_MODE_16 = 2,
    X86_MODE_32 = 4,
    X86_MODE_64 = 8,
};

enum x86_decode_error {
    X86_DECODE_TRUNCATED = -1, /* the instruction goes on after the available bytes */
    X86_DECODE_INVALID = -2,   /* no instruction begins with these bytes, or over 15 of them */
    X86_DECODE_MISMATCH = -3,  /* an instruction, but not the expected one */
};

enum x86_encoding {
    X86_ENCODING_LEGACY,
    X86_ENCODING_VEX,
    X86_ENCODING_EVEX,
    X86_ENCODING_XOP,
};

/* Opcode maps, numbered as the map fields of VEX, EVEX and XOP number them. */
enum x86_opcode_map {
    X86_MAP_ONE_BYTE = 0,
    X86_MAP_0F = 1,
    X86_MAP_0F38 = 2,
    X86_MAP_0F3A = 3,
    X86_MAP_EVEX5 = 5,
    X86_MAP_EVEX6 = 6,
    X86_MAP_XOP8 = 8,
    X86_MAP_XOP9 = 9,
    X86_MAP_XOPA = 10,
};

/* Register numbers as instructions encode them; r8 to r15 are 8 to 15. */
enum x86_register {
    X86_RAX,
    X86_RCX,
    X86_RDX,
    X86_RBX,
    X86_RSP,
    X86_RBP,
    X86_RSI,
    X86_RDI,
    X86_R8,
    X86_R15 = 15,
    X86_REGISTER_RIP = 16, /* only as the base of a memory operand */
    X86_REGISTER_NONE = 17,
};

enum x86_segment {
    X86_ES,
    X86_CS,
    X86_SS,
    X86_DS,
    X86_FS,
    X86_GS,
    X86_SEGMENTS,
};

#define X86_REX_B 0x1
#define X86_REX_X 0x2
#define X86_REX_R 0x4
#define X86_REX_W 0x8

struct x86_instruction {
    uint8_t bytes[X86_INSTRUCTION_MAX]; /* copy of the input; the first length bytes are ours */
    uint8_t length;
    uint8_t mode;     /* enum x86_mode */
    uint8_t encoding; /* enum x86_encoding */
    uint8_t map;      /* enum x86_opcode_map */
    uint8_t opcode;   /* last opcode byte; 0x0f of the 0F map for 3DNow!, whose suffix is the
                         immediate */

    uint8_t operand_size; /* 2, 4 or 8 bytes; byte forms of opcodes are not reflected here */
    uint8_t address_size; /* 2, 4 or 8 bytes */
    uint8_t rex;          /* REX byte, or 0; for VEX, EVEX and XOP only the bits W, R, X, B */
    uint8_t repeat;       /* last of 0xf2 and 0xf3, or 0; the pp field for VEX, EVEX, XOP */
    bool operand_prefix;  /* 0x66 seen, or pp says so */
    bool address_prefix;  /* 0x67 seen */
    bool lock;
    bool segment_override; /* an override that has an effect in this mode was seen */
    uint8_t segment;       /* enum x86_segment of the memory operand, default or override */

    bool has_modrm;
    bool has_sib;
    bool memory; /* ModRM or an absolute offset (opcodes A0 to A3) names a memory operand */
    uint8_t modrm;
    uint8_t sib;
    uint8_t reg;   /* ModRM.reg with its extension bits */
    uint8_t rm;    /* register named by ModRM.rm with its extension bits, if not a memory operand */
    uint8_t base;  /* enum x86_register, for a memory operand */
    uint8_t index; /* enum x86_register, for a memory operand (vector index: the low 4 bits) */
    uint8_t scale; /* 1, 2, 4, 8; 0 without an index */

    uint8_t vvvv;          /* second source register of VEX, EVEX, XOP, not inverted */
    uint8_t vector_length; /* VEX.L or EVEX.L'L */

    uint8_t displacement_size; /* 0, 1, 2, 4, 8 */
    uint8_t immediate_size;    /* 0, 1, 2, 4, 8 */
    uint8_t immediate2_size;   /* far pointer's selector, ENTER's level, EXTRQ's second byte */
    uint16_t immediate2;
    int64_t displacement; /* sign-extended, not scaled by EVEX; A0 to A3: zero-extended */
    int64_t immediate;    /* sign-extended; of a far pointer, the offset */
};

/*
 * Decode the instruction at bytes. At most X86_INSTRUCTION_MAX bytes are read, each once, so
 * bytes may lie in memory that a guest can change meanwhile.
 * Returns the length (1 to 15) or an enum x86_decode_error; *out is meaningful only for a length.
 * Judged is whether the opcode exists in the mode for the legacy maps, and whether the map exists
 * for VEX, EVEX and XOP. Not judged is what has no bearing on length and operands: whether a
 * group's ModRM.reg, a LOCK, a mandatory prefix, a vector length are legal with this opcode.
 * Near branches follow AMD: an operand-size prefix makes their displacement 16 bits in 64-bit code.
 */
int x86_decode(struct x86_instruction *out, const uint8_t *bytes, size_t available,
               enum x86_mode mode);

#endif
