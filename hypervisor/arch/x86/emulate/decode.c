// SPDX-License-Identifier: Apache-2.0
/*
 * x86 instruction decoder, in the order of the bytes: prefixes, opcode with its map, ModRM and
 * SIB, displacement, immediates. All reads go through struct cursor, which knows the end; reading
 * beyond it gives zeros and marks the cursor, and the mark decides between the errors at the end.
 * No locks: every call works on its caller's struct x86_instruction only.
 */
#include "decode.h"
#include "decode_tables.h"

struct cursor {
    struct x86_instruction *out;
    size_t position;
    size_t end;
    bool overrun;
};

static inline uint8_t next_byte(struct cursor *cursor)
{
    if (cursor->position < cursor->end) {
        return cursor->out->bytes[cursor->position++];
    }
    cursor->overrun = true;
    return 0;
}

/* Read size (0, 1, 2, 4, 8) bytes, little-endian, sign-extended. */
static int64_t next_value(struct cursor *cursor, unsigned int size)
{
    const uint8_t *from = &cursor->out->bytes[cursor->position];
    int16_t word;
    int32_t dword;
    int64_t qword;

    if (size > cursor->end - cursor->position) {
        cursor->overrun = true;
        return 0;
    }
    cursor->position += size;
    switch (size) {
    case 1:
        return (int8_t)from[0];
    case 2:
        __builtin_memcpy(&word, from, sizeof(word));
        return word;
    case 4:
        __builtin_memcpy(&dword, from, sizeof(dword));
        return dword;
    case 8:
        __builtin_memcpy(&qword, from, sizeof(qword));
        return qword;
    default:
        return 0;
    }
}

static void take_segment(struct x86_instruction *out, enum x86_segment segment)
{
    /* 64-bit code knows overrides by FS and GS only; the others do not cancel them either. */
    if (out->mode == X86_MODE_64 && segment < X86_FS) {
        return;
    }
    out->segment = segment;
    out->segment_override = true;
}

static void take_prefix(struct x86_instruction *out, uint8_t prefix)
{
    switch (prefix) {
    case 0x26:
    case 0x2e:
    case 0x36:
    case 0x3e:
        take_segment(out, (enum x86_segment)(prefix >> 3 & 3));
        break;
    case 0x64:
    case 0x65:
        take_segment(out, (enum x86_segment)(prefix - 0x64 + X86_FS));
        break;
    case 0x66:
        out->operand_prefix = true;
        break;
    case 0x67:
        out->address_prefix = true;
        break;
    case 0xf0:
        out->lock = true;
        break;
    default:
        out->repeat = prefix;
        break;
    }
}

/* Take all prefixes; return the byte that is none. */
static uint8_t decode_prefixes(struct cursor *cursor)
{
    struct x86_instruction *out = cursor->out;

    for (;;) {
        uint8_t byte = next_byte(cursor);

        if (out->mode == X86_MODE_64 && (byte & 0xf0) == 0x40) {
            out->rex = byte;
        } else if ((x86_opcodes_one_byte[byte] & OPCODE_IMMEDIATE_MASK) == IMMEDIATE_PREFIX) {
            take_prefix(out, byte);
            out->rex = 0; /* REX counts only right before the opcode */
        } else {
            return byte;
        }
    }
}

static void set_sizes(struct x86_instruction *out, uint8_t attributes)
{
    out->address_size = out->mode;
    if (out->address_prefix) {
        out->address_size = out->mode == X86_MODE_32 ? 2 : 4;
    }

    if (out->mode == X86_MODE_64) {
        if (out->rex & X86_REX_W) {
            out->operand_size = 8;
        } else if (out->operand_prefix && out->encoding == X86_ENCODING_LEGACY) {
            out->operand_size = 2;
        } else {
            out->operand_size = attributes & OPCODE_STACK_64 ? 8 : 4;
        }
    } else {
        bool prefix = out->operand_prefix && out->encoding == X86_ENCODING_LEGACY;

        out->operand_size = (out->mode == X86_MODE_32) != prefix ? 4 : 2;
    }
}

/* Legacy opcodes: follow the escapes to the map and return the opcode's attributes, 0 if none. */
static uint8_t decode_opcode(struct cursor *cursor, uint8_t byte)
{
    struct x86_instruction *out = cursor->out;

    out->opcode = byte;
    if (byte != 0x0f) {
        return x86_opcodes_one_byte[byte];
    }
    out->opcode = next_byte(cursor);
    switch (out->opcode) {
    case 0x38:
        out->map = X86_MAP_0F38;
        out->opcode = next_byte(cursor);
        return x86_opcodes_0f38[out->opcode];
    case 0x3a:
        out->map = X86_MAP_0F3A;
        out->opcode = next_byte(cursor);
        return x86_opcodes_0f3a[out->opcode];
    default:
        out->map = X86_MAP_0F;
        return x86_opcodes_0f[out->opcode];
    }
}

