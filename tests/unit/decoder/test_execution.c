// SPDX-License-Identifier: Apache-2.0
/*
 * MMIO emulation against the processor: each supported instruction, composed with pseudo-random
 * prefixes, operands and register values, is executed for real on a data arena and emulated on a
 * copy of it; registers, memory, flags, vector registers must come out equal. 64-bit code, and
 * 32-bit code where the host's kernel allows it.
 * The composing code aims the memory operand at the arena on its own, from ModRM; a wrong address
 * of the emulator then shows as an access outside, or as different memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "arithmetic.h"
#include "compare.h"
#include "mmio.h"
#include "native.h"

#define CASES 6000
#define FLAGS (X86_RFLAGS_STATUS | X86_RFLAGS_DF)

enum traits {
    TRAIT_LOCK = 1,   /* may have LOCK */
    TRAIT_STRING = 2, /* may have REP */
    TRAIT_PLAIN = 4,  /* prefixes 66, F2, F3 would make it another instruction */
    TRAIT_BIT = 8,    /* a bit number in the register moves the operand */
    TRAIT_ONLY_64 = 16,
    TRAIT_ALIGNED = 32, /* the processor wants 16-byte alignment */
    TRAIT_NOT_64 = 64,
};

/* A kind of instruction: mandatory prefix or 0, opcode, ModRM.reg of a group or -1. */
struct kind {
    const char *name;
    uint8_t prefix;
    uint8_t length;
    uint8_t opcode[3];
    int8_t group;
    uint8_t traits;
};

#define ARITHMETIC(name, first, locks)                                                             \
    {name " m8, r8", 0, 1, {first}, -1, locks}, {name " m, r", 0, 1, {(first) + 1}, -1, locks},    \
        {name " r8, m8", 0, 1, {(first) + 2}, -1, 0}, {name " r, m", 0, 1, {(first) + 3}, -1, 0},  \
        {name " m8, imm8", 0, 1, {0x80}, (first) >> 3, locks},                                     \
        {name " m, imm", 0, 1, {0x81}, (first) >> 3, locks},                                       \
        {name " m8, imm8 (82)", 0, 1, {0x82}, (first) >> 3, (locks) | TRAIT_NOT_64},               \
    {                                                                                              \
        name " m, imm8", 0, 1, {0x83}, (first) >> 3, locks                                         \
    }

#define BIT(name, opcode, number, locks)                                                           \
    {name " m, r", 0, 2, {0x0f, opcode}, -1, TRAIT_BIT | (locks)},                                 \
    {                                                                                              \
        name " m, imm8", 0, 2, {0x0f, 0xba}, number, locks                                         \
    }

