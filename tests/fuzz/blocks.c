// SPDX-License-Identifier: Apache-2.0
// Counts basic blocks as the simulated machine's cycles.
#include "blocks.h"

#include <stdio.h>
#include <stdlib.h>

#include <bulkhead/stretch.h>

void blocks_count(void);

uint64_t blocks_hypercalls;

// What instrumented code calls at each basic block (see the Makefile for the name).
void blocks_count(void)
{
    sim_cycles++;
}

static void say_longest(unsigned int number)
{
    struct stretch_record longest = stretch_longest(number);

    if (longest.length) {
        fprintf(stderr, "hypercalls: number %u, operation %u: at most %lu basic blocks\n", number,
                longest.operation, longest.length);
    }
}

void blocks_check(uint64_t most)
{
    for (unsigned int number = 0; number < STRETCH_HYPERCALLS; number++) {
        if (stretch_longest(number).length > most) {
            say_longest(number);
            abort();
        }
    }
}

void blocks_report(void)
{
    fprintf(stderr, "hypercalls: %lu made\n", blocks_hypercalls);
    for (unsigned int number = 0; number < STRETCH_HYPERCALLS; number++) {
        say_longest(number);
    }
}
