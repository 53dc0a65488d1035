// SPDX-License-Identifier: Apache-2.0
// See world.h. Single-threaded: every hypercall is made on CPU 0 unless the test enters another.

#include "world.h"

#include <string.h>

#include <bulkhead/page.h>
#include <bulkhead/sched.h>
#include <bulkhead/string.h>
#include <xen/domctl.h>

#define MACHINE_FRAMES 16384u
#define UNLIMITED UINT32_MAX

unsigned int world_restarts;

static uint64_t frames_before, objects_before;

int world_start(void **state)
{
    (void)state;
    if (!cpus[0]) {
        sim_machine_start(MACHINE_FRAMES, WORLD_CPUS);
        assert_int_equal(sched_init(), 0);
        for (unsigned int i = 0; i < WORLD_CPUS; i++) {
            assert_int_equal(sched_cpu_online(cpus[i]), 0);
        }
        // Once for what the hypervisor keeps for good, such as leaves of the table of domains.
        world_destroy(world_create(1, &(struct world_config){0}));
    }
    return 0;
}

void world_begin(void)
{
    frames_before = page_free_count();
    objects_before = sim_heap_objects();
}

int world_end(void)
{
    uint64_t frames = page_free_count(), objects = sim_heap_objects();

    if (frames == frames_before && objects == objects_before && sim_mappings() == 0) {
        return 0;
    }
    print_error("left over: %ld frames, %ld objects, %ld mappings\n",
                (long)(frames_before - frames), (long)(objects - objects_before),
                (long)sim_mappings());
    return -1;
}

static void add_memory(struct domain *d)
{
    for (uint64_t gfn = 0; gfn < WORLD_PAGES; gfn++) {
        struct page *page = domain_page_alloc(d, ORDER_4K, 0);

        assert_non_null(page);
        assert_int_equal(p2m_set(d, GFN(gfn), page_to_mfn(page), ORDER_4K, P2M_RAM), 0);
    }
}

struct domain *world_create(domid_t id, const struct world_config *config)
{
    struct xen_domctl_createdomain create = {
        .flags = XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap,
        .max_vcpus = config->vcpus ? config->vcpus : 1,
        .max_evtchn_port = config->max_port ? (uint32_t)config->max_port : UNLIMITED,
        .max_grant_frames = config->max_grant_frames ? config->max_grant_frames : 4,
        .max_maptrack_frames = config->max_maptrack ? config->max_maptrack : 4,
        .grant_opts = config->grant_version,
    };
    struct domain *d;
    struct vcpu *v;
    unsigned int i;

    assert_int_equal(domain_create(id, &create, config->privileged, &d), 0);
    d->max_pages = 2 * WORLD_PAGES;
    for (i = 0; i < create.max_vcpus; i++) {
        assert_int_equal(vcpu_create(d, i), 0);
    }
    for_each_vcpu (v, d, i) {
        v->pause_flags = 0;
    }
    d->pause_count = 0;
    d->paused_by_toolstack = false;
    add_memory(d);
    return d;
}

void world_destroy(struct domain *d)
{
    int error;

    sim_cpu_enter(0, NULL);
    do {
        error = domain_destroy(d);
    } while (error == -XEN_ERESTART);
    assert_int_equal(error, 0);
}

void *world_page(struct domain *d, uint64_t gfn)
{
    void *p = sim_guest_memory(d, GFN(gfn), true);

    assert_non_null(p);
    return p;
}

// Copies between a buffer and guest memory from ARGUMENT_GFN on.
static void exchange(struct domain *d, void *buffer, size_t size, bool to_guest)
{
    for (size_t done = 0; done < size;) {
        size_t count = MIN(size - done, PAGE_SIZE);
        void *page = world_page(d, ARGUMENT_GFN + done / PAGE_SIZE);

        memcpy(to_guest ? page : (char *)buffer + done, to_guest ? (char *)buffer + done : page,
               count);
        done += count;
    }
}

static int64_t follow(struct vcpu *v, int64_t (*handler)(struct hypercall *call),
                      struct hypercall *call)
{
    int64_t result;

    world_restarts = 0;
    for (;;) {
        sim_cpu_enter(this_cpu()->id, v);
        call->restart = false;
        result = handler(call);
        if (!call->restart) {
            return result;
        }
        world_restarts++;
        this_cpu()->work = 0;
    }
}

int64_t world_event_op(struct vcpu *v, unsigned int command, void *arg, size_t size)
{
    struct hypercall call = {.arg = {command, ARGUMENT_GFN << PAGE_SHIFT}};
    int64_t result;

    exchange(v->domain, arg, size, true);
    result = follow(v, do_event_channel_op, &call);
    exchange(v->domain, arg, size, false);
    return result;
}

int64_t world_memory_op(struct vcpu *v, unsigned int command, void *arg, size_t size)
{
    struct hypercall call = {.arg = {command, ARGUMENT_GFN << PAGE_SHIFT}};
    int64_t result;

    exchange(v->domain, arg, size, true);
    result = follow(v, do_memory_op, &call);
    exchange(v->domain, arg, size, false);
    return result;
}

int64_t world_grant_op(struct vcpu *v, unsigned int command, void *ops, size_t size,
                       unsigned int count)
{
    struct hypercall call = {.arg = {command, ARGUMENT_GFN << PAGE_SHIFT, count}};
    int64_t result;

    exchange(v->domain, ops, size * count, true);
    result = follow(v, do_grant_table_op, &call);
    exchange(v->domain, ops, size * count, false);
    return result;
}

evtchn_port_t world_alloc_unbound(struct domain *d, domid_t remote)
{
    struct evtchn_alloc_unbound op = {.dom = DOMID_SELF, .remote_dom = remote};

    assert_int_equal(world_event_op(d->vcpus[0], EVTCHNOP_alloc_unbound, &op, sizeof(op)), 0);
    return op.port;
}

evtchn_port_t world_bind(struct domain *d, domid_t remote, evtchn_port_t remote_port)
{
    struct evtchn_bind_interdomain op = {.remote_dom = remote, .remote_port = remote_port};

    assert_int_equal(world_event_op(d->vcpus[0], EVTCHNOP_bind_interdomain, &op, sizeof(op)), 0);
    return op.local_port;
}

int64_t world_send(struct vcpu *v, evtchn_port_t port)
{
    struct evtchn_send op = {.port = port};

    return world_event_op(v, EVTCHNOP_send, &op, sizeof(op));
}

int64_t world_close(struct vcpu *v, evtchn_port_t port)
{
    struct evtchn_close op = {.port = port};

    return world_event_op(v, EVTCHNOP_close, &op, sizeof(op));
}
