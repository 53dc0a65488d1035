// SPDX-License-Identifier: Apache-2.0
// The sysctl hypercall: a table from command to handler; zero denies. Only domain 0 may call it.
// Handlers get a copy of the caller's structure and say by their table entry whether it goes back.
// Locking: sysctl_lock around commands that change something or want a steady picture; who finds
// it taken restarts his hypercall. Commands marked UNLOCKED only read and may open windows for
// interrupts. Errors: nothing is copied back with an error, except as a handler says otherwise.

#include <bulkhead/arch/control.h>
#include <bulkhead/control.h>
#include <bulkhead/cpu.h>
#include <bulkhead/cpumask.h>
#include <bulkhead/domain.h>
#include <bulkhead/guest_access.h>
#include <bulkhead/hypercall.h>
#include <bulkhead/sched.h>
#include <bulkhead/stretch.h>

#include "sysctl_internal.h"

#define UNLOCKED 1u
#define COPY_BACK 2u

static struct spinlock sysctl_lock = SPINLOCK_INIT;

static int scheduler_id(struct xen_sysctl *op)
{
    op->u.sched_id.sched_id = sched_id();
    return 0;
}

static int scheduler_op(struct xen_sysctl *op)
{
    return sched_sysctl_op(&op->u.scheduler_op);
}

static int cpupool_op(struct xen_sysctl *op)
{
    struct xen_sysctl_cpupool_op *request = &op->u.cpupool_op;
    struct cpumask mask;
    int error = sched_cpupool_op(request, &mask);

    if (!error && (request->op == XEN_SYSCTL_CPUPOOL_OP_INFO ||
                   request->op == XEN_SYSCTL_CPUPOOL_OP_FREEINFO)) {
        error = control_give_cpumask(&request->cpumap, &mask);
    }
    return error;
}

static int unsupported(struct xen_sysctl *op)
{
    (void)op;
    return -XEN_EOPNOTSUPP;
}

// The processors' frequencies are the firmware's business: no driver is there to be asked.
static int no_power_management(struct xen_sysctl *op)
{
    (void)op;
    return -XEN_ENODEV;
}

static const struct {
    int (*handle)(struct xen_sysctl *op);
    unsigned int flags;
} commands[] = {
    [XEN_SYSCTL_readconsole] = {sysctl_read_console, COPY_BACK},
    [XEN_SYSCTL_tbuf_op] = {unsupported, 0},
    [XEN_SYSCTL_physinfo] = {sysctl_physinfo, COPY_BACK},
    [XEN_SYSCTL_sched_id] = {scheduler_id, COPY_BACK},
    [XEN_SYSCTL_getdomaininfolist] = {sysctl_domain_list, UNLOCKED | COPY_BACK},
    [XEN_SYSCTL_debug_keys] = {sysctl_debug_keys, 0},
    [XEN_SYSCTL_getcpuinfo] = {sysctl_cpu_info, COPY_BACK},
    [XEN_SYSCTL_availheap] = {sysctl_available_heap, COPY_BACK},
    [XEN_SYSCTL_get_pmstat] = {no_power_management, 0},
    [XEN_SYSCTL_cpu_hotplug] = {unsupported, 0},
    [XEN_SYSCTL_pm_op] = {no_power_management, 0},
    [XEN_SYSCTL_page_offline_op] = {unsupported, 0},
    [XEN_SYSCTL_cputopoinfo] = {sysctl_cpu_topology, COPY_BACK},
    [XEN_SYSCTL_numainfo] = {sysctl_numa_info, COPY_BACK},
    [XEN_SYSCTL_cpupool_op] = {cpupool_op, COPY_BACK},
    [XEN_SYSCTL_scheduler_op] = {scheduler_op, COPY_BACK},
    [XEN_SYSCTL_coverage_op] = {unsupported, 0},
    [XEN_SYSCTL_psr_cmt_op] = {no_power_management, 0},
    [XEN_SYSCTL_pcitopoinfo] = {sysctl_pci_topology, UNLOCKED | COPY_BACK},
    [XEN_SYSCTL_psr_alloc] = {no_power_management, 0},
    [XEN_SYSCTL_livepatch_op] = {unsupported, 0},
};

static int perform(struct xen_sysctl *op, bool *copy_back)
{
    int error;

    if (op->cmd >= ARRAY_SIZE(commands) || !commands[op->cmd].handle) {
        return arch_sysctl(op, copy_back);
    }
    error = commands[op->cmd].handle(op);
    // A restarted command goes on with what it has noted in the structure.
    *copy_back = (!error || error == -XEN_ERESTART) && (commands[op->cmd].flags & COPY_BACK);
    return error;
}

// arg: structure.
int64_t do_sysctl(struct hypercall *call)
{
    gva_t at = GVA(call->arg[0]);
    bool copy_back = false, locked;
    struct xen_sysctl op;
    int error;

    if (!current_domain()->privileged) {
        return -XEN_EPERM;
    }
    if (copy_from_guest(&op, at, sizeof(op))) {
        return -XEN_EFAULT;
    }
    stretch_set_operation(op.cmd);
    if (op.interface_version != XEN_SYSCTL_INTERFACE_VERSION) {
        return -XEN_EACCES;
    }
    locked = !(op.cmd < ARRAY_SIZE(commands) && (commands[op.cmd].flags & UNLOCKED));
    if (locked && !spin_trylock(&sysctl_lock)) {
        return hypercall_restart(call);
    }
    error = perform(&op, &copy_back);
    if (locked) {
        spin_unlock(&sysctl_lock);
    }
    if (copy_back && copy_to_guest(at, &op, sizeof(op))) {
        return -XEN_EFAULT;
    }
    return error == -XEN_ERESTART ? hypercall_restart(call) : error;
}
