// SPDX-License-Identifier: Apache-2.0
/*
 * Planning of emulated memory accesses: which operation an opcode is (struct form), where its
 * memory operand lies, what its other operand holds. Reads its arguments only; whatever is not
 * recognized leaves through X86_MMIO_UNSUPPORTED.
 */
#include "mmio.h"
#include "arithmetic.h"

#define STRING_SOURCE 1      /* reads at RSI */
#define STRING_DESTINATION 2 /* writes at RDI */

enum operand {
    OPERAND_NONE,
    OPERAND_REG,         /* ModRM.reg */
    OPERAND_ACCUMULATOR, /* AL, AX, EAX, RAX */
    OPERAND_IMMEDIATE,
};

/* What an opcode does, independent of the values. */
struct form {
    enum x86_operation operation;
    enum operand operand; /* the operand that is not memory */
    bool to_register;
    uint8_t size;          /* of the memory operand */
    uint8_t register_size; /* of the register operand */
    uint8_t string;        /* STRING_SOURCE, STRING_DESTINATION */
    bool vector;
};

static const struct form unsupported = {.operation = X86_OPERATION_NONE};

/* Even opcodes of most pairs work on bytes, odd ones on the operand size. */
static uint8_t width(const struct x86_instruction *instruction)
{
    return instruction->opcode & 1 ? instruction->operand_size : 1;
}

static struct form make_form(enum x86_operation operation, enum operand operand, bool to_register,
                             uint8_t size)
{
    return (struct form){
        .operation = operation,
        .operand = operand,
        .to_register = to_register,
        .size = size,
        .register_size = size,
    };
}

static struct form string_form(uint8_t string, enum operand operand, bool to_register, uint8_t size)
{
    struct form form = make_form(X86_OPERATION_MOVE, operand, to_register, size);

    form.string = string;
    return form;
}

static struct form extending_form(enum x86_operation operation, uint8_t size, uint8_t register_size)
{
    struct form form = make_form(operation, OPERAND_REG, true, size);

    form.register_size = register_size;
    return form;
}

/* Opcodes C6, C7, F6, F7, FE, FF: ModRM.reg tells the operation. */
static struct form group_form(const struct x86_instruction *instruction)
{
    static const uint8_t group3[8] = {X86_OPERATION_TEST, X86_OPERATION_TEST, X86_OPERATION_NOT,
                                      X86_OPERATION_NEG,  X86_OPERATION_NONE, X86_OPERATION_NONE,
                                      X86_OPERATION_NONE, X86_OPERATION_NONE};
    uint8_t size = width(instruction), reg = instruction->modrm >> 3 & 7;

    switch (instruction->opcode & 0xfe) {
    case 0xc6:
        return reg == 0 ? make_form(X86_OPERATION_MOVE, OPERAND_IMMEDIATE, false, size)
                        : unsupported;
    case 0xf6:
        return make_form((enum x86_operation)group3[reg],
                         reg < 2 ? OPERAND_IMMEDIATE : OPERAND_NONE, false, size);
    default:
        return reg < 2 ? make_form(reg ? X86_OPERATION_DEC : X86_OPERATION_INC, OPERAND_NONE, false,
                                   size)
                       : unsupported;
    }
}

static struct form one_byte_form(const struct x86_instruction *instruction)
{
    uint8_t opcode = instruction->opcode, size = width(instruction);

