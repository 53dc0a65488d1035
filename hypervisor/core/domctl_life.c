// SPDX-License-Identifier: Apache-2.0
// Domctl: creating and destroying domains, stopping and resuming them, what they look like.
// Locking: domctl_lock is held (domctl.c); domain.lock for single fields of the life-cycle state.
// Errors: creation undoes itself; destruction and reset are preemptible and go on where they were.

#include <bulkhead/arch/control.h>
#include <bulkhead/control.h>
#include <bulkhead/cpu.h>
#include <bulkhead/domain.h>
#include <bulkhead/grant_table.h>
#include <bulkhead/iommu.h>
#include <bulkhead/sched.h>
#include <bulkhead/string.h>
#include <xen/sched.h>

#include "domctl_internal.h"

#define VCPUS_AT_ONCE 4u

// What the core itself must be able to provide; the port checks its own part when it creates.
static int check_config(const struct xen_domctl_createdomain *config)
{
    if (config->flags & ~(2u * XEN_DOMCTL_CDF_MAX - 1)) {
        return -XEN_EINVAL;
    }
    if (config->iommu_opts & ~(uint32_t)XEN_DOMCTL_IOMMU_no_sharept) {
        return -XEN_EINVAL;
    }
    if (config->flags & XEN_DOMCTL_CDF_iommu) {
        if (!iommu_enabled()) {
            return -XEN_EINVAL;
        }
        if (config->iommu_opts) {
            return -XEN_EOPNOTSUPP; // the IOMMU always walks the domain's own tables
        }
    } else if (config->iommu_opts) {
        return -XEN_EINVAL;
    }
    if (config->altp2m_opts || config->vmtrace_size) {
        return -XEN_EOPNOTSUPP;
    }
    return 0;
}

int domctl_create(struct domain *existing, struct xen_domctl *op)
{
    const struct xen_domctl_createdomain *config = &op->u.createdomain;
    bool chosen = op->domain > 0 && op->domain < DOMID_FIRST_RESERVED;
    struct cpupool *pool = cpupool_by_id(config->cpupool_id);
    struct domain *d;
    int error = check_config(config);

    if (error) {
        return error;
    }
    if (chosen && existing) {
        return -XEN_EEXIST;
    }
    if (!pool) {
        return -XEN_EINVAL;
    }
    error = domain_create(chosen ? op->domain : DOMID_INVALID, config, false, &d);
    if (error) {
        return error;
    }
    error = cpupool_move_domain(d, pool);
    if (error) {
        // Nothing of it is in use yet: this does not take long.
        while (domain_destroy(d) == -XEN_ERESTART) {
        }
        return error;
    }
    op->domain = d->id;
    return 0;
}

int domctl_destroy(struct domain *d, struct xen_domctl *op)
{
    (void)op;
    return d == domain0 ? -XEN_EINVAL : domain_destroy(d);
}

int domctl_pause(struct domain *d, struct xen_domctl *op)
{
    (void)op;
    return domain_pause_by_toolstack(d);
}

int domctl_unpause(struct domain *d, struct xen_domctl *op)
{
    (void)op;
    return domain_unpause_by_toolstack(d);
}

int domctl_resume(struct domain *d, struct xen_domctl *op)
{
    (void)op;
    return domain_resume(d);
}

// The domain keeps memory and vcpu state and loses its connections to others.
int domctl_soft_reset(struct domain *d, struct xen_domctl *op)
{
    struct vcpu *v;
    unsigned int i;
    int error;

    (void)op;
    if (!d->is_shut_down || d->shutdown_code != SHUTDOWN_soft_reset) {
        return -XEN_EINVAL;
    }
    error = event_reset(d);
    if (!error) {
        error = grant_table_release_mappings(d);
    }
    if (error) {
        return error;
    }
    domain_pause(d);
    for_each_vcpu (v, d, i) {
        vcpu_timers_stop(v);
        vcpu_release_registrations(v);
    }
    domain_resume(d);
    domain_unpause(d);
    return 0;
}

