// SPDX-License-Identifier: Apache-2.0
// Event channels: 2-level and FIFO. See event_channel.c for the locking.
#ifndef BULKHEAD_EVENT_CHANNEL_H
#define BULKHEAD_EVENT_CHANNEL_H

#include <bulkhead/types.h> // before the public headers, which want stdint
#include <xen/xen.h>
#include <xen/event_channel.h>
#include <bulkhead/spinlock.h>

struct domain;
struct vcpu;
struct event_channel; // event_channel.c
struct event_fifo;

struct event_domain {
    struct spinlock lock;
    struct event_channel **buckets; // pages of channels, grown on demand
    uint32_t bucket_count;
    uint32_t max_ports; // limit from the toolstack
    uint32_t allocated; // ports with a structure (multiple of a bucket)
    uint32_t active;
    struct event_fifo *fifo; // NULL: 2-level
};

struct event_vcpu {
    struct spinlock virq_lock;
    uint32_t virq_port[NR_VIRQS]; // 0: not bound
    struct event_fifo_vcpu *fifo;
    uint32_t poll_port; // single port of SCHEDOP_poll, or 0
};

int event_domain_init(struct domain *d, uint32_t max_ports);
int event_vcpu_init(struct vcpu *v);
// Closes every channel; preemptible: 0 or -ERESTART.
int event_domain_destroy(struct domain *d);
void event_domain_free(struct domain *d); // memory, at the domain's end

// For domain building and the toolstack: a port of d unbound for remote. 0 or -errno.
int event_alloc_unbound(struct domain *d, domid_t remote, evtchn_port_t *port);
int event_send(struct domain *d, evtchn_port_t port);
int event_close(struct domain *d, evtchn_port_t port, bool by_guest);
int event_reset(struct domain *d); // EVTCHNOP_reset; preemptible

// Raises a virtual interrupt. Any context with no event lock held.
void event_send_virq(struct vcpu *v, uint32_t virq);        // a per-vcpu one
void event_send_global_virq(struct domain *d, uint32_t virq); // on the vcpu that bound it
// The domain that gets a global VIRQ (XEN_DOMCTL_set_virq_handler); domain 0 by default.
int event_set_virq_handler(struct domain *d, uint32_t virq);
void event_send_host_virq(uint32_t virq);

bool event_port_pending(struct domain *d, evtchn_port_t port);
// Whether the vcpu has an event to be told of (upcall pending and not masked).
bool event_pending(const struct vcpu *v);
// What xl debug-keys e prints.
void event_dump(struct domain *d);

#endif
