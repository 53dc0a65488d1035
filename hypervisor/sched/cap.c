// SPDX-License-Identifier: Apache-2.0
// Caps: a domain with a cap has a budget of CPU time for each CAP_PERIOD. Time run is taken from
// it; when it is used up, the domain's vcpus are parked until the next refill. Vcpus that run at
// the same time may overdraw; the debt stays, so the long-term share is exact.
// The budget is refilled when somebody looks; only while vcpus are parked does a timer look.
// Locking: the queue's lock; the timer's callback takes it.

#include "run_queue.h"

// Charges what the domain's vcpus have run up to t, before the budget is looked at; returns how
// many run.
static unsigned int charge_running(struct sched_domain *sd, ns_t t)
{
    struct sched_vcpu *sv;
    unsigned int running = 0;

    list_for_each (sv, &sd->vcpus, domain_link) {
        if (sv->state == SCHED_RUNNING) {
            credit_account(sd->queue, sv, t);
            running++;
        }
    }
    return running;
}

static void refill(struct sched_domain *sd, ns_t t)
{
    if (t >= sd->next_refill) {
        ns_t periods = (t - sd->next_refill) / CAP_PERIOD + 1;

        charge_running(sd, t);
        sd->next_refill += periods * CAP_PERIOD;
        // A debt is less than one period's time on every CPU: so many periods clear it for sure.
        periods = MIN(periods, (ns_t)MAX_CPUS * 100);
        sd->budget = MIN(sd->budget + periods * sd->quota, sd->quota);
    }
}

static void refill_due(void *data)
{
    struct sched_domain *sd = data;
    struct run_queue *rq = run_queue_lock_domain(sd);
    struct sched_vcpu *sv, *next;
    ns_t t = now();

    if (!list_empty(&sd->parked)) {
        if (sd->cap && cap_exhausted(sd, t)) {
            timer_set(&sd->refill, sd->next_refill);
        } else {
            list_for_each_safe (sv, next, &sd->parked, link) {
                queue_remove(sv);
                queue_add(rq, sv, MAX_CPUS, t);
            }
        }
    }
    spin_unlock(&rq->lock);
}

int cap_create(struct sched_domain *sd)
{
    int error = timer_reserve(1);

    if (!error) {
        timer_init(&sd->refill, this_cpu()->id, refill_due, sd);
        list_init(&sd->parked);
    }
    return error;
}

void cap_destroy(struct sched_domain *sd)
{
    timer_kill(&sd->refill);
    timer_unreserve(1);
}

void cap_set(struct sched_domain *sd, uint32_t cap, ns_t t)
{
    struct sched_vcpu *sv;

    charge_running(sd, t);
    sd->cap = cap;
    sd->quota = CAP_PERIOD / 100 * cap;
    sd->budget = sd->quota;
    sd->next_refill = t + CAP_PERIOD;
    if (!list_empty(&sd->parked)) {
        timer_set(&sd->refill, t); // lets them go as the new cap has it
    }
    list_for_each (sv, &sd->vcpus, domain_link) {
        if (sv->state == SCHED_RUNNING) {
            cpu_raise_work(sv->vcpu->cpu, CPU_WORK_SCHEDULE); // its slice ends by the new cap
        }
    }
}

ns_t cap_slice(struct sched_domain *sd, ns_t t)
{
    ns_t share = sd->budget / charge_running(sd, t); // the asking one runs

    return MAX(share, (ns_t)CAP_SLICE_MIN);
}

bool cap_exhausted(struct sched_domain *sd, ns_t t)
{
    refill(sd, t);
    return sd->budget <= 0;
}

void cap_park(struct sched_vcpu *sv)
{
    struct sched_domain *sd = sv->domain;

    if (list_empty(&sd->parked)) {
        timer_set(&sd->refill, sd->next_refill);
    }
    sv->state = SCHED_PARKED;
    list_add_tail(&sd->parked, &sv->link);
}
