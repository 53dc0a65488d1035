// SPDX-License-Identifier: Apache-2.0
// The sched_op hypercall: how a guest gives up its processor, waits, and ends itself.
// Locking: none of its own; blocking and polling against wake-ups as domain_state.c and
// event_send.c describe. Errors: arguments are copied and checked before anything happens.

#include <bulkhead/console.h>
#include <bulkhead/cpu.h>
#include <bulkhead/domain.h>
#include <bulkhead/guest_access.h>
#include <bulkhead/hypercall.h>
#include <bulkhead/sched.h>
#include <bulkhead/sched_op.h>
#include <bulkhead/watchdog.h>
#include <xen/sched.h>

#define MAX_POLL_PORTS 128u

void sched_op_poll_timeout(void *data)
{
    if (event_poll_end(data)) {
        sched_vcpu_wake(data);
    }
}

static int block(struct vcpu *v)
{
    // PV-style upcall masking does not exist for the guests there are; the ABI has this call
    // enable delivery all the same.
    __atomic_store_n(&v->info->evtchn_upcall_mask, 0, __ATOMIC_SEQ_CST);
    vcpu_block();
    return 0;
}

static int shut_down(struct domain *d, uint32_t reason)
{
    if (reason > SHUTDOWN_MAX) {
        return -XEN_EINVAL;
    }
    log_message(LOG_GUEST_INFO, "domain %u shuts down (reason %u)", d->id, reason);
    domain_shutdown(d, (uint8_t)reason);
    return 0;
}

static int shut_down_self(gva_t argument)
{
    struct sched_shutdown request;

    if (copy_from_guest(&request, argument, sizeof(request))) {
        return -XEN_EFAULT;
    }
    return shut_down(current_domain(), request.reason);
}

static int shut_down_remote(gva_t argument)
{
    struct sched_remote_shutdown request;
    struct domain *d;
    int error;

    if (copy_from_guest(&request, argument, sizeof(request))) {
        return -XEN_EFAULT;
    }
    d = domain_get_controlled(request.domain_id, &error);
    if (!d) {
        return error;
    }
    error = shut_down(d, request.reason);
    domain_put(d);
    return error;
}

// Notes the reason that a later shutdown, whatever it says itself, is to be reported with.
static int latch_shutdown_code(gva_t argument)
{
    struct sched_shutdown request;
    struct domain *d = current_domain();

    if (copy_from_guest(&request, argument, sizeof(request))) {
        return -XEN_EFAULT;
    }
    if (request.reason > SHUTDOWN_MAX) {
        return -XEN_EINVAL;
    }
    spin_lock(&d->lock);
    if (!d->is_shut_down && !d->shutdown_code_latched) {
        d->shutdown_code = (uint8_t)request.reason;
        d->shutdown_code_latched = true;
    }
    spin_unlock(&d->lock);
    return 0;
}

static int poll(struct vcpu *v, gva_t argument)
{
    evtchn_port_t ports[MAX_POLL_PORTS];
    struct sched_poll request;
    int pending;

    if (copy_from_guest(&request, argument, sizeof(request))) {
        return -XEN_EFAULT;
    }
    if (request.nr_ports > MAX_POLL_PORTS) {
        return -XEN_EINVAL;
    }
    if (request.nr_ports && copy_from_handle(ports, request.ports, 0, request.nr_ports)) {
        return -XEN_EFAULT;
    }
    // The timer of an earlier poll must not end this one.
    timer_stop(&v->poll_timer);
    pending = event_poll_prepare(v, ports, request.nr_ports);
    if (pending) {
        return pending < 0 ? pending : 0;
    }
    if (request.timeout) {
        if (v->poll_timer.cpu != v->cpu) {
            timer_migrate(&v->poll_timer, v->cpu);
        }
        timer_set(&v->poll_timer, (ns_t)MIN(request.timeout, (uint64_t)TIMER_NONE - 1));
    }
    sched_vcpu_sleep(v);
    return 0;
}

static int watchdog(gva_t argument)
{
    struct sched_watchdog request;

    if (copy_from_guest(&request, argument, sizeof(request))) {
        return -XEN_EFAULT;
    }
    return watchdog_set(current_domain(), request.id, request.timeout);
}

static int pin_override(struct vcpu *v, gva_t argument)
{
    struct sched_pin_override request;

    if (v->domain != domain0) {
        return -XEN_EPERM;
    }
    if (copy_from_guest(&request, argument, sizeof(request))) {
        return -XEN_EFAULT;
    }
    return sched_pin_override(v, request.pcpu);
}

// arg: command, structure.
int64_t do_sched_op(struct hypercall *call)
{
    struct vcpu *v = current_vcpu();
    gva_t argument = GVA(call->arg[1]);

    switch ((uint32_t)call->arg[0]) {
    case SCHEDOP_yield:
        sched_vcpu_yield(v);
        return 0;
    case SCHEDOP_block:
        return block(v);
    case SCHEDOP_shutdown:
        return shut_down_self(argument);
    case SCHEDOP_poll:
        return poll(v, argument);
    case SCHEDOP_remote_shutdown:
        return shut_down_remote(argument);
    case SCHEDOP_shutdown_code:
        return latch_shutdown_code(argument);
    case SCHEDOP_watchdog:
        return watchdog(argument);
    case SCHEDOP_pin_override:
        return pin_override(v, argument);
    default:
        return -XEN_ENOSYS;
    }
}