    if (opcode < 0x40) { /* rows of six arithmetic encodings, the first four with ModRM */
        return make_form((enum x86_operation)(opcode >> 3), OPERAND_REG, opcode & 2, size);
    }
    switch (opcode) {
    case 0x63: /* ARPL outside 64-bit code */
        return instruction->mode == X86_MODE_64
                   ? extending_form(X86_OPERATION_MOVE_SIGN, instruction->operand_size == 2 ? 2 : 4,
                                    instruction->operand_size)
                   : unsupported;
    case 0x80 ... 0x83:
        return make_form((enum x86_operation)(instruction->modrm >> 3 & 7), OPERAND_IMMEDIATE,
                         false, size);
    case 0x84 ... 0x85:
        return make_form(X86_OPERATION_TEST, OPERAND_REG, false, size);
    case 0x86 ... 0x87:
        return make_form(X86_OPERATION_EXCHANGE, OPERAND_REG, false, size);
    case 0x88 ... 0x8b:
        return make_form(X86_OPERATION_MOVE, OPERAND_REG, opcode & 2, size);
    case 0xa0 ... 0xa3:
        return make_form(X86_OPERATION_MOVE, OPERAND_ACCUMULATOR, !(opcode & 2), size);
    case 0xa4 ... 0xa5:
        return string_form(STRING_SOURCE | STRING_DESTINATION, OPERAND_NONE, false, size);
    case 0xaa ... 0xab:
        return string_form(STRING_DESTINATION, OPERAND_ACCUMULATOR, false, size);
    case 0xac ... 0xad:
        return string_form(STRING_SOURCE, OPERAND_ACCUMULATOR, true, size);
    case 0xc6 ... 0xc7:
    case 0xf6 ... 0xf7:
    case 0xfe ... 0xff:
        return group_form(instruction);
    default:
        return unsupported;
    }
}

/* 16-byte moves between memory and a vector register; prefixes choose among unlike instructions. */
static struct form vector_form(const struct x86_instruction *instruction)
{
    struct form form = make_form(X86_OPERATION_MOVE, OPERAND_NONE, false, 16);
    /* MOVUPS and MOVUPD are as good as each other here: none or 66, but not F2, F3. */
    bool packed = instruction->repeat == 0;
    bool prefix = packed && instruction->operand_prefix;
    bool known;

    form.vector = true;
    switch (instruction->opcode) {
    case 0x10: /* MOVUPS */
    case 0x28: /* MOVAPS */
        form.to_register = true;
        known = packed;
        break;
    case 0x11:
    case 0x29:
    case 0x2b: /* MOVNTPS */
        known = packed;
        break;
    case 0x6f: /* MOVDQA, MOVDQU */
        form.to_register = true;
        known = prefix || instruction->repeat == 0xf3;
        break;
    case 0x7f:
        known = prefix || instruction->repeat == 0xf3;
        break;
    case 0xe7: /* MOVNTDQ */
        known = prefix;
        break;
    case 0xf0: /* LDDQU */
        form.to_register = true;
        known = instruction->repeat == 0xf2;
        break;
    default:
        known = false;
        break;
    }
    return known ? form : unsupported;
}

static struct form two_byte_form(const struct x86_instruction *instruction)
{
    uint8_t opcode = instruction->opcode, size = instruction->operand_size;
    uint8_t reg = instruction->modrm >> 3 & 7;

    switch (opcode) {
    case 0xa3:
    case 0xab:
    case 0xb3:
    case 0xbb: /* BT, BTS, BTR, BTC */
        return make_form((enum x86_operation)(X86_OPERATION_BT + (opcode >> 3 & 3)), OPERAND_REG,
                         false, size);
    case 0xba:
        return reg >= 4 ? make_form((enum x86_operation)(X86_OPERATION_BT + (reg & 3)),
                                    OPERAND_IMMEDIATE, false, size)
                        : unsupported;
    case 0xb0 ... 0xb1:
        return make_form(X86_OPERATION_COMPARE_EXCHANGE, OPERAND_REG, false, width(instruction));
    case 0xb6 ... 0xb7:
        return extending_form(X86_OPERATION_MOVE, opcode & 1 ? 2 : 1, size);
    case 0xbe ... 0xbf:
        return extending_form(X86_OPERATION_MOVE_SIGN, opcode & 1 ? 2 : 1, size);
    case 0xc0 ... 0xc1:
        return make_form(X86_OPERATION_EXCHANGE_ADD, OPERAND_REG, false, width(instruction));
    case 0xc3: /* MOVNTI */
        return instruction->repeat == 0 && !instruction->operand_prefix
                   ? make_form(X86_OPERATION_MOVE, OPERAND_REG, false, size)
                   : unsupported;
    default:
        return vector_form(instruction);
    }
}

