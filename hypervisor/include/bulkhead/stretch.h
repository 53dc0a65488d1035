// SPDX-License-Identifier: Apache-2.0
// Stretches: what a CPU does for a hypercall without letting anything else in. One begins with the
// hypercall and after each window for interrupts, and ends with the next window or the hypercall.
// The longest of each hypercall is kept, always, for the price of two readings of a counter. The
// counter is arch_cycles: on x86 the time stamp counter, which counts instructions on an emulated
// machine that is told so (QEMU: -icount shift=0).
//
// State: struct cpu.stretches, written by the CPU itself without a lock; others read it as it is.
#ifndef BULKHEAD_STRETCH_H
#define BULKHEAD_STRETCH_H

#include <bulkhead/cpu.h>

struct stretch_record {
    uint64_t length;
    uint32_t operation;
};

// Begins a stretch of hypercall @number, which may be a part of another's: a multicall's stretches
// are what is between its entries. Returns what stretch_end is to go on with.
static inline struct stretch stretch_begin(unsigned int number, uint64_t operation)
{
    struct stretch *present = &this_cpu()->stretches.present, outer = *present;

    *present = (struct stretch){arch_cycles(), number, (uint32_t)operation};
    return outer;
}

// Says which operation it is, where the first argument does not.
static inline void stretch_set_operation(uint32_t operation)
{
    this_cpu()->stretches.present.operation = operation;
}

// Out of line: a new longest one, or nobody's (outside of hypercalls).
void stretch_note(struct stretches *s, uint64_t length);

// Ends a stretch, now, which it returns: before a window for interrupts, and at the end of a part.
static inline uint64_t stretch_cut(void)
{
    struct stretches *s = &this_cpu()->stretches;
    uint64_t end = arch_cycles(), length = end - s->present.begin;

    if (unlikely(length > s->longest[s->present.number])) {
        stretch_note(s, length);
    }
    return end;
}

// Begins the next stretch of the same hypercall.
static inline void stretch_restart(void)
{
    this_cpu()->stretches.present.begin = arch_cycles();
}

static inline void stretch_end(struct stretch outer)
{
    outer.begin = stretch_cut();
    this_cpu()->stretches.present = outer;
}

// The longest one of hypercall @number that any CPU has seen; length 0: none.
struct stretch_record stretch_longest(unsigned int number);

// Registers the debug key that shows them. Once, at boot.
void stretch_init(void);

#endif