static const struct kind kinds[] = {
    ARITHMETIC("add", 0x00, TRAIT_LOCK),
    ARITHMETIC("or", 0x08, TRAIT_LOCK),
    ARITHMETIC("adc", 0x10, TRAIT_LOCK),
    ARITHMETIC("sbb", 0x18, TRAIT_LOCK),
    ARITHMETIC("and", 0x20, TRAIT_LOCK),
    ARITHMETIC("sub", 0x28, TRAIT_LOCK),
    ARITHMETIC("xor", 0x30, TRAIT_LOCK),
    ARITHMETIC("cmp", 0x38, 0),
    {"movsxd", 0, 1, {0x63}, -1, TRAIT_ONLY_64},
    {"test m8, r8", 0, 1, {0x84}, -1, 0},
    {"test m, r", 0, 1, {0x85}, -1, 0},
    {"test m8, imm8", 0, 1, {0xf6}, 0, 0},
    {"test m8, imm8 (/1)", 0, 1, {0xf6}, 1, 0},
    {"test m, imm", 0, 1, {0xf7}, 0, 0},
    {"xchg m8, r8", 0, 1, {0x86}, -1, TRAIT_LOCK},
    {"xchg m, r", 0, 1, {0x87}, -1, TRAIT_LOCK},
    {"mov m8, r8", 0, 1, {0x88}, -1, 0},
    {"mov m, r", 0, 1, {0x89}, -1, 0},
    {"mov r8, m8", 0, 1, {0x8a}, -1, 0},
    {"mov r, m", 0, 1, {0x8b}, -1, 0},
    {"mov al, moffs", 0, 1, {0xa0}, -1, 0},
    {"mov eax, moffs", 0, 1, {0xa1}, -1, 0},
    {"mov moffs, al", 0, 1, {0xa2}, -1, 0},
    {"mov moffs, eax", 0, 1, {0xa3}, -1, 0},
    {"movsb", 0, 1, {0xa4}, -1, TRAIT_STRING},
    {"movs", 0, 1, {0xa5}, -1, TRAIT_STRING},
    {"stosb", 0, 1, {0xaa}, -1, TRAIT_STRING},
    {"stos", 0, 1, {0xab}, -1, TRAIT_STRING},
    {"lodsb", 0, 1, {0xac}, -1, TRAIT_STRING},
    {"lods", 0, 1, {0xad}, -1, TRAIT_STRING},
    {"mov m8, imm8", 0, 1, {0xc6}, 0, 0},
    {"mov m, imm", 0, 1, {0xc7}, 0, 0},
    {"not m8", 0, 1, {0xf6}, 2, TRAIT_LOCK},
    {"not m", 0, 1, {0xf7}, 2, TRAIT_LOCK},
    {"neg m8", 0, 1, {0xf6}, 3, TRAIT_LOCK},
    {"neg m", 0, 1, {0xf7}, 3, TRAIT_LOCK},
    {"inc m8", 0, 1, {0xfe}, 0, TRAIT_LOCK},
    {"inc m", 0, 1, {0xff}, 0, TRAIT_LOCK},
    {"dec m8", 0, 1, {0xfe}, 1, TRAIT_LOCK},
    {"dec m", 0, 1, {0xff}, 1, TRAIT_LOCK},
    BIT("bt", 0xa3, 4, 0),
    BIT("bts", 0xab, 5, TRAIT_LOCK),
    BIT("btr", 0xb3, 6, TRAIT_LOCK),
    BIT("btc", 0xbb, 7, TRAIT_LOCK),
    {"cmpxchg m8, r8", 0, 2, {0x0f, 0xb0}, -1, TRAIT_LOCK},
    {"cmpxchg m, r", 0, 2, {0x0f, 0xb1}, -1, TRAIT_LOCK},
    {"xadd m8, r8", 0, 2, {0x0f, 0xc0}, -1, TRAIT_LOCK},
    {"xadd m, r", 0, 2, {0x0f, 0xc1}, -1, TRAIT_LOCK},
    {"movzx r, m8", 0, 2, {0x0f, 0xb6}, -1, 0},
    {"movzx r, m16", 0, 2, {0x0f, 0xb7}, -1, 0},
    {"movsx r, m8", 0, 2, {0x0f, 0xbe}, -1, 0},
    {"movsx r, m16", 0, 2, {0x0f, 0xbf}, -1, 0},
    {"movnti", 0, 2, {0x0f, 0xc3}, -1, TRAIT_PLAIN},
    {"movbe r, m", 0, 3, {0x0f, 0x38, 0xf0}, -1, 0},
    {"movbe m, r", 0, 3, {0x0f, 0x38, 0xf1}, -1, 0},
    {"movups load", 0, 2, {0x0f, 0x10}, -1, TRAIT_PLAIN},
    {"movupd store", 0x66, 2, {0x0f, 0x11}, -1, TRAIT_PLAIN},
    {"movapd load", 0x66, 2, {0x0f, 0x28}, -1, TRAIT_PLAIN | TRAIT_ALIGNED},
    {"movaps store", 0, 2, {0x0f, 0x29}, -1, TRAIT_PLAIN | TRAIT_ALIGNED},
    {"movntps", 0, 2, {0x0f, 0x2b}, -1, TRAIT_PLAIN | TRAIT_ALIGNED},
    {"movdqa load", 0x66, 2, {0x0f, 0x6f}, -1, TRAIT_PLAIN | TRAIT_ALIGNED},
    {"movdqu load", 0xf3, 2, {0x0f, 0x6f}, -1, TRAIT_PLAIN},
    {"movdqa store", 0x66, 2, {0x0f, 0x7f}, -1, TRAIT_PLAIN | TRAIT_ALIGNED},
    {"movdqu store", 0xf3, 2, {0x0f, 0x7f}, -1, TRAIT_PLAIN},
    {"movntdq", 0x66, 2, {0x0f, 0xe7}, -1, TRAIT_PLAIN | TRAIT_ALIGNED},
    {"lddqu", 0xf2, 2, {0x0f, 0xf0}, -1, TRAIT_PLAIN},
    {"movntdqa", 0x66, 3, {0x0f, 0x38, 0x2a}, -1, TRAIT_PLAIN | TRAIT_ALIGNED},
};

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

