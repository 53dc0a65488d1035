// SPDX-License-Identifier: Apache-2.0
/*
 * libFuzzer target: x86_decode against libzydis on arbitrary bytes. The first byte of the input
 * chooses the mode, the rest are the bytes to decode, all of them available. Anything that
 * compare.c does not justify aborts.
 */
#include <stdio.h>
#include <stdlib.h>

#include "compare.h"
#include "intercepted.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    compare_init();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum x86_mode modes[4] = {X86_MODE_16, X86_MODE_32, X86_MODE_64, X86_MODE_64};
    struct comparison comparison;
    enum x86_mode mode;
    int length;

    if (size == 0) {
        return 0;
    }
    mode = modes[data[0] & 3];
    compare_decode(&comparison, data + 1, size - 1, mode);
    if (!comparison.difference && comparison.accepted &&
        !compare_truncations(&comparison.instruction)) {
        comparison.difference = "a beginning is not called truncated";
    }
    length = x86_intercepted_length(data + 1, size - 1, mode, X86_INTERCEPTED_CPUID);
    if (length > 0 && length != comparison.instruction.length) {
        comparison.difference = "length of CPUID";
    }
    if (comparison.difference) {
        fprintf(stderr, "%d-bit code: %s\n", mode * 8, comparison.difference);
        abort();
    }
    return 0;
}