static struct form form_0f38(const struct x86_instruction *instruction)
{
    struct form form = make_form(X86_OPERATION_MOVE_REVERSE, OPERAND_REG,
                                 instruction->opcode == 0xf0, instruction->operand_size);

    if ((instruction->opcode & 0xfe) == 0xf0) { /* MOVBE; with F2 CRC32 */
        return instruction->repeat == 0 ? form : unsupported;
    }
    if (instruction->opcode == 0x2a && instruction->operand_prefix && instruction->repeat == 0) {
        form = make_form(X86_OPERATION_MOVE, OPERAND_NONE, true, 16); /* MOVNTDQA */
        form.vector = true;
        return form;
    }
    return unsupported;
}

static struct form form_of(const struct x86_instruction *instruction)
{
    if (instruction->encoding != X86_ENCODING_LEGACY) {
        return unsupported;
    }
    switch (instruction->map) {
    case X86_MAP_ONE_BYTE:
        return one_byte_form(instruction);
    case X86_MAP_0F:
        return two_byte_form(instruction);
    case X86_MAP_0F38:
        return form_0f38(instruction);
    default:
        return unsupported;
    }
}

static bool changes_memory(const struct form *form)
{
    return !form->to_register && form->operation != X86_OPERATION_CMP &&
           form->operation != X86_OPERATION_TEST && form->operation != X86_OPERATION_BT;
}

/* Plain moves to memory are the only operations that do not need the old value. */
static bool needs_memory(const struct form *form)
{
    return form->to_register ||
           (form->operation != X86_OPERATION_MOVE && form->operation != X86_OPERATION_MOVE_REVERSE);
}

static uint64_t linear_address(const struct x86_instruction *instruction,
                               const uint64_t segment_base[X86_SEGMENTS], uint8_t segment,
                               uint64_t offset)
{
    offset = x86_truncate(offset, instruction->address_size);
    if (instruction->mode != X86_MODE_64) {
        return (uint32_t)(offset + segment_base[segment]);
    }
    return segment == X86_FS || segment == X86_GS ? offset + segment_base[segment] : offset;
}

static uint64_t effective_offset(const struct x86_instruction *instruction,
                                 const struct x86_registers *registers, uint64_t next_rip)
{
    uint64_t offset = (uint64_t)instruction->displacement;

    if (instruction->base < 16) {
        offset += registers->gpr[instruction->base];
    } else if (instruction->base == X86_REGISTER_RIP) {
        offset += next_rip;
    }
    if (instruction->index < 16) {
        offset += registers->gpr[instruction->index] * instruction->scale;
    }
    return offset;
}

uint64_t x86_memory_address(const struct x86_instruction *instruction,
                            const struct x86_registers *registers,
                            const uint64_t segment_base[X86_SEGMENTS])
{
    uint64_t next_rip = registers->rip + instruction->length;

    return linear_address(instruction, segment_base, instruction->segment,
                          effective_offset(instruction, registers, next_rip));
}

/* AH, CH, DH and BH are the registers 4 to 7 of byte operands without REX. */
static bool is_high_byte(const struct x86_instruction *instruction, uint8_t number, uint8_t size)
{
    return size == 1 && instruction->rex == 0 && number >= 4;
}

/* The operand that is not memory: its value, and where the result of a register goes. */
static void plan_operand(const struct x86_instruction *instruction,
                         const struct x86_registers *registers, const struct form *form,
                         struct x86_mmio_access *access)
{
    uint8_t number = form->operand == OPERAND_REG ? instruction->reg : X86_RAX;

    if (form->operand == OPERAND_IMMEDIATE) {
        access->source = x86_truncate((uint64_t)instruction->immediate, form->size);
        return;
    }
    if (form->operand == OPERAND_NONE) {
        return;
    }
    access->destination_size = form->register_size;
    access->destination = number;
    if (is_high_byte(instruction, number, form->register_size)) {
        access->destination = number - 4;
        access->destination_shift = 8;
    }
    access->source = x86_truncate(registers->gpr[access->destination] >> access->destination_shift,
                                  form->register_size);
    if (form->operation == X86_OPERATION_COMPARE_EXCHANGE) {
        /* The register that changes is the accumulator. */
        access->comparand = x86_truncate(registers->gpr[X86_RAX], form->size);
        access->destination = X86_RAX;
        access->destination_shift = 0;
    }
}

