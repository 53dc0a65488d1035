// SPDX-License-Identifier: Apache-2.0
// Registers, backtraces and symbols, for fatal faults and debug keys.
#ifndef BULKHEAD_X86_DEBUG_H
#define BULKHEAD_X86_DEBUG_H

#include <bulkhead/types.h>

struct interrupt_frame;

// Logs an address as "name+0xoffset", or as a number outside the image's code.
void log_code_address(uint64_t address);
// The index-th symbol of the image's code, by address; NULL at the end.
const char *symbol_at(uint64_t index, uint64_t *address);
// Logs the call chain that ends in the frame pointer rbp. Only this CPU's own stacks are followed.
void log_backtrace(uint64_t rip, uint64_t rbp);
void log_registers(const struct interrupt_frame *frame);

// A fatal exception: logs everything, then ends like panic().
__attribute__((noreturn)) void die(const struct interrupt_frame *frame, const char *what);

// Registers the debug key for the state of the CPUs.
void dump_init(void);
// Makes every other CPU log what it is doing, by NMI, one after the other.
void dump_other_cpus(void);
// The NMI handler's part: true if the NMI was for a dump or a stop and has been served.
bool dump_serve_nmi(const struct interrupt_frame *frame);
// Stops all other CPUs for good.
void stop_other_cpus(void);
// Whether the machine restarts after a fatal failure (option noreboot).
bool restart_after_failure(void);

#endif
