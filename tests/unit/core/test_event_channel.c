// SPDX-License-Identifier: Apache-2.0
// Event channels by the hypercall, with 2-level delivery: bindings, rights, virtual interrupts,
// polling, reset, destruction, and what is left when something fails.

#include "world.h"

#include <stdlib.h>
#include <string.h>

#include <bulkhead/page.h>
#include "event_internal.h"

#define A 1
#define B 2

static struct domain *control, *a, *b;

static int create_domains(void **state)
{
    (void)state;
    world_begin();
    control = world_create(0, &(struct world_config){.privileged = true, .vcpus = 2});
    domain0 = control;
    a = world_create(A, &(struct world_config){.vcpus = 3});
    b = world_create(B, &(struct world_config){.max_port = 20});
    return 0;
}

static int destroy_domains(void **state)
{
    (void)state;
    sim_heap_fail_at(0);
    sim_interrupt_every(0);
    domain0 = NULL;
    world_destroy(b);
    world_destroy(a);
    world_destroy(control);
    return world_end();
}

static bool pending_bit(struct domain *d, evtchn_port_t port)
{
    return d->shared_info->evtchn_pending[port / 64] >> port % 64 & 1;
}

static void mask_port(struct domain *d, evtchn_port_t port, bool mask)
{
    xen_ulong_t bit = 1UL << port % 64;

    if (mask) {
        d->shared_info->evtchn_mask[port / 64] |= bit;
    } else {
        d->shared_info->evtchn_mask[port / 64] &= ~bit;
    }
}

// What a guest's upcall handler does: takes note of everything and forgets it.
static void forget_events(struct domain *d)
{
    struct vcpu *v;
    unsigned int i;

    memset(d->shared_info->evtchn_pending, 0, sizeof(d->shared_info->evtchn_pending));
    for_each_vcpu (v, d, i) {
        v->info->evtchn_pending_sel = 0;
        v->info->evtchn_upcall_pending = 0;
        v->arch.events_marked = 0;
    }
}

// The port, and nothing else, was announced to the vcpu.
static void assert_upcall(struct domain *d, unsigned int vcpu, evtchn_port_t port)
{
    struct vcpu *v = d->vcpus[vcpu];

    assert_true(pending_bit(d, port));
    assert_true(v->info->evtchn_pending_sel == 1UL << port / 64);
    assert_int_equal(v->info->evtchn_upcall_pending, 1);
    assert_int_equal(v->arch.events_marked, 1);
    assert_true(event_pending(v));
}

static struct evtchn_status status_of(struct domain *caller, domid_t id, evtchn_port_t port)
{
    struct evtchn_status op = {.dom = id, .port = port};

    assert_int_equal(world_event_op(caller->vcpus[0], EVTCHNOP_status, &op, sizeof(op)), 0);
    return op;
}

static int64_t bind_vcpu(struct domain *d, evtchn_port_t port, uint32_t vcpu)
{
    struct evtchn_bind_vcpu op = {.port = port, .vcpu = vcpu};

    return world_event_op(d->vcpus[0], EVTCHNOP_bind_vcpu, &op, sizeof(op));
}

static int64_t bind_virq(struct domain *d, uint32_t virq, uint32_t vcpu, evtchn_port_t *port)
{
    struct evtchn_bind_virq op = {.virq = virq, .vcpu = vcpu};
    int64_t result = world_event_op(d->vcpus[0], EVTCHNOP_bind_virq, &op, sizeof(op));

    *port = op.port;
    return result;
}

static int64_t unmask(struct domain *d, evtchn_port_t port)
{
    struct evtchn_unmask op = {.port = port};

    return world_event_op(d->vcpus[0], EVTCHNOP_unmask, &op, sizeof(op));
}

static void test_interdomain_both_ways(void **state)
{
    evtchn_port_t pa = world_alloc_unbound(a, B), pb = world_bind(b, A, pa);

    (void)state;
    assert_int_equal(pa, 1);
    // Binding announces what may have been sent before.
    assert_upcall(b, 0, pb);
    forget_events(b);
    assert_int_equal(world_send(b->vcpus[0], pb), 0);
    assert_upcall(a, 0, pa);
    assert_int_equal(world_send(a->vcpus[0], pa), 0);
    assert_upcall(b, 0, pb);
    // Sent twice before it is looked at: announced once.
    assert_int_equal(world_send(a->vcpus[0], pa), 0);
    assert_upcall(b, 0, pb);
}

