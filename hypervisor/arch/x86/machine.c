// SPDX-License-Identifier: Apache-2.0
// The machine's end, when domain 0 has ended.

#include <bulkhead/console.h>
#include <bulkhead/domain.h>
#include <x86/debug.h>
#include <xen/sched.h>

void arch_machine_shutdown(uint8_t reason)
{
    console_flush();
    switch (reason) {
    case SHUTDOWN_reboot:
        log_info("Domain 0 has shut down to restart the machine");
        arch_restart_machine();
    case SHUTDOWN_poweroff:
        // Power goes off by ACPI, which only domain 0 can interpret, before it gets here.
        log_info("Domain 0 has halted; the power may be switched off");
        arch_halt_machine();
    default:
        log_error("Domain 0 has crashed (reason %u)", reason);
        if (restart_after_failure()) {
            arch_restart_machine();
        }
        arch_halt_machine();
    }
}
