// SPDX-License-Identifier: Apache-2.0
// Domain watchdogs: timers that shut their domain down unless it sets them anew in time.
// Data: a small array per domain, made when the first one is set.
// Locking: domain.lock over which ones are in use. The callback may find its domain dying, and
// then does nothing new. Errors: only memory, before anything has changed.

#include <bulkhead/console.h>
#include <bulkhead/cpu.h>
#include <bulkhead/domain.h>
#include <bulkhead/heap.h>
#include <bulkhead/watchdog.h>
#include <xen/sched.h>

#define WATCHDOGS 2u
#define SECOND 1000000000LL

struct domain_watchdogs {
    struct {
        struct timer timer;
        bool in_use;
    } at[WATCHDOGS];
};

static void expired(void *data)
{
    struct domain *d = data;

    log_message(LOG_GUEST_WARNING, "domain %u: watchdog expired", d->id);
    domain_shutdown(d, SHUTDOWN_watchdog);
}

static int prepare(struct domain *d)
{
    struct domain_watchdogs *w;

    if (__atomic_load_n(&d->watchdogs, __ATOMIC_ACQUIRE)) {
        return 0;
    }
    if (timer_reserve(WATCHDOGS)) {
        return -XEN_ENOMEM;
    }
    w = heap_new(struct domain_watchdogs);
    if (w) {
        for (unsigned int i = 0; i < WATCHDOGS; i++) {
            timer_init(&w->at[i].timer, this_cpu()->id, expired, d);
        }
        spin_lock(&d->lock);
        if (!d->watchdogs) {
            __atomic_store_n(&d->watchdogs, w, __ATOMIC_RELEASE);
            w = NULL;
        }
        spin_unlock(&d->lock);
        if (!w) {
            return 0;
        }
    }
    timer_unreserve(WATCHDOGS); // no memory, or another vcpu was faster
    heap_free(w);
    return d->watchdogs ? 0 : -XEN_ENOMEM;
}

static int take_free(struct domain_watchdogs *w)
{
    for (unsigned int i = 0; i < WATCHDOGS; i++) {
        if (!w->at[i].in_use) {
            return (int)i + 1;
        }
    }
    return -XEN_ENOSPC;
}

int watchdog_set(struct domain *d, uint32_t id, uint32_t timeout)
{
    struct domain_watchdogs *w;
    int result = 0, slot;

    if (id > WATCHDOGS || (!id && !timeout)) {
        return -XEN_EINVAL;
    }
    if (prepare(d)) {
        return -XEN_ENOMEM;
    }
    w = d->watchdogs;
    spin_lock(&d->lock);
    if (!id) {
        slot = result = take_free(w);
    } else {
        slot = w->at[id - 1].in_use ? (int)id : -XEN_EINVAL;
        result = slot < 0 ? slot : 0;
    }
    if (slot > 0) {
        w->at[slot - 1].in_use = timeout != 0;
        if (timeout) {
            timer_set(&w->at[slot - 1].timer, now() + (ns_t)timeout * SECOND);
        } else {
            timer_stop(&w->at[slot - 1].timer);
        }
    }
    spin_unlock(&d->lock);
    return result;
}

void watchdog_destroy(struct domain *d)
{
    if (d->watchdogs) {
        for (unsigned int i = 0; i < WATCHDOGS; i++) {
            timer_kill(&d->watchdogs->at[i].timer);
        }
        timer_unreserve(WATCHDOGS);
        heap_free(d->watchdogs);
        d->watchdogs = NULL;
    }
}
