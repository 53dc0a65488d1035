// SPDX-License-Identifier: Apache-2.0
// A guest that ends itself at once, for the reason that its command line names: poweroff, reboot,
// crash or watchdog. What happens then is the toolstack's business (on_poweroff and so on). Without
// such a word it sleeps.

#include "guest.h"
#include "print.h"
#include "xen.h"

#include <xen/sched.h>

static bool equals(const char *text, const char *word)
{
    while (*word && *text == *word) {
        text++;
        word++;
    }
    return *text == *word;
}

void program(void)
{
    static const struct {
        const char *word;
        unsigned int reason;
    } reasons[] = {
        {"poweroff", SHUTDOWN_poweroff},
        {"reboot", SHUTDOWN_reboot},
        {"crash", SHUTDOWN_crash},
        {"watchdog", SHUTDOWN_watchdog},
    };
    const char *wanted = guest_command_line();

    say("ender: %s", wanted);
    for (unsigned int i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        struct sched_shutdown request = {.reason = reasons[i].reason};

        if (equals(wanted, reasons[i].word)) {
            hypercall2(__HYPERVISOR_sched_op, SCHEDOP_shutdown, &request);
        }
    }
    for (;;) {
        wait_for_interrupt();
    }
}
