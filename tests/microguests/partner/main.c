// SPDX-License-Identifier: Apache-2.0
// The other domain of the benchmarks between two: it grants the domain peer=N a page, offers it an
// event channel, and sends each event back. Says its port, then sleeps until destroyed.

#include "grant.h"
#include "guest.h"
#include "print.h"
#include "xen.h"

static uint8_t page[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));

static void on_event(evtchn_port_t port)
{
    event_send(port);
}

void program(void)
{
    domid_t peer = (domid_t)command_line_number("peer");
    long port = event_alloc_unbound(peer);
    long rc = grant_access(GRANT_FIRST_FREE, peer, page);

    if (port < 0 || rc) {
        say("partner failed: port %ld, grant %ld", port, rc);
        xen_end();
    }
    event_set_handler((evtchn_port_t)port, on_event);
    say("partner: port %ld", port);
    for (;;) {
        wait_for_interrupt();
    }
}