/* Take the inverted R, X, B bits at the top of a prefix byte; only 64-bit code has them. */
static void take_extension(struct x86_instruction *out, uint8_t byte)
{
    if (out->mode == X86_MODE_64) {
        out->rex |= (uint8_t)~byte >> 5;
    }
}

/* Take W, vvvv, pp: laid out alike in VEX, EVEX and XOP. */
static void take_vector_byte(struct x86_instruction *out, uint8_t byte)
{
    static const uint8_t repeats[4] = {0, 0, 0xf3, 0xf2};

    out->vvvv = (uint8_t)~byte >> 3 & (out->mode == X86_MODE_64 ? 15 : 7);
    out->vector_length = byte >> 2 & 1;
    out->operand_prefix = (byte & 3) == 1;
    out->repeat = repeats[byte & 3];
    if (byte & 0x80) {
        out->rex |= X86_REX_W;
    }
}

/* Immediates of the vector maps: all opcodes of the same map and column have the same. */
static uint8_t vector_attributes(const struct x86_instruction *out)
{
    switch (out->map) {
    case X86_MAP_0F:
        if (out->opcode == 0x77 && out->encoding == X86_ENCODING_VEX) {
            return OPCODE_DEFINED; /* VZEROUPPER, VZEROALL */
        }
        if ((x86_opcodes_0f[out->opcode] & OPCODE_IMMEDIATE_MASK) == IMMEDIATE_BYTE &&
            (x86_opcodes_0f[out->opcode] & OPCODE_MODRM)) {
            return OPCODE_DEFINED | OPCODE_MODRM | IMMEDIATE_BYTE;
        }
        return OPCODE_DEFINED | OPCODE_MODRM;
    case X86_MAP_0F38:
    case X86_MAP_EVEX5:
    case X86_MAP_EVEX6:
    case X86_MAP_XOP9:
        return OPCODE_DEFINED | OPCODE_MODRM;
    case X86_MAP_0F3A:
    case X86_MAP_XOP8:
        return OPCODE_DEFINED | OPCODE_MODRM | IMMEDIATE_BYTE;
    case X86_MAP_XOPA:
        return OPCODE_DEFINED | OPCODE_MODRM | IMMEDIATE_DWORD;
    default:
        return 0;
    }
}

/* C5, C4 and 8F: two or three bytes, then the opcode. */
static uint8_t decode_vex(struct cursor *cursor, uint8_t byte)
{
    struct x86_instruction *out = cursor->out;
    uint8_t first = next_byte(cursor);

    if (byte == 0xc5) {
        out->map = X86_MAP_0F;
        take_extension(out, first | 0x60);
        take_vector_byte(out, first & 0x7f);
    } else {
        out->map = first & 0x1f;
        take_extension(out, first);
        take_vector_byte(out, next_byte(cursor));
        if (byte == 0xc4 && (out->map < X86_MAP_0F || out->map > X86_MAP_0F3A)) {
            return 0;
        }
    }
    out->opcode = next_byte(cursor);
    return vector_attributes(out);
}

static uint8_t decode_evex(struct cursor *cursor)
{
    struct x86_instruction *out = cursor->out;
    uint8_t first = next_byte(cursor);
    uint8_t second = next_byte(cursor);
    uint8_t third = next_byte(cursor);

    if ((first & 0x08) || !(second & 0x04)) {
        return 0; /* reserved bits */
    }
    out->map = first & 7;
    take_extension(out, first);
    take_vector_byte(out, second);
    out->vector_length = third >> 5 & 3;
    if (out->mode == X86_MODE_64) {
        /* The fifth register bits: R' of ModRM.reg, V' of vvvv. */
        out->reg = first & 0x10 ? 0 : 16;
        out->vvvv |= third & 0x08 ? 0 : 16;
    }
    out->opcode = next_byte(cursor);
    return vector_attributes(out);
}

/*
 * Whether an opcode of C4, C5, 62 or 8F begins a vector prefix. Outside 64-bit code the first
 * three are LES, LDS and BOUND unless ModRM would name a register, which those refuse; 8F is POP
 * unless the map field has a value that no defined POP has.
 */
static enum x86_encoding vector_encoding(const struct cursor *cursor, uint8_t byte)
{
    const struct x86_instruction *out = cursor->out;
    uint8_t next = cursor->position < cursor->end ? out->bytes[cursor->position] : 0;
    bool taken = out->mode == X86_MODE_64 || next >= 0xc0;