static void test_unbound_swallows_events(void **state)
{
    evtchn_port_t port = world_alloc_unbound(a, B);

    (void)state;
    assert_int_equal(world_send(a->vcpus[0], port), 0);
    assert_false(pending_bit(a, port));
    assert_int_equal(world_send(a->vcpus[0], port + 1), -XEN_EINVAL);
    assert_int_equal(world_send(a->vcpus[0], 0), -XEN_EINVAL);
    assert_int_equal(world_send(a->vcpus[0], UINT32_MAX), -XEN_EINVAL);
}

static void test_only_the_named_domain_binds(void **state)
{
    evtchn_port_t port = world_alloc_unbound(a, B);
    struct evtchn_bind_interdomain op = {.remote_dom = A, .remote_port = port};

    (void)state;
    assert_int_equal(world_event_op(control->vcpus[0], EVTCHNOP_bind_interdomain, &op, sizeof(op)),
                     -XEN_EINVAL);
    op.remote_dom = 77;
    assert_int_equal(world_event_op(b->vcpus[0], EVTCHNOP_bind_interdomain, &op, sizeof(op)),
                     -XEN_ESRCH);
    op.remote_dom = A;
    op.remote_port = UINT32_MAX;
    assert_int_equal(world_event_op(b->vcpus[0], EVTCHNOP_bind_interdomain, &op, sizeof(op)),
                     -XEN_EINVAL);
    world_bind(b, A, port);
    op.remote_port = port;
    assert_int_equal(world_event_op(b->vcpus[0], EVTCHNOP_bind_interdomain, &op, sizeof(op)),
                     -XEN_EINVAL);
}

static void test_rights(void **state)
{
    struct evtchn_alloc_unbound alloc = {.dom = B, .remote_dom = A};
    struct evtchn_status status = {.dom = B, .port = 1};
    struct evtchn_reset reset = {.dom = B};

    (void)state;
    assert_int_equal(world_event_op(a->vcpus[0], EVTCHNOP_alloc_unbound, &alloc, sizeof(alloc)),
                     -XEN_EPERM);
    assert_int_equal(world_event_op(a->vcpus[0], EVTCHNOP_status, &status, sizeof(status)),
                     -XEN_EPERM);
    assert_int_equal(world_event_op(a->vcpus[0], EVTCHNOP_reset, &reset, sizeof(reset)),
                     -XEN_EPERM);
    // Domain 0 may; remote DOMID_SELF is itself.
    alloc.remote_dom = DOMID_SELF;
    assert_int_equal(
        world_event_op(control->vcpus[0], EVTCHNOP_alloc_unbound, &alloc, sizeof(alloc)), 0);
    status = status_of(control, B, alloc.port);
    assert_int_equal(status.status, EVTCHNSTAT_unbound);
    assert_int_equal(status.u.unbound.dom, 0);
    alloc.dom = 77;
    assert_int_equal(
        world_event_op(control->vcpus[0], EVTCHNOP_alloc_unbound, &alloc, sizeof(alloc)),
        -XEN_ESRCH);
    // A running domain is not reset from outside.
    assert_int_equal(world_event_op(control->vcpus[0], EVTCHNOP_reset, &reset, sizeof(reset)),
                     -XEN_EINVAL);
}

static void test_loopback(void **state)
{
    evtchn_port_t first = world_alloc_unbound(a, DOMID_SELF);
    evtchn_port_t second = world_bind(a, DOMID_SELF, first);

    (void)state;
    forget_events(a);
    assert_int_equal(world_send(a->vcpus[0], second), 0);
    assert_upcall(a, 0, first);
    assert_int_equal(world_close(a->vcpus[0], second), 0);
    assert_int_equal(status_of(a, DOMID_SELF, first).status, EVTCHNSTAT_unbound);
    assert_int_equal(world_bind(a, A, first), second);
    assert_int_equal(world_close(a->vcpus[0], first), 0);
    assert_int_equal(status_of(a, DOMID_SELF, second).status, EVTCHNSTAT_unbound);
}

