// SPDX-License-Identifier: Apache-2.0
// Runstate accounting: how long each vcpu has run, waited, been blocked or offline; and the copy
// that the guest may have registered (VCPUOP_register_runstate_*).
// Locking: the run queue's lock over struct vcpu.runstate, the area's own over the copy.

#include "run_queue.h"

#define AREA_ENTRY_TIME offsetof(struct vcpu_runstate_info, state_entry_time)

static void publish(struct vcpu *v)
{
    struct guest_area *area = &v->runstate_area;
    struct vcpu_runstate_info *info = &v->runstate;

    if (!__atomic_load_n(&area->part[0], __ATOMIC_RELAXED)) {
        return;
    }
    spin_lock(&area->lock);
    if (area->versioned_always || v->domain->runstate_update_flag) {
        uint64_t marked = info->state_entry_time | XEN_RUNSTATE_UPDATE;

        // Readers look at the entry time before and after: marked while the rest changes.
        guest_area_write_locked(area, AREA_ENTRY_TIME, &marked, sizeof(marked));
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        guest_area_write_locked(area, 0, info, sizeof(info->state));
        guest_area_write_locked(area, offsetof(struct vcpu_runstate_info, time), info->time,
                                sizeof(info->time));
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        guest_area_write_locked(area, AREA_ENTRY_TIME, &info->state_entry_time,
                                sizeof(info->state_entry_time));
    } else {
        guest_area_write_locked(area, 0, info, sizeof(*info));
    }
    spin_unlock(&area->lock);
}

void runstate_change(struct vcpu *v, int state, ns_t t)
{
    struct vcpu_runstate_info *info = &v->runstate;

    if (info->state == state) {
        return;
    }
    // Clocks of two CPUs may differ by a little; time does not go backwards here.
    if ((uint64_t)t > info->state_entry_time) {
        info->time[info->state] += (uint64_t)t - info->state_entry_time;
        info->state_entry_time = (uint64_t)t;
    }
    info->state = state;
    publish(v);
}

void runstate_settle(struct vcpu *v, ns_t t)
{
    int state = RUNSTATE_offline;

    if (vcpu_runnable(v)) {
        state = RUNSTATE_runnable;
    } else if (v->pause_flags & (VCPU_BLOCKED | VCPU_POLLING)) {
        state = RUNSTATE_blocked;
    }
    runstate_change(v, state, t);
}

void runstate_get(struct vcpu *v, struct vcpu_runstate_info *out)
{
    struct run_queue *rq = run_queue_lock_domain(((struct sched_vcpu *)v->sched)->domain);
    ns_t t = now();

    *out = v->runstate;
    spin_unlock(&rq->lock);
    if ((uint64_t)t > out->state_entry_time) {
        out->time[out->state] += (uint64_t)t - out->state_entry_time;
    }
}

void runstate_publish(struct vcpu *v)
{
    struct run_queue *rq = run_queue_lock_domain(((struct sched_vcpu *)v->sched)->domain);

    publish(v);
    spin_unlock(&rq->lock);
}
