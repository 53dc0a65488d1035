// SPDX-License-Identifier: Apache-2.0
/*
 * Running one instruction for real: a page of code and an arena of data at fixed addresses below
 * 2 GiB, reachable with 32-bit addresses and in 32-bit code. One user at a time (one global arena).
 */
#ifndef BULKHEAD_TESTS_DECODER_NATIVE_H
#define BULKHEAD_TESTS_DECODER_NATIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mmio.h"

#define NATIVE_CONTEXT 0x20000000 /* struct native_context */
#define NATIVE_CODE 0x20001000    /* where the instruction is put */
#define NATIVE_ARENA 0x20010000
#define NATIVE_ARENA_SIZE 0x4000
#define NATIVE_GS_BASE 0x12340

struct native_context {
    uint64_t gpr[16];    /* offset 0 */
    uint64_t rflags;     /* offset 128: status flags and DF */
    uint64_t host_rsp;   /* offset 136 */
    uint32_t far_offset; /* offset 144: far pointer into 32-bit code */
    uint16_t far_selector;
    uint16_t unused;
    uint8_t padding[8];
    uint8_t vector[16][16]; /* offset 160: xmm0 to xmm15 */
};

/* Map the arena; false if the host refuses. */
bool native_setup(void);
void native_teardown(void);

/*
 * Catch faults of native_run until native_release_faults. To be called inside each test: cmocka
 * installs its own handlers around every test and fixture.
 */
void native_catch_faults(void);
void native_release_faults(void);

/* Whether the host's kernel lets a process run 32-bit code. */
bool native_has_32(void);

/*
 * Run the instruction of length bytes with the context's registers in 64-bit code (base of
 * GS: NATIVE_GS_BASE) or 32-bit code (GS: null; all others flat); they are updated. Returns false
 * if it faulted.
 */
bool native_run(struct native_context *context, const uint8_t *bytes, size_t length,
                enum x86_mode mode);

#endif
