// SPDX-License-Identifier: Apache-2.0
// A microguest from the inside: its vcpus, what it was started with, its end.
#ifndef MICROGUEST_GUEST_H
#define MICROGUEST_GUEST_H

#include "cpu.h"
#include "layout.h"

#include <xen/arch-x86/hvm/start_info.h>

// One for each vcpu, at its GS base.
struct vcpu_data {
    struct vcpu_data *self;
    uint64_t catch_stack; // try_call's stack pointer, 0 outside of it
    uint64_t fault_error; // error code of the last exception that try_call caught
    uint64_t fault_address;
    uint32_t index;
    uint32_t apic_id;
    volatile uint32_t started;
    uint32_t unused;
    void (*volatile work)(void); // for this vcpu; NULL when it has none
    uint64_t unused2;
};

_Static_assert(offsetof(struct vcpu_data, catch_stack) == VCPU_DATA_CATCH_STACK, "asm offset");
_Static_assert(sizeof(struct vcpu_data) == VCPU_DATA_SIZE, "asm size");

extern struct vcpu_data vcpu_data[MAX_VCPUS];

static inline struct vcpu_data *this_vcpu(void)
{
    struct vcpu_data *self;

    __asm__ volatile("movq %%gs:0, %0" : "=r"(self));
    return self;
}

// The program, supplied by each microguest; runs on vcpu 0 with interrupts off.
void program(void);

// As in the C library; the compiler calls them by itself, too.
void *memcpy(void *to, const void *from, size_t size);
void *memset(void *to, int value, size_t size);

const struct hvm_start_info *guest_start_info(void);
const char *guest_command_line(void);

// Starts all other vcpus by INIT and SIPI and returns how many came up, at most MAX_VCPUS - 1.
// They sleep with interrupts on and have no work. Waits at most about 2 s.
unsigned int vcpus_start(void);

// Lets vcpu @index call @work once, after the next interrupt that it gets: the caller sends it one.
void vcpu_give_work(unsigned int index, void (*work)(void));

// Waits, about @milliseconds at most, until *@flag is not zero. Interrupts are let in meanwhile.
bool wait_until(const volatile uint32_t *flag, unsigned int milliseconds);

#endif
