// SPDX-License-Identifier: Apache-2.0
// Event channels: ports and what they are bound to.
//
// See event_internal.h for data and locking. An interdomain channel holds no reference on its peer:
// the peer's destruction closes its end first, which leaves this one unbound for the same domid,
// ready to be bound again by a successor; then both ends get an event, because each may have missed
// one. Closing takes both domains' event locks, lower domid
// first, so it finds out who the peer is, takes the locks, and looks again.
// Errors: a port is taken for a binding only after everything else has been checked.

#include <bulkhead/console.h>
#include <bulkhead/cpu.h>
#include <bulkhead/heap.h>
#include "event_internal.h"

#define CLOSES_BEFORE_PREEMPTION 64u
#define MAX_BUSY_PORTS 1024u

static void lock_events(struct domain *a, struct domain *b)
{
    if (a == b) {
        spin_lock(&a->events.lock);
    } else if (a->id < b->id) {
        spin_lock(&a->events.lock);
        spin_lock(&b->events.lock);
    } else {
        spin_lock(&b->events.lock);
        spin_lock(&a->events.lock);
    }
}

static void unlock_events(struct domain *a, struct domain *b)
{
    spin_unlock(&a->events.lock);
    if (a != b) {
        spin_unlock(&b->events.lock);
    }
}

static void lock_channels(struct domain *da, struct event_channel *a, struct domain *db,
                          struct event_channel *b)
{
    bool a_first = da == db ? a->port < b->port : da->id < db->id;

    spin_lock(a_first ? &a->lock : &b->lock);
    spin_lock(a_first ? &b->lock : &a->lock);
}

static void unlock_channels(struct event_channel *a, struct event_channel *b)
{
    spin_unlock(&a->lock);
    spin_unlock(&b->lock);
}

int event_domain_init(struct domain *d, uint32_t max_port)
{
    uint32_t highest = MIN(max_port, (uint32_t)EVTCHN_FIFO_NR_CHANNELS - 1);

    spin_lock_init(&d->events.lock);
    d->events.max_port = highest;
    d->events.bucket_count = highest / EVENT_BUCKET_CHANNELS + 1;
    d->events.buckets = heap_alloc_array(d->events.bucket_count, sizeof(*d->events.buckets));
    return d->events.buckets ? 0 : -XEN_ENOMEM;
}

int event_vcpu_init(struct vcpu *v)
{
    return v->domain->events.fifo ? event_fifo_vcpu_init(v) : 0;
}

void event_domain_free(struct domain *d)
{
    uint32_t in_use = d->events.allocated / EVENT_BUCKET_CHANNELS;

    for (uint32_t i = 0; i < in_use; i++) {
        heap_free_pages(d->events.buckets[i].channels, 0);
    }
    heap_free(d->events.buckets);
    d->events.buckets = NULL;
    d->events.allocated = 0;
}

static int add_bucket(struct domain *d)
{
    uint32_t first = d->events.allocated;
    struct event_channel *bucket = heap_alloc_pages(0, 0);

    if (!bucket) {
        return -XEN_ENOMEM;
    }
    for (uint32_t i = 0; i < EVENT_BUCKET_CHANNELS; i++) {
        spin_lock_init(&bucket[i].lock);
        bucket[i].port = first + i;
        bucket[i].state = first + i == 0 ? EVENT_RESERVED : EVENT_FREE;
        bucket[i].priority = EVTCHN_FIFO_PRIORITY_DEFAULT;
        bucket[i].fifo_queue = EVTCHN_FIFO_PRIORITY_DEFAULT;
    }
    d->events.buckets[first / EVENT_BUCKET_CHANNELS] =
        (struct event_bucket){bucket, EVENT_BUCKET_CHANNELS - (first == 0)};
    __atomic_store_n(&d->events.allocated, first + EVENT_BUCKET_CHANNELS, __ATOMIC_RELEASE);
    return 0;
}

// A port below end of a bucket that is free and not busy, or 0. Counts those that are busy.
static evtchn_port_t find_in_bucket(struct domain *d, uint32_t bucket, uint32_t end, uint32_t *busy)
{
    evtchn_port_t first = bucket * EVENT_BUCKET_CHANNELS;

    for (evtchn_port_t port = first; port < MIN(end, first + EVENT_BUCKET_CHANNELS); port++) {
        if (event_channel_at(d, port)->state != EVENT_FREE) {
            continue;
        }
        if (!d->events.fifo || !event_fifo_is_busy(d, port)) {
            return port;
        }
        (*busy)++;
    }
    return 0;
}

