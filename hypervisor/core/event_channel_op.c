// SPDX-License-Identifier: Apache-2.0
// The event_channel_op hypercall: arguments in, checks of who may, results out.
//
// A table says of each operation how large its argument is, whether it names the domain to act on,
// what performs it and whether the argument goes back with results. The argument is copied once, in
// one place, and only the copy is looked at. A new port that cannot be reported to the caller is
// closed again.
// Locking: none here.

#include <bulkhead/cpu.h>
#include <bulkhead/guest_access.h>
#include <bulkhead/hypercall.h>
#include "event_internal.h"

union argument {
    domid_t dom; // the first member of every argument that names a domain
    struct evtchn_alloc_unbound alloc_unbound;
    struct evtchn_bind_interdomain bind_interdomain;
    struct evtchn_bind_virq bind_virq;
    struct evtchn_bind_ipi bind_ipi;
    struct evtchn_bind_pirq bind_pirq;
    struct evtchn_bind_vcpu bind_vcpu;
    struct evtchn_close close;
    struct evtchn_send send;
    struct evtchn_unmask unmask;
    struct evtchn_status status;
    struct evtchn_reset reset;
    struct evtchn_init_control init_control;
    struct evtchn_expand_array expand_array;
    struct evtchn_set_priority set_priority;
};

static int alloc_unbound(struct domain *d, union argument *arg)
{
    struct evtchn_alloc_unbound *op = &arg->alloc_unbound;

    if (op->remote_dom == DOMID_SELF) {
        op->remote_dom = current_domain()->id;
    }
    return event_alloc_unbound(d, op->remote_dom, &op->port);
}

static int bind_interdomain(struct domain *d, union argument *arg)
{
    struct evtchn_bind_interdomain *op = &arg->bind_interdomain;
    struct domain *remote = domain_get_alive(op->remote_dom);
    int error;

    if (!remote) {
        return -XEN_ESRCH;
    }
    error = event_bind_interdomain(d, remote, op->remote_port, &op->local_port);
    domain_put(remote);
    return error;
}

static int bind_virq(struct domain *d, union argument *arg)
{
    return event_bind_virq(d, arg->bind_virq.virq, arg->bind_virq.vcpu, &arg->bind_virq.port);
}

static int bind_ipi(struct domain *d, union argument *arg)
{
    return event_bind_ipi(d, arg->bind_ipi.vcpu, &arg->bind_ipi.port);
}

static int bind_vcpu(struct domain *d, union argument *arg)
{
    return event_bind_vcpu(d, arg->bind_vcpu.port, arg->bind_vcpu.vcpu);
}

static int close_port(struct domain *d, union argument *arg)
{
    return event_close(d, arg->close.port, true);
}

static int send_event(struct domain *d, union argument *arg)
{
    return event_send_by_guest(d, arg->send.port);
}

static int unmask(struct domain *d, union argument *arg)
{
    return event_unmask(d, arg->unmask.port);
}

static int status(struct domain *d, union argument *arg)
{
    return event_status(d, &arg->status);
}

static int reset(struct domain *d, union argument *arg)
{
    (void)arg;
    // Senders of a running domain must not find themselves in the middle of it by surprise.
    if (d != current_domain() && !d->paused_by_toolstack) {
        return -XEN_EINVAL;
    }
    return event_reset(d);
}

// Domains with second-level tables have no physical interrupts.
static int bind_pirq(struct domain *d, union argument *arg)
{
    (void)d;
    (void)arg;
    return -XEN_EINVAL;
}

static int init_control(struct domain *d, union argument *arg)
{
    return event_fifo_init_control(d, &arg->init_control);
}

static int expand_array(struct domain *d, union argument *arg)
{
    return event_fifo_expand_array(d, GFN(arg->expand_array.array_gfn));
}

static int set_priority(struct domain *d, union argument *arg)
{
    return event_set_priority(d, arg->set_priority.port, arg->set_priority.priority);
}

static const struct operation {
    // Acts on `d`: the domain that the argument names, the caller otherwise. -ERESTART: once more,
    // with the same argument.
    int (*perform)(struct domain *d, union argument *arg);
    uint8_t size;
    uint8_t new_port; // where a new port is in the results; 0: there is none
    bool names_domain;
    bool has_results;
} operations[] = {
#define SIZE(name) .size = sizeof(struct evtchn_##name)
#define NEW_PORT(name, port)                                                                       \
    SIZE(name), .has_results = true, .new_port = offsetof(struct evtchn_##name, port)
    [EVTCHNOP_send] = {send_event, SIZE(send)},
    [EVTCHNOP_unmask] = {unmask, SIZE(unmask)},
    [EVTCHNOP_alloc_unbound] = {alloc_unbound, NEW_PORT(alloc_unbound, port), .names_domain = true},
    [EVTCHNOP_bind_interdomain] = {bind_interdomain, NEW_PORT(bind_interdomain, local_port)},
    [EVTCHNOP_bind_virq] = {bind_virq, NEW_PORT(bind_virq, port)},
    [EVTCHNOP_bind_ipi] = {bind_ipi, NEW_PORT(bind_ipi, port)},
    [EVTCHNOP_bind_pirq] = {bind_pirq, SIZE(bind_pirq)},
    [EVTCHNOP_bind_vcpu] = {bind_vcpu, SIZE(bind_vcpu)},
    [EVTCHNOP_close] = {close_port, SIZE(close)},
    [EVTCHNOP_status] = {status, SIZE(status), .names_domain = true, .has_results = true},
    [EVTCHNOP_reset] = {reset, SIZE(reset), .names_domain = true},
    [EVTCHNOP_init_control] = {init_control, SIZE(init_control), .has_results = true},
    [EVTCHNOP_expand_array] = {expand_array, SIZE(expand_array)},
    [EVTCHNOP_set_priority] = {set_priority, SIZE(set_priority)},
};

static int return_results(struct domain *d, const struct operation *operation, gva_t to,
                          const union argument *arg)
{
    int error = copy_to_guest(to, arg, operation->size);

    if (error && operation->new_port) {
        const void *port = (const char *)arg + operation->new_port;

        event_close(d, *(const evtchn_port_t *)port, false);
    }
    return error;
}

static int perform(struct domain *d, const struct operation *operation, gva_t at,
                   union argument *arg)
{
    int error = operation->perform(d, arg);

    return error || !operation->has_results ? error : return_results(d, operation, at, arg);
}

int64_t do_event_channel_op(struct hypercall *call)
{
    gva_t at = GVA(call->arg[1]);
    struct domain *d = current_domain();
    const struct operation *operation;
    union argument arg;
    int error;

    if (call->arg[0] >= ARRAY_SIZE(operations) || !operations[call->arg[0]].perform) {
        return -XEN_ENOSYS;
    }
    operation = &operations[call->arg[0]];
    error = copy_from_guest(&arg, at, operation->size);
    if (error) {
        return error;
    }
    if (!operation->names_domain) {
        error = perform(d, operation, at, &arg);
    } else {
        d = domain_get_controlled(arg.dom, &error);
        if (!d) {
            return error;
        }
        error = perform(d, operation, at, &arg);
        domain_put(d);
    }
    return error == -XEN_ERESTART ? hypercall_restart(call) : error;
}
