// SPDX-License-Identifier: Apache-2.0
// The simulated machine's part of domains and vcpus. A guest is a C function.
#ifndef BULKHEAD_SIM_DOMAIN_H
#define BULKHEAD_SIM_DOMAIN_H

#include <bulkhead/types.h>

struct p2m;
struct vcpu;

struct arch_domain {
    struct p2m *p2m;
};

struct arch_vcpu {
    void (*guest)(struct vcpu *v); // what arch_vcpu_run runs; NULL: nothing
    uint64_t events_marked;        // arch_vcpu_mark_events_pending calls
    bool interrupt_pending;        // what arch_vcpu_interrupt_pending says
};

#endif
