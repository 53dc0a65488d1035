// SPDX-License-Identifier: Apache-2.0
// x86's part of struct cpu. The GS base of each CPU points at its struct cpu while the hypervisor
// runs; struct cpu begins with a pointer to itself.
#ifndef BULKHEAD_X86_CPU_H
#define BULKHEAD_X86_CPU_H

#include <bulkhead/types.h>
#include <x86/registers.h>

struct cpu;
struct svm_cpu;
struct cpu_tables;

struct arch_cpu {
    uint32_t apic_id;
    uint32_t acpi_id;
    void *stack_top;
    struct cpu_tables *tables; // descriptor tables and their stacks, cpu/descriptors.c
    struct svm_cpu *svm;       // svm.c
    unsigned int map_slots_used;
    uintptr_t map_slot_base;
    uint64_t *map_slots; // page table entries of the slots
    bool call_pending;   // arch_call_cpus waits for this CPU
};

static inline struct cpu *this_cpu(void)
{
    struct cpu *cpu;

    __asm__("movq %%gs:0, %0" : "=r"(cpu));
    return cpu;
}

static inline uint64_t arch_cycles(void)
{
    return read_tsc();
}

#endif
