// SPDX-License-Identifier: Apache-2.0
// Sending events: through a channel, virtual interrupts, and the vcpus that poll for them.
//
// A sender holds its own channel's lock and nothing else (see event_internal.h); delivery sets bits
// in the receiver's memory and wakes its vcpu. Virtual interrupts find their port in the vcpu
// without a lock and check under the channel's lock that the port is still bound to them.
// Polling against a concurrent send: the poller announces itself (pollers, VCPU_POLLING) and then
// looks at the ports; the sender sets the port pending and then looks for pollers. One of the two
// sees the other.
// The handlers of global VIRQs are references on domains under virq_handler_lock (innermost).

#include <bulkhead/arch/domain.h>
#include <bulkhead/sched.h>
#include "event_internal.h"

#define MAX_CONSUMERS 8u

static event_consumer consumers[MAX_CONSUMERS];
static struct spinlock consumer_lock = SPINLOCK_INIT;
static struct domain *virq_handlers[NR_VIRQS]; // NULL: domain 0
static struct spinlock virq_handler_lock = SPINLOCK_INIT;

int event_consumer_number(event_consumer notify, uint8_t *number)
{
    int error = -XEN_ENOSPC;

    spin_lock(&consumer_lock);
    for (uint8_t i = 0; i < MAX_CONSUMERS; i++) {
        if (!consumers[i] || consumers[i] == notify) {
            consumers[i] = notify;
            *number = i + 1;
            error = 0;
            break;
        }
    }
    spin_unlock(&consumer_lock);
    return error;
}

void event_vcpu_mark_pending(struct vcpu *v)
{
    struct vcpu_info *info = __atomic_load_n(&v->info, __ATOMIC_ACQUIRE);

    if (unlikely(v->id >= XEN_LEGACY_MAX_VCPUS && !v->info_page)) {
        return; // it has no place of its own yet; registering one makes up for all it missed
    }
    if (__atomic_exchange_n(&info->evtchn_upcall_pending, 1, __ATOMIC_SEQ_CST)) {
        return;
    }
    arch_vcpu_mark_events_pending(v);
    if ((__atomic_load_n(&v->pause_flags, __ATOMIC_SEQ_CST) & VCPU_POLLING) && event_poll_end(v)) {
        sched_vcpu_wake(v);
    }
    vcpu_kick(v);
}

// The mask in vcpu_info is for guests without second-level tables; the others have their own
// interrupt controller and flag.
bool event_pending(const struct vcpu *v)
{
    const struct vcpu_info *info = __atomic_load_n(&v->info, __ATOMIC_ACQUIRE);

    return __atomic_load_n(&info->evtchn_upcall_pending, __ATOMIC_SEQ_CST) != 0;
}

// Wakes the vcpus of d that poll for the port.
static __attribute__((noinline)) void wake_pollers(struct domain *d, evtchn_port_t port)
{
    struct vcpu *v;
    unsigned int i;

    for_each_vcpu (v, d, i) {
        uint32_t wanted = __atomic_load_n(&v->events.poll_port, __ATOMIC_RELAXED);

        if ((__atomic_load_n(&v->pause_flags, __ATOMIC_SEQ_CST) & VCPU_POLLING) &&
            (wanted == 0 || wanted == port) && event_poll_end(v)) {
            sched_vcpu_wake(v);
        }
    }
}

bool event_poll_end(struct vcpu *v)
{
    uint32_t old = __atomic_fetch_and(&v->pause_flags, ~VCPU_POLLING, __ATOMIC_SEQ_CST);

    if (old & VCPU_POLLING) {
        __atomic_fetch_sub(&v->domain->events.pollers, 1, __ATOMIC_SEQ_CST);
    }
    return old & VCPU_POLLING;
}

int event_poll_prepare(struct vcpu *v, const evtchn_port_t *ports, unsigned int count)
{
    struct domain *d = v->domain;
    bool pending = false;

    for (unsigned int i = 0; i < count; i++) {
        if (!event_channel_at(d, ports[i])) {
            return -XEN_EINVAL;
        }
    }
    __atomic_store_n(&v->events.poll_port, count == 1 ? ports[0] : 0, __ATOMIC_RELAXED);
    __atomic_fetch_add(&d->events.pollers, 1, __ATOMIC_SEQ_CST);
    __atomic_fetch_or(&v->pause_flags, VCPU_POLLING, __ATOMIC_SEQ_CST);
    for (unsigned int i = 0; i < count && !pending; i++) {
        pending = event_port_pending(d, ports[i]);
    }
    if (pending || event_pending(v)) {
        event_poll_end(v);
        return 1;
    }
    return 0;
}

void event_deliver(struct domain *d, struct event_channel *ch)
{
    bool newly;

    if (unlikely(ch->consumer)) {
        consumers[ch->consumer - 1](domain_vcpu(d, ch->vcpu), ch->port);
        return;
    }
    if (__atomic_load_n(&d->events.fifo, __ATOMIC_ACQUIRE)) {
        newly = event_fifo_set_pending(d, ch);
    } else {
        newly = event_2level_set_pending(d, ch);
    }
    if (newly && unlikely(__atomic_load_n(&d->events.pollers, __ATOMIC_SEQ_CST))) {
        wake_pollers(d, ch->port);
    }
}

