// SPDX-License-Identifier: Apache-2.0
// Event channels: 2-level delivery, masks, polling, loops from the domain to itself; last of all
// groups the FIFO form, after which there is no way back. Handlers count in "arrived".

#include "selftest.h"

#define MILLISECOND 1000000ul
#define FIFO_PRIORITY 7

static volatile uint32_t arrived;
static union {
    struct evtchn_fifo_control_block block;
    uint8_t page[PAGE_SIZE];
} control __attribute__((aligned(4096)));
static volatile event_word_t event_words[PAGE_SIZE / 4] __attribute__((aligned(4096)));

static void on_event(evtchn_port_t port)
{
    (void)port;
    arrived++;
}

static long event_op(unsigned int operation, void *argument)
{
    return hypercall2(__HYPERVISOR_event_channel_op, operation, argument);
}

static void mask(evtchn_port_t port)
{
    __atomic_fetch_or(&shared_info.evtchn_mask[port / 64], 1ul << port % 64, __ATOMIC_SEQ_CST);
}

static long poll(evtchn_port_t port, uint64_t timeout)
{
    struct sched_poll request = {.nr_ports = 1, .timeout = timeout};

    set_xen_guest_handle(request.ports, &port);
    return hypercall2(__HYPERVISOR_sched_op, SCHEDOP_poll, &request);
}

static void check_masks(evtchn_port_t port)
{
    struct evtchn_unmask unmask = {.port = port};
    uint64_t begin;

    arrived = 0;
    mask(port);
    check_equal(event_send(port), 0, "send to a masked port");
    check(!wait_until(&arrived, 2), "it does not arrive");
    check(shared_info.evtchn_pending[0] >> port & 1, "but is pending");
    check_equal(poll(port, xen_time() + 1000 * MILLISECOND), 0, "a poll for it ends at once");
    check_equal(event_op(EVTCHNOP_unmask, &unmask), 0, "unmask it");
    check(wait_until(&arrived, 100), "it arrives");
    mask(port);
    begin = xen_time();
    check_equal(poll(port, begin + 5 * MILLISECOND), 0, "a poll for what does not come");
    check(xen_time() >= begin + 5 * MILLISECOND, "ends at its time");
    event_op(EVTCHNOP_unmask, &unmask);
}

static void check_loop(void)
{
    struct evtchn_alloc_unbound unbound = {.dom = DOMID_SELF, .remote_dom = DOMID_SELF};
    struct evtchn_bind_interdomain bind = {.remote_dom = DOMID_SELF};
    struct evtchn_status status = {.dom = DOMID_SELF};

    if (!check_equal(event_op(EVTCHNOP_alloc_unbound, &unbound), 0, "EVTCHNOP_alloc_unbound")) {
        return;
    }
    status.port = unbound.port;
    check_equal(event_op(EVTCHNOP_status, &status), 0, "EVTCHNOP_status");
    check_equal(status.status, EVTCHNSTAT_unbound, "the port is unbound");
    bind.remote_port = unbound.port;
    if (!check_equal(event_op(EVTCHNOP_bind_interdomain, &bind), 0, "EVTCHNOP_bind_interdomain")) {
        return;
    }
    event_op(EVTCHNOP_status, &status);
    check_equal(status.status, EVTCHNSTAT_interdomain, "the port is bound");
    check_equal(status.u.interdomain.port, bind.local_port, "to its other end");
    event_set_handler(unbound.port, on_event);
    arrived = 0;
    check_equal(event_send(bind.local_port), 0, "send along the loop");
    check(wait_until(&arrived, 100), "it arrives at the other end");
    check_equal(event_close(bind.local_port), 0, "close one end");
    event_op(EVTCHNOP_status, &status);
    check_equal(status.status, EVTCHNSTAT_unbound, "the other end is unbound again");
    event_close(unbound.port);
}

void check_events(void)
{
    long port = event_bind_ipi(0);

    if (!check(port > 0 && port < 64, "an IPI port can be had")) {
        return;
    }
    event_set_handler((evtchn_port_t)port, on_event);
    check_equal(event_send((evtchn_port_t)port), 0, "send to it");
    check(wait_until(&arrived, 100), "it arrives");
    check_equal(arrived, 1, "once");
    check_masks((evtchn_port_t)port);
    check_loop();
    check_equal(event_close((evtchn_port_t)port), 0, "close it");
    check_equal(event_close((evtchn_port_t)port), -XEN_EINVAL, "close it twice: EINVAL");
}

static void on_fifo_upcall(void)
{
    shared_info.vcpu_info[0].evtchn_upcall_pending = 0;
    __atomic_exchange_n(&control.block.ready, 0, __ATOMIC_SEQ_CST);
    arrived++;
}

static bool enter_fifo(void)
{
    struct evtchn_init_control init = {.control_gfn = (unsigned long)&control / PAGE_SIZE,
                                       .vcpu = 0};
    struct evtchn_expand_array expand = {.array_gfn = (unsigned long)event_words / PAGE_SIZE};

    return check_equal(event_op(EVTCHNOP_init_control, &init), 0, "EVTCHNOP_init_control") &&
           check_equal(init.link_bits, EVTCHN_FIFO_LINK_BITS, "17 link bits") &&
           check_equal(event_op(EVTCHNOP_expand_array, &expand), 0, "EVTCHNOP_expand_array");
}

void check_fifo_events(void)
{
    struct evtchn_set_priority priority = {.priority = FIFO_PRIORITY - 2};
    struct evtchn_unmask unmask;
    volatile event_word_t *word;
    long port;

    if (!enter_fifo()) {
        return;
    }
    interrupt_set_handler(UPCALL_VECTOR, on_fifo_upcall);
    port = event_bind_ipi(0);
    if (!check(port > 0 && port < 1024, "an IPI port in FIFO mode")) {
        return;
    }
    priority.port = unmask.port = (evtchn_port_t)port;
    check_equal(event_op(EVTCHNOP_set_priority, &priority), 0, "EVTCHNOP_set_priority");
    event_op(EVTCHNOP_unmask, &unmask);
    word = &event_words[port];
    arrived = 0;
    check_equal(event_send((evtchn_port_t)port), 0, "send to it");
    check(wait_until(&arrived, 100), "an upcall comes");
    check(*word >> EVTCHN_FIFO_PENDING & 1, "the event word is pending");
    check(*word >> EVTCHN_FIFO_LINKED & 1, "and linked");
    check_equal(control.block.head[FIFO_PRIORITY - 2], port, "it heads the queue of its priority");
    check_equal(event_close((evtchn_port_t)port), 0, "close it");
}
