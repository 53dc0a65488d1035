// SPDX-License-Identifier: Apache-2.0
/*
 * x86_intercepted_length: every intercepted instruction behind pseudo-random prefixes, and in front
 * of every number of available bytes, judged by libzydis' mnemonic. Also that the fast form is only
 * a faster form: with it and without it the answers are equal.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <Zydis/Zydis.h>

#include "compare.h"
#include "intercepted.h"

/* An instruction: how it begins, what libzydis calls it (some have several names). */
struct known {
    enum x86_intercepted which;
    uint8_t length;
    uint8_t bytes[3];
    ZydisMnemonic names[3];
    bool not_64;
};

static const struct known known[] = {
    {X86_INTERCEPTED_CPUID, 2, {0x0f, 0xa2}, {ZYDIS_MNEMONIC_CPUID}, false},
    {X86_INTERCEPTED_RDMSR, 2, {0x0f, 0x32}, {ZYDIS_MNEMONIC_RDMSR}, false},
    {X86_INTERCEPTED_WRMSR, 2, {0x0f, 0x30}, {ZYDIS_MNEMONIC_WRMSR}, false},
    {X86_INTERCEPTED_VMCALL, 3, {0x0f, 0x01, 0xc1}, {ZYDIS_MNEMONIC_VMCALL}, false},
    {X86_INTERCEPTED_VMMCALL, 3, {0x0f, 0x01, 0xd9}, {ZYDIS_MNEMONIC_VMMCALL}, false},
    {X86_INTERCEPTED_HLT, 1, {0xf4}, {ZYDIS_MNEMONIC_HLT}, false},
    {X86_INTERCEPTED_PAUSE, 2, {0xf3, 0x90}, {ZYDIS_MNEMONIC_PAUSE}, false},
    {X86_INTERCEPTED_RDTSC, 2, {0x0f, 0x31}, {ZYDIS_MNEMONIC_RDTSC}, false},
    {X86_INTERCEPTED_RDTSCP, 3, {0x0f, 0x01, 0xf9}, {ZYDIS_MNEMONIC_RDTSCP}, false},
    {X86_INTERCEPTED_RDPMC, 2, {0x0f, 0x33}, {ZYDIS_MNEMONIC_RDPMC}, false},
    {X86_INTERCEPTED_RDPRU, 3, {0x0f, 0x01, 0xfd}, {ZYDIS_MNEMONIC_RDPRU}, false},
    {X86_INTERCEPTED_INVD, 2, {0x0f, 0x08}, {ZYDIS_MNEMONIC_INVD}, false},
    {X86_INTERCEPTED_WBINVD, 2, {0x0f, 0x09}, {ZYDIS_MNEMONIC_WBINVD}, false},
    {X86_INTERCEPTED_XSETBV, 3, {0x0f, 0x01, 0xd1}, {ZYDIS_MNEMONIC_XSETBV}, false},
    {X86_INTERCEPTED_MONITOR, 3, {0x0f, 0x01, 0xc8}, {ZYDIS_MNEMONIC_MONITOR}, false},
    {X86_INTERCEPTED_MWAIT, 3, {0x0f, 0x01, 0xc9}, {ZYDIS_MNEMONIC_MWAIT}, false},
    {X86_INTERCEPTED_CLTS, 2, {0x0f, 0x06}, {ZYDIS_MNEMONIC_CLTS}, false},
    {X86_INTERCEPTED_MOV_FROM_CR, 2, {0x0f, 0x20}, {ZYDIS_MNEMONIC_MOV}, false},
    {X86_INTERCEPTED_MOV_TO_CR, 2, {0x0f, 0x22}, {ZYDIS_MNEMONIC_MOV}, false},
    {X86_INTERCEPTED_MOV_FROM_DR, 2, {0x0f, 0x21}, {ZYDIS_MNEMONIC_MOV}, false},
    {X86_INTERCEPTED_MOV_TO_DR, 2, {0x0f, 0x23}, {ZYDIS_MNEMONIC_MOV}, false},
    {X86_INTERCEPTED_SMSW, 2, {0x0f, 0x01}, {ZYDIS_MNEMONIC_SMSW}, false},
    {X86_INTERCEPTED_LMSW, 2, {0x0f, 0x01}, {ZYDIS_MNEMONIC_LMSW}, false},
    {X86_INTERCEPTED_INVLPG, 2, {0x0f, 0x01}, {ZYDIS_MNEMONIC_INVLPG}, false},
    {X86_INTERCEPTED_IO, 1, {0xe4}, {ZYDIS_MNEMONIC_IN}, false},
    {X86_INTERCEPTED_IO, 1, {0xed}, {ZYDIS_MNEMONIC_IN}, false},
    {X86_INTERCEPTED_IO, 1, {0xe7}, {ZYDIS_MNEMONIC_OUT}, false},
    {X86_INTERCEPTED_IO, 1, {0xee}, {ZYDIS_MNEMONIC_OUT}, false},
    {X86_INTERCEPTED_IO, 1, {0x6c}, {ZYDIS_MNEMONIC_INSB}, false},
    {X86_INTERCEPTED_IO, 1, {0x6d}, {ZYDIS_MNEMONIC_INSW, ZYDIS_MNEMONIC_INSD}, false},
    {X86_INTERCEPTED_IO, 1, {0x6f}, {ZYDIS_MNEMONIC_OUTSW, ZYDIS_MNEMONIC_OUTSD}, false},
    {X86_INTERCEPTED_INT3, 1, {0xcc}, {ZYDIS_MNEMONIC_INT3}, false},
    {X86_INTERCEPTED_INT, 1, {0xcd}, {ZYDIS_MNEMONIC_INT}, false},
    {X86_INTERCEPTED_INTO, 1, {0xce}, {ZYDIS_MNEMONIC_INTO}, true},
    {X86_INTERCEPTED_ICEBP, 1, {0xf1}, {ZYDIS_MNEMONIC_INT1}, false},
    {X86_INTERCEPTED_IRET,
     1,
     {0xcf},
     {ZYDIS_MNEMONIC_IRET, ZYDIS_MNEMONIC_IRETD, ZYDIS_MNEMONIC_IRETQ},
     false},
};