static inline int send(struct domain *d, evtchn_port_t port, bool by_guest)
{
    struct event_channel *ch = event_channel_at(d, port);
    int error = 0;

    if (!ch) {
        return -XEN_EINVAL;
    }
    spin_lock(&ch->lock);
    if (unlikely(by_guest && ch->consumer)) {
        error = -XEN_EINVAL;
    } else if (ch->state == EVENT_INTERDOMAIN) {
        event_deliver(ch->peer, event_channel_at(ch->peer, ch->peer_port));
    } else if (ch->state == EVENT_IPI) {
        event_deliver(d, ch);
    } else if (ch->state != EVENT_UNBOUND) { // an unbound one swallows the event
        error = -XEN_EINVAL;
    }
    spin_unlock(&ch->lock);
    return error;
}

int event_send(struct domain *d, evtchn_port_t port)
{
    return send(d, port, false);
}

int event_send_by_guest(struct domain *d, evtchn_port_t port)
{
    return send(d, port, true);
}

static void send_virq(struct vcpu *v, uint32_t virq)
{
    struct domain *d = v->domain;
    evtchn_port_t port = __atomic_load_n(&v->events.virq_port[virq], __ATOMIC_ACQUIRE);
    struct event_channel *ch = port ? event_channel_at(d, port) : NULL;

    if (!ch) {
        return;
    }
    spin_lock(&ch->lock);
    if (ch->state == EVENT_VIRQ && ch->virq == virq) {
        event_deliver(d, ch);
    }
    spin_unlock(&ch->lock);
}

bool event_virq_is_global(uint32_t virq)
{
    return virq != VIRQ_TIMER && virq != VIRQ_DEBUG && virq != VIRQ_XENOPROF && virq != VIRQ_XENPMU;
}

void event_send_virq(struct vcpu *v, uint32_t virq)
{
    send_virq(v, virq);
}

void event_send_global_virq(struct domain *d, uint32_t virq)
{
    struct vcpu *v = domain_vcpu(d, 0); // where global ones are bound first

    if (v) {
        send_virq(v, virq);
    }
}

int event_set_virq_handler(struct domain *d, uint32_t virq)
{
    struct domain *unused = d; // whose reference is to be dropped
    int error = 0;

    if (virq >= NR_VIRQS || !event_virq_is_global(virq)) {
        return -XEN_EINVAL;
    }
    domain_hold(d);
    spin_lock(&virq_handler_lock);
    if (d->is_dying) {
        error = -XEN_ESRCH;
    } else {
        unused = virq_handlers[virq];
        virq_handlers[virq] = d;
    }
    spin_unlock(&virq_handler_lock);
    if (unused) {
        domain_put(unused);
    }
    return error;
}

void event_virq_forget_handler(struct domain *d)
{
    for (uint32_t virq = 0; virq < NR_VIRQS; virq++) {
        bool was;

        spin_lock(&virq_handler_lock);
        was = virq_handlers[virq] == d;
        if (was) {
            virq_handlers[virq] = NULL;
        }
        spin_unlock(&virq_handler_lock);
        if (was) {
            domain_put(d);
        }
    }
}

void event_send_host_virq(uint32_t virq)
{
    struct domain *handler;

    spin_lock(&virq_handler_lock);
    handler = virq_handlers[virq] ? virq_handlers[virq] : domain0;
    if (handler) {
        domain_hold(handler);
    }
    spin_unlock(&virq_handler_lock);
    if (handler) {
        event_send_global_virq(handler, virq);
        domain_put(handler);
    }
}

int event_unmask(struct domain *d, evtchn_port_t port)
{
    struct event_channel *ch = event_channel_at(d, port);

    if (!ch) {
        return -XEN_EINVAL;
    }
    spin_lock(&ch->lock);
    if (ch->state > EVENT_RESERVED && !ch->consumer) {
        if (d->events.fifo) {
            event_fifo_unmask(d, ch);
        } else {
            event_2level_unmask(d, ch);
        }
    }
    spin_unlock(&ch->lock);
    return 0;
}

bool event_port_pending(struct domain *d, evtchn_port_t port)
{
    struct event_channel *ch = event_channel_at(d, port);
    bool pending = false;

    if (!ch) {
        return false;
    }
    spin_lock(&ch->lock);
    if (ch->state > EVENT_RESERVED && !ch->consumer) {
        pending = d->events.fifo ? event_fifo_is_pending(d, ch) : event_2level_is_pending(d, port);
    }
    spin_unlock(&ch->lock);
    return pending;
}

int event_set_priority(struct domain *d, evtchn_port_t port, uint32_t priority)
{
    struct event_channel *ch = event_channel_at(d, port);
    int error = 0;

    if (!ch) {
        return -XEN_EINVAL;
    }
    spin_lock(&ch->lock);
    if (!d->events.fifo) {
        error = -XEN_ENOSYS; // the 2-level ABI has none
    } else if (priority > EVTCHN_FIFO_PRIORITY_MIN || ch->state <= EVENT_RESERVED) {
        error = -XEN_EINVAL;
    } else {
        __atomic_store_n(&ch->priority, (uint8_t)priority, __ATOMIC_RELAXED);
    }
    spin_unlock(&ch->lock);
    return error;
}
