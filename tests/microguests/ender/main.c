// SPDX-License-Identifier: Apache-2.0
// A guest that ends itself at once, in the way that its command line names: with one of the reasons
// below; "noted", which notes the reason watchdog beforehand; "fault", by a triple fault. What
// happens then is the toolstack's business (on_poweroff and so on). Without such a word it sleeps.

#include "guest.h"
#include "print.h"
#include "xen.h"

#include <xen/sched.h>

static const struct {
    const char *word;
    unsigned int reason;
} reasons[] = {
    {"poweroff", SHUTDOWN_poweroff}, {"reboot", SHUTDOWN_reboot},
    {"suspend", SHUTDOWN_suspend},   {"crash", SHUTDOWN_crash},
    {"watchdog", SHUTDOWN_watchdog}, {"soft_reset", SHUTDOWN_soft_reset},
};

static void shut_down(unsigned int operation, unsigned int reason)
{
    struct sched_shutdown request = {.reason = reason};

    hypercall2(__HYPERVISOR_sched_op, operation, &request);
}

// Without a table of handlers the first exception cannot be delivered, nor can the two that follow.
static void triple_fault(void)
{
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) nothing = {0, 0};

    __asm__ volatile("lidt %0; ud2" : : "m"(nothing));
}

void program(void)
{
    const char *wanted = guest_command_line();

    say("ender: %s", wanted);
    for (unsigned int i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        if (string_equal(wanted, reasons[i].word)) {
            shut_down(SCHEDOP_shutdown, reasons[i].reason);
        }
    }
    if (string_equal(wanted, "noted")) {
        shut_down(SCHEDOP_shutdown_code, SHUTDOWN_watchdog);
        shut_down(SCHEDOP_shutdown, SHUTDOWN_poweroff);
    }
    if (string_equal(wanted, "fault")) {
        triple_fault();
    }
    for (;;) {
        wait_for_interrupt();
    }
}
