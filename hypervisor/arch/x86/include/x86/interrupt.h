// SPDX-License-Identifier: Apache-2.0
// Entry into the hypervisor by exceptions and interrupts: descriptor tables, handlers of vectors.
#ifndef BULKHEAD_X86_INTERRUPT_H
#define BULKHEAD_X86_INTERRUPT_H

#include <bulkhead/types.h>

struct cpu;

// What entry.S saves, in the order of memory.
struct interrupt_frame {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8;
    uint64_t rdi, rsi, rbp, rbx, rdx, rcx, rax;
    uint64_t vector, error_code;
    uint64_t rip, cs, rflags, rsp, ss;
};

// Handler of an interrupt vector (from EXCEPTION_VECTORS on). Called with interrupts off and no
// lock held beneath it; it acknowledges the local APIC itself (apic_eoi). NULL: spurious, counted
// and acknowledged.
void idt_set_handler(uint8_t vector, void (*handler)(uint8_t vector));

// Fills the interrupt descriptor table. Once.
void idt_init(void);
// Makes this CPU's tables and exception stacks and loads them. The boot CPU calls it twice: early
// is true before there is memory, when exceptions run on the current stack.
void descriptor_tables_load_early(struct cpu *cpu);
int descriptor_tables_create(struct cpu *cpu); // 0 or -XEN_ENOMEM; any CPU, for another
void descriptor_tables_load(struct cpu *cpu);  // on the CPU itself
// A stack of `pages` pages with an unmapped page below it; its top, or NULL.
void *stack_create(size_t pages);

// entry.S
void interrupt_entry_table(void);
// exceptions.c; called by entry.S.
void interrupt_dispatch(struct interrupt_frame *frame);

#endif