// A free port, not yet taken, with d's event lock held. Which free ports of a FIFO are still linked
// stands in the guest's own memory: one that says so of more than MAX_BUSY_PORTS gets none.
static int find_port(struct domain *d, evtchn_port_t *out)
{
    uint32_t modes_ports = d->events.fifo ? EVTCHN_FIFO_NR_CHANNELS : EVTCHN_2L_NR_CHANNELS;
    uint32_t end = MIN(d->events.max_port + 1, modes_ports), busy = 0;

    if (d->is_dying) {
        return -XEN_EINVAL;
    }
    for (uint32_t bucket = 0; bucket * EVENT_BUCKET_CHANNELS < end && busy <= MAX_BUSY_PORTS;
         bucket++) {
        if (bucket * EVENT_BUCKET_CHANNELS >= d->events.allocated) {
            int error = add_bucket(d);

            if (error) {
                return error;
            }
        }
        *out = d->events.buckets[bucket].free ? find_in_bucket(d, bucket, end, &busy) : 0;
        if (*out) {
            return 0;
        }
    }
    return -XEN_ENOSPC;
}

// Gives a channel, both of whose locks are held, to its user.
static void take(struct domain *d, struct event_channel *ch, enum event_state state, uint32_t vcpu)
{
    ch->state = state;
    d->events.buckets[ch->port / EVENT_BUCKET_CHANNELS].free--;
    __atomic_store_n(&ch->vcpu, (uint16_t)vcpu, __ATOMIC_RELAXED);
    __atomic_store_n(&ch->priority, EVTCHN_FIFO_PRIORITY_DEFAULT, __ATOMIC_RELAXED);
    if (!ch->consumer) {
        d->events.active++;
    }
}

static int alloc_unbound(struct domain *d, domid_t remote, uint32_t vcpu, uint8_t consumer,
                         evtchn_port_t *port)
{
    int error;

    spin_lock(&d->events.lock);
    error = find_port(d, port);
    if (!error) {
        struct event_channel *ch = event_channel_at(d, *port);

        spin_lock(&ch->lock);
        ch->consumer = consumer;
        ch->remote = remote;
        take(d, ch, EVENT_UNBOUND, vcpu);
        spin_unlock(&ch->lock);
    }
    spin_unlock(&d->events.lock);
    return error;
}

int event_alloc_unbound(struct domain *d, domid_t remote, evtchn_port_t *port)
{
    return alloc_unbound(d, remote, 0, 0, port);
}

int event_alloc_consumed(struct vcpu *v, domid_t remote, event_consumer notify, evtchn_port_t *port)
{
    uint8_t consumer;
    int error = event_consumer_number(notify, &consumer);

    return error ? error : alloc_unbound(v->domain, remote, v->id, consumer, port);
}

int event_bind_interdomain(struct domain *d, struct domain *remote, evtchn_port_t remote_port,
                           evtchn_port_t *port)
{
    struct event_channel *ch, *rch;
    int error;

    lock_events(d, remote);
    rch = event_channel_at(remote, remote_port);
    if (!rch || rch->state != EVENT_UNBOUND || rch->remote != d->id || remote->is_dying) {
        error = -XEN_EINVAL;
    } else {
        error = find_port(d, port);
    }
    if (!error) {
        ch = event_channel_at(d, *port);
        lock_channels(d, ch, remote, rch);
        ch->peer = remote;
        ch->peer_port = remote_port;
        rch->peer = d;
        rch->peer_port = *port;
        rch->state = EVENT_INTERDOMAIN;
        take(d, ch, EVENT_INTERDOMAIN, 0);
        // The other end may have sent while it was unbound.
        event_deliver(d, ch);
        // And whoever had this end before may have died between its work and its event.
        if (rch->orphaned) {
            rch->orphaned = 0;
            event_deliver(remote, rch);
        }
        unlock_channels(ch, rch);
    }
    unlock_events(d, remote);
    return error;
}

