// SPDX-License-Identifier: Apache-2.0
// Event channels: what the core/event_*.c files share.
//
// Data: each domain has an array of pages ("buckets") of channels. A bucket, once there, stays
// until the domain is freed, so a channel is found without a lock. A search for a free one passes
// over buckets that have none. Locking: what a channel is bound to (state, peer, remote, virq,
// consumer) changes only with both the domain's event lock and the channel's own lock held, for an
// interdomain pair those of both ends. So either lock is enough to read it, and holding one end's
// channel lock keeps the pair together and the peer domain alive: sending takes just the sender's
// channel lock. vcpu and priority change under the channel lock and are read atomically by senders
// at the other end. Order: event locks by domid, channel locks by domid and then port, FIFO queue
// locks, then the scheduler's. A FIFO is taken down only after every channel has been closed, with
// the event lock held: nobody who holds the lock of a bound channel sees it go.
#ifndef BULKHEAD_EVENT_INTERNAL_H
#define BULKHEAD_EVENT_INTERNAL_H

#include <bulkhead/domain.h>

enum event_state {
    EVENT_FREE,
    EVENT_RESERVED, // port 0, which means "none" in the interface
    EVENT_UNBOUND,
    EVENT_INTERDOMAIN,
    EVENT_VIRQ,
    EVENT_IPI,
};

struct event_channel {
    struct spinlock lock;
    struct domain *peer; // interdomain
    union {
        evtchn_port_t peer_port; // interdomain
        domid_t remote;          // unbound: who may bind
        uint32_t virq;
    };
    evtchn_port_t port;
    uint16_t vcpu;        // whom to notify
    uint8_t state : 7;    // enum event_state
    uint8_t orphaned : 1; // unbound because the other end was closed or died
    uint8_t priority;
    uint8_t consumer;    // 0: the guest; else event_consumers[consumer - 1]
    uint8_t parked;      // FIFO: became pending while its event word did not exist
    uint16_t fifo_queue; // FIFO: the queue it was last linked to: vcpu * 16 + priority
};

#define EVENT_BUCKET_CHANNELS (PAGE_SIZE / sizeof(struct event_channel))
_Static_assert(sizeof(struct event_channel) == 32, "a bucket's count should be a power of two");

// The channel of a port, or NULL if there never was one.
static inline struct event_channel *event_channel_at(const struct domain *d, evtchn_port_t port)
{
    if (port >= __atomic_load_n(&d->events.allocated, __ATOMIC_ACQUIRE)) {
        return NULL;
    }
    return &d->events.buckets[port / EVENT_BUCKET_CHANNELS].channels[port % EVENT_BUCKET_CHANNELS];
}

// event_channel.c: what the hypercall needs beyond the public functions. All: 0 or -errno.
int event_bind_interdomain(struct domain *d, struct domain *remote, evtchn_port_t remote_port,
                           evtchn_port_t *port);
int event_bind_virq(struct domain *d, uint32_t virq, uint32_t vcpu, evtchn_port_t *port);
int event_bind_ipi(struct domain *d, uint32_t vcpu, evtchn_port_t *port);
int event_bind_vcpu(struct domain *d, evtchn_port_t port, uint32_t vcpu);
int event_status(struct domain *d, struct evtchn_status *status);

// event_send.c
int event_send_by_guest(struct domain *d, evtchn_port_t port);
int event_unmask(struct domain *d, evtchn_port_t port);
int event_set_priority(struct domain *d, evtchn_port_t port, uint32_t priority);
bool event_virq_is_global(uint32_t virq);
void event_virq_forget_handler(struct domain *d); // d is no longer anybody's handler
int event_consumer_number(event_consumer notify, uint8_t *number); // 0 or -ENOSPC
// Makes ch pending, or calls its consumer. ch's lock, its peer's or d's event lock is held.
void event_deliver(struct domain *d, struct event_channel *ch);
// Sets v's upcall pending flag and makes v notice.
void event_vcpu_mark_pending(struct vcpu *v);

// event_2level.c. set_pending: true if the event was not pending before.
bool event_2level_set_pending(struct domain *d, const struct event_channel *ch);
void event_2level_clear_pending(struct domain *d, evtchn_port_t port);
bool event_2level_is_pending(const struct domain *d, evtchn_port_t port);
void event_2level_unmask(struct domain *d, const struct event_channel *ch);

// event_fifo.c. The first four as above; is_busy: still linked in a queue of the guest's, so the
// port is not to be used again yet.
bool event_fifo_set_pending(struct domain *d, struct event_channel *ch);
void event_fifo_clear_pending(struct domain *d, struct event_channel *ch);
bool event_fifo_is_pending(struct domain *d, const struct event_channel *ch);
void event_fifo_unmask(struct domain *d, struct event_channel *ch);
bool event_fifo_is_busy(struct domain *d, evtchn_port_t port);
int event_fifo_init_control(struct domain *d, struct evtchn_init_control *control);
int event_fifo_expand_array(struct domain *d, gfn_t gfn);
int event_fifo_vcpu_init(struct vcpu *v);
void event_fifo_destroy(struct domain *d); // the event lock is held (or nobody else is left)

#endif