// The first time, and after each hypercall that has made a few: what is there is passed over.
int domctl_max_vcpus(struct domain *d, struct xen_domctl *op)
{
    if (op->u.max_vcpus.max != d->max_vcpus) {
        return -XEN_EINVAL;
    }
    for (unsigned int i = 0, made = 0; i < d->max_vcpus; i++) {
        int error;

        if (d->vcpus[i]) {
            continue;
        }
        if (made == VCPUS_AT_ONCE) {
            return -XEN_ERESTART;
        }
        error = vcpu_create(d, i);
        if (error) {
            return error;
        }
        made++;
    }
    return 0;
}

static void add_vcpu_info(struct vcpu *v, struct xen_domctl_getdomaininfo *info, bool *blocked)
{
    uint32_t flags = __atomic_load_n(&v->pause_flags, __ATOMIC_RELAXED);
    struct vcpu_runstate_info runstate;

    runstate_get(v, &runstate);
    info->cpu_time += runstate.time[RUNSTATE_running];
    info->max_vcpu_id = v->id;
    if (flags & VCPU_DOWN) {
        return;
    }
    info->nr_online_vcpus++;
    *blocked &= (flags & (VCPU_BLOCKED | VCPU_POLLING)) != 0;
    if (v->running) {
        info->flags |= XEN_DOMINF_running;
    }
}

void control_domain_info(struct domain *d, struct xen_domctl_getdomaininfo *info)
{
    bool blocked = true;
    struct vcpu *v;
    unsigned int i;

    *info =
        (struct xen_domctl_getdomaininfo){.domain = d->id, .max_vcpu_id = XEN_INVALID_MAX_VCPU_ID};
    for_each_vcpu (v, d, i) {
        add_vcpu_info(v, info, &blocked);
    }
    info->flags |= blocked ? XEN_DOMINF_blocked : 0;
    info->flags |= d->is_dying ? XEN_DOMINF_dying : 0;
    info->flags |= d->is_shut_down ? XEN_DOMINF_shutdown : 0;
    info->flags |= d->paused_by_toolstack ? XEN_DOMINF_paused : 0;
    info->flags |= d->creation_flags & XEN_DOMCTL_CDF_xs_domain ? XEN_DOMINF_xs_domain : 0;
    if (d->is_shut_down) {
        info->flags |= (uint32_t)d->shutdown_code << XEN_DOMINF_shutdownshift;
    }
    info->tot_pages = d->total_pages;
    info->max_pages = d->max_pages;
    info->outstanding_pages = d->outstanding_claim;
    info->shr_pages = d->shared_pages;
    info->shared_info_frame = d->shared_info_gfn.n;
    info->ssidref = d->ssidref;
    memcpy(info->handle, d->handle, sizeof(info->handle));
    info->cpupool = cpupool_id(d->pool);
    arch_domain_info(d, info);
}

int domctl_get_info(struct domain *d, struct xen_domctl *op)
{
    control_domain_info(d, &op->u.getdomaininfo);
    op->domain = d->id;
    return 0;
}

int domctl_set_handle(struct domain *d, struct xen_domctl *op)
{
    memcpy(d->handle, op->u.setdomainhandle.handle, sizeof(d->handle));
    return 0;
}

int domctl_set_time_offset(struct domain *d, struct xen_domctl *op)
{
    int64_t offset = op->u.settimeoffset.time_offset_seconds;

    if (offset > INT32_MAX || offset < INT32_MIN) {
        return -XEN_EINVAL; // a lifetime off, and nanoseconds would overflow in the end
    }
    d->time_offset_seconds = offset;
    arch_domain_update_wallclock(d);
    return 0;
}

int domctl_set_target(struct domain *d, struct xen_domctl *op)
{
    struct domain *target = domain_get_alive(op->u.set_target.target);
    int error = 0;

    if (!target) {
        return -XEN_ESRCH;
    }
    if (target == d || target == domain0 || d == domain0) {
        error = -XEN_EINVAL;
    } else if (d->target_privileged_for_valid) {
        error = -XEN_EINVAL; // once and for all
    } else {
        d->target_privileged_for = target->id;
        d->target_privileged_for_valid = true;
    }
    domain_put(target);
    return error;
}

int domctl_subscribe(struct domain *d, struct xen_domctl *op)
{
    spin_lock(&d->lock);
    d->suspend_port = op->u.subscribe.port;
    spin_unlock(&d->lock);
    return 0;
}

int domctl_set_virq_handler(struct domain *d, struct xen_domctl *op)
{
    return event_set_virq_handler(d, op->u.set_virq_handler.virq);
}
