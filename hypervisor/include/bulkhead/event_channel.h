// SPDX-License-Identifier: Apache-2.0
// Event channels: 2-level and FIFO. See core/event_internal.h for the data and the locking.
#ifndef BULKHEAD_EVENT_CHANNEL_H
#define BULKHEAD_EVENT_CHANNEL_H

#include <bulkhead/types.h> // before the public headers, which want stdint
#include <xen/xen.h>
#include <xen/event_channel.h>
#include <bulkhead/spinlock.h>

struct domain;
struct vcpu;
struct event_channel; // event_internal.h
struct event_fifo;    // event_fifo.c
struct event_fifo_vcpu;

struct event_bucket {
    struct event_channel *channels;
    uint32_t free; // how many of them are
};

struct event_domain {
    struct spinlock lock;         // bindings; see event_internal.h
    struct event_bucket *buckets; // pages of channels, added on demand, kept to the end
    uint32_t bucket_count;
    uint32_t max_port;       // highest port number that may be allocated
    uint32_t allocated;      // ports with a structure (multiple of a bucket)
    uint32_t active;         // ports in use by the guest
    uint32_t close_next;     // progress of a reset or of destruction
    uint32_t pollers;        // vcpus in SCHEDOP_poll
    struct event_fifo *fifo; // NULL: 2-level
};

struct event_vcpu {
    uint32_t virq_port[NR_VIRQS]; // 0: not bound; written under the domain's event lock
    struct event_fifo_vcpu *fifo; // not NULL while the domain's fifo is not
    uint32_t poll_port;           // single port of SCHEDOP_poll, or 0: any
};

// max_port: the highest port number that the domain may get. 0 or -errno.
int event_domain_init(struct domain *d, uint32_t max_port);
int event_vcpu_init(struct vcpu *v);
// Closes every channel; preemptible: 0 or -ERESTART. No vcpu of d runs any more and is_dying is
// set.
int event_domain_destroy(struct domain *d);
void event_domain_free(struct domain *d); // memory, at the domain's end

// For domain building and the toolstack: a port of d unbound for remote. 0 or -errno.
int event_alloc_unbound(struct domain *d, domid_t remote, evtchn_port_t *port);
// The same for a port whose events go to the hypervisor instead of the guest: notify(v, port) is
// called with the sender's channel locked, so it takes no event lock. The guest may neither close
// such a port nor send through it; event_send(v->domain, port) tells the other end.
typedef void (*event_consumer)(struct vcpu *v, evtchn_port_t port);
int event_alloc_consumed(struct vcpu *v, domid_t remote, event_consumer notify,
                         evtchn_port_t *port);
int event_send(struct domain *d, evtchn_port_t port);
int event_close(struct domain *d, evtchn_port_t port, bool by_guest);
int event_reset(struct domain *d); // EVTCHNOP_reset; preemptible

// Raises a virtual interrupt. Any context with no event lock held.
void event_send_virq(struct vcpu *v, uint32_t virq);          // a per-vcpu one
void event_send_global_virq(struct domain *d, uint32_t virq); // on the vcpu it is bound to
// The domain that gets a global VIRQ (XEN_DOMCTL_set_virq_handler); domain 0 by default.
int event_set_virq_handler(struct domain *d, uint32_t virq);
void event_send_host_virq(uint32_t virq);

// SCHEDOP_poll of the current vcpu: sets VCPU_POLLING until one of the ports gets an event (no
// port given: any). 0: the caller puts the vcpu to sleep; 1: an event is pending already, nothing
// was set; -EINVAL: no such port.
int event_poll_prepare(struct vcpu *v, const evtchn_port_t *ports, unsigned int count);
// Ends a poll (timeout, interrupt); true if there was one: the caller wakes the vcpu.
bool event_poll_end(struct vcpu *v);

bool event_port_pending(struct domain *d, evtchn_port_t port);
// Whether the vcpu has an event to be told of (evtchn_upcall_pending is set).
bool event_pending(const struct vcpu *v);
// What xl debug-keys e prints.
void event_dump(struct domain *d);

#endif
