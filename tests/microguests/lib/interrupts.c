// SPDX-License-Identifier: Apache-2.0
// One interrupt descriptor table for all vcpus, one table of handlers, counters.
// An exception inside try_call ends that call, unless its vector has a handler; any other is
// reported and ends the guest.

#include "interrupts.h"

#include "guest.h"
#include "print.h"
#include "xen.h"

struct gate {
    uint16_t offset_low, selector, flags, offset_middle;
    uint32_t offset_high, reserved;
};

#define INTERRUPT_GATE 0x8e00
#define ENTRY_SIZE 16
#define RFLAGS_RESERVED 2

extern const char interrupt_entries[], try_call_resume[];

static struct gate table[256];
static interrupt_handler *handlers[256];
volatile uint32_t interrupt_counts[256];
unsigned int interrupt_ends_user;

void interrupt_set_handler(unsigned int vector, interrupt_handler *handler)
{
    __atomic_store_n(&handlers[vector], handler, __ATOMIC_SEQ_CST);
}

void interrupts_use_stack(unsigned int stack)
{
    for (unsigned int i = 0; i < ARRAY_SIZE(table); i++) {
        table[i].flags = (uint16_t)(INTERRUPT_GATE | stack);
    }
}

void interrupts_build(void)
{
    for (unsigned int i = 0; i < ARRAY_SIZE(table); i++) {
        uint64_t entry = (uint64_t)interrupt_entries + i * ENTRY_SIZE;

        table[i] = (struct gate){
            .offset_low = (uint16_t)entry,
            .selector = CODE64,
            .flags = INTERRUPT_GATE,
            .offset_middle = (uint16_t)(entry >> 16),
            .offset_high = (uint32_t)(entry >> 32),
        };
    }
}

void interrupts_load(void)
{
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) pointer = {sizeof(table) - 1, (uint64_t)table};

    __asm__ volatile("lidt %0" ::"m"(pointer));
}

static void handle_exception(struct interrupt_frame *frame)
{
    struct vcpu_data *vcpu = this_vcpu();
    uint64_t address;

    __asm__ volatile("movq %%cr2, %0" : "=r"(address));
    if (!vcpu->catch_stack && frame->vector == VECTOR_NMI) {
        return; // meant for a try_call that has just ended
    }
    if (!vcpu->catch_stack) {
        say("microguest: exception %lu on vcpu %u, error 0x%lx, rip 0x%lx, address 0x%lx",
            frame->vector, vcpu->index, frame->error_code, frame->rip, address);
        xen_end();
    }
    vcpu->fault_error = frame->error_code;
    vcpu->fault_address = address;
    frame->rax = frame->vector;
    frame->rip = (uint64_t)try_call_resume;
    frame->rsp = vcpu->catch_stack;
    frame->cs = CODE64;
    frame->ss = DATA;
    frame->rflags = RFLAGS_RESERVED;
}

void interrupt_dispatch(struct interrupt_frame *frame)
{
    interrupt_handler *handler = handlers[frame->vector];

    __atomic_fetch_add(&interrupt_counts[frame->vector], 1, __ATOMIC_SEQ_CST);
    if (handler) {
        handler();
    }
    if ((frame->vector < 32 && !handler) ||
        (frame->cs & 3 && frame->vector == interrupt_ends_user)) {
        handle_exception(frame);
    }
}