static void test_close_leaves_the_other_end_unbound(void **state)
{
    evtchn_port_t pa = world_alloc_unbound(a, B), pb = world_bind(b, A, pa);
    struct evtchn_status status = status_of(a, A, pa);

    (void)state;
    assert_int_equal(status.status, EVTCHNSTAT_interdomain);
    assert_int_equal(status.u.interdomain.dom, B);
    assert_int_equal(status.u.interdomain.port, pb);
    assert_int_equal(world_close(b->vcpus[0], pb), 0);
    assert_false(pending_bit(b, pb));
    assert_int_equal(world_close(b->vcpus[0], pb), -XEN_EINVAL);
    assert_int_equal(status_of(b, B, pb).status, EVTCHNSTAT_closed);
    status = status_of(a, A, pa);
    assert_int_equal(status.status, EVTCHNSTAT_unbound);
    assert_int_equal(status.u.unbound.dom, B);
    assert_int_equal(world_send(a->vcpus[0], pa), 0);
    assert_int_equal(world_bind(b, A, pa), pb);
}

// What healing rests on: the successor of a dead domain binds to the same ports again.
static void test_successor_of_a_dead_domain_binds_again(void **state)
{
    evtchn_port_t pa = world_alloc_unbound(a, B), pb = world_bind(b, A, pa);

    (void)state;
    world_destroy(b);
    assert_int_equal(status_of(a, A, pa).status, EVTCHNSTAT_unbound);
    assert_int_equal(status_of(a, A, pa).u.unbound.dom, B);
    assert_int_equal(world_send(a->vcpus[0], pa), 0);
    forget_events(a);
    b = world_create(B, &(struct world_config){.max_port = 20});
    pb = world_bind(b, A, pa);
    // Both ends look at what they share: the dead domain may have owed an event.
    assert_upcall(b, 0, pb);
    assert_upcall(a, 0, pa);
    forget_events(a);
    forget_events(b);
    assert_int_equal(world_send(a->vcpus[0], pa), 0);
    assert_upcall(b, 0, pb);
    assert_int_equal(world_send(b->vcpus[0], pb), 0);
    assert_upcall(a, 0, pa);
}

static void test_masked_port_gives_no_upcall(void **state)
{
    evtchn_port_t pa = world_alloc_unbound(a, B), pb = world_bind(b, A, pa);

    (void)state;
    mask_port(a, pa, true);
    assert_int_equal(world_send(b->vcpus[0], pb), 0);
    assert_true(pending_bit(a, pa));
    assert_int_equal(a->vcpus[0]->info->evtchn_upcall_pending, 0);
    assert_false(event_pending(a->vcpus[0]));
    assert_true(event_port_pending(a, pa));
    assert_int_equal(unmask(a, pa), 0);
    assert_upcall(a, 0, pa);
    // Not masked any more: nothing to tell again.
    forget_events(a);
    assert_int_equal(unmask(a, pa), 0);
    assert_false(event_pending(a->vcpus[0]));
    assert_int_equal(unmask(a, 100000), -XEN_EINVAL);
}

static void test_ports_up_to_the_limit(void **state)
{
    bool seen[32] = {false};
    struct evtchn_alloc_unbound op = {.dom = DOMID_SELF, .remote_dom = A};

    (void)state;
    for (unsigned int i = 0; i < 20; i++) {
        evtchn_port_t port = world_alloc_unbound(b, A);

        assert_true(port > 0 && port <= 20 && !seen[port]);
        seen[port] = true;
    }
    assert_int_equal(world_event_op(b->vcpus[0], EVTCHNOP_alloc_unbound, &op, sizeof(op)),
                     -XEN_ENOSPC);
    assert_int_equal(world_close(b->vcpus[0], 7), 0);
    assert_int_equal(world_alloc_unbound(b, A), 7);
}

static void test_2level_has_4096_ports(void **state)
{
    struct evtchn_alloc_unbound op = {.dom = DOMID_SELF, .remote_dom = A};

    (void)state;
    for (evtchn_port_t port = 1; port < EVTCHN_2L_NR_CHANNELS; port++) {
        assert_int_equal(world_alloc_unbound(a, B), port);
    }
    assert_int_equal(world_event_op(a->vcpus[0], EVTCHNOP_alloc_unbound, &op, sizeof(op)),
                     -XEN_ENOSPC);
    forget_events(a);
    world_send(b->vcpus[0], world_bind(b, A, 4095));
    assert_upcall(a, 0, 4095);
}

