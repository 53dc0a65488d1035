// SPDX-License-Identifier: Apache-2.0
// Exceptions and interrupts. Handlers run with interrupts off on the interrupted vcpu's stack.
#ifndef MICROGUEST_INTERRUPTS_H
#define MICROGUEST_INTERRUPTS_H

#include <stdint.h>

#define NO_EXCEPTION (-1)
#define VECTOR_DB 1
#define VECTOR_NMI 2
#define VECTOR_BP 3
#define VECTOR_UD 6
#define VECTOR_NM 7
#define VECTOR_GP 13
#define VECTOR_PF 14

struct interrupt_frame {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
    uint64_t vector, error_code;
    uint64_t rip, cs, rflags, rsp, ss;
};

// Calls @function(@argument); returns NO_EXCEPTION, or the vector of the exception that ended it
// (fault_error and fault_address of this_vcpu() tell more). Not to be nested.
int try_call(void (*function)(void *), void *argument);

typedef void interrupt_handler(void);

// Sets a vector's handler for all vcpus. NULL: an interrupt is counted and nothing else, an
// exception ends try_call or the guest (an NMI only a try_call).
void interrupt_set_handler(unsigned int vector, interrupt_handler *handler);

// How often each vector has arrived on any vcpu.
extern volatile uint32_t interrupt_counts[256];

// This interrupt ends a try_call while user-mode code runs in it; 0: none does.
extern unsigned int interrupt_ends_user;

// Lets all vectors use interrupt stack @stack (1 to 7) of the task state segment, on every vcpu; 0
// for none. Entries do not nest then.
void interrupts_use_stack(unsigned int stack);

// Builds the table once; loads it on each vcpu.
void interrupts_build(void);
void interrupts_load(void);

void interrupt_dispatch(struct interrupt_frame *frame);

#endif