    switch (byte) {
    case 0xc4:
    case 0xc5:
        return taken ? X86_ENCODING_VEX : X86_ENCODING_LEGACY;
    case 0x62:
        return taken ? X86_ENCODING_EVEX : X86_ENCODING_LEGACY;
    case 0x8f:
        return (next & 0x1f) >= X86_MAP_XOP8 ? X86_ENCODING_XOP : X86_ENCODING_LEGACY;
    default:
        return X86_ENCODING_LEGACY;
    }
}

static uint8_t decode_vector(struct cursor *cursor, uint8_t byte)
{
    struct x86_instruction *out = cursor->out;

    if (out->lock || out->operand_prefix || out->repeat || out->rex) {
        return 0; /* #UD before these encodings */
    }
    return out->encoding == X86_ENCODING_EVEX ? decode_evex(cursor) : decode_vex(cursor, byte);
}

static void decode_memory_16(struct cursor *cursor, uint8_t mod)
{
    static const uint8_t bases[8] = {X86_RBX, X86_RBX, X86_RBP, X86_RBP,
                                     X86_RSI, X86_RDI, X86_RBP, X86_RBX};
    struct x86_instruction *out = cursor->out;
    uint8_t rm = out->modrm & 7;

    out->displacement_size = mod;
    out->base = bases[rm];
    if (rm < 4) {
        out->index = rm & 1 ? X86_RDI : X86_RSI;
        out->scale = 1;
    } else if (rm == 6 && mod == 0) {
        out->base = X86_REGISTER_NONE;
        out->displacement_size = 2;
    }
}

static void decode_sib(struct cursor *cursor, uint8_t mod)
{
    struct x86_instruction *out = cursor->out;

    out->has_sib = true;
    out->sib = next_byte(cursor);
    out->base = (out->sib & 7) | (out->rex & X86_REX_B) << 3;
    out->index = (out->sib >> 3 & 7) | (out->rex & X86_REX_X) << 2;
    out->scale = 1 << (out->sib >> 6);
    if (out->index == X86_RSP) {
        out->index = X86_REGISTER_NONE;
        out->scale = 0;
    }
    if ((out->sib & 7) == 5 && mod == 0) {
        out->base = X86_REGISTER_NONE;
        out->displacement_size = 4;
    }
}

static void decode_memory_32(struct cursor *cursor, uint8_t mod)
{
    struct x86_instruction *out = cursor->out;
    uint8_t rm = out->modrm & 7;

    out->displacement_size = mod == 2 ? 4 : mod;
    if (rm == 4) {
        decode_sib(cursor, mod);
    } else if (rm == 5 && mod == 0) {
        out->base = out->mode == X86_MODE_64 ? X86_REGISTER_RIP : X86_REGISTER_NONE;
        out->displacement_size = 4;
    } else {
        out->base = rm | (out->rex & X86_REX_B) << 3;
    }
}

static void decode_modrm(struct cursor *cursor, uint8_t kind)
{
    struct x86_instruction *out = cursor->out;
    uint8_t mod;

    out->has_modrm = true;
    out->modrm = next_byte(cursor);
    mod = out->modrm >> 6;
    out->reg |= (out->modrm >> 3 & 7) | (out->rex & X86_REX_R) << 1;
    if (mod == 3 || kind == IMMEDIATE_CONTROL) {
        out->rm = (out->modrm & 7) | (out->rex & X86_REX_B) << 3;
        if (out->encoding == X86_ENCODING_EVEX) {
            out->rm |= (out->rex & X86_REX_X) << 3;
        }
        return;
    }

    out->memory = true;
    if (out->address_size == 2) {
        decode_memory_16(cursor, mod);
    } else {
        decode_memory_32(cursor, mod);
    }
    if (!out->segment_override && (out->base == X86_RSP || out->base == X86_RBP)) {
        out->segment = X86_SS;
    }
    out->displacement = next_value(cursor, out->displacement_size);
}

