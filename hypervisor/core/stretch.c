// SPDX-License-Identifier: Apache-2.0
// The longest stretch of each hypercall (stretch.h), for the person who looks for what keeps a CPU
// from its interrupts, and for the tests that set a bound.

#include <bulkhead/console.h>
#include <bulkhead/debug_key.h>
#include <bulkhead/hypercall.h>
#include <bulkhead/stretch.h>
#include <xen/xen.h>

#define NAME(hypercall) [__HYPERVISOR_##hypercall] = #hypercall

static const char *const names[STRETCH_HYPERCALLS] = {
    NAME(memory_op),  NAME(multicall), NAME(set_timer_op), NAME(xen_version),
    NAME(console_io), NAME(vm_assist), NAME(vcpu_op),      NAME(grant_table_op),
    NAME(sched_op),   NAME(hvm_op),    NAME(physdev_op),   NAME(event_channel_op),
    NAME(sysctl),     NAME(domctl),    NAME(platform_op),  NAME(dm_op),
    NAME(hypfs_op),
};

void stretch_note(struct stretches *s, uint64_t length)
{
    unsigned int number = s->present.number;

    if (number != STRETCH_OUTSIDE) {
        __atomic_store_n(&s->longest[number], length, __ATOMIC_RELAXED);
        __atomic_store_n(&s->operation[number], s->present.operation, __ATOMIC_RELAXED);
    }
}

struct stretch_record stretch_longest(unsigned int number)
{
    struct stretch_record found = {0, 0};
    unsigned int cpu;

    for_each_cpu (cpu, &online_cpus) {
        struct stretches *s = &cpus[cpu]->stretches;
        uint64_t length = __atomic_load_n(&s->longest[number], __ATOMIC_RELAXED);

        if (length > found.length) {
            found.length = length;
            found.operation = __atomic_load_n(&s->operation[number], __ATOMIC_RELAXED);
        }
    }
    return found;
}

static void show_longest(void)
{
    for (unsigned int number = 0; number < STRETCH_HYPERCALLS; number++) {
        struct stretch_record longest = stretch_longest(number);

        if (longest.length) {
            log_error("Longest stretch of hypercall %u (%s): %lu cycles, operation %x", number,
                      names[number] ? names[number] : "?", longest.length, longest.operation);
        }
    }
}

void stretch_init(void)
{
    debug_key_register('l', "show how long hypercalls held a CPU at most", show_longest);
}
