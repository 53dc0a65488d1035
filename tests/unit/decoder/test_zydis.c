// SPDX-License-Identifier: Apache-2.0
/*
 * x86_decode against libzydis: every opcode of every map with every ModRM byte, all prefixes that
 * change the form, in the three modes, with pseudo-random bytes behind. Differences that compare.c
 * does not justify fail, each opcode's first one printed.
 */
#include <setjmp.h>
#include <stdbool.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "compare.h"

#define DIFFERENCES_PRINTED 20

static const enum x86_mode modes[] = {X86_MODE_16, X86_MODE_32, X86_MODE_64};

struct run {
    uint64_t random;
    unsigned long decoded, accepted, differences;
    /* By mode, legacy map, opcode: some form was accepted by each. */
    bool ours[3][4][256], peer[3][4][256];
};

static struct run run;

static int start_run(void **state)
{
    memset(&run, 0, sizeof(run));
    run.random = 0x9e3779b97f4a7c15;
    *state = &run;
    compare_init();
    return 0;
}

static void print_difference(const struct comparison *comparison, const uint8_t *bytes,
                             enum x86_mode mode)
{
    char text[3 * X86_INSTRUCTION_MAX + 1] = "";

    for (int i = 0; i < X86_INSTRUCTION_MAX; i++) {
        snprintf(text + 3 * i, 4, "%02x ", bytes[i]);
    }
    print_error("%d-bit code %s: %s\n", mode * 8, text, comparison->difference);
}

static void check(const uint8_t *bytes, int mode, struct comparison *comparison)
{
    compare_decode(comparison, bytes, X86_INSTRUCTION_MAX, modes[mode]);
    run.decoded++;
    run.accepted += comparison->accepted;
    if (comparison->difference && run.differences++ < DIFFERENCES_PRINTED) {
        print_difference(comparison, bytes, modes[mode]);
    }
}

/* Put the head into bytes and fill the rest with random ones. */
static size_t compose(uint8_t *bytes, const uint8_t *head, size_t length)
{
    uint64_t random[2] = {compare_random(&run.random), compare_random(&run.random)};

    memcpy(bytes, random, X86_INSTRUCTION_MAX);
    memcpy(bytes, head, length);
    return length;
}

static void finish(void)
{
    print_message("%lu byte sequences, %lu of them instructions\n", run.decoded, run.accepted);
    assert_true(run.accepted > 1000);
    assert_int_equal(run.differences, 0);
}

struct prefixes {
    uint8_t length;
    uint8_t bytes[3];
};

static const struct prefixes prefix_sets[] = {
    {0, {0}},          {1, {0x66}},       {1, {0x67}},       {2, {0x66, 0x67}},
    {1, {0xf2}},       {1, {0xf3}},       {2, {0x66, 0xf2}}, {1, {0xf0}},
    {1, {0x64}},       {2, {0x65, 0x3e}}, {1, {0x48}},       {1, {0x47}},
    {2, {0x66, 0x4d}}, {2, {0x67, 0x41}}, {2, {0x48, 0x66}}, {2, {0xf3, 0x4a}},
};

static const struct prefixes escapes[4] = {
    {0, {0}}, {1, {0x0f}}, {2, {0x0f, 0x38}}, {2, {0x0f, 0x3a}}};

static void check_legacy(int mode, const struct prefixes *prefixes, int map)
{
    uint8_t head[8], bytes[16];
    struct comparison comparison;

    for (unsigned int form = 0; form < 0x10000; form++) {
        size_t length = prefixes->length + escapes[map].length;

        memcpy(head, prefixes->bytes, prefixes->length);
        memcpy(head + prefixes->length, escapes[map].bytes, escapes[map].length);
        head[length++] = (uint8_t)(form >> 8);
        head[length++] = (uint8_t)form;
        compose(bytes, head, length);
        check(bytes, mode, &comparison);
        if (comparison.instruction.encoding == X86_ENCODING_LEGACY) {
            uint8_t found = comparison.instruction.map, opcode = comparison.instruction.opcode;

            run.ours[mode][found][opcode] |= comparison.accepted;
            run.peer[mode][found][opcode] |= comparison.peer_accepted;
        }
    }
}

static void test_legacy_maps(void **state)
{
    (void)state;
    for (int mode = 0; mode < 3; mode++) {
        for (size_t i = 0; i < sizeof(prefix_sets) / sizeof(prefix_sets[0]); i++) {
            for (int map = 0; map < 4; map++) {
                check_legacy(mode, &prefix_sets[i], map);
            }
        }
    }
    /* The same opcodes exist, not only the same forms of those that do. */
    for (int mode = 0; mode < 3; mode++) {
        for (int map = 0; map < 4; map++) {
            for (int opcode = 0; opcode < 256; opcode++) {
                /* AADD and its like: libzydis knows them since 4.1. */
                bool newer = map == X86_MAP_0F38 && opcode == 0xfc && run.ours[mode][map][opcode];

                if (run.ours[mode][map][opcode] != run.peer[mode][map][opcode] && !newer) {
                    print_error("%d-bit code, map %d, opcode %02x: exists for %s only\n",
                                modes[mode] * 8, map, opcode,
                                run.ours[mode][map][opcode] ? "x86_decode" : "libzydis");
                    run.differences++;
                }
            }
        }
    }
    finish();
}