static void test_bind_vcpu(void **state)
{
    evtchn_port_t pa = world_alloc_unbound(a, B), pb = world_bind(b, A, pa), timer, ipi;
    struct evtchn_bind_ipi op = {.vcpu = 1};

    (void)state;
    assert_int_equal(bind_vcpu(a, pa, 2), 0);
    assert_int_equal(status_of(a, A, pa).vcpu, 2);
    assert_int_equal(world_send(b->vcpus[0], pb), 0);
    assert_upcall(a, 2, pa);
    assert_int_equal(bind_vcpu(a, pa, 3), -XEN_ENOENT);
    assert_int_equal(bind_vcpu(a, 3000, 0), -XEN_EINVAL);
    assert_int_equal(bind_virq(a, VIRQ_TIMER, 1, &timer), 0);
    assert_int_equal(bind_vcpu(a, timer, 0), -XEN_EINVAL);
    assert_int_equal(world_event_op(a->vcpus[0], EVTCHNOP_bind_ipi, &op, sizeof(op)), 0);
    ipi = op.port;
    assert_int_equal(bind_vcpu(a, ipi, 0), -XEN_EINVAL);
    assert_int_equal(status_of(a, A, ipi).status, EVTCHNSTAT_ipi);
    assert_int_equal(status_of(a, A, ipi).vcpu, 1);
    assert_int_equal(world_send(a->vcpus[2], ipi), 0);
    assert_upcall(a, 1, ipi);
    op.vcpu = 9;
    assert_int_equal(world_event_op(a->vcpus[0], EVTCHNOP_bind_ipi, &op, sizeof(op)), -XEN_ENOENT);
    // A port starts anew with vcpu 0.
    assert_int_equal(world_close(a->vcpus[0], pa), 0);
    assert_int_equal(world_alloc_unbound(a, B), pa);
    assert_int_equal(status_of(a, A, pa).vcpu, 0);
}

static void test_virqs_of_a_vcpu(void **state)
{
    evtchn_port_t port, other;

    (void)state;
    assert_int_equal(bind_virq(a, VIRQ_TIMER, 1, &port), 0);
    assert_int_equal(bind_virq(a, VIRQ_TIMER, 1, &other), -XEN_EEXIST);
    assert_int_equal(bind_virq(a, VIRQ_TIMER, 2, &other), 0);
    assert_int_equal(bind_virq(a, VIRQ_TIMER, 3, &other), -XEN_ENOENT);
    assert_int_equal(bind_virq(a, NR_VIRQS, 0, &other), -XEN_EINVAL);
    assert_int_equal(status_of(a, A, port).u.virq, VIRQ_TIMER);
    event_send_virq(a->vcpus[1], VIRQ_TIMER);
    assert_upcall(a, 1, port);
    assert_int_equal(a->vcpus[2]->arch.events_marked, 0);
    event_send_virq(a->vcpus[0], VIRQ_TIMER); // not bound there
    assert_int_equal(a->vcpus[0]->arch.events_marked, 0);
    assert_int_equal(world_send(a->vcpus[1], port), -XEN_EINVAL);
    assert_int_equal(world_close(a->vcpus[0], port), 0);
    forget_events(a);
    event_send_virq(a->vcpus[1], VIRQ_TIMER);
    assert_int_equal(a->vcpus[1]->arch.events_marked, 0);
    assert_int_equal(bind_virq(a, VIRQ_TIMER, 1, &port), 0);
}

