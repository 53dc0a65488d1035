// SPDX-License-Identifier: Apache-2.0
// Ticket spinlocks. The hypervisor runs with interrupts off except in the idle loop and at
// preemption points, where no lock is held; so there is one kind of lock, and no interrupt handler
// ever finds one taken by the code that it interrupted. A CPU that waits for a lock serves
// cross-CPU calls meanwhile (arch_spin_wait), so the holder of a lock may wait for a TLB flush.
#ifndef BULKHEAD_SPINLOCK_H
#define BULKHEAD_SPINLOCK_H

#include <bulkhead/types.h>
#include <bulkhead/arch/cpu.h>

struct spinlock {
    uint32_t next;
    uint32_t owner;
};

#define SPINLOCK_INIT                                                                              \
    {                                                                                              \
        0, 0                                                                                       \
    }

static inline void spin_lock_init(struct spinlock *lock)
{
    lock->next = 0;
    lock->owner = 0;
}

static inline void spin_lock(struct spinlock *lock)
{
    uint32_t ticket = __atomic_fetch_add(&lock->next, 1, __ATOMIC_RELAXED);

    while (__atomic_load_n(&lock->owner, __ATOMIC_ACQUIRE) != ticket) {
        arch_spin_wait();
    }
}

static inline bool spin_trylock(struct spinlock *lock)
{
    uint32_t owner = __atomic_load_n(&lock->owner, __ATOMIC_RELAXED);
    uint32_t expected = owner;

    return __atomic_compare_exchange_n(&lock->next, &expected, owner + 1, false, __ATOMIC_ACQUIRE,
                                       __ATOMIC_RELAXED);
}

static inline void spin_unlock(struct spinlock *lock)
{
    // Only the holder writes owner, so a plain read-modify-store is enough.
    uint32_t owner = __atomic_load_n(&lock->owner, __ATOMIC_RELAXED);

    __atomic_store_n(&lock->owner, owner + 1, __ATOMIC_RELEASE);
}

static inline bool spin_is_locked(const struct spinlock *lock)
{
    return __atomic_load_n(&lock->owner, __ATOMIC_RELAXED) !=
           __atomic_load_n(&lock->next, __ATOMIC_RELAXED);
}

#endif
