// SPDX-License-Identifier: Apache-2.0
// The virtual local APIC's timer: one-shot, periodic, and TSC deadline. It runs as a timer of the
// vcpu's CPU. The vcpu sets it while the callback of an earlier setting may be running on another
// CPU, so timer_lock covers LVT entry 0, counts and deadline; a callback that finds the expiry in
// the future is of a setting that is no more. Interrupts are posted after the lock is dropped.
// Lock order: timer_lock, then the timer queues.
#include "vlapic_internal.h"

// No guest makes the hypervisor work more often than this, in nanoseconds, by a periodic timer.
#define SHORTEST_PERIOD 200000

static unsigned int divide_shift(const struct vlapic *apic)
{
    // TDCR bits 3, 1, 0: 0 is division by 2, ..., 6 by 128, 7 by 1.
    unsigned int code = (apic->timer_divide >> 1 & 4) | (apic->timer_divide & 3);

    return (code + 1) & 7;
}

static ns_t count_to_time(const struct vlapic *apic, uint32_t count)
{
    return (ns_t)((uint64_t)count * VLAPIC_BUS_CYCLE_NS << divide_shift(apic));
}

static uint32_t mode(const struct vlapic *apic)
{
    return apic->lvt[VLAPIC_LVT_TIMER] & LVT_TIMER_MODE;
}

static ns_t period(const struct vlapic *apic)
{
    ns_t time = count_to_time(apic, apic->timer_initial);

    return MAX(time, (ns_t)SHORTEST_PERIOD);
}

static void disarm(struct vlapic *apic)
{
    apic->timer_expires = 0;
    timer_stop(&apic->timer);
}

static void arm(struct vlapic *apic, ns_t expires)
{
    unsigned int cpu = apic->vcpu->cpu;

    apic->timer_expires = MAX(expires, (ns_t)1);
    if (apic->timer.cpu != cpu) {
        timer_migrate(&apic->timer, cpu);
    }
    timer_set(&apic->timer, apic->timer_expires);
}

// The timer has run out at `time`: what to do next, and which vector to post (0: none).
static uint8_t expire(struct vlapic *apic, ns_t time)
{
    uint32_t lvt = apic->lvt[VLAPIC_LVT_TIMER];

    if (mode(apic) == LVT_PERIODIC) {
        ns_t step = period(apic);
        ns_t missed = (time - apic->timer_expires) / step;

        arm(apic, apic->timer_expires + (missed + 1) * step);
    } else {
        apic->timer_expires = 0;
        apic->tsc_deadline = 0;
    }
    return lvt & LVT_MASKED ? 0 : (uint8_t)lvt;
}

static void fire(void *data)
{
    struct vlapic *apic = data;
    ns_t time = now();
    uint8_t vector = 0;
    bool due;

    spin_lock(&apic->timer_lock);
    due = apic->timer_expires && apic->timer_expires <= time;
    if (due) {
        vector = expire(apic, time);
    }
    spin_unlock(&apic->timer_lock);
    if (vector) {
        vlapic_post(apic->vcpu, vector, false);
    }
}

void vlapic_timer_init(struct vlapic *apic)
{
    spin_lock_init(&apic->timer_lock);
    timer_init(&apic->timer, apic->vcpu->cpu, fire, apic);
}

void vlapic_timer_stop(struct vlapic *apic)
{
    spin_lock(&apic->timer_lock);
    disarm(apic);
    apic->timer_initial = 0;
    apic->timer_divide = 0;
    apic->tsc_deadline = 0;
    spin_unlock(&apic->timer_lock);
}

void vlapic_timer_set_initial(struct vlapic *apic, uint32_t count)
{
    spin_lock(&apic->timer_lock);
    if (mode(apic) != LVT_DEADLINE) {
        apic->timer_initial = count;
        if (count) {
            arm(apic, now() + count_to_time(apic, count));
        } else {
            disarm(apic);
        }
    }
    spin_unlock(&apic->timer_lock);
}

static uint32_t current_count(const struct vlapic *apic)
{
    ns_t left = apic->timer_expires - now();

    if (!apic->timer_expires || left <= 0 || mode(apic) == LVT_DEADLINE) {
        return 0;
    }
    // A period that was lengthened must not show a count above the initial one.
    return (uint32_t)MIN((uint64_t)left / VLAPIC_BUS_CYCLE_NS >> divide_shift(apic),
                         (uint64_t)apic->timer_initial);
}

uint32_t vlapic_timer_current(struct vlapic *apic)
{
    uint32_t count;

    spin_lock(&apic->timer_lock);
    count = current_count(apic);
    spin_unlock(&apic->timer_lock);
    return count;
}

void vlapic_timer_set_divide(struct vlapic *apic, uint32_t value)
{
    uint32_t count;

    spin_lock(&apic->timer_lock);
    count = current_count(apic);
    apic->timer_divide = value & 0xb;
    if (count) { // the count goes on from where it is, at the new rate
        arm(apic, now() + count_to_time(apic, count));
    }
    spin_unlock(&apic->timer_lock);
}

void vlapic_timer_set_lvt(struct vlapic *apic, uint32_t value)
{
    uint32_t old;

    spin_lock(&apic->timer_lock);
    old = apic->lvt[VLAPIC_LVT_TIMER];
    apic->lvt[VLAPIC_LVT_TIMER] = value;
    // To or from deadline mode the timer is disarmed (Intel SDM 3, 11.5.4.1).
    if ((old ^ value) & LVT_DEADLINE) {
        disarm(apic);
        apic->timer_initial = 0;
        apic->tsc_deadline = 0;
    }
    spin_unlock(&apic->timer_lock);
}

static void set_deadline(struct vlapic *apic, uint64_t tsc)
{
    apic->tsc_deadline = tsc;
    if (tsc) {
        arm(apic, hvm_tsc_to_time(apic->vcpu, tsc));
    } else {
        disarm(apic);
    }
}

void vlapic_timer_set_deadline(struct vlapic *apic, uint64_t tsc)
{
    spin_lock(&apic->timer_lock);
    if (mode(apic) == LVT_DEADLINE) {
        set_deadline(apic, tsc);
    }
    spin_unlock(&apic->timer_lock);
}

uint64_t vlapic_timer_get_deadline(struct vlapic *apic)
{
    uint64_t tsc;

    spin_lock(&apic->timer_lock);
    tsc = mode(apic) == LVT_DEADLINE ? apic->tsc_deadline : 0;
    spin_unlock(&apic->timer_lock);
    return tsc;
}

void vlapic_timer_restore(struct vlapic *apic, uint32_t count)
{
    spin_lock(&apic->timer_lock);
    disarm(apic);
    if (mode(apic) == LVT_DEADLINE) {
        set_deadline(apic, apic->tsc_deadline);
    } else if (apic->timer_initial && count) {
        arm(apic, now() + count_to_time(apic, MIN(count, apic->timer_initial)));
    } else if (apic->timer_initial && mode(apic) == LVT_PERIODIC) {
        arm(apic, now() + period(apic));
    }
    spin_unlock(&apic->timer_lock);
}

void vlapic_migrate_timer(struct vcpu *v)
{
    struct vlapic *apic = v->arch.vlapic;

    if (__atomic_load_n(&apic->timer_expires, __ATOMIC_RELAXED)) {
        timer_migrate(&apic->timer, v->cpu);
    }
}
