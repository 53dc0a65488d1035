// SPDX-License-Identifier: Apache-2.0
// A small world for tests: domains with memory on the simulated machine, and hypercalls as their
// vcpus make them.
#ifndef TEST_WORLD_H
#define TEST_WORLD_H

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <bulkhead/arch/domain.h>
#include <bulkhead/cpu.h>
#include <bulkhead/domain.h>
#include <bulkhead/grant_table.h>
#include <bulkhead/hypercall.h>
#include <sim/machine.h>

#define WORLD_CPUS 8u
#define WORLD_PAGES 64u // of memory that each domain has, from gfn 0
// Guest frames that the helpers below use for arguments; FREE_GFN and up is not populated.
#define ARGUMENT_GFN 1u
#define FREE_GFN 256u

// cmocka group set-up: starts the machine once.
int world_start(void **state);
// Around each test, before its first domain and after its last: world_end gives 0, or -1 when
// frames, heap objects or mappings are left over.
void world_begin(void);
int world_end(void);

struct world_config {
    bool privileged;
    unsigned int vcpus;         // 0: 1
    int64_t max_port;           // 0: no limit
    int32_t max_grant_frames;   // 0: 4
    int32_t max_maptrack;       // 0: 4
    unsigned int grant_version; // highest; 0: 1
};

// A running domain with memory. The creating reference is the table's: end it by world_destroy.
struct domain *world_create(domid_t id, const struct world_config *config);
void world_destroy(struct domain *d);

// A page of guest memory as the guest sees it; fails the test if there is none.
void *world_page(struct domain *d, uint64_t gfn);
// Hypercalls of v with the structure copied into guest memory and back; restarts are followed, and
// counted in world_restarts.
int64_t world_event_op(struct vcpu *v, unsigned int command, void *arg, size_t size);
int64_t world_grant_op(struct vcpu *v, unsigned int command, void *ops, size_t size,
                       unsigned int count);
int64_t world_memory_op(struct vcpu *v, unsigned int command, void *arg, size_t size);
extern unsigned int world_restarts;

// Short forms; each fails the test unless the result is as expected (0).
evtchn_port_t world_alloc_unbound(struct domain *d, domid_t remote);
evtchn_port_t world_bind(struct domain *d, domid_t remote, evtchn_port_t remote_port);
int64_t world_send(struct vcpu *v, evtchn_port_t port);
int64_t world_close(struct vcpu *v, evtchn_port_t port);

#endif