static void decode_immediate(struct cursor *cursor, uint8_t kind)
{
    struct x86_instruction *out = cursor->out;
    uint8_t operand = out->operand_size == 2 ? 2 : 4;

    switch (kind) {
    case IMMEDIATE_BYTE:
        out->immediate_size = 1;
        break;
    case IMMEDIATE_WORD:
        out->immediate_size = 2;
        break;
    case IMMEDIATE_DWORD:
        out->immediate_size = 4;
        break;
    case IMMEDIATE_OPERAND:
        out->immediate_size = operand;
        break;
    case IMMEDIATE_FULL:
        out->immediate_size = out->operand_size;
        break;
    case IMMEDIATE_FAR:
        out->immediate_size = operand;
        out->immediate2_size = 2;
        break;
    case IMMEDIATE_ENTER:
        out->immediate_size = 2;
        out->immediate2_size = 1;
        break;
    case IMMEDIATE_GROUP3_BYTE:
        out->immediate_size = (out->modrm & 0x30) == 0 ? 1 : 0;
        break;
    case IMMEDIATE_GROUP3_OPERAND:
        out->immediate_size = (out->modrm & 0x30) == 0 ? operand : 0;
        break;
    case IMMEDIATE_EXTRACT:
        if (out->repeat == 0xf2 || (out->operand_prefix && out->repeat == 0)) {
            out->immediate_size = 1;
            out->immediate2_size = 1;
        }
        break;
    default:
        return;
    }
    out->immediate = next_value(cursor, out->immediate_size);
    if (out->immediate2_size) {
        out->immediate2 = (uint16_t)next_value(cursor, out->immediate2_size);
        if (out->immediate2_size == 1) {
            out->immediate2 &= 0xff;
        }
    }
}

/* Opcodes A0 to A3: the address itself follows, as wide as addresses are. */
static void decode_offset(struct cursor *cursor)
{
    struct x86_instruction *out = cursor->out;
    uint64_t offset;

    out->memory = true;
    out->displacement_size = out->address_size;
    offset = (uint64_t)next_value(cursor, out->address_size);
    if (out->address_size < 8) {
        offset &= ((uint64_t)1 << out->address_size * 8) - 1;
    }
    out->displacement = (int64_t)offset;
}

/* Everything behind the opcode. */
static void decode_operands(struct cursor *cursor, uint8_t attributes)
{
    struct x86_instruction *out = cursor->out;
    uint8_t kind = attributes & OPCODE_IMMEDIATE_MASK;

    set_sizes(out, attributes);
    if (attributes & OPCODE_MODRM) {
        decode_modrm(cursor, kind);
    }
    if (kind == IMMEDIATE_OFFSET) {
        decode_offset(cursor);
    } else if (kind != IMMEDIATE_NONE) {
        decode_immediate(cursor, kind);
    }
    if (out->map == X86_MAP_ONE_BYTE && out->opcode == 0xff && out->operand_size == 4 &&
        out->mode == X86_MODE_64 && (out->reg & 7) >= 2 && !(out->reg & 1)) {
        out->operand_size = 8; /* near CALL, near JMP, PUSH */
    } else if (kind == IMMEDIATE_CONTROL) {
        out->operand_size = out->mode == X86_MODE_64 ? 8 : 4;
    }
}

static void copy_bytes(struct x86_instruction *out, const uint8_t *bytes, size_t available)
{
    if (available >= X86_INSTRUCTION_MAX) {
        __builtin_memcpy(out->bytes, bytes, X86_INSTRUCTION_MAX);
        return;
    }
    for (size_t i = 0; i < available; i++) {
        out->bytes[i] = bytes[i];
    }
}

int x86_decode(struct x86_instruction *out, const uint8_t *bytes, size_t available,
               enum x86_mode mode)
{
    struct cursor cursor = {.out = out, .end = available};
    uint8_t attributes, byte;

    if (available > X86_INSTRUCTION_MAX) {
        cursor.end = X86_INSTRUCTION_MAX;
    }
    *out = (struct x86_instruction){
        .mode = (uint8_t)mode,
        .segment = X86_DS,
        .base = X86_REGISTER_NONE,
        .index = X86_REGISTER_NONE,
    };
    copy_bytes(out, bytes, available);

    byte = decode_prefixes(&cursor);
    out->encoding = vector_encoding(&cursor, byte);
    if (out->encoding == X86_ENCODING_LEGACY) {
        attributes = decode_opcode(&cursor, byte);
    } else {
        attributes = decode_vector(&cursor, byte);
    }
    if (!cursor.overrun && !(attributes & OPCODE_DEFINED)) {
        return X86_DECODE_INVALID;
    }
    if (out->mode == X86_MODE_64 && out->encoding == X86_ENCODING_LEGACY &&
        out->map == X86_MAP_ONE_BYTE && (attributes & OPCODE_NOT_64)) {
        return X86_DECODE_INVALID;
    }
    if (!cursor.overrun) {
        decode_operands(&cursor, attributes);
    }
    if (cursor.overrun) {
        return available < X86_INSTRUCTION_MAX ? X86_DECODE_TRUNCATED : X86_DECODE_INVALID;
    }
    out->length = (uint8_t)cursor.position;
    return out->length;
}