int event_bind_virq(struct domain *d, uint32_t virq, uint32_t vcpu, evtchn_port_t *port)
{
    struct vcpu *v;
    int error;

    if (virq >= NR_VIRQS || (event_virq_is_global(virq) && vcpu != 0)) {
        return -XEN_EINVAL;
    }
    v = domain_vcpu(d, vcpu);
    if (!v) {
        return -XEN_ENOENT;
    }
    spin_lock(&d->events.lock);
    error = v->events.virq_port[virq] ? -XEN_EEXIST : find_port(d, port);
    if (!error) {
        struct event_channel *ch = event_channel_at(d, *port);

        spin_lock(&ch->lock);
        ch->virq = virq;
        take(d, ch, EVENT_VIRQ, vcpu);
        spin_unlock(&ch->lock);
        __atomic_store_n(&v->events.virq_port[virq], *port, __ATOMIC_RELEASE);
    }
    spin_unlock(&d->events.lock);
    return error;
}

int event_bind_ipi(struct domain *d, uint32_t vcpu, evtchn_port_t *port)
{
    int error;

    if (!domain_vcpu(d, vcpu)) {
        return -XEN_ENOENT;
    }
    spin_lock(&d->events.lock);
    error = find_port(d, port);
    if (!error) {
        struct event_channel *ch = event_channel_at(d, *port);

        spin_lock(&ch->lock);
        take(d, ch, EVENT_IPI, vcpu);
        spin_unlock(&ch->lock);
    }
    spin_unlock(&d->events.lock);
    return error;
}

int event_bind_vcpu(struct domain *d, evtchn_port_t port, uint32_t vcpu)
{
    struct event_channel *ch = event_channel_at(d, port);
    int error = 0;

    if (!domain_vcpu(d, vcpu)) {
        return -XEN_ENOENT;
    }
    if (!ch) {
        return -XEN_EINVAL;
    }
    spin_lock(&ch->lock);
    if (!ch->consumer && (ch->state == EVENT_UNBOUND || ch->state == EVENT_INTERDOMAIN ||
                          (ch->state == EVENT_VIRQ && event_virq_is_global(ch->virq)))) {
        __atomic_store_n(&ch->vcpu, (uint16_t)vcpu, __ATOMIC_RELAXED);
    } else {
        error = -XEN_EINVAL;
    }
    spin_unlock(&ch->lock);
    return error;
}

int event_status(struct domain *d, struct evtchn_status *status)
{
    struct event_channel *ch = event_channel_at(d, status->port);

    if (!ch) {
        return -XEN_EINVAL;
    }
    spin_lock(&ch->lock);
    status->vcpu = ch->vcpu;
    switch ((enum event_state)ch->state) {
    case EVENT_FREE:
    case EVENT_RESERVED:
        status->status = EVTCHNSTAT_closed;
        break;
    case EVENT_UNBOUND:
        status->status = EVTCHNSTAT_unbound;
        status->u.unbound.dom = ch->remote;
        break;
    case EVENT_INTERDOMAIN:
        status->status = EVTCHNSTAT_interdomain;
        status->u.interdomain.dom = ch->peer->id;
        status->u.interdomain.port = ch->peer_port;
        break;
    case EVENT_VIRQ:
        status->status = EVTCHNSTAT_virq;
        status->u.virq = ch->virq;
        break;
    case EVENT_IPI:
        status->status = EVTCHNSTAT_ipi;
        break;
    }
    spin_unlock(&ch->lock);
    return 0;
}

// Takes the event locks of d and of the domain at the other end of the port, if it has one, which
// is returned with a reference; otherwise d's alone, and d.
static struct domain *lock_with_peer(struct domain *d, struct event_channel *ch)
{
    for (;;) { // again only if another CPU has bound the port anew in between
        struct domain *peer = d;

        spin_lock(&ch->lock);
        if (ch->state == EVENT_INTERDOMAIN) {
            peer = ch->peer;
        }
        domain_hold(peer);
        spin_unlock(&ch->lock);
        lock_events(d, peer);
        if (ch->state != EVENT_INTERDOMAIN || ch->peer == peer) {
            return peer;
        }
        unlock_events(d, peer);
        domain_put(peer);
    }
}

// Makes a channel free again; its lock and the event lock are held.
static void release(struct domain *d, struct event_channel *ch)
{
    if (ch->state == EVENT_VIRQ) {
        struct vcpu *v = domain_vcpu(d, event_virq_is_global(ch->virq) ? 0 : ch->vcpu);

        __atomic_store_n(&v->events.virq_port[ch->virq], 0, __ATOMIC_RELEASE);
    }
    if (ch->consumer) {
        ch->consumer = 0;
    } else {
        d->events.active--;
        if (d->events.fifo) {
            event_fifo_clear_pending(d, ch);
        } else {
            event_2level_clear_pending(d, ch->port);
        }
    }
    ch->state = EVENT_FREE;
    ch->orphaned = 0;
    ch->peer = NULL;
    __atomic_store_n(&ch->vcpu, 0, __ATOMIC_RELAXED);
    d->events.buckets[ch->port / EVENT_BUCKET_CHANNELS].free++;
}