static void test_global_virqs(void **state)
{
    evtchn_port_t port, other;

    (void)state;
    assert_int_equal(bind_virq(control, VIRQ_DOM_EXC, 1, &port), -XEN_EINVAL);
    assert_int_equal(bind_virq(control, VIRQ_DOM_EXC, 0, &port), 0);
    event_send_host_virq(VIRQ_DOM_EXC);
    assert_upcall(control, 0, port);
    forget_events(control);
    assert_int_equal(bind_vcpu(control, port, 1), 0);
    event_send_host_virq(VIRQ_DOM_EXC);
    assert_upcall(control, 1, port);
    // Another domain takes it over, and gives it back by dying.
    assert_int_equal(bind_virq(a, VIRQ_DOM_EXC, 0, &other), 0);
    assert_int_equal(event_set_virq_handler(a, VIRQ_TIMER), -XEN_EINVAL);
    assert_int_equal(event_set_virq_handler(a, NR_VIRQS), -XEN_EINVAL);
    assert_int_equal(event_set_virq_handler(a, VIRQ_DOM_EXC), 0);
    assert_int_equal(event_set_virq_handler(a, VIRQ_DOM_EXC), 0);
    forget_events(control);
    event_send_host_virq(VIRQ_DOM_EXC);
    assert_upcall(a, 0, other);
    assert_int_equal(control->vcpus[1]->arch.events_marked, 0);
    world_destroy(a);
    forget_events(control);
    event_send_host_virq(VIRQ_DOM_EXC);
    assert_upcall(control, 1, port);
    // Closing it while it is bound to vcpu 1 frees it for vcpu 0.
    assert_int_equal(world_close(control->vcpus[0], port), 0);
    assert_int_equal(bind_virq(control, VIRQ_DOM_EXC, 0, &port), 0);
    a = world_create(A, &(struct world_config){.vcpus = 3});
}

static void test_unknown_and_foreign_operations(void **state)
{
    struct evtchn_bind_pirq pirq = {.pirq = 1};
    struct evtchn_expand_array array = {.array_gfn = 3};
    struct evtchn_set_priority priority = {.port = 1};

    (void)state;
    assert_int_equal(world_event_op(a->vcpus[0], EVTCHNOP_bind_pirq, &pirq, sizeof(pirq)),
                     -XEN_EINVAL);
    assert_int_equal(world_event_op(a->vcpus[0], 99, &pirq, sizeof(pirq)), -XEN_ENOSYS);
    assert_int_equal(world_event_op(a->vcpus[0], EVTCHNOP_expand_array, &array, sizeof(array)),
                     -XEN_EOPNOTSUPP);
    world_alloc_unbound(a, B);
    assert_int_equal(
        world_event_op(a->vcpus[0], EVTCHNOP_set_priority, &priority, sizeof(priority)),
        -XEN_ENOSYS);
}

// Every operation with its argument where there is no memory, or none to write to.
static void test_bad_pointers(void **state)
{
    uint64_t nowhere[] = {(uint64_t)FREE_GFN << PAGE_SHIFT, ~0UL, 1UL << 63,
                          ((uint64_t)WORLD_PAGES << PAGE_SHIFT) - 1};
    struct evtchn_alloc_unbound *op = world_page(a, 5);
    struct p2m_entry entry = p2m_lookup(a, GFN(5));
    struct hypercall call;

    (void)state;
    sim_cpu_enter(0, a->vcpus[0]);
    for (unsigned int command = 0; command <= EVTCHNOP_set_priority; command++) {
        for (unsigned int i = 0; command != EVTCHNOP_bind_pirq && i < ARRAY_SIZE(nowhere); i++) {
            call = (struct hypercall){.arg = {command, nowhere[i]}};
            assert_int_equal(do_event_channel_op(&call), -XEN_EFAULT);
        }
    }
    // The argument can be read but not written: no port stays behind.
    *op = (struct evtchn_alloc_unbound){.dom = DOMID_SELF, .remote_dom = B};
    assert_true(page_get(mfn_to_page(entry.mfn), a));
    assert_int_equal(p2m_set(a, GFN(5), entry.mfn, 0, P2M_RAM_RO), 0);
    call = (struct hypercall){.arg = {EVTCHNOP_alloc_unbound, 5UL << PAGE_SHIFT}};
    assert_int_equal(do_event_channel_op(&call), -XEN_EFAULT);
    assert_int_equal(a->events.active, 0);
    assert_int_equal(world_alloc_unbound(a, B), 1);
}

