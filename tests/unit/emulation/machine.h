// SPDX-License-Identifier: Apache-2.0
// A machine for the emulator's code: a domain of vcpus that never run, one page table for linear
// addresses from 0 (RAM, then the local APIC, then nothing, then RAM again), one port device, and
// the instruction bytes and registers that a test puts there. Heap blocks are the C library's, so
// that the sanitizer sees what is read or written outside of them.
#ifndef TESTS_UNIT_EMULATION_MACHINE_H
#define TESTS_UNIT_EMULATION_MACHINE_H

#include <bulkhead/domain.h>
#include <bulkhead/io.h>
#include <x86/hvm.h>
#include <x86/vlapic.h>

#define MACHINE_PAGES 8u       // mapped linear pages; the ones at these are special
#define MACHINE_APIC_PAGE 4u   // the local APIC
#define MACHINE_HOLE_PAGE 5u   // a guest-physical page that is not there
#define MACHINE_KERNEL_PAGE 6u // not for user mode
#define MACHINE_PORT 0x60u     // eight ports of a device

extern uint8_t machine_code[15];
extern unsigned int machine_code_size; // bytes that can be fetched
extern uint8_t machine_bits;           // 16, 32 or 64
extern bool machine_in_user_mode;
extern unsigned int machine_exceptions, machine_accesses;
extern uint8_t machine_last_exception;
extern uint8_t machine_ram[MACHINE_PAGES][4096];

struct domain *machine_start(unsigned int vcpus);
// Takes everything down; aborts if a timer or a heap block is left.
void machine_stop(struct domain *d);
// The vcpu whose linear addresses guest accesses mean.
void machine_enter(struct vcpu *v);
// Time passes; timers fire, each at most a bounded number of times.
void machine_run(ns_t duration);
void machine_check(bool good, const char *what);

#endif
