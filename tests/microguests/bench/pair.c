// SPDX-License-Identifier: Apache-2.0
// Between two domains: the microguest "partner" is domain peer=N, its event channel's port is
// port=N, and it has granted us a page. Where both run on one processor, an event to it and back
// takes two switches between vcpus. The handler leaves that the answer has come.

#include "bench.h"
#include "grant.h"

struct page {
    uint8_t bytes[PAGE_SIZE];
} __attribute__((aligned(4096)));

static struct page map_target, destination;
static long port = -1; // bound once: the partner's end takes one binding
static volatile bool answered;

static domid_t peer(void)
{
    return (domid_t)command_line_number("peer");
}

static void on_answer(evtchn_port_t arrived)
{
    (void)arrived;
    answered = true;
}

static const char *prepare_event(void)
{
    if (port < 0) {
        port = event_bind_interdomain(peer(), (evtchn_port_t)command_line_number("port"));
    }
    if (port < 0) {
        return hypercall_failed("EVTCHNOP_bind_interdomain", port);
    }
    event_set_handler((evtchn_port_t)port, on_answer);
    return NULL;
}

static void finish_event(void)
{
    event_set_handler((evtchn_port_t)port, NULL);
}

static uint64_t sample_event(void)
{
    uint64_t start;
    long rc;

    answered = false;
    interrupts_off();
    start = rdtsc();
    rc = event_send((evtchn_port_t)port);
    while (!rc && !answered) {
        wait_for_interrupt();
    }
    interrupts_on();
    return rc ? sample_failed(hypercall_failed("EVTCHNOP_send", rc)) : rdtsc() - start;
}

static const char *prepare_map(void)
{
    long rc = change_reservation(XENMEM_decrease_reservation, &map_target);

    return rc == 1 ? NULL : hypercall_failed("XENMEM_decrease_reservation", rc);
}

static void finish_map(void)
{
    change_reservation(XENMEM_populate_physmap, &map_target);
}

static uint64_t sample_map(void)
{
    return map_and_unmap(peer(), GRANT_FIRST_FREE, &map_target);
}

static uint64_t sample_copy(void)
{
    struct gnttab_copy request = {
        .source = {.domid = peer(), .u.ref = GRANT_FIRST_FREE},
        .dest = {.u.gmfn = (unsigned long)&destination / PAGE_SIZE, .domid = DOMID_SELF},
        .len = PAGE_SIZE,
        .flags = GNTCOPY_source_gref,
    };
    uint64_t start = rdtsc();
    long rc =
        hypercall(__HYPERVISOR_grant_table_op, GNTTABOP_copy, (unsigned long)&request, 1, 0, 0);
    uint64_t end = rdtsc();

    if (rc || request.status) {
        return sample_failed(hypercall_failed("GNTTABOP_copy", rc ? rc : request.status));
    }
    return end - start;
}

static const struct benchmark benchmarks[] = {
    {"event_to_domain_and_back", prepare_event, sample_event, finish_event},
    {"switch_to_domain_and_back", prepare_event, sample_event, finish_event},
    {"grant_map_and_unmap_of_domain", prepare_map, sample_map, finish_map},
    {"grant_copy_4k_of_domain", NULL, sample_copy, NULL},
};

const struct benchmark_group pair_benchmarks = {benchmarks, ARRAY_SIZE(benchmarks)};