static void test_reset_is_preemptible_and_closes_all(void **state)
{
    struct evtchn_reset op = {.dom = DOMID_SELF};
    evtchn_port_t port, pb = 0;

    (void)state;
    assert_int_equal(bind_virq(a, VIRQ_DEBUG, 2, &port), 0);
    for (unsigned int i = 0; i < 1000; i++) {
        port = world_alloc_unbound(a, B);
        pb = i < 20 ? world_bind(b, A, port) : pb;
    }
    sim_interrupt_every(2);
    assert_int_equal(world_event_op(a->vcpus[0], EVTCHNOP_reset, &op, sizeof(op)), 0);
    assert_true(world_restarts >= 5);
    assert_int_equal(a->events.active, 0);
    assert_int_equal(status_of(b, B, pb).status, EVTCHNSTAT_unbound);
    assert_int_equal(bind_virq(a, VIRQ_DEBUG, 2, &port), 0);
    // From outside while the toolstack has it paused.
    op.dom = A;
    assert_int_equal(domain_pause_by_toolstack(a), 0);
    assert_int_equal(world_event_op(control->vcpus[0], EVTCHNOP_reset, &op, sizeof(op)), 0);
    assert_int_equal(a->events.active, 0);
    assert_int_equal(domain_unpause_by_toolstack(a), 0);
}

static void test_destruction_is_preemptible(void **state)
{
    unsigned int restarts = 0;
    int error;

    (void)state;
    for (unsigned int i = 0; i < 1000; i++) {
        evtchn_port_t port = world_alloc_unbound(a, 0);

        assert_int_equal(world_bind(control, A, port), port);
    }
    sim_cpu_enter(0, control->vcpus[0]);
    sim_interrupt_every(1);
    while ((error = domain_destroy(a)) == -XEN_ERESTART) {
        restarts++;
    }
    assert_int_equal(error, 0);
    assert_true(restarts > 10);
    sim_interrupt_every(0);
    assert_int_equal(status_of(control, 0, 1000).status, EVTCHNSTAT_unbound);
    assert_int_equal(world_send(control->vcpus[0], 1000), 0);
    a = world_create(A, &(struct world_config){.vcpus = 3});
}

static void test_dying_domain_gets_no_more_channels(void **state)
{
    evtchn_port_t port = world_alloc_unbound(a, B), unused;

    (void)state;
    a->is_dying = true;
    assert_int_equal(event_alloc_unbound(a, B, &unused), -XEN_EINVAL);
    assert_int_equal(event_bind_interdomain(b, a, port, &unused), -XEN_EINVAL);
    assert_int_equal(event_bind_virq(a, VIRQ_TIMER, 0, &unused), -XEN_EINVAL);
    assert_int_equal(event_set_virq_handler(a, VIRQ_CONSOLE), -XEN_ESRCH);
    a->is_dying = false;
}

static void test_poll(void **state)
{
    evtchn_port_t pa = world_alloc_unbound(a, B), pb = world_bind(b, A, pa);
    evtchn_port_t other = world_alloc_unbound(a, B), both[] = {pa, other}, bad[] = {pa, 5000};
    struct vcpu *v = a->vcpus[1];

    (void)state;
    mask_port(a, pa, true);
    mask_port(a, other, true);
    assert_int_equal(event_poll_prepare(v, &other, 1), 0);
    assert_true(v->pause_flags & VCPU_POLLING);
    assert_int_equal(world_send(b->vcpus[0], pb), 0);
    assert_true(v->pause_flags & VCPU_POLLING); // not the port it waits for
    world_send(b->vcpus[0], world_bind(b, A, other));
    assert_false(v->pause_flags & VCPU_POLLING);
    assert_int_equal(a->events.pollers, 0);
    assert_int_equal(event_poll_prepare(v, &pa, 1), 1); // pending already
    assert_int_equal(event_poll_prepare(v, bad, 2), -XEN_EINVAL);
    assert_int_equal(v->pause_flags, 0);
    forget_events(a);
    assert_int_equal(event_poll_prepare(v, both, 2), 0);
    assert_int_equal(event_poll_prepare(a->vcpus[2], NULL, 0), 0);
    assert_int_equal(a->events.pollers, 2);
    assert_int_equal(world_send(b->vcpus[0], pb), 0);
    assert_int_equal(a->events.pollers, 0);
    // Time out, and an upcall to the polling vcpu.
    forget_events(a);
    assert_int_equal(event_poll_prepare(v, both, 2), 0);
    assert_true(event_poll_end(v));
    assert_false(event_poll_end(v));
    assert_int_equal(event_poll_prepare(v, &other, 1), 0);
    assert_int_equal(bind_vcpu(a, pa, 1), 0);
    mask_port(a, pa, false);
    assert_int_equal(world_send(b->vcpus[0], pb), 0);
    assert_int_equal(v->pause_flags, 0);
    assert_int_equal(event_poll_prepare(v, &other, 1), 1); // an upcall waits
}