/* One test case: the instruction, the state before it, the emulated state after it. */
struct trial {
    enum x86_mode mode;
    uint8_t bytes[16];
    struct x86_instruction instruction;
    struct native_context context; /* before, then after the real execution */
    struct x86_registers registers;
    uint8_t vector[16][16];
    uint8_t before[NATIVE_ARENA_SIZE];
    uint8_t memory[NATIVE_ARENA_SIZE];
};

static struct trial trial;
static uint64_t random_state = 0x082efa98ec4e6c89;
static bool has_32;

static uint64_t draw(uint64_t below)
{
    return compare_random(&random_state) % below;
}

static size_t put_prefixes(uint8_t *bytes, const struct kind *kind, enum x86_mode mode)
{
    size_t length = 0;

    if (kind->prefix) {
        bytes[length++] = kind->prefix;
    }
    if (!(kind->traits & TRAIT_PLAIN) && draw(4) == 0) {
        bytes[length++] = 0x66;
    }
    if (draw(8) == 0 && mode == X86_MODE_64) {
        bytes[length++] = 0x67;
    }
    if (draw(8) == 0) {
        /* GS is a null selector: fit for 64-bit code only. */
        bytes[length++] = draw(2) == 0 ? 0x3e : mode == X86_MODE_64 ? 0x65 : 0x36;
    }
    if ((kind->traits & TRAIT_LOCK) && draw(4) == 0) {
        bytes[length++] = 0xf0;
    }
    if ((kind->traits & TRAIT_STRING) && draw(2) == 0) {
        bytes[length++] = draw(4) ? 0xf3 : 0xf2;
    }
    if (mode == X86_MODE_64 && draw(2) == 0) {
        bytes[length++] = (uint8_t)(0x40 + draw(16));
    }
    return length;
}

static void compose(const struct kind *kind)
{
    uint64_t tail[2] = {compare_random(&random_state), compare_random(&random_state)};
    size_t length = put_prefixes(trial.bytes, kind, trial.mode);
    uint8_t modrm;

    memcpy(trial.bytes + length, kind->opcode, kind->length);
    length += kind->length;
    memcpy(trial.bytes + length, tail, 16 - length);
    if ((kind->opcode[0] & 0xfc) == 0xa0 || (kind->traits & TRAIT_STRING)) {
        return;
    }
    modrm = (uint8_t)draw(0xc0);
    if (kind->group >= 0) {
        modrm = (modrm & 0xc7) | (uint8_t)(kind->group << 3);
    }
    trial.bytes[length] = modrm;
}

static uint64_t address_mask(void)
{
    return trial.instruction.address_size == 8 ? ~(uint64_t)0 : 0xffffffff;
}

static void set_displacement(int64_t displacement)
{
    const struct x86_instruction *instruction = &trial.instruction;

    memcpy(trial.bytes + instruction->length - instruction->immediate_size -
               instruction->displacement_size,
           &displacement, instruction->displacement_size);
}

/* Choose registers and displacement so that the memory operand is at offset; false if it can't. */
static bool aim(uint64_t offset)
{
    const struct x86_instruction *instruction = &trial.instruction;
    uint64_t *gpr = trial.context.gpr, rest = (uint64_t)instruction->displacement;

    if (instruction->index < 16) {
        if (instruction->index == instruction->base) {
            return false;
        }
        gpr[instruction->index] = draw(0x1000);
        rest = gpr[instruction->index] * instruction->scale;
        offset -= rest;
        rest = (uint64_t)instruction->displacement;
    }
    if (instruction->base < 16) {
        uint64_t high = compare_random(&random_state) & ~address_mask();

        gpr[instruction->base] = ((offset - rest) & address_mask()) | high;
    } else if (instruction->base == X86_REGISTER_RIP) {
        set_displacement((int64_t)(offset - NATIVE_CODE - instruction->length));
    } else {
        set_displacement((int64_t)offset);
    }
    return true;
}

