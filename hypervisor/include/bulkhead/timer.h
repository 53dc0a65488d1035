// SPDX-License-Identifier: Apache-2.0
// One-shot timers, one queue per CPU. A timer belongs to the CPU given at timer_init until
// timer_migrate; its callback runs on that CPU from cpu_loop with no lock held and interrupts off.
#ifndef BULKHEAD_TIMER_H
#define BULKHEAD_TIMER_H

#include <bulkhead/list.h>
#include <bulkhead/spinlock.h>

struct timer {
    ns_t expires;
    void (*fire)(void *data);
    void *data;
    unsigned int cpu;
    unsigned int heap_index; // 0: not queued
};

#define TIMER_NONE INT64_MAX

struct timer_queue {
    struct spinlock lock;
    struct timer **heap; // binary heap from index 1, earliest first
    unsigned int count, capacity;
    ns_t programmed;       // what arch_timer_program was last told
    struct timer *running; // whose callback runs now
};

// Gives a CPU's queue as much room as the others have; before the CPU uses timers. 0 or -ENOMEM.
int timer_queue_init(struct timer_queue *queue);

// System time in nanoseconds since boot; monotonic across CPUs to within the TSC's quality.
ns_t now(void);

// Prepares an idle timer. Fails never; a timer takes its queue slot when it is set.
void timer_init(struct timer *t, unsigned int cpu, void (*fire)(void *data), void *data);
// Makes room for one more timer on every CPU's queue, so that timer_set cannot fail. Called when
// the object that holds the timer is created (count timers); 0 or -ENOMEM.
int timer_reserve(unsigned int count);
void timer_unreserve(unsigned int count);
// Sets or moves the expiry. Any CPU may call it; the owner CPU is told by IPI if it must.
void timer_set(struct timer *t, ns_t expires);
// After it returns the callback will not start; it may still be running on its CPU.
void timer_stop(struct timer *t);
// As timer_stop, and waits for a running callback. Not from the callback itself.
void timer_kill(struct timer *t);
void timer_migrate(struct timer *t, unsigned int cpu);
// Runs what is due on this CPU and programs the next deadline. From cpu_loop.
void timers_run(void);

#endif
