// SPDX-License-Identifier: Apache-2.0
/*
 * Comparison of x86_decode with libzydis, field by field: length, encoding, map, opcode, sizes,
 * prefixes, ModRM, SIB, displacement, immediates, and the operands those stand for.
 *
 * Justified differences, which are not reported:
 * - libzydis refuses what raises #UD for reasons without bearing on the length (LOCK where it is
 *   not allowed, undefined ModRM.reg of a group, undefined vector opcodes); decode.h says that
 *   x86_decode does not judge this. The converse, an instruction that only libzydis takes, is one.
 * - Xeon Phi's first generation alone has MVEX (62 with the reserved bit clear), VEX mask branches.
 * - Operand size: libzydis reports the semantic width, which instructions with operands of a fixed
 *   size force; compared is every instruction whose operands scale with the operand size. It
 *   reports 4 for IN and OUT with REX.W, ignores 66 for reserved NOPs, and for indirect near
 *   branches in 64-bit code, where AMD's processors do not.
 * - Address size: libzydis reports a fixed one for the SGX leaf functions and for MPX, which AMD's
 *   processors execute as NOPs. It takes 3E before indirect branches as CET's NOTRACK alone.
 * - libzydis 4.0 names r13d as the base of a SIB operand without base (ModRM.mod 0, base 5) under
 *   both 67 and REX.B; test_execution.c shows that there is none.
 */
#include <string.h>

#include <Zydis/Zydis.h>

#include "compare.h"

static ZydisDecoder decoders[3];

