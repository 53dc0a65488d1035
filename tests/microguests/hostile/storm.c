// SPDX-License-Identifier: Apache-2.0
// All vcpus send each other events and interprocessor interrupts as fast as they can, with odd
// commands to the APIC in between. Each event announces itself in expected[from][to] before it is
// sent; its handler takes that back, so that one which is still there at the end was lost. Handlers
// run on the receiving vcpu only.

#include "hostile.h"

#include "apic.h"

#define IPI_VECTOR 0x50
#define WAIT_MS 20000u

static evtchn_port_t ports[MAX_VCPUS][MAX_VCPUS];
static uint32_t expected[MAX_VCPUS][MAX_VCPUS];
static uint64_t arrived[MAX_VCPUS];
static volatile uint32_t vcpus_done;
static unsigned int vcpus;

static void on_event(evtchn_port_t port)
{
    for (unsigned int from = 0; from < vcpus; from++) {
        for (unsigned int to = 0; to < vcpus; to++) {
            if (ports[from][to] == port &&
                __atomic_exchange_n(&expected[from][to], 0, __ATOMIC_SEQ_CST)) {
                arrived[to]++;
            }
        }
    }
}

static void send_event(unsigned int from, unsigned int to)
{
    __atomic_store_n(&expected[from][to], 1, __ATOMIC_SEQ_CST);
    event_send(ports[from][to]);
}

// Fixed, lowest priority and reserved delivery, all shorthands; no INIT, start-up, NMI or SMI,
// which would stop the program.
static void send_interrupt(void)
{
    static const uint32_t modes[] = {0, 0x100, 0x300, 0x700};
    uint32_t command = (uint32_t)random64() & 0xc8800;

    command |= random_once_in(8) ? (uint32_t)random_below(16) : IPI_VECTOR;
    apic_send((uint32_t)random_below(random_once_in(4) ? 256 : 8),
              command | modes[random_below(ARRAY_SIZE(modes))]);
}

static void odd_requests(unsigned int self)
{
    struct evtchn_bind_vcpu bind = {.port = ports[0][0], .vcpu = self};
    struct evtchn_unmask unmask = {.port = (evtchn_port_t)random_below(64)};
    struct sched_poll poll = {.nr_ports = 1, .timeout = xen_time() + random_below(50000) + 1};

    switch (random_below(5)) {
    case 0:
        hypercall2(__HYPERVISOR_event_channel_op, EVTCHNOP_bind_vcpu, &bind);
        break;
    case 1:
        hypercall2(__HYPERVISOR_event_channel_op, EVTCHNOP_unmask, &unmask);
        break;
    case 2:
        set_xen_guest_handle(poll.ports, &ports[0][self]);
        hypercall2(__HYPERVISOR_sched_op, SCHEDOP_poll, &poll);
        break;
    case 3:
        event_close(event_bind_ipi(self));
        break;
    default:
        hypercall(__HYPERVISOR_sched_op, SCHEDOP_yield, 0, 0, 0, 0);
    }
}

static void storm(void)
{
    unsigned int self = this_vcpu()->index;

    random_start();
    interrupts_on();
    for (uint64_t step = 0; !options.count || step < options.count; step++) {
        unsigned int to = (unsigned int)random_below(vcpus);

        if (self == 0) {
            finished(step);
        }
        send_event(self, to);
        if (random_once_in(3)) {
            send_interrupt();
        }
        if (random_once_in(16)) {
            odd_requests(self);
        }
    }
    interrupts_off();
    __atomic_fetch_add(&vcpus_done, 1, __ATOMIC_SEQ_CST);
}

static unsigned int count_lost(void)
{
    unsigned int lost = 0;

    for (unsigned int from = 0; from < vcpus; from++) {
        for (unsigned int to = 0; to < vcpus; to++) {
            lost += __atomic_load_n(&expected[from][to], __ATOMIC_SEQ_CST);
        }
    }
    return lost;
}

// vcpu 0 takes its own interrupts while it waits for the others.
static bool wait_others(void)
{
    uint64_t end = xen_time() + WAIT_MS * 1000000ul;

    interrupts_on();
    while ((vcpus_done < vcpus || count_lost()) && xen_time() < end) {
        hypercall(__HYPERVISOR_sched_op, SCHEDOP_yield, 0, 0, 0, 0);
    }
    interrupts_off();
    return vcpus_done == vcpus;
}

void storm_events(void)
{
    apic_enable();
    vcpus = 1 + vcpus_start();
    for (unsigned int from = 0; from < vcpus; from++) {
        for (unsigned int to = 0; to < vcpus; to++) {
            ports[from][to] = (evtchn_port_t)event_bind_ipi(to);
            event_set_handler(ports[from][to], on_event);
        }
    }
    interrupt_set_handler(IPI_VECTOR, NULL);
    for (unsigned int i = 1; i < vcpus; i++) {
        vcpu_give_work(i, storm);
        send_event(0, i);
    }
    storm();
    if (!wait_others()) {
        say("hostile: only %u of %u vcpus are done", vcpus_done, vcpus);
    }
    for (unsigned int i = 0; i < vcpus; i++) {
        say("hostile: vcpu %u: %lu events arrived", i, arrived[i]);
    }
    say("hostile: %u vcpus, %u interrupts, %u events lost", vcpus, interrupt_counts[IPI_VECTOR],
        count_lost());
}
