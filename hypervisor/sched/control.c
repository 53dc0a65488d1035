// SPDX-License-Identifier: Apache-2.0
// The toolstack's side of the scheduler: names, weights and caps per domain (domctl), parameters
// per pool (sysctl), the sched= option. A request is checked as a whole before it takes effect.
// Locking: the queue's lock around each change.

#include <bulkhead/cmdline.h>
#include <bulkhead/string.h>

#include "run_queue.h"

#define CAP_UNCHANGED 0xffffu // in putinfo: leave the cap as it is

bool sched_default_null;

static int parse_sched(const char *value)
{
    bool null = !strcmp(value, "null");

    if (!null && strcmp(value, "credit2")) {
        return -XEN_EINVAL;
    }
    sched_default_null = null;
    return 0;
}

static const char *show_sched(void)
{
    return sched_default_null ? "null" : "credit2";
}

CMDLINE_OPTION(sched, .name = "sched", .parse = parse_sched, .show = show_sched);

const char *sched_name(void)
{
    return sched_default_null ? "null Scheduler" : "SMP Credit Scheduler rev2";
}

uint32_t sched_id(void)
{
    return sched_default_null ? XEN_SCHEDULER_NULL : XEN_SCHEDULER_CREDIT2;
}

// Parameters are asked for by the policy that they belong to; null has none.
static int check_policy(const struct run_queue *rq, uint32_t asked)
{
    if (asked != (rq->null ? XEN_SCHEDULER_NULL : XEN_SCHEDULER_CREDIT2)) {
        return -XEN_EINVAL;
    }
    return rq->null ? -XEN_EOPNOTSUPP : 0;
}

int sched_domctl_op(struct domain *d, struct xen_domctl_scheduler_op *op)
{
    struct sched_domain *sd = d->sched;
    struct xen_domctl_sched_credit2 *params = &op->u.credit2;
    struct run_queue *rq = run_queue_lock_domain(sd);
    int error;

    error = check_policy(rq, op->sched_id);
    if (error) {
        spin_unlock(&rq->lock);
        return error;
    }
    switch (op->cmd) {
    case XEN_DOMCTL_SCHEDOP_getinfo:
        params->weight = (uint16_t)sd->weight;
        params->cap = (uint16_t)sd->cap;
        break;
    case XEN_DOMCTL_SCHEDOP_putinfo:
        if (params->weight != 0) {
            sd->weight = params->weight;
            credit_update_weights(rq);
        }
        if (params->cap != CAP_UNCHANGED) {
            cap_set(sd, params->cap, now());
        }
        break;
    default: // there are no settings per vcpu
        error = -XEN_EINVAL;
        break;
    }
    spin_unlock(&rq->lock);
    return error;
}

int sched_sysctl_op(struct xen_sysctl_scheduler_op *op)
{
    struct cpupool *pool = cpupool_by_id(op->cpupool_id);
    struct xen_sysctl_credit2_schedule *params = &op->u.sched_credit2;
    int error;

    if (!pool) {
        return -XEN_ESRCH;
    }
    error = check_policy(&pool->queue, op->sched_id);
    if (error) {
        return error;
    }
    switch (op->cmd) {
    case XEN_SYSCTL_SCHEDOP_putinfo:
        if (params->ratelimit_us && (params->ratelimit_us < XEN_SYSCTL_SCHED_RATELIMIT_MIN ||
                                     params->ratelimit_us > XEN_SYSCTL_SCHED_RATELIMIT_MAX)) {
            return -XEN_EINVAL;
        }
        spin_lock(&pool->queue.lock);
        pool->queue.ratelimit = (ns_t)params->ratelimit_us * 1000;
        spin_unlock(&pool->queue.lock);
        return 0;
    case XEN_SYSCTL_SCHEDOP_getinfo:
        params->ratelimit_us = (uint32_t)(pool->queue.ratelimit / 1000);
        return 0;
    default:
        return -XEN_EINVAL;
    }
}
