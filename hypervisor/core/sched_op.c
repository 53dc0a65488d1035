// SPDX-License-Identifier: Apache-2.0
// sched_op: what a guest says about its own running - yield, block, poll, shut down.

#include <bulkhead/console.h>
#include <bulkhead/cpu.h>
#include <bulkhead/domain.h>
#include <bulkhead/guest_access.h>
#include <bulkhead/hypercall.h>
#include <bulkhead/sched.h>
#include <bulkhead/sched_op.h>
#include <xen/sched.h>

#define MAX_POLL_PORTS 128u

void sched_op_poll_timeout(void *data)
{
    struct vcpu *v = data;

    if (event_poll_end(v)) {
        sched_vcpu_wake(v);
    }
}

static int64_t poll_op(gva_t at)
{
    struct vcpu *v = current_vcpu();
    evtchn_port_t ports[MAX_POLL_PORTS];
    struct sched_poll poll;
    int result;

    if (copy_from_guest(&poll, at, sizeof(poll))) {
        return -XEN_EFAULT;
    }
    if (poll.nr_ports > MAX_POLL_PORTS) {
        return -XEN_EINVAL;
    }
    if (copy_from_handle(ports, poll.ports, 0, poll.nr_ports)) {
        return -XEN_EFAULT;
    }
    result = event_poll_prepare(v, ports, poll.nr_ports);
    if (result) {
        return result < 0 ? result : 0; // positive: something is pending already
    }
    if (poll.timeout) {
        timer_migrate(&v->poll_timer, v->cpu);
        timer_set(&v->poll_timer, (ns_t)MIN(poll.timeout, (uint64_t)INT64_MAX - 1));
    }
    sched_vcpu_sleep(v);
    return 0;
}

static int64_t shutdown_op(gva_t at)
{
    struct sched_shutdown arg;

    if (copy_from_guest(&arg, at, sizeof(arg))) {
        return -XEN_EFAULT;
    }
    if (arg.reason > SHUTDOWN_MAX) {
        return -XEN_EINVAL;
    }
    log_message(LOG_GUEST_INFO, "domain %u shuts down (reason %u)", current_domain()->id,
                arg.reason);
    domain_shutdown(current_domain(), (uint8_t)arg.reason);
    return 0;
}

// Sets the reason that the toolstack will see, without shutting down yet.
static int64_t shutdown_code_op(gva_t at)
{
    struct domain *d = current_domain();
    struct sched_shutdown arg;

    if (copy_from_guest(&arg, at, sizeof(arg))) {
        return -XEN_EFAULT;
    }
    if (arg.reason > SHUTDOWN_MAX) {
        return -XEN_EINVAL;
    }
    spin_lock(&d->lock);
    if (!d->is_shut_down) {
        d->shutdown_code = (uint8_t)arg.reason;
    }
    spin_unlock(&d->lock);
    return 0;
}

static int64_t remote_shutdown_op(gva_t at)
{
    struct sched_remote_shutdown arg;
    struct domain *d;
    int error = 0;

    if (copy_from_guest(&arg, at, sizeof(arg))) {
        return -XEN_EFAULT;
    }
    d = domain_get_controlled(arg.domain_id, &error);
    if (!d) {
        return error;
    }
    if (arg.reason > SHUTDOWN_MAX) {
        error = -XEN_EINVAL;
    } else {
        domain_shutdown(d, (uint8_t)arg.reason);
    }
    domain_put(d);
    return error;
}

// arg: operation, structure.
int64_t do_sched_op(struct hypercall *call)
{
    gva_t at = GVA(call->arg[1]);

    switch (call->arg[0]) {
    case SCHEDOP_yield:
        sched_vcpu_yield(current_vcpu());
        return 0;
    case SCHEDOP_block:
        // The ABI's block also enables event delivery, which for us is the guest's own flag.
        current_vcpu()->info->evtchn_upcall_mask = 0;
        vcpu_block();
        return 0;
    case SCHEDOP_poll:
        return poll_op(at);
    case SCHEDOP_shutdown:
        return shutdown_op(at);
    case SCHEDOP_shutdown_code:
        return shutdown_code_op(at);
    case SCHEDOP_remote_shutdown:
        return remote_shutdown_op(at);
    default:
        return -XEN_ENOSYS;
    }
}
