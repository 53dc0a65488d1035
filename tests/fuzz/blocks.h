// SPDX-License-Identifier: Apache-2.0
// How much the hypercalls of a fuzzer execute in one go, in basic blocks of the hypervisor's code,
// by the core's own records (stretch.h). The code is compiled with
// -fsanitize-coverage=trace-pc. What library functions do is not in it.
#ifndef TESTS_FUZZ_BLOCKS_H
#define TESTS_FUZZ_BLOCKS_H

#include <stdint.h>

// Hypercalls that were made, restarts included; the fuzzer counts them.
extern uint64_t blocks_hypercalls;

// Aborts when a hypercall has executed more than @most blocks without a window for interrupts.
void blocks_check(uint64_t most);
// Says how many hypercalls there were, and the longest of each; for atexit.
void blocks_report(void);

#endif
