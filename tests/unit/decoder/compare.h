// SPDX-License-Identifier: Apache-2.0
/*
 * Comparison of one x86_decode result with libzydis, shared by the unit tests and the fuzzer.
 * The decoders of libzydis are constant after compare_init(); nothing else is shared.
 */
#ifndef BULKHEAD_TESTS_DECODER_COMPARE_H
#define BULKHEAD_TESTS_DECODER_COMPARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "decode.h"

struct comparison {
    const char *difference; /* NULL: equal, or a difference that compare.c lists as justified */
    bool accepted;          /* x86_decode found an instruction */
    bool peer_accepted;     /* so did libzydis */
    struct x86_instruction instruction;
};

/* Prepare the decoders; call once before compare_decode. */
void compare_init(void);

/* Decode available bytes with both; see struct comparison. */
void compare_decode(struct comparison *out, const uint8_t *bytes, size_t available,
                    enum x86_mode mode);

/*
 * Check that every proper beginning of an accepted instruction is called truncated; returns
 * whether that holds.
 */
bool compare_truncations(const struct x86_instruction *instruction);

/* Pseudo-random numbers (xorshift), the same sequence in every run. */
uint64_t compare_random(uint64_t *state);

#endif