static void aim_string(uint64_t gs_base)
{
    uint64_t *gpr = trial.context.gpr;
    uint64_t high = compare_random(&random_state) & ~address_mask();

    gpr[X86_RSI] = (NATIVE_ARENA + 0x800 + draw(0x2000) - gs_base) | high;
    gpr[X86_RDI] = (NATIVE_ARENA + 0x800 + draw(0x2000)) | high;
    /* What becomes of high halves when nothing is repeated at all, processors disagree about. */
    gpr[X86_RCX] = (high ? 1 + draw(20) : draw(20)) | high;
}

/* Fill the registers, operands in range; false for combinations that cannot be aimed. */
static bool prepare(const struct kind *kind)
{
    const struct x86_instruction *instruction = &trial.instruction;
    uint64_t gs_base = instruction->segment == X86_GS ? NATIVE_GS_BASE : 0;
    uint64_t target = NATIVE_ARENA + 0x1000 + draw(0x1000);
    uint8_t accumulator;

    for (int i = 0; i < 16; i++) {
        trial.context.gpr[i] = compare_random(&random_state);
    }
    trial.context.rflags = 0x202 | (compare_random(&random_state) & FLAGS);
    if (kind->traits & TRAIT_STRING) {
        aim_string(gs_base);
        return true;
    }
    if (kind->traits & TRAIT_ALIGNED) {
        target &= ~(uint64_t)15;
    }
    if (kind->traits & TRAIT_BIT) {
        if (instruction->reg == instruction->base || instruction->reg == instruction->index) {
            return false;
        }
        /* A signed number, in the operand size, of up to 2 KiB in bits. */
        trial.context.gpr[instruction->reg] = (uint64_t)((int64_t)draw(0x8000) - 0x4000);
    }
    if (!aim(target - gs_base)) {
        return false;
    }
    /* Comparisons with the accumulator should succeed now and then. */
    accumulator = trial.memory[target - NATIVE_ARENA];
    if (!(kind->traits & TRAIT_BIT) && instruction->base != X86_RAX &&
        instruction->index != X86_RAX && draw(2) == 0) {
        memcpy(trial.context.gpr, trial.memory + (target - NATIVE_ARENA), 8);
        assert_int_equal((uint8_t)trial.context.gpr[0], accumulator);
    }
    return x86_decode(&trial.instruction, trial.bytes, X86_INSTRUCTION_MAX, trial.mode) > 0;
}

static uint8_t *arena(uint64_t address, size_t size)
{
    if (address < NATIVE_ARENA || address + size > NATIVE_ARENA + NATIVE_ARENA_SIZE) {
        return NULL;
    }
    return trial.memory + (address - NATIVE_ARENA);
}

/* One iteration of the emulation on the copy; false if it leaves the arena. */
static bool emulate_once(struct x86_mmio_access *access)
{
    uint8_t *from = arena(access->read_address, access->size);
    uint8_t *to = arena(access->write_address, access->size);
    uint64_t value = compare_random(&random_state);

    if ((access->reads && !from) || (access->writes && !to)) {
        return false;
    }
    if (access->vector) {
        memcpy(access->reads ? trial.vector[access->vector_register] : to,
               access->reads ? from : trial.vector[access->vector_register], 16);
    } else if (access->reads) {
        memcpy(&value, from, access->size);
    }
    x86_mmio_evaluate(access, value);
    if (access->writes && !access->vector) {
        memcpy(to, &access->write_value, access->size);
    }
    x86_mmio_complete(access, &trial.registers);
    return true;
}

static bool emulate(void)
{
    static const uint64_t bases_64[X86_SEGMENTS] = {[X86_ES] = 0x5555,
                                                    [X86_CS] = 0x6666,
                                                    [X86_SS] = 0x7777,
                                                    [X86_DS] = 0x8888,
                                                    [X86_GS] = NATIVE_GS_BASE};
    static const uint64_t bases_32[X86_SEGMENTS] = {0};
    const uint64_t *bases = trial.mode == X86_MODE_64 ? bases_64 : bases_32;
    struct x86_mmio_access access;

    memcpy(trial.registers.gpr, trial.context.gpr, sizeof(trial.registers.gpr));
    trial.registers.rip = NATIVE_CODE;
    trial.registers.rflags = trial.context.rflags | X86_RFLAGS_RF;
    memcpy(trial.vector, trial.context.vector, sizeof(trial.vector));
    do {
        if (x86_mmio_plan(&trial.instruction, &trial.registers, bases, &access) != 0 ||
            !emulate_once(&access)) {
            return false;
        }
    } while (trial.registers.rip == NATIVE_CODE);
    return trial.registers.rip == NATIVE_CODE + (uint64_t)trial.instruction.length &&
           !(trial.registers.rflags & X86_RFLAGS_RF);
}

