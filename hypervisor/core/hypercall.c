// SPDX-License-Identifier: Apache-2.0
// The hypercall table, and multicall.

#include <bulkhead/console.h>
#include <bulkhead/cpu.h>
#include <bulkhead/domain.h>
#include <bulkhead/guest_access.h>
#include <bulkhead/hypercall.h>
#include <bulkhead/stretch.h>

static const hypercall_handler handlers[] = {
    [__HYPERVISOR_memory_op] = do_memory_op,
    [__HYPERVISOR_multicall] = do_multicall,
    [__HYPERVISOR_set_timer_op] = do_set_timer_op,
    [__HYPERVISOR_xen_version] = do_xen_version,
    [__HYPERVISOR_console_io] = do_console_io,
    [__HYPERVISOR_vm_assist] = do_vm_assist,
    [__HYPERVISOR_grant_table_op] = do_grant_table_op,
    [__HYPERVISOR_vcpu_op] = do_vcpu_op,
    [__HYPERVISOR_sched_op] = do_sched_op,
    [__HYPERVISOR_event_channel_op] = do_event_channel_op,
    [__HYPERVISOR_physdev_op] = do_physdev_op,
    [__HYPERVISOR_hvm_op] = do_hvm_op,
    [__HYPERVISOR_sysctl] = do_sysctl,
    [__HYPERVISOR_domctl] = do_domctl,
    [__HYPERVISOR_platform_op] = do_platform_op,
    [__HYPERVISOR_dm_op] = do_dm_op,
    [__HYPERVISOR_hypfs_op] = do_hypfs_op,
};

_Static_assert(ARRAY_SIZE(handlers) <= STRETCH_HYPERCALLS, "a record for each");

int64_t hypercall_dispatch(unsigned int number, struct hypercall *call)
{
    struct stretch outer;
    int64_t result;

    if (number >= ARRAY_SIZE(handlers) || !handlers[number]) {
        return -XEN_ENOSYS;
    }
    outer = stretch_begin(number, call->arg[0]);
    result = handlers[number](call);
    stretch_end(outer);
    return result;
}

static void call_entry(struct multicall_entry *entry, bool *restart)
{
    struct hypercall call = {.restart = false};

    for (unsigned int i = 0; i < ARRAY_SIZE(call.arg); i++) {
        call.arg[i] = entry->args[i];
    }
    // A multicall inside a multicall would nest without bound.
    entry->result = entry->op == __HYPERVISOR_multicall
                        ? (uint64_t)-XEN_EINVAL
                        : (uint64_t)hypercall_dispatch((unsigned int)entry->op, &call);
    *restart = call.restart;
    for (unsigned int i = 0; call.restart && i < ARRAY_SIZE(call.arg); i++) {
        entry->args[i] = call.arg[i];
    }
}

// arg: list of entries, count. Restarts at the entry it has come to, whose arguments say how far
// that one has got.
int64_t do_multicall(struct hypercall *call)
{
    struct multicall_entry entry;

    while (call->arg[1]) {
        gva_t at = GVA(call->arg[0]);
        bool restart;

        if (copy_from_guest(&entry, at, sizeof(entry))) {
            return -XEN_EFAULT;
        }
        call_entry(&entry, &restart);
        if (copy_to_guest(at, &entry, sizeof(entry))) {
            return -XEN_EFAULT;
        }
        if (restart) {
            return hypercall_restart(call);
        }
        call->arg[0] += sizeof(entry);
        call->arg[1]--;
        if (call->arg[1] && preempt_needed()) {
            return hypercall_restart(call);
        }
    }
    return 0;
}
