// SPDX-License-Identifier: Apache-2.0
// Where generated code runs: a code page, and a task state segment whose stacks survive what the
// code does to its own. User-mode code sees only the window, an address range of its own.
#ifndef HOSTILE_SANDBOX_H
#define HOSTILE_SANDBOX_H

#include "window.h"

#include <stdint.h>

#define CODE_SIZE 4096u

// The window's pages, all seen by user mode.
#define WINDOW_CODE 0u
#define WINDOW_DATA 1u // DATA_PAGES of the arena
#define DATA_PAGES 8u
#define WINDOW_APIC 9u  // the local APIC, read only: a write could stop a vcpu for good
#define WINDOW_HOLE 10u // frames that are not there
#define HOLE_WINDOW_PAGES 4u
#define WINDOW_RAM 14u  // a page of RAM right after the hole
#define WINDOW_HIGH 15u // a frame number beyond what nested tables hold
#define SANDBOX_PAGES 16u

// Registers that generated code begins with, in the order of their numbers; [4], the stack pointer,
// is used in user mode only.
struct sandbox_registers {
    uint64_t gpr[16];
};

// One for vcpu 0: loads the segments, lets all interrupts use a stack of their own, and builds the
// window.
void sandbox_start(void);

// The page that the code is put into.
extern uint8_t sandbox_code[CODE_SIZE];

// Both run the code from @offset on and return NO_EXCEPTION when it comes to its end (kernel mode
// only) or the vector that stopped it. User-mode code that does not stop is stopped by the APIC's
// timer after about @microseconds.
int sandbox_run_kernel(unsigned int offset, unsigned int length, struct sandbox_registers *r);
int sandbox_run_user(unsigned int offset, struct sandbox_registers *r, unsigned int microseconds);

#endif
