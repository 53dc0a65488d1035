// SPDX-License-Identifier: Apache-2.0
// The event_channel_op hypercall: arguments in, checks of who may, results out.
//
// Each operation copies its argument once, works on the copy and copies it back when it has
// results; a port that cannot be reported to the caller is closed again.
// Locking: none here.

#include <bulkhead/cpu.h>
#include <bulkhead/guest_access.h>
#include <bulkhead/hypercall.h>
#include "event_internal.h"

// Hands out a result that names a new port.
static int return_port(struct domain *d, gva_t to, const void *result, size_t size,
                       evtchn_port_t port)
{
    int error = copy_to_guest(to, result, size);

    if (error) {
        event_close(d, port, false);
    }
    return error;
}

static int alloc_unbound(gva_t arg)
{
    struct evtchn_alloc_unbound op;
    struct domain *d;
    int error = copy_from_guest(&op, arg, sizeof(op));

    if (error) {
        return error;
    }
    d = domain_get_controlled(op.dom, &error);
    if (!d) {
        return error;
    }
    if (op.remote_dom == DOMID_SELF) {
        op.remote_dom = current_domain()->id;
    }
    error = event_alloc_unbound(d, op.remote_dom, &op.port);
    if (!error) {
        error = return_port(d, arg, &op, sizeof(op), op.port);
    }
    domain_put(d);
    return error;
}

static int bind_interdomain(gva_t arg)
{
    struct evtchn_bind_interdomain op;
    struct domain *remote;
    int error = copy_from_guest(&op, arg, sizeof(op));

    if (error) {
        return error;
    }
    remote = domain_get_alive(op.remote_dom);
    if (!remote) {
        return -XEN_ESRCH;
    }
    error = event_bind_interdomain(current_domain(), remote, op.remote_port, &op.local_port);
    domain_put(remote);
    return error ? error : return_port(current_domain(), arg, &op, sizeof(op), op.local_port);
}

static int bind_virq(gva_t arg)
{
    struct evtchn_bind_virq op;
    int error = copy_from_guest(&op, arg, sizeof(op));

    if (!error) {
        error = event_bind_virq(current_domain(), op.virq, op.vcpu, &op.port);
    }
    return error ? error : return_port(current_domain(), arg, &op, sizeof(op), op.port);
}

static int bind_ipi(gva_t arg)
{
    struct evtchn_bind_ipi op;
    int error = copy_from_guest(&op, arg, sizeof(op));

    if (!error) {
        error = event_bind_ipi(current_domain(), op.vcpu, &op.port);
    }
    return error ? error : return_port(current_domain(), arg, &op, sizeof(op), op.port);
}

static int bind_vcpu(gva_t arg)
{
    struct evtchn_bind_vcpu op;
    int error = copy_from_guest(&op, arg, sizeof(op));

    return error ? error : event_bind_vcpu(current_domain(), op.port, op.vcpu);
}

static int close_port(gva_t arg)
{
    struct evtchn_close op;
    int error = copy_from_guest(&op, arg, sizeof(op));

    return error ? error : event_close(current_domain(), op.port, true);
}

static int send_event(gva_t arg)
{
    struct evtchn_send op;
    int error = copy_from_guest(&op, arg, sizeof(op));

    return error ? error : event_send_by_guest(current_domain(), op.port);
}

static int unmask(gva_t arg)
{
    struct evtchn_unmask op;
    int error = copy_from_guest(&op, arg, sizeof(op));

    return error ? error : event_unmask(current_domain(), op.port);
}

static int status(gva_t arg)
{
    struct evtchn_status op;
    struct domain *d;
    int error = copy_from_guest(&op, arg, sizeof(op));

    if (error) {
        return error;
    }
    d = domain_get_controlled(op.dom, &error);
    if (!d) {
        return error;
    }
    error = event_status(d, &op);
    domain_put(d);
    return error ? error : copy_to_guest(arg, &op, sizeof(op));
}

static int64_t reset(struct hypercall *call, gva_t arg)
{
    struct evtchn_reset op;
    struct domain *d;
    int error = copy_from_guest(&op, arg, sizeof(op));

    if (error) {
        return error;
    }
    d = domain_get_controlled(op.dom, &error);
    if (!d) {
        return error;
    }
    // Senders of a running domain must not find themselves in the middle of it by surprise.
    if (d != current_domain() && !d->paused_by_toolstack) {
        error = -XEN_EINVAL;
    } else {
        error = event_reset(d);
    }
    domain_put(d);
    return error == -XEN_ERESTART ? hypercall_restart(call) : error;
}

static int init_control(gva_t arg)
{
    struct evtchn_init_control op;
    int error = copy_from_guest(&op, arg, sizeof(op));

    if (!error) {
        error = event_fifo_init_control(current_domain(), &op);
    }
    return error ? error : copy_to_guest(arg, &op, sizeof(op));
}

static int expand_array(gva_t arg)
{
    struct evtchn_expand_array op;
    int error = copy_from_guest(&op, arg, sizeof(op));

    return error ? error : event_fifo_expand_array(current_domain(), GFN(op.array_gfn));
}

static int set_priority(gva_t arg)
{
    struct evtchn_set_priority op;
    int error = copy_from_guest(&op, arg, sizeof(op));

    return error ? error : event_set_priority(current_domain(), op.port, op.priority);
}

int64_t do_event_channel_op(struct hypercall *call)
{
    gva_t arg = GVA(call->arg[1]);

    switch (call->arg[0]) {
    case EVTCHNOP_send:
        return send_event(arg);
    case EVTCHNOP_unmask:
        return unmask(arg);
    case EVTCHNOP_alloc_unbound:
        return alloc_unbound(arg);
    case EVTCHNOP_bind_interdomain:
        return bind_interdomain(arg);
    case EVTCHNOP_bind_virq:
        return bind_virq(arg);
    case EVTCHNOP_bind_ipi:
        return bind_ipi(arg);
    case EVTCHNOP_bind_pirq:
        return -XEN_EINVAL; // domains with second-level tables have no physical interrupts
    case EVTCHNOP_bind_vcpu:
        return bind_vcpu(arg);
    case EVTCHNOP_close:
        return close_port(arg);
    case EVTCHNOP_status:
        return status(arg);
    case EVTCHNOP_reset:
        return reset(call, arg);
    case EVTCHNOP_init_control:
        return init_control(arg);
    case EVTCHNOP_expand_array:
        return expand_array(arg);
    case EVTCHNOP_set_priority:
        return set_priority(arg);
    default:
        return -XEN_ENOSYS;
    }
}