/* Bit tests: the number is modulo the operand, but from a register it also moves the operand. */
static uint64_t plan_bit(const struct form *form, struct x86_mmio_access *access)
{
    unsigned int shift = 64 - 8 * form->size;
    unsigned int bits = 8 * form->size;
    int64_t number = (int64_t)(access->source << shift) >> shift;
    uint64_t moved = 0;

    if (form->operand == OPERAND_REG) {
        moved = (uint64_t)((number & ~(int64_t)(bits - 1)) / 8);
    }
    access->source = (uint64_t)number & (bits - 1);
    return moved;
}

static void plan_memory(const struct x86_instruction *instruction,
                        const struct x86_registers *registers, const uint64_t *segment_base,
                        const struct form *form, struct x86_mmio_access *access)
{
    uint64_t offset = effective_offset(instruction, registers, access->next_rip);
    uint64_t address;

    if (form->operation >= X86_OPERATION_BT && form->operation <= X86_OPERATION_BTC) {
        offset += plan_bit(form, access);
    }
    address = linear_address(instruction, segment_base, instruction->segment, offset);
    access->reads = needs_memory(form);
    access->writes = changes_memory(form);
    access->read_address = access->reads ? address : 0;
    access->write_address = access->writes ? address : 0;
}

static void plan_string(const struct x86_instruction *instruction,
                        const struct x86_registers *registers, const uint64_t *segment_base,
                        const struct form *form, struct x86_mmio_access *access)
{
    access->moves_rsi = form->string & STRING_SOURCE;
    access->moves_rdi = form->string & STRING_DESTINATION;
    access->step = (int8_t)(registers->rflags & X86_RFLAGS_DF ? -form->size : form->size);
    access->repeats = instruction->repeat != 0;
    if (access->repeats) {
        access->iterations = x86_truncate(registers->gpr[X86_RCX], instruction->address_size);
    }
    if (access->iterations == 0) {
        return;
    }
    if (access->moves_rsi) {
        access->reads = true;
        access->read_address = linear_address(instruction, segment_base, instruction->segment,
                                              registers->gpr[X86_RSI]);
    }
    if (access->moves_rdi) {
        access->writes = true;
        access->write_address =
            linear_address(instruction, segment_base, X86_ES, registers->gpr[X86_RDI]);
    }
}

/* LOCK is legal with what reads, changes and writes memory; elsewhere it raises #UD. */
static bool lock_is_legal(const struct x86_instruction *instruction, const struct form *form)
{
    return !instruction->lock ||
           (changes_memory(form) && needs_memory(form) && !form->vector && !form->string);
}

int x86_mmio_plan(const struct x86_instruction *instruction, const struct x86_registers *registers,
                  const uint64_t segment_base[X86_SEGMENTS], struct x86_mmio_access *access)
{
    struct form form = form_of(instruction);

    if (form.operation == X86_OPERATION_NONE || !lock_is_legal(instruction, &form) ||
        (!form.string && !instruction->memory)) {
        return X86_MMIO_UNSUPPORTED;
    }
    *access = (struct x86_mmio_access){
        .operation = (uint8_t)form.operation,
        .to_register = form.to_register,
        .vector = form.vector,
        .vector_register = form.vector ? instruction->reg : 0,
        .size = form.size,
        .lock = instruction->lock || form.operation == X86_OPERATION_EXCHANGE,
        .address_size = instruction->address_size,
        .iterations = 1,
        .rflags = registers->rflags,
        .next_rip = registers->rip + instruction->length,
    };
    if (instruction->mode != X86_MODE_64) {
        access->next_rip = (uint32_t)access->next_rip;
    }
    plan_operand(instruction, registers, &form, access);
    if (form.string) {
        plan_string(instruction, registers, segment_base, &form, access);
    } else {
        plan_memory(instruction, registers, segment_base, &form, access);
    }
    return 0;
}
