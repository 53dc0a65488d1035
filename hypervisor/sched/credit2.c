// SPDX-License-Identifier: Apache-2.0
// Credits. A vcpu that runs for t ages by t * (largest weight / its weight); its credit is how far
// it is behind the queue's base. CPUs run whoever has most credit. When even the best choice of a
// CPU has none left, the base moves on, which gives the same to everybody, so differences stay.
// Sleeping saves at most CREDIT_INIT: what is more is forgotten when the vcpu is chosen or wakes.
// Locking: the queue's lock. Nothing here fails.

#include "run_queue.h"

void credit_account(struct run_queue *rq, struct sched_vcpu *sv, ns_t t)
{
    ns_t spent = t - sv->accounted;

    if (spent > 0) {
        sv->accounted = t;
        sv->virtual_time += (ns_t)(((unsigned __int128)spent * sv->domain->factor) >> FACTOR_SHIFT);
        if (sv->domain->cap) {
            cap_charge(sv->domain, spent, t);
        }
    }
    credit_clip(rq, sv);
}

void credit_clip(struct run_queue *rq, struct sched_vcpu *sv)
{
    if (credit_of(rq, sv) > CREDIT_INIT) {
        sv->virtual_time = rq->base - CREDIT_INIT;
    }
}

void credit_reset_if_spent(struct run_queue *rq, struct sched_vcpu *sv)
{
    ns_t credit = credit_of(rq, sv);

    if (credit < 0) {
        rq->base += CREDIT_INIT - credit;
    }
}

ns_t credit_to_slice(const struct sched_vcpu *sv, ns_t credit)
{
    ns_t slice = SLICE_MIN;

    if (credit > SLICE_MIN) {
        uint64_t scaled = MIN((uint64_t)credit, 1UL << 46) << FACTOR_SHIFT;

        slice = (ns_t)(scaled / sv->domain->factor);
        slice = MIN(slice, (ns_t)SLICE_MAX);
        slice = MAX(slice, (ns_t)SLICE_MIN);
    }
    return slice;
}

void credit_update_weights(struct run_queue *rq)
{
    struct sched_domain *sd;

    rq->max_weight = 1;
    list_for_each (sd, &rq->domains, link) {
        rq->max_weight = MAX(rq->max_weight, sd->weight);
    }
    list_for_each (sd, &rq->domains, link) {
        sd->factor = ((uint64_t)rq->max_weight << FACTOR_SHIFT) / sd->weight;
    }
}
