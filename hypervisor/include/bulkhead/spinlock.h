// SPDX-License-Identifier: Apache-2.0
// Spinlocks: test, then test and set. The hypervisor runs with interrupts off except in the idle
// loop and at preemption points, where no lock is held; so there is one kind of lock, and no
// interrupt handler ever finds one taken by the code that it interrupted. A CPU that waits for a
// lock serves cross-CPU calls meanwhile (arch_spin_wait), so the holder of a lock may wait for a
// TLB flush.
//
// Whoever is there when the lock becomes free gets it, and nobody is next in line. A queue would be
// fair, but where our processors are themselves scheduled (four emulated ones on two) the next in
// line is often not running, and then everybody behind it waits for its host to run it: each
// hand-over of a contended lock takes a time slice. Critical sections are short and every holder
// does much else before it comes again, so nobody was seen to starve without the queue.
#ifndef BULKHEAD_SPINLOCK_H
#define BULKHEAD_SPINLOCK_H

#include <bulkhead/types.h>
#include <bulkhead/arch/cpu.h>

struct spinlock {
    uint32_t locked;
};

#define SPINLOCK_INIT                                                                              \
    {                                                                                              \
        0                                                                                          \
    }

static inline void spin_lock_init(struct spinlock *lock)
{
    lock->locked = 0;
}

static inline bool spin_trylock(struct spinlock *lock)
{
    return !__atomic_exchange_n(&lock->locked, 1, __ATOMIC_ACQUIRE);
}

static inline bool spin_is_locked(const struct spinlock *lock)
{
    return __atomic_load_n(&lock->locked, __ATOMIC_RELAXED) != 0;
}

static inline void spin_lock(struct spinlock *lock)
{
    while (!spin_trylock(lock)) {
        // Reading leaves the cache line shared until there is something to win.
        do {
            arch_spin_wait();
        } while (spin_is_locked(lock));
    }
}

static inline void spin_unlock(struct spinlock *lock)
{
    __atomic_store_n(&lock->locked, 0, __ATOMIC_RELEASE);
}

#endif
