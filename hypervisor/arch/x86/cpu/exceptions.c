// SPDX-License-Identifier: Apache-2.0
// Exceptions and interrupts as entry.S delivers them. The table of handlers is written at start-up
// and read without a lock. An exception in the hypervisor is a defect, and fatal, unless its
// instruction is in the fixup table (safe_msr.c) or it is an NMI that asks for a dump.

#include <bulkhead/console.h>
#include <bulkhead/cpu.h>
#include <x86/apic.h>
#include <x86/debug.h>
#include <x86/interrupt.h>
#include <x86/registers.h>
#include <x86/vectors.h>

struct fixup {
    uint64_t from, to;
};

extern const struct fixup fixup_table_start[], fixup_table_end[];

static void (*handlers[256])(uint8_t vector);

static const char *const exception_names[EXCEPTION_VECTORS] = {
    "divide error",
    "debug",
    "NMI",
    "breakpoint",
    "overflow",
    "bound range",
    "invalid opcode",
    "device not available",
    "double fault",
    "coprocessor overrun",
    "invalid TSS",
    "segment not present",
    "stack fault",
    "general protection fault",
    "page fault",
    "reserved exception",
    "x87 error",
    "alignment check",
    "machine check",
    "SIMD error",
    "virtualization fault",
    "control protection fault",
};

void idt_set_handler(uint8_t vector, void (*handler)(uint8_t vector))
{
    __atomic_store_n(&handlers[vector], handler, __ATOMIC_RELEASE);
}

static bool apply_fixup(struct interrupt_frame *frame)
{
    for (const struct fixup *f = fixup_table_start; f < fixup_table_end; f++) {
        if (f->from == frame->rip) {
            frame->rip = f->to;
            return true;
        }
    }
    return false;
}

static void handle_exception(struct interrupt_frame *frame)
{
    const char *name = exception_names[frame->vector];

    if (frame->vector == EXCEPTION_NMI) {
        if (!dump_serve_nmi(frame)) {
            log_warning("CPU%u: NMI without a known reason", this_cpu()->id);
        }
        return;
    }
    if (frame->vector == EXCEPTION_PROTECTION && apply_fixup(frame)) {
        return;
    }
    die(frame, name ? name : "reserved exception");
}

void interrupt_dispatch(struct interrupt_frame *frame)
{
    uint8_t vector = (uint8_t)frame->vector;
    void (*handler)(uint8_t);

    if (vector < EXCEPTION_VECTORS) {
        handle_exception(frame);
        return;
    }
    handler = __atomic_load_n(&handlers[vector], __ATOMIC_ACQUIRE);
    if (handler) {
        handler(vector);
    } else {
        log_warning("CPU%u: interrupt by vector 0x%x, which nothing uses", this_cpu()->id, vector);
        apic_eoi();
    }
}
