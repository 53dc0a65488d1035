// SPDX-License-Identifier: Apache-2.0
/*
 * Recognizing an intercepted instruction behind prefixes. Works on the decoder's copy of the
 * bytes; no state, no locks. Errors are those of x86_decode, and X86_DECODE_MISMATCH.
 */
#include "intercepted.h"

/* Opcode 0F 01 with ModRM.reg: SMSW, LMSW take a register or memory, INVLPG memory only. */
static bool is_group7(const struct x86_instruction *instruction, enum x86_intercepted which)
{
    return instruction->map == X86_MAP_0F && instruction->opcode == 0x01 &&
           (instruction->modrm >> 3 & 7) == ((unsigned int)which >> 16 & 7) &&
           (instruction->memory || which != X86_INTERCEPTED_INVLPG);
}

static bool is_io(const struct x86_instruction *instruction)
{
    uint8_t opcode = instruction->opcode;

    return instruction->map == X86_MAP_ONE_BYTE &&
           ((opcode & 0xfc) == 0x6c || (opcode & 0xf4) == 0xe4);
}

/* PAUSE is F3 with the opcode of XCHG RAX, RAX; with REX.B it would exchange with R8. */
static bool is_pause(const struct x86_instruction *instruction)
{
    return instruction->map == X86_MAP_ONE_BYTE && instruction->opcode == 0x90 &&
           instruction->repeat == 0xf3 && !(instruction->rex & X86_REX_B);
}

/* Compare with the encoding that the value of which spells out. */
static bool is_pattern(const struct x86_instruction *instruction, enum x86_intercepted which)
{
    unsigned int pattern = (unsigned int)which;

    if ((pattern & 0xff) != 0x0f) {
        return instruction->map == X86_MAP_ONE_BYTE && instruction->opcode == (pattern & 0xff);
    }
    if (instruction->map != X86_MAP_0F || instruction->opcode != (pattern >> 8 & 0xff)) {
        return false;
    }
    return (pattern >> 24 & 15) < 3 || instruction->modrm == (pattern >> 16 & 0xff);
}

/* LOCK raises #UD with all of these but MOV CRn, where AMD takes it as CR8's extension bit. */
static bool lock_allowed(enum x86_intercepted which)
{
    return which == X86_INTERCEPTED_MOV_FROM_CR || which == X86_INTERCEPTED_MOV_TO_CR;
}

int x86_intercepted_length_decoded(const uint8_t *bytes, size_t available, enum x86_mode mode,
                                   enum x86_intercepted which)
{
    struct x86_instruction instruction;
    int length = x86_decode(&instruction, bytes, available, mode);
    bool same;

    if (length < 0) {
        return length;
    }
    if (instruction.encoding != X86_ENCODING_LEGACY || (instruction.lock && !lock_allowed(which))) {
        return X86_DECODE_MISMATCH;
    }
    switch (which) {
    case X86_INTERCEPTED_SMSW:
    case X86_INTERCEPTED_LMSW:
    case X86_INTERCEPTED_INVLPG:
        same = is_group7(&instruction, which);
        break;
    case X86_INTERCEPTED_IO:
        same = is_io(&instruction);
        break;
    case X86_INTERCEPTED_PAUSE:
        same = is_pause(&instruction);
        break;
    default:
        same = is_pattern(&instruction, which);
        break;
    }
    return same ? length : X86_DECODE_MISMATCH;
}
