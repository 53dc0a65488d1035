// SPDX-License-Identifier: Apache-2.0
// Credits. A vcpu that runs for t ages by t * (largest weight / its weight); its credit is how far
// it is behind the queue's base. CPUs run whoever has most credit. When even the best choice of a
// CPU has none left, the base moves on, which gives the same to everybody, so differences stay.
// Sleeping saves at most CREDIT_MAX: what is more is forgotten when the vcpu is chosen or wakes.
// Locking: the queue's lock. Nothing here fails.

#include "run_queue.h"

void credit_account(struct run_queue *rq, struct sched_vcpu *sv, ns_t t)
{
    ns_t spent = t - sv->accounted;

    if (spent > 0) {
        sv->accounted = t;
        sv->virtual_time += (ns_t)(((unsigned __int128)spent * sv->domain->factor) >> FACTOR_SHIFT);
        sv->domain->budget -= spent; // of no meaning without a cap
    }
    credit_clip(rq, sv);
}

void credit_clip(struct run_queue *rq, struct sched_vcpu *sv)
{
    if (credit_of(rq, sv) > CREDIT_MAX) {
        sv->virtual_time = rq->base - CREDIT_MAX;
    }
}

void credit_reset_if_spent(struct run_queue *rq, struct sched_vcpu *sv)
{
    ns_t credit = credit_of(rq, sv);

    if (credit < 0) {
        rq->base += CREDIT_RESET - credit;
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

// Credit is counted in time at the largest weight: keeps what it means for each vcpu when the
// scale changes.
static void set_factor(struct run_queue *rq, struct sched_domain *sd, uint64_t factor)
{
    struct sched_vcpu *sv;

    if (sd->factor && sd->factor != factor) {
        uint64_t ratio = (factor << FACTOR_SHIFT) / sd->factor;

        list_for_each (sv, &sd->vcpus, domain_link) {
            __int128 credit = (__int128)credit_of(rq, sv) * (int64_t)ratio >> FACTOR_SHIFT;

            sv->virtual_time = rq->base - (ns_t)credit;
        }
    }
    sd->factor = factor;
}

void credit_update_weights(struct run_queue *rq)
{
    struct list waiting = {&waiting, &waiting};
    struct sched_domain *sd;
    struct sched_vcpu *sv, *next;

    rq->max_weight = 1;
    list_for_each (sd, &rq->domains, link) {
        rq->max_weight = MAX(rq->max_weight, sd->weight);
    }
    list_for_each (sd, &rq->domains, link) {
        set_factor(rq, sd, ((uint64_t)rq->max_weight << FACTOR_SHIFT) / sd->weight);
    }
    // The order may be another one now.
    list_for_each_safe (sv, next, &rq->waiting, link) {
        list_remove(&sv->link);
        list_add_tail(&waiting, &sv->link);
    }
    list_for_each_safe (sv, next, &waiting, link) {
        list_remove(&sv->link);
        queue_insert(rq, sv);
    }
}
