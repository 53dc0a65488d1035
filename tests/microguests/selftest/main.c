// SPDX-License-Identifier: Apache-2.0
// Runs the groups of checks in order and prints totals: "selftest: N passed, M failed". Words of
// the command line: only=GROUP:GROUP and skip=GROUP:GROUP. Expectations hold on any hypervisor that
// speaks Xen 4.20's ABI. Counters are written by vcpu 0 only.

#include "selftest.h"

static const struct {
    const char *name;
    void (*run)(void);
} groups[] = {
    {"identity", check_identity},
    {"hypercalls", check_hypercalls},
    {"time", check_time},
    {"events", check_events},
    {"timers", check_timers},
    {"memory", check_memory},
    {"grants", check_grants},
    {"exceptions", check_exceptions},
    {"apic_memory", check_apic_memory},
    {"vcpus", check_vcpus},
    {"extended_state", check_extended_state},
    {"apic_interrupts", check_apic_interrupts},
    {"fifo_events", check_fifo_events},
    {"control_registers", check_control_registers},
    {"apic_priority", check_apic_priority},
};

static unsigned int passed, failed;

bool check(bool condition, const char *what)
{
    say("%s %s", condition ? "PASS" : "FAIL", what);
    passed += condition;
    failed += !condition;
    return condition;
}

bool check_equal(long value, long expected, const char *what)
{
    if (check(value == expected, what)) {
        return true;
    }
    say("     is %ld (0x%lx), should be %ld (0x%lx)", value, value, expected, expected);
    return false;
}

static void run_group(void *opaque)
{
    ((void (*)(void))opaque)();
}

static bool is_chosen(const char *name)
{
    const char *list = command_line_value("only");

    if (list) {
        return list_contains(list, name);
    }
    list = command_line_value("skip");
    return !list || !list_contains(list, name);
}

void program(void)
{
    for (unsigned int i = 0; i < ARRAY_SIZE(groups); i++) {
        int vector;

        if (!is_chosen(groups[i].name)) {
            continue;
        }
        say("group %s", groups[i].name);
        vector = try_call(run_group, (void *)groups[i].run);
        interrupts_off();
        if (vector != NO_EXCEPTION) {
            check_equal(vector, NO_EXCEPTION, groups[i].name);
            say("     error 0x%lx, address 0x%lx", this_vcpu()->fault_error,
                this_vcpu()->fault_address);
        }
    }
    say("selftest: %u passed, %u failed", passed, failed);
}
