// SPDX-License-Identifier: Apache-2.0
// Delivery by the 2-level ABI: bits in shared_info (pending, mask) and a selector in vcpu_info.
//
// All of it is guest memory, shared with a guest that changes it at any time: single bits are set
// and cleared atomically and nothing read from it is used as an index.
// Locking: the callers hold a lock that keeps the channel bound; see event_internal.h.

#include "event_internal.h"

#define BITS_PER_WORD (8 * sizeof(xen_ulong_t))

static inline xen_ulong_t bit_of(evtchn_port_t port)
{
    return (xen_ulong_t)1 << (port % BITS_PER_WORD);
}

static void select_word(struct domain *d, const struct event_channel *ch)
{
    struct vcpu *v = domain_vcpu(d, __atomic_load_n(&ch->vcpu, __ATOMIC_RELAXED));
    xen_ulong_t selector = bit_of(ch->port / BITS_PER_WORD);
    struct vcpu_info *info;

    if (unlikely(!v)) {
        return; // a domain under construction, to which its backends send already
    }
    info = __atomic_load_n(&v->info, __ATOMIC_ACQUIRE);
    if (!(__atomic_fetch_or(&info->evtchn_pending_sel, selector, __ATOMIC_SEQ_CST) & selector)) {
        event_vcpu_mark_pending(v);
    }
}

bool event_2level_set_pending(struct domain *d, const struct event_channel *ch)
{
    struct shared_info *shared = d->shared_info;
    size_t word = ch->port / BITS_PER_WORD;
    xen_ulong_t bit = bit_of(ch->port);

    if (__atomic_fetch_or(&shared->evtchn_pending[word], bit, __ATOMIC_SEQ_CST) & bit) {
        return false;
    }
    if (!(__atomic_load_n(&shared->evtchn_mask[word], __ATOMIC_SEQ_CST) & bit)) {
        select_word(d, ch);
    }
    return true;
}

void event_2level_clear_pending(struct domain *d, evtchn_port_t port)
{
    __atomic_fetch_and(&d->shared_info->evtchn_pending[port / BITS_PER_WORD], ~bit_of(port),
                       __ATOMIC_SEQ_CST);
}

bool event_2level_is_pending(const struct domain *d, evtchn_port_t port)
{
    return __atomic_load_n(&d->shared_info->evtchn_pending[port / BITS_PER_WORD],
                           __ATOMIC_SEQ_CST) &
           bit_of(port);
}

void event_2level_unmask(struct domain *d, const struct event_channel *ch)
{
    struct shared_info *shared = d->shared_info;
    size_t word = ch->port / BITS_PER_WORD;
    xen_ulong_t bit = bit_of(ch->port);

    if ((__atomic_fetch_and(&shared->evtchn_mask[word], ~bit, __ATOMIC_SEQ_CST) & bit) &&
        event_2level_is_pending(d, ch->port)) {
        select_word(d, ch);
    }
}