int event_close(struct domain *d, evtchn_port_t port, bool by_guest)
{
    struct event_channel *ch = event_channel_at(d, port), *rch;
    struct domain *peer;
    int error = 0;

    if (!ch) {
        return -XEN_EINVAL;
    }
    peer = lock_with_peer(d, ch);
    if (ch->state <= EVENT_RESERVED || (by_guest && ch->consumer)) {
        error = -XEN_EINVAL;
    } else if (ch->state == EVENT_INTERDOMAIN) {
        rch = event_channel_at(peer, ch->peer_port);
        lock_channels(d, ch, peer, rch);
        rch->state = EVENT_UNBOUND;
        rch->orphaned = 1;
        rch->peer = NULL;
        rch->remote = d->id;
        release(d, ch);
        unlock_channels(ch, rch);
    } else {
        spin_lock(&ch->lock);
        release(d, ch);
        spin_unlock(&ch->lock);
    }
    unlock_events(d, peer);
    domain_put(peer);
    return error;
}

static bool in_use(struct event_channel *ch)
{
    bool used;

    spin_lock(&ch->lock);
    used = ch->state > EVENT_RESERVED;
    spin_unlock(&ch->lock);
    return used;
}

// Closes all ports that the cursor has not yet passed; preemptible.
static int close_all(struct domain *d, bool by_guest)
{
    for (unsigned int count = 0;; count++) {
        evtchn_port_t port = __atomic_fetch_add(&d->events.close_next, 1, __ATOMIC_RELAXED);
        struct event_channel *ch = event_channel_at(d, port);

        if (!ch) {
            __atomic_store_n(&d->events.close_next, 0, __ATOMIC_RELAXED);
            return 0;
        }
        if (in_use(ch)) {
            event_close(d, port, by_guest);
        }
        if (count >= CLOSES_BEFORE_PREEMPTION) {
            count = 0;
            if (preempt_needed()) {
                return -XEN_ERESTART;
            }
        }
    }
}

int event_reset(struct domain *d)
{
    int error = close_all(d, true);

    if (error) {
        return error;
    }
    spin_lock(&d->events.lock);
    if (d->events.active) {
        error = -XEN_ERESTART; // another vcpu has opened some meanwhile
    } else if (d->events.fifo) {
        event_fifo_destroy(d);
    }
    spin_unlock(&d->events.lock);
    return error;
}

int event_domain_destroy(struct domain *d)
{
    int error = close_all(d, false);

    if (!error) {
        event_virq_forget_handler(d);
        spin_lock(&d->events.lock);
        event_fifo_destroy(d);
        spin_unlock(&d->events.lock);
    }
    return error;
}

void event_dump(struct domain *d)
{
    static const char *const names[] = {
        [EVENT_UNBOUND] = "unbound",
        [EVENT_INTERDOMAIN] = "interdomain",
        [EVENT_VIRQ] = "virq",
        [EVENT_IPI] = "ipi",
    };

    log_error("domain %u: event channels (%s), %u in use", d->id,
              d->events.fifo ? "FIFO" : "2-level", d->events.active);
    for (evtchn_port_t port = 1; port < d->events.allocated; port++) {
        struct event_channel *ch = event_channel_at(d, port);
        uint32_t domid = 0, number = 0;
        uint8_t state;

        spin_lock(&ch->lock);
        state = ch->state;
        if (state == EVENT_INTERDOMAIN) {
            domid = ch->peer->id;
            number = ch->peer_port;
        } else if (state == EVENT_UNBOUND) {
            domid = ch->remote;
        } else if (state == EVENT_VIRQ) {
            number = ch->virq;
        }
        spin_unlock(&ch->lock);
        if (state > EVENT_RESERVED) {
            log_error("  %4u: %s domain %u number %u vcpu %u%s%s", port, names[state], domid,
                      number, ch->vcpu, event_port_pending(d, port) ? " pending" : "",
                      ch->consumer ? " (hypervisor)" : "");
        }
    }
}
