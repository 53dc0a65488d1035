// SPDX-License-Identifier: Apache-2.0
// A guest that lives on a little processor time: it sleeps, and now and then says how often it has
// woken, so that one can see that it makes progress. It never ends by itself. Woken by the virtual
// timer, which it sets for one tick ahead.

#include "guest.h"
#include "print.h"
#include "xen.h"

#define TICK_NS 200000000ul
#define SAY_EVERY 10u

static volatile uint32_t ticks;

static void on_timer(evtchn_port_t port)
{
    (void)port;
    ticks++;
}

void program(void)
{
    evtchn_port_t port = (evtchn_port_t)event_bind_virq(VIRQ_TIMER, 0);
    uint32_t said = 0;

    event_set_handler(port, on_timer);
    hypercall(__HYPERVISOR_vcpu_op, VCPUOP_stop_periodic_timer, 0, 0, 0, 0);
    say("ticker: begins");
    for (;;) {
        uint32_t before = ticks;

        hypercall(__HYPERVISOR_set_timer_op, xen_time() + TICK_NS, 0, 0, 0, 0);
        while (ticks == before) {
            wait_for_interrupt();
        }
        if (ticks / SAY_EVERY != said) {
            said = ticks / SAY_EVERY;
            say("ticker: %u", ticks);
        }
    }
}