static struct vcpu *consumed_by;
static evtchn_port_t consumed_port;

static void consume(struct vcpu *v, evtchn_port_t port)
{
    consumed_by = v;
    consumed_port = port;
}

static void test_channels_to_the_hypervisor(void **state)
{
    struct evtchn_reset reset = {.dom = DOMID_SELF};
    evtchn_port_t port, peer;

    (void)state;
    assert_int_equal(event_alloc_consumed(a->vcpus[1], 0, consume, &port), 0);
    peer = world_bind(control, A, port);
    forget_events(control);
    assert_int_equal(world_send(control->vcpus[0], peer), 0);
    assert_ptr_equal(consumed_by, a->vcpus[1]);
    assert_int_equal(consumed_port, port);
    assert_false(pending_bit(a, port));
    assert_int_equal(event_send(a, port), 0);
    assert_upcall(control, 0, peer);
    // The guest has no hand in it.
    assert_int_equal(world_send(a->vcpus[0], port), -XEN_EINVAL);
    assert_int_equal(world_close(a->vcpus[0], port), -XEN_EINVAL);
    assert_int_equal(bind_vcpu(a, port, 0), -XEN_EINVAL);
    assert_int_equal(unmask(a, port), 0);
    assert_false(event_port_pending(a, port));
    assert_int_equal(world_event_op(a->vcpus[0], EVTCHNOP_reset, &reset, sizeof(reset)), 0);
    assert_int_equal(status_of(a, A, port).status, EVTCHNSTAT_interdomain);
    event_dump(a);
    assert_int_equal(event_close(a, port, false), 0);
    assert_int_equal(status_of(control, 0, peer).status, EVTCHNSTAT_unbound);
}

// A backend may send before the toolstack has given the domain its vcpus.
static void test_send_to_a_domain_without_vcpus(void **state)
{
    struct vcpu *v = b->vcpus[0];
    evtchn_port_t pa, pb;

    (void)state;
    pb = world_alloc_unbound(b, A);
    b->vcpus[0] = NULL;
    pa = world_bind(a, B, pb);
    assert_int_equal(world_send(a->vcpus[0], pa), 0);
    assert_true(pending_bit(b, pb));
    event_send_global_virq(b, VIRQ_DOM_EXC);
    b->vcpus[0] = v;
}

// Vcpus beyond shared_info's places have none until they register one, and miss nothing by that.
static void test_vcpu_without_vcpu_info(void **state)
{
    evtchn_port_t pa, pb;
    struct vcpu *v, *other;

    (void)state;
    world_destroy(a);
    a = world_create(A, &(struct world_config){.vcpus = 40});
    v = a->vcpus[35];
    other = a->vcpus[36];
    pa = world_alloc_unbound(a, B);
    pb = world_bind(b, A, pa);
    assert_int_equal(bind_vcpu(a, pa, 35), 0);
    assert_int_equal(world_send(b->vcpus[0], pb), 0);
    assert_false(event_pending(v));
    assert_int_equal(v->arch.events_marked, 0);
    sim_cpu_enter(0, v);
    assert_int_equal(vcpu_register_info(v, GFN(20), 128), 0);
    assert_true(event_pending(v));
    assert_true(v->arch.events_marked > 0);
    assert_false(event_pending(other));
    forget_events(a);
    assert_int_equal(world_send(b->vcpus[0], pb), 0);
    assert_upcall(a, 35, pa);
    assert_false(event_pending(other));
}

static void test_out_of_memory(void **state)
{
    struct evtchn_alloc_unbound op = {.dom = DOMID_SELF, .remote_dom = B};

    (void)state;
    sim_heap_fail_at(1);
    assert_int_equal(world_event_op(a->vcpus[0], EVTCHNOP_alloc_unbound, &op, sizeof(op)),
                     -XEN_ENOMEM);
    assert_true(sim_heap_failed());
    assert_int_equal(world_alloc_unbound(a, B), 1);
}

// One port of the model below.
struct model_port {
    enum event_state state;
    struct domain *remote;
    evtchn_port_t peer;
};

#define MODEL_PORTS 20u