#define KNOWN (sizeof(known) / sizeof(known[0]))

static const enum x86_mode modes[] = {X86_MODE_16, X86_MODE_32, X86_MODE_64};
static ZydisDecoder decoders[3];

static int group_setup(void **state)
{
    (void)state;
    ZydisDecoderInit(&decoders[0], ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16);
    ZydisDecoderInit(&decoders[1], ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
    ZydisDecoderInit(&decoders[2], ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    return 0;
}

/*
 * What libzydis makes of the bytes: the length if it is an instruction that goes with which, 0 if
 * it is another one, -1 if it is none (libzydis also refuses what raises #UD, so never gets here).
 */
static int peer_length(enum x86_intercepted which, const uint8_t *bytes, size_t available, int mode)
{
    ZydisDecodedInstruction instruction;
    ZydisDecoderContext context;

    if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&decoders[mode], &context, bytes, available,
                                                    &instruction))) {
        return -1;
    }
    for (size_t i = 0; i < KNOWN; i++) {
        if (known[i].which != which || (instruction.mnemonic == ZYDIS_MNEMONIC_MOV &&
                                        (instruction.opcode_map != ZYDIS_OPCODE_MAP_0F ||
                                         instruction.opcode != known[i].bytes[1]))) {
            continue;
        }
        for (int name = 0; name < 3 && known[i].names[name] != 0; name++) {
            if (instruction.mnemonic == known[i].names[name]) {
                return instruction.length;
            }
        }
    }
    return 0;
}

static void compose(uint8_t *bytes, const struct known *entry, size_t prefixes, uint64_t *random)
{
    static const uint8_t redundant[8] = {0x66, 0x67, 0x2e, 0x3e, 0x64, 0xf2, 0xf3, 0x48};
    uint64_t tail[2] = {compare_random(random), compare_random(random)};
    uint64_t choice = compare_random(random);

    memcpy(bytes, tail, X86_INSTRUCTION_MAX);
    for (size_t i = 0; i < prefixes; i++, choice >>= 3) {
        bytes[i] = redundant[choice & 7];
    }
    memcpy(bytes + prefixes, entry->bytes, entry->length);
}

