// SPDX-License-Identifier: Apache-2.0
// Domctl: vcpus as the toolstack and debuggers see them - state, registers, where they may run.
// Locking: domctl_lock is held; a vcpu whose registers are touched is paused. Errors: memory for
// the register structure is got first, and set only takes effect when all of it is valid.

#include <bulkhead/arch/control.h>
#include <bulkhead/control.h>
#include <bulkhead/cpu.h>
#include <bulkhead/domain.h>
#include <bulkhead/guest_access.h>
#include <bulkhead/heap.h>
#include <bulkhead/sched.h>

#include "domctl_internal.h"

#define AFFINITY_FLAGS (XEN_VCPUAFFINITY_HARD | XEN_VCPUAFFINITY_SOFT | XEN_VCPUAFFINITY_FORCE)

int domctl_get_vcpu_info(struct domain *d, struct xen_domctl *op)
{
    struct xen_domctl_getvcpuinfo *info = &op->u.getvcpuinfo;
    struct vcpu *v = domain_vcpu(d, info->vcpu);
    struct vcpu_runstate_info runstate;
    uint32_t flags;

    if (!v) {
        return info->vcpu < d->max_vcpus ? -XEN_ESRCH : -XEN_EINVAL;
    }
    runstate_get(v, &runstate);
    flags = __atomic_load_n(&v->pause_flags, __ATOMIC_RELAXED);
    info->online = !(flags & VCPU_DOWN);
    info->blocked = (flags & (VCPU_BLOCKED | VCPU_POLLING)) != 0;
    info->running = v->running;
    info->cpu_time = runstate.time[RUNSTATE_running];
    info->cpu = v->cpu;
    return 0;
}

int domctl_get_vcpu_context(struct domain *d, struct xen_domctl *op)
{
    struct xen_domctl_vcpucontext *request = &op->u.vcpucontext;
    struct vcpu *v = domain_vcpu(d, request->vcpu);
    struct vcpu_guest_context *context;
    int error;

    if (!v) {
        return request->vcpu < d->max_vcpus ? -XEN_ESRCH : -XEN_EINVAL;
    }
    if (!arch_vcpu_is_initialised(v)) {
        return -XEN_ENODATA;
    }
    context = heap_new(struct vcpu_guest_context);
    if (!context) {
        return -XEN_ENOMEM;
    }
    vcpu_pause(v);
    arch_vcpu_get_context(v, context);
    vcpu_unpause(v);
    error = copy_to_handle(request->ctxt, 0, context, 1);
    heap_free(context);
    return error ? -XEN_EFAULT : 0;
}

int domctl_set_vcpu_context(struct domain *d, struct xen_domctl *op)
{
    struct xen_domctl_vcpucontext *request = &op->u.vcpucontext;
    struct vcpu *v = domain_vcpu(d, request->vcpu);
    struct vcpu_guest_context *context;
    int error;

    if (!v) {
        return -XEN_EINVAL;
    }
    context = heap_new(struct vcpu_guest_context);
    if (!context) {
        return -XEN_ENOMEM;
    }
    if (copy_from_handle(context, request->ctxt, 0, 1)) {
        error = -XEN_EFAULT;
    } else {
        domain_pause(d);
        error = arch_vcpu_set_context(v, context);
        domain_unpause(d);
    }
    heap_free(context);
    return error;
}

int domctl_get_affinity(struct domain *d, struct xen_domctl *op)
{
    struct xen_domctl_vcpuaffinity *request = &op->u.vcpuaffinity;
    struct vcpu *v = domain_vcpu(d, request->vcpu);
    int error = 0;

    if (!v) {
        return request->vcpu < d->max_vcpus ? -XEN_ESRCH : -XEN_EINVAL;
    }
    if (!request->flags || (request->flags & ~AFFINITY_FLAGS)) {
        return -XEN_EINVAL;
    }
    if (request->flags & XEN_VCPUAFFINITY_HARD) {
        error = control_give_cpumask(&request->cpumap_hard, &v->hard_affinity);
    }
    if (!error && (request->flags & XEN_VCPUAFFINITY_SOFT)) {
        error = control_give_cpumask(&request->cpumap_soft, &v->soft_affinity);
    }
    return error;
}

// Tells the caller what his wish comes to among the CPUs of the domain's pool.
static int give_effective(struct vcpu *v, const struct xen_domctl_vcpuaffinity *request)
{
    struct cpumask mask;
    int error = 0;

    cpumask_and(&mask, &v->hard_affinity, cpupool_cpus(v->domain->pool));
    if (request->flags & XEN_VCPUAFFINITY_HARD) {
        error = control_give_cpumask(&request->cpumap_hard, &mask);
    }
    if (!error && (request->flags & XEN_VCPUAFFINITY_SOFT)) {
        cpumask_and(&mask, &mask, &v->soft_affinity);
        error = control_give_cpumask(&request->cpumap_soft, &mask);
    }
    return error;
}

int domctl_set_affinity(struct domain *d, struct xen_domctl *op)
{
    struct xen_domctl_vcpuaffinity *request = &op->u.vcpuaffinity;
    struct vcpu *v = domain_vcpu(d, request->vcpu);
    struct cpumask hard, soft;
    int error = 0;

    if (!v) {
        return request->vcpu < d->max_vcpus ? -XEN_ESRCH : -XEN_EINVAL;
    }
    if (!request->flags || (request->flags & ~AFFINITY_FLAGS)) {
        return -XEN_EINVAL;
    }
    if (sched_pinned(v) && (request->flags & XEN_VCPUAFFINITY_HARD) &&
        !(request->flags & XEN_VCPUAFFINITY_FORCE)) {
        return -XEN_EBUSY;
    }
    hard = v->hard_affinity;
    soft = v->soft_affinity;
    if (request->flags & XEN_VCPUAFFINITY_HARD) {
        error = control_take_cpumask(&hard, &request->cpumap_hard);
    }
    if (!error && (request->flags & XEN_VCPUAFFINITY_SOFT)) {
        error = control_take_cpumask(&soft, &request->cpumap_soft);
    }
    if (error) {
        return error;
    }
    error = sched_set_affinity(v, &hard, &soft);
    if (error) {
        return error;
    }
    if ((request->flags & XEN_VCPUAFFINITY_FORCE) && sched_pinned(v)) {
        sched_pin_override(v, -1);
    }
    return give_effective(v, request);
}

int domctl_scheduler(struct domain *d, struct xen_domctl *op)
{
    return sched_domctl_op(d, &op->u.scheduler_op);
}

int domctl_send_trigger(struct domain *d, struct xen_domctl *op)
{
    struct xen_domctl_sendtrigger *request = &op->u.sendtrigger;
    struct vcpu *v = domain_vcpu(d, request->vcpu);

    if (!v) {
        return request->vcpu < d->max_vcpus ? -XEN_ESRCH : -XEN_EINVAL;
    }
    if (request->trigger != XEN_DOMCTL_SENDTRIGGER_NMI) {
        return -XEN_ENOSYS; // buttons and reset lines exist only on emulated machines
    }
    arch_vcpu_send_nmi(v);
    return 0;
}
