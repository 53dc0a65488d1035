// SPDX-License-Identifier: Apache-2.0
// What tests see of the simulated machine beyond the arch contract.
//
// Machine memory is one memory file mapped four times: the hypervisor's heap window, its transient
// slots, its lasting mappings, and the view that guests and devices have. In the first three a
// frame may be touched only while the hypervisor has it mapped: under the address sanitizer
// anything else is reported, like an access outside its page tables on the real machine.
#ifndef SIM_MACHINE_H
#define SIM_MACHINE_H

#include <bulkhead/types.h>

struct cpu;
struct domain;
struct vcpu;

// Makes a machine with that many frames of memory and CPUs, and enters CPU 0. Once per process.
void sim_machine_start(uint64_t frames, unsigned int cpus);
// The calling thread becomes that CPU, with v (or NULL) as its current vcpu.
void sim_cpu_enter(unsigned int cpu, struct vcpu *v);
// Tells arch_spin_wait whether other threads are at work. If not, a lock that is taken will never
// be free: the process aborts.
void sim_set_threaded(bool threaded);
// Lets an interrupt with work for the scheduler come in every so many interrupt windows, so that
// preempt_needed says yes; 0: never.
void sim_interrupt_every(unsigned int windows);
// Moves the clock that arch_now shows.
void sim_set_time(ns_t time);

// The guest's or device's view of a frame, and of guest-physical memory (one page; NULL: nothing
// mapped, or not writable where write is asked for).
void *sim_memory(mfn_t mfn);
void *sim_guest_memory(struct domain *d, gfn_t gfn, bool write);
// Transient and lasting mappings there are now, all CPUs together.
uint64_t sim_mappings(void);

// arch/sim/heap.c: lets the heap fail once, at the count-th allocation from now (1: the next).
void sim_heap_fail_at(uint64_t count);
// Objects and page blocks allocated now.
uint64_t sim_heap_objects(void);
// True if the failure that was asked for has happened.
bool sim_heap_failed(void);

#endif