static void test_known(void **state)
{
    uint64_t random = 0x243f6a8885a308d3;
    unsigned long found = 0;

    (void)state;
    for (unsigned int n = 0; n < KNOWN * 3 * 8 * 200; n++) {
        const struct known *entry = &known[n % KNOWN];
        int mode = (int)(n / KNOWN % 3), length, expected;
        uint8_t bytes[16];

        compose(bytes, entry, n / KNOWN / 3 % 8, &random);
        expected = peer_length(entry->which, bytes, X86_INSTRUCTION_MAX, mode);
        length = x86_intercepted_length(bytes, X86_INSTRUCTION_MAX, modes[mode], entry->which);
        if (expected > 0) {
            assert_int_equal(length, expected);
            found++;
        }
        if (!(entry->not_64 && modes[mode] == X86_MODE_64)) {
            assert_int_equal(length, x86_intercepted_length_decoded(bytes, X86_INSTRUCTION_MAX,
                                                                    modes[mode], entry->which));
        }
    }
    print_message("%lu intercepted instructions\n", found);
    assert_true(found > KNOWN * 3 * 8 * 100);
}

/* Each expectation against each instruction: found only where libzydis agrees. */
static void test_mismatch(void **state)
{
    uint64_t random = 0x13198a2e03707344;
    unsigned long refused = 0;

    (void)state;
    for (unsigned int n = 0; n < KNOWN * KNOWN * 3 * 60; n++) {
        const struct known *expected = &known[n % KNOWN];
        const struct known *actual = &known[n / KNOWN % KNOWN];
        int mode = (int)(n / KNOWN / KNOWN % 3), length, peer;
        uint8_t bytes[16];

        compose(bytes, actual, n / KNOWN / KNOWN / 3 % 4, &random);
        peer = peer_length(expected->which, bytes, X86_INSTRUCTION_MAX, mode);
        length = x86_intercepted_length(bytes, X86_INSTRUCTION_MAX, modes[mode], expected->which);
        if (peer == 0 && !(expected->not_64 && modes[mode] == X86_MODE_64)) {
            assert_int_equal(length, X86_DECODE_MISMATCH);
            refused++;
        }
    }
    assert_true(refused > KNOWN * KNOWN * 3 * 40);
}

/* However few bytes can be read, the answer is the length or truncated. */
static void test_available(void **state)
{
    uint64_t random = 0xa4093822299f31d0;

    (void)state;
    for (unsigned int n = 0; n < KNOWN * 3 * 100; n++) {
        const struct known *entry = &known[n % KNOWN];
        int mode = (int)(n / KNOWN % 3), expected;
        uint8_t bytes[16];

        compose(bytes, entry, n / KNOWN / 3 % 4, &random);
        expected = peer_length(entry->which, bytes, X86_INSTRUCTION_MAX, mode);
        for (size_t available = 0; expected > 0 && available <= X86_INSTRUCTION_MAX; available++) {
            int length = x86_intercepted_length(bytes, available, modes[mode], entry->which);

            assert_int_equal(length, (int)available < expected ? X86_DECODE_TRUNCATED : expected);
        }
    }
}

static void test_special(void **state)
{
    static const uint8_t locked[4] = {0xf0, 0x0f, 0x22, 0xc0};
    static const uint8_t locked_cpuid[4] = {0xf0, 0x0f, 0xa2, 0x90};
    static const uint8_t exchange[4] = {0xf3, 0x41, 0x90, 0x90};
    static const uint8_t vex[4] = {0xc5, 0xf8, 0xa2, 0xc0};

    (void)state;
    /* AMD's alternative encoding of CR8; LOCK is illegal elsewhere. */
    assert_int_equal(x86_intercepted_length(locked, 4, X86_MODE_32, X86_INTERCEPTED_MOV_TO_CR), 4);
    assert_int_equal(x86_intercepted_length(locked_cpuid, 4, X86_MODE_64, X86_INTERCEPTED_CPUID),
                     X86_DECODE_MISMATCH);
    assert_int_equal(x86_intercepted_length(exchange, 4, X86_MODE_64, X86_INTERCEPTED_PAUSE),
                     X86_DECODE_MISMATCH);
    assert_int_equal(x86_intercepted_length(vex, 4, X86_MODE_64, X86_INTERCEPTED_CPUID),
                     X86_DECODE_MISMATCH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known),
        cmocka_unit_test(test_mismatch),
        cmocka_unit_test(test_available),
        cmocka_unit_test(test_special),
    };

    return cmocka_run_group_tests_name("intercepted instructions", tests, group_setup, NULL);
}