/* Three-byte VEX and XOP: all maps they have, all pp, W, L; R, X, B and vvvv at random. */
static void check_vex(int mode, uint8_t first, uint8_t map)
{
    uint8_t head[5], bytes[16];
    struct comparison comparison;

    for (unsigned int form = 0; form < 0x100000; form++) {
        uint64_t random = compare_random(&run.random);
        uint8_t low = (form >> 16 & 7) | (form >> 19 & 1) << 7;

        head[0] = first;
        head[1] = map | (random & 0xe0);
        head[2] = low | (random >> 8 & 0x78);
        head[3] = (uint8_t)(form >> 8);
        head[4] = (uint8_t)form;
        compose(bytes, head, 5);
        check(bytes, mode, &comparison);
    }
}

static void test_vex(void **state)
{
    uint8_t bytes[16];
    struct comparison comparison;

    (void)state;
    for (int mode = 0; mode < 3; mode++) {
        for (uint8_t map = X86_MAP_0F; map <= X86_MAP_0F3A; map++) {
            check_vex(mode, 0xc4, map);
        }
        for (unsigned int form = 0; form < 0x1000000; form += 1 + (form & 1) * 14) {
            uint8_t head[4] = {0xc5, (uint8_t)(form >> 16), (uint8_t)(form >> 8), (uint8_t)form};

            compose(bytes, head, 4);
            check(bytes, mode, &comparison);
        }
    }
    finish();
}

static void test_xop(void **state)
{
    (void)state;
    for (int mode = 0; mode < 3; mode++) {
        for (uint8_t map = X86_MAP_XOP8; map <= X86_MAP_XOPA; map++) {
            check_vex(mode, 0x8f, map);
        }
    }
    finish();
}

/* EVEX: all maps, opcodes and ModRM; the other fields at random, several times. */
static void test_evex(void **state)
{
    uint8_t head[6], bytes[16];
    struct comparison comparison;

    (void)state;
    for (unsigned int form = 0; form < 3 * 0x80000 * 4; form++) {
        uint64_t random = compare_random(&run.random);

        head[0] = 0x62;
        head[1] = (form >> 16 & 7) | (random & 0xf0);
        head[2] = 0x04 | (random >> 8 & 0xfb);
        head[3] = (uint8_t)(random >> 16);
        head[4] = (uint8_t)(form >> 8);
        head[5] = (uint8_t)form;
        compose(bytes, head, 6);
        check(bytes, (int)((form >> 19) % 3), &comparison);
    }
    finish();
}

/* Random prefixes before random opcodes, up to and beyond the limit of 15 bytes. */
static void test_prefixes(void **state)
{
    static const uint8_t prefixes[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67,
                                       0xf0, 0xf2, 0xf3, 0x40, 0x41, 0x42, 0x44, 0x48};
    struct comparison comparison;
    uint8_t head[X86_INSTRUCTION_MAX], bytes[16];

    (void)state;
    for (int n = 0; n < 1500000; n++) {
        uint64_t random = compare_random(&run.random);
        size_t length = n % (X86_INSTRUCTION_MAX + 1);

        for (size_t i = 0; i < length; i++, random >>= 4) {
            head[i] = prefixes[random & 15];
        }
        compose(bytes, head, length);
        check(bytes, n % 3, &comparison);
    }
    finish();
}

static void test_truncated(void **state)
{
    uint8_t bytes[16];
    struct comparison comparison;

    (void)state;
    for (int n = 0; n < 600000; n++) {
        compose(bytes, bytes, 0);
        check(bytes, n % 3, &comparison);
        if (comparison.accepted && !compare_truncations(&comparison.instruction)) {
            comparison.difference = "a beginning is not called truncated";
            print_difference(&comparison, bytes, modes[n % 3]);
            run.differences++;
        }
    }
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_legacy_maps, start_run),
        cmocka_unit_test_setup(test_vex, start_run),
        cmocka_unit_test_setup(test_xop, start_run),
        cmocka_unit_test_setup(test_evex, start_run),
        cmocka_unit_test_setup(test_prefixes, start_run),
        cmocka_unit_test_setup(test_truncated, start_run),
    };

    return cmocka_run_group_tests_name("decoder against libzydis", tests, NULL, NULL);
}