static struct model_port model[2][MODEL_PORTS + 1];

static void compare_with_model(struct domain *domains[2])
{
    for (unsigned int i = 0; i < 2; i++) {
        for (evtchn_port_t port = 1; port <= MODEL_PORTS; port++) {
            struct event_channel *ch = event_channel_at(domains[i], port);
            struct model_port *m = &model[i][port];

            assert_int_equal(ch ? ch->state : EVENT_FREE, m->state);
            if (m->state == EVENT_UNBOUND) {
                assert_int_equal(ch->remote, m->remote->id);
            } else if (m->state == EVENT_INTERDOMAIN) {
                assert_ptr_equal(ch->peer, m->remote);
                assert_int_equal(ch->peer_port, m->peer);
            }
        }
    }
}

static void random_bind(struct domain *domains[2], unsigned int self, unsigned int other)
{
    evtchn_port_t port, remote = 1 + (evtchn_port_t)rand() % MODEL_PORTS;
    struct model_port *rm = &model[other][remote];
    bool may = rm->state == EVENT_UNBOUND && rm->remote == domains[self];
    int error = event_bind_interdomain(domains[self], domains[other], remote, &port);

    if (!error) {
        assert_true(may);
        model[self][port] = (struct model_port){EVENT_INTERDOMAIN, domains[other], remote};
        *rm = (struct model_port){EVENT_INTERDOMAIN, domains[self], port};
    } else {
        assert_true(!may || error == -XEN_ENOSPC);
    }
}

static void random_close(struct domain *domains[2], unsigned int self)
{
    evtchn_port_t port = 1 + (evtchn_port_t)rand() % MODEL_PORTS;
    struct model_port *m = &model[self][port];
    int error = event_close(domains[self], port, true);

    assert_int_equal(error, m->state == EVENT_FREE ? -XEN_EINVAL : 0);
    if (m->state == EVENT_INTERDOMAIN) {
        model[m->remote == domains[1]][m->peer] =
            (struct model_port){EVENT_UNBOUND, domains[self], 0};
    }
    m->state = EVENT_FREE;
}

static void test_random_bindings_against_a_model(void **state)
{
    struct domain *domains[2];

    (void)state;
    world_destroy(a);
    a = world_create(A, &(struct world_config){.max_port = MODEL_PORTS});
    domains[0] = a;
    domains[1] = b;
    memset(model, 0, sizeof(model));
    srand(2);
    for (unsigned int round = 0; round < 50000; round++) {
        unsigned int self = (unsigned int)rand() % 2, other = (unsigned int)rand() % 2;
        evtchn_port_t port;

        switch (rand() % 3) {
        case 0:
            if (event_alloc_unbound(domains[self], domains[other]->id, &port) == 0) {
                assert_int_equal(model[self][port].state, EVENT_FREE);
                model[self][port] = (struct model_port){EVENT_UNBOUND, domains[other], 0};
            }
            break;
        case 1:
            random_bind(domains, self, other);
            break;
        default:
            random_close(domains, self);
        }
        compare_with_model(domains);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, create_domains, destroy_domains)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_interdomain_both_ways),
        TEST(test_unbound_swallows_events),
        TEST(test_only_the_named_domain_binds),
        TEST(test_rights),
        TEST(test_loopback),
        TEST(test_close_leaves_the_other_end_unbound),
        TEST(test_successor_of_a_dead_domain_binds_again),
        TEST(test_masked_port_gives_no_upcall),
        TEST(test_ports_up_to_the_limit),
        TEST(test_2level_has_4096_ports),
        TEST(test_bind_vcpu),
        TEST(test_virqs_of_a_vcpu),
        TEST(test_global_virqs),
        TEST(test_unknown_and_foreign_operations),
        TEST(test_bad_pointers),
        TEST(test_reset_is_preemptible_and_closes_all),
        TEST(test_destruction_is_preemptible),
        TEST(test_dying_domain_gets_no_more_channels),
        TEST(test_poll),
        TEST(test_channels_to_the_hypervisor),
        TEST(test_send_to_a_domain_without_vcpus),
        TEST(test_vcpu_without_vcpu_info),
        TEST(test_out_of_memory),
        TEST(test_random_bindings_against_a_model),
    };

    return cmocka_run_group_tests_name("event channels", tests, world_start, NULL);
}