/* What differs between the emulated and the real outcome, or NULL. */
static const char *difference(void)
{
    uint64_t mask = trial.mode == X86_MODE_64 ? ~(uint64_t)0 : 0xffffffff;
    int registers = trial.mode == X86_MODE_64 ? 16 : 8;

    for (int i = 0; i < registers; i++) {
        if ((trial.context.gpr[i] ^ trial.registers.gpr[i]) & mask) {
            return "a general register";
        }
    }
    if ((trial.context.rflags ^ trial.registers.rflags) & FLAGS) {
        return "flags";
    }
    if (memcmp((void *)NATIVE_ARENA, trial.memory, NATIVE_ARENA_SIZE) != 0) {
        return "memory";
    }
    return memcmp(trial.context.vector, trial.vector, sizeof(trial.vector)) ? "a vector register"
                                                                            : NULL;
}

static void report(const struct kind *kind, const char *what)
{
    char text[3 * X86_INSTRUCTION_MAX + 1] = "";

    for (int i = 0; i < trial.instruction.length; i++) {
        snprintf(text + 3 * i, 4, "%02x ", trial.bytes[i]);
    }
    for (int i = 0; i < 16; i++) {
        if (trial.context.gpr[i] != trial.registers.gpr[i]) {
            print_error("register %d: %#lx, emulated %#lx\n", i, trial.context.gpr[i],
                        trial.registers.gpr[i]);
        }
    }
    print_error("flags %#lx, emulated %#lx\n", trial.context.rflags & FLAGS,
                trial.registers.rflags & FLAGS);
    fail_msg("%s, %d-bit code, %s: %s", kind->name, trial.mode * 8, text, what);
}

static bool run_case(const struct kind *kind)
{
    compose(kind);
    if (x86_decode(&trial.instruction, trial.bytes, X86_INSTRUCTION_MAX, trial.mode) < 0 ||
        trial.instruction.address_size < 4) {
        report(kind, "not decoded");
    }
    if (!prepare(kind)) {
        return false;
    }
    memcpy((void *)NATIVE_ARENA, trial.memory, NATIVE_ARENA_SIZE);
    if (!emulate()) {
        report(kind, "not emulated, or outside of the arena");
    }
    if (!native_run(&trial.context, trial.bytes, trial.instruction.length, trial.mode)) {
        report(kind, "faults on the processor");
    }
    if (difference()) {
        report(kind, difference());
    }
    return true;
}

static void run_kinds(enum x86_mode mode, uint8_t excluded)
{
    unsigned long total = 0;

    trial.mode = mode;
    native_catch_faults();
    for (size_t i = 0; i < KINDS; i++) {
        unsigned int executed = 0;

        if (kinds[i].traits & excluded) {
            continue;
        }
        for (size_t byte = 0; byte < NATIVE_ARENA_SIZE; byte += 8) {
            uint64_t value = compare_random(&random_state);

            memcpy(trial.memory + byte, &value, 8);
        }
        memcpy(trial.context.vector, trial.memory, sizeof(trial.context.vector));
        for (int n = 0; n < CASES; n++) {
            executed += run_case(&kinds[i]);
        }
        assert_true(executed > CASES / 2);
        total += executed;
    }
    native_release_faults();
    print_message("%lu instructions executed and emulated\n", total);
}

static void test_64(void **state)
{
    (void)state;
    run_kinds(X86_MODE_64, TRAIT_NOT_64);
}

static void test_32(void **state)
{
    (void)state;
    if (!has_32) {
        print_message("this host's kernel runs no 32-bit code\n");
        skip();
    }
    run_kinds(X86_MODE_32, TRAIT_ONLY_64);
}

static int group_setup(void **state)
{
    (void)state;
    if (!native_setup()) {
        return -1;
    }
    native_catch_faults();
    has_32 = native_has_32();
    native_release_faults();
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    native_teardown();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_64),
        cmocka_unit_test(test_32),
    };

    return cmocka_run_group_tests_name("emulation against the processor", tests, group_setup,
                                       group_teardown);
}