void compare_init(void)
{
    ZydisDecoderInit(&decoders[0], ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16);
    ZydisDecoderInit(&decoders[1], ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
    ZydisDecoderInit(&decoders[2], ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    for (int i = 0; i < 3; i++) {
        ZydisDecoderEnableMode(&decoders[i], ZYDIS_DECODER_MODE_AMD_BRANCHES, ZYAN_TRUE);
    }
}

static const ZydisDecoder *decoder_of(enum x86_mode mode)
{
    return &decoders[mode == X86_MODE_16 ? 0 : mode == X86_MODE_32 ? 1 : 2];
}

static int64_t sign_extend(uint64_t value, unsigned int bits)
{
    return bits == 0 ? 0 : (int64_t)(value << (64 - bits)) >> (64 - bits);
}

static const char *compare_opcode(const struct x86_instruction *ours,
                                  const ZydisDecodedInstruction *peer)
{
    static const uint8_t encodings[] = {
        [ZYDIS_INSTRUCTION_ENCODING_LEGACY] = X86_ENCODING_LEGACY,
        [ZYDIS_INSTRUCTION_ENCODING_3DNOW] = X86_ENCODING_LEGACY,
        [ZYDIS_INSTRUCTION_ENCODING_XOP] = X86_ENCODING_XOP,
        [ZYDIS_INSTRUCTION_ENCODING_VEX] = X86_ENCODING_VEX,
        [ZYDIS_INSTRUCTION_ENCODING_EVEX] = X86_ENCODING_EVEX,
    };
    static const uint8_t maps[] = {
        [ZYDIS_OPCODE_MAP_DEFAULT] = X86_MAP_ONE_BYTE, [ZYDIS_OPCODE_MAP_0F] = X86_MAP_0F,
        [ZYDIS_OPCODE_MAP_0F38] = X86_MAP_0F38,        [ZYDIS_OPCODE_MAP_0F3A] = X86_MAP_0F3A,
        [ZYDIS_OPCODE_MAP_MAP5] = X86_MAP_EVEX5,       [ZYDIS_OPCODE_MAP_MAP6] = X86_MAP_EVEX6,
        [ZYDIS_OPCODE_MAP_0F0F] = X86_MAP_0F,          [ZYDIS_OPCODE_MAP_XOP8] = X86_MAP_XOP8,
        [ZYDIS_OPCODE_MAP_XOP9] = X86_MAP_XOP9,        [ZYDIS_OPCODE_MAP_XOPA] = X86_MAP_XOPA,
    };
    uint8_t opcode = ours->opcode;

    if (peer->opcode_map == ZYDIS_OPCODE_MAP_0F0F) {
        if (ours->opcode != 0x0f) {
            return "3DNow! escape";
        }
        opcode = (uint8_t)ours->immediate;
    }
    if (ours->length != peer->length) {
        return "length";
    }
    if (ours->encoding != encodings[peer->encoding]) {
        return "encoding";
    }
    if (ours->map != maps[peer->opcode_map]) {
        return "map";
    }
    return opcode != peer->opcode ? "opcode" : NULL;
}

/* Whether an operand shows that the instruction scales with the operand size. */
static bool operand_scales(const ZydisDecodedInstruction *peer, const ZydisDecodedOperand *operands)
{
    if (peer->meta.isa_ext != ZYDIS_ISA_EXT_BASE || peer->meta.category == ZYDIS_CATEGORY_IO ||
        peer->meta.category == ZYDIS_CATEGORY_WIDENOP || peer->mnemonic == ZYDIS_MNEMONIC_NOP ||
        (peer->opcode == 0xff && peer->meta.branch_type == ZYDIS_BRANCH_TYPE_NEAR)) {
        return false;
    }
    for (int i = 0; i < peer->operand_count_visible; i++) {
        if ((operands[i].type == ZYDIS_OPERAND_TYPE_REGISTER ||
             operands[i].type == ZYDIS_OPERAND_TYPE_MEMORY) &&
            operands[i].size == peer->operand_width && peer->operand_width > 8) {
            return true;
        }
    }
    return false;
}

static const char *compare_sizes(const struct x86_instruction *ours,
                                 const ZydisDecodedInstruction *peer,
                                 const ZydisDecodedOperand *operands)
{
    if (ours->address_size * 8 != peer->address_width && peer->meta.isa_ext != ZYDIS_ISA_EXT_SGX &&
        peer->meta.isa_ext != ZYDIS_ISA_EXT_SGX_ENCLV && peer->meta.isa_ext != ZYDIS_ISA_EXT_MPX) {
        return "address size";
    }
    if (ours->encoding == X86_ENCODING_LEGACY && operand_scales(peer, operands) &&
        ours->operand_size * 8 != peer->operand_width) {
        return "operand size";
    }
    return NULL;
}

static const char *compare_prefixes(const struct x86_instruction *ours,
                                    const ZydisDecodedInstruction *peer)
{
    ZydisInstructionAttributes repeats =
        ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE;

    if (ours->lock != !!(peer->attributes & ZYDIS_ATTRIB_HAS_LOCK)) {
        return "lock";
    }
    if ((peer->attributes & repeats) && !ours->repeat) {
        return "repeat";
    }
    if (ours->encoding == X86_ENCODING_LEGACY &&
        (ours->operand_prefix != !!(peer->attributes & ZYDIS_ATTRIB_HAS_OPERANDSIZE)) &&
        !ours->operand_prefix) {
        return "operand prefix";
    }
    if (ours->address_prefix != !!(peer->attributes & ZYDIS_ATTRIB_HAS_ADDRESSSIZE)) {
        return "address prefix";
    }
    if (ours->encoding == X86_ENCODING_LEGACY &&
        (ours->rex & 15) != (peer->raw.rex.W << 3 | peer->raw.rex.R << 2 | peer->raw.rex.X << 1 |
                             peer->raw.rex.B)) {
        return "rex";
    }
    return NULL;
}

static const char *compare_modrm(const struct x86_instruction *ours,
                                 const ZydisDecodedInstruction *peer)
{
    bool modrm = peer->attributes & ZYDIS_ATTRIB_HAS_MODRM;
    bool sib = peer->attributes & ZYDIS_ATTRIB_HAS_SIB;

    if (ours->has_modrm != modrm || ours->has_sib != sib) {
        return "ModRM or SIB presence";
    }
    if (modrm &&
        ours->modrm != (peer->raw.modrm.mod << 6 | peer->raw.modrm.reg << 3 | peer->raw.modrm.rm)) {
        return "ModRM";
    }
    if (sib &&
        ours->sib != (peer->raw.sib.scale << 6 | peer->raw.sib.index << 3 | peer->raw.sib.base)) {
        return "SIB";
    }
    return NULL;
}

static const char *compare_values(const struct x86_instruction *ours,
                                  const ZydisDecodedInstruction *peer)
{
    unsigned int immediate = peer->raw.imm[0].size, second = peer->raw.imm[1].size;
    uint64_t suffix = 0;

    if (ours->displacement_size * 8 != peer->raw.disp.size) {
        return "displacement size";
    }
    if (sign_extend((uint64_t)ours->displacement, peer->raw.disp.size) !=
        sign_extend((uint64_t)peer->raw.disp.value, peer->raw.disp.size)) {
        return "displacement";
    }
    if (peer->opcode_map == ZYDIS_OPCODE_MAP_0F0F) {
        immediate = 8;
        suffix = peer->opcode;
    } else {
        suffix = peer->raw.imm[0].value.u;
    }
    if (ours->immediate_size * 8U != immediate || ours->immediate2_size * 8U != second) {
        return "immediate size";
    }
    if (ours->immediate != sign_extend(suffix, immediate)) {
        return "immediate";
    }
    return ours->immediate2 != (uint16_t)peer->raw.imm[1].value.u ? "second immediate" : NULL;
}

static uint8_t register_number(ZydisRegister name)
{
    if (name == ZYDIS_REGISTER_NONE) {
        return X86_REGISTER_NONE;
    }
    if (name == ZYDIS_REGISTER_RIP || name == ZYDIS_REGISTER_EIP) {
        return X86_REGISTER_RIP;
    }
    /* Byte registers without REX: AH to BH are numbered as encoded. */
    if (name >= ZYDIS_REGISTER_AL && name <= ZYDIS_REGISTER_BH) {
        return (uint8_t)(name - ZYDIS_REGISTER_AL);
    }
    if (name >= ZYDIS_REGISTER_SPL && name <= ZYDIS_REGISTER_R15B) {
        return (uint8_t)(name - ZYDIS_REGISTER_SPL + 4);
    }
    return (uint8_t)ZydisRegisterGetId(name);
}

static uint8_t segment_number(ZydisRegister name)
{
    return (uint8_t)(name - ZYDIS_REGISTER_ES);
}

static const char *compare_memory(const struct x86_instruction *ours,
                                  const ZydisDecodedOperand *operand, bool notrack)
{
    const ZydisDecodedOperandMem *memory = &operand->mem;
    bool without_base =
        ours->has_sib && ours->address_size == 4 && ours->modrm < 0x40 && (ours->sib & 7) == 5;

    if (!ours->memory) {
        return "memory operand";
    }
    if (memory->type != ZYDIS_MEMOP_TYPE_AGEN && memory->type != ZYDIS_MEMOP_TYPE_MIB && !notrack &&
        ours->segment != segment_number(memory->segment)) {
        return "segment";
    }
    if (ours->base != register_number(memory->base) &&
        !(without_base && memory->base == ZYDIS_REGISTER_R13D)) {
        return "base register";
    }
    if (memory->type == ZYDIS_MEMOP_TYPE_VSIB || memory->type == ZYDIS_MEMOP_TYPE_MIB) {
        return NULL; /* a vector index, or an index that the instruction takes otherwise */
    }
    if (ours->index != register_number(memory->index)) {
        return "index register";
    }
    return ours->scale != memory->scale ? "scale" : NULL;
}

static bool is_general(const ZydisDecodedOperand *operand)
{
    ZydisRegisterClass class = ZydisRegisterGetClass(operand->reg.value);

    return class == ZYDIS_REGCLASS_GPR8 || class == ZYDIS_REGCLASS_GPR16 ||
           class == ZYDIS_REGCLASS_GPR32 || class == ZYDIS_REGCLASS_GPR64;
}

/* Registers that are numbered as encoded, with all extension bits. */
static bool is_counted(const ZydisDecodedOperand *operand)
{
    ZydisRegisterClass class = ZydisRegisterGetClass(operand->reg.value);

    return is_general(operand) || class == ZYDIS_REGCLASS_XMM || class == ZYDIS_REGCLASS_YMM ||
           class == ZYDIS_REGCLASS_ZMM || class == ZYDIS_REGCLASS_CONTROL ||
           class == ZYDIS_REGCLASS_DEBUG;
}

static const char *compare_operand(const struct x86_instruction *ours,
                                   const ZydisDecodedInstruction *peer,
                                   const ZydisDecodedOperand *operand)
{
    uint8_t number;

    if (operand->type == ZYDIS_OPERAND_TYPE_MEMORY) {
        if (operand->encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM ||
            operand->encoding == ZYDIS_OPERAND_ENCODING_DISP16_32_64) {
            return compare_memory(ours, operand, peer->attributes & ZYDIS_ATTRIB_HAS_NOTRACK);
        }
        return NULL;
    }
    if (operand->type != ZYDIS_OPERAND_TYPE_REGISTER || !is_counted(operand)) {
        return NULL;
    }
    number = register_number(operand->reg.value);
    switch (operand->encoding) {
    case ZYDIS_OPERAND_ENCODING_MODRM_REG:
        return ours->reg != number ? "reg" : NULL;
    case ZYDIS_OPERAND_ENCODING_MODRM_RM:
        /* EVEX extends vector registers by X; r16 and above do not exist. */
        return (ours->rm & (number < 16 && is_general(operand) ? 15 : 31)) != number || ours->memory
                   ? "rm"
                   : NULL;
    case ZYDIS_OPERAND_ENCODING_NDSNDD:
        return ours->vvvv != number ? "vvvv" : NULL;
    default:
        return NULL;
    }
}

static const char *compare_all(const struct x86_instruction *ours,
                               const ZydisDecodedInstruction *peer,
                               const ZydisDecodedOperand *operands)
{
    const char *difference = compare_opcode(ours, peer);

    difference = difference ? difference : compare_sizes(ours, peer, operands);
    difference = difference ? difference : compare_prefixes(ours, peer);
    difference = difference ? difference : compare_modrm(ours, peer);
    difference = difference ? difference : compare_values(ours, peer);
    for (int i = 0; i < peer->operand_count && !difference; i++) {
        difference = compare_operand(ours, peer, &operands[i]);
    }
    return difference;
}

void compare_decode(struct comparison *out, const uint8_t *bytes, size_t available,
                    enum x86_mode mode)
{
    ZydisDecodedInstruction peer;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
    int length = x86_decode(&out->instruction, bytes, available, mode);

    out->difference = NULL;
    out->accepted = length > 0;
    out->peer_accepted =
        available > 0 &&
        ZYAN_SUCCESS(ZydisDecoderDecodeFull(decoder_of(mode), bytes, available, &peer, operands)) &&
        peer.encoding != ZYDIS_INSTRUCTION_ENCODING_MVEX &&
        peer.meta.isa_set != ZYDIS_ISA_SET_KNCJKBR;
    if (out->accepted && length != out->instruction.length) {
        out->difference = "returned length";
    } else if (out->peer_accepted) {
        out->difference =
            out->accepted ? compare_all(&out->instruction, &peer, operands) : "refused";
    }
}

bool compare_truncations(const struct x86_instruction *instruction)
{
    struct x86_instruction part;

    for (size_t available = 0; available < instruction->length; available++) {
        if (x86_decode(&part, instruction->bytes, available, (enum x86_mode)instruction->mode) !=
            X86_DECODE_TRUNCATED) {
            return false;
        }
    }
    return true;
}

uint64_t compare_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}
