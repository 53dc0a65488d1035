// SPDX-License-Identifier: Apache-2.0
// The domctl hypercall: a table from command to handler with the rights it needs; zero denies.
//
// Domain 0 may do everything, a device model what is marked DEVICE_MODEL to the domain it serves,
// the xenstore domain look at any. Handlers get a copy of the caller's structure and a reference
// on the domain; the table says whether the structure goes back.
// Locking: domctl_lock around every handler, outermost of all locks; who finds it taken restarts
// his hypercall. A handler that waits for a vcpu to stop waits for none that could hold the lock.
// Errors: a handler checks everything before it changes anything, or undoes what it did.

#include <bulkhead/arch/control.h>
#include <bulkhead/cpu.h>
#include <bulkhead/domain.h>
#include <bulkhead/guest_access.h>
#include <bulkhead/hypercall.h>
#include <bulkhead/stretch.h>

#include "domctl_internal.h"

#define COPY_BACK 1u
#define NO_DOMAIN 2u       // the domain need not exist
#define NOT_SELF 4u        // not on the caller's own domain, for which it would have to wait
#define DEVICE_MODEL 8u    // also by the domain's device model
#define XENSTORE 16u       // also by the xenstore domain
#define COPY_BACK_FAIL 32u // even with an error

static struct spinlock domctl_lock = SPINLOCK_INIT;

static int unsupported(struct domain *d, struct xen_domctl *op)
{
    (void)d;
    (void)op;
    return -XEN_EOPNOTSUPP;
}

// Commands of no entry go to the port, which answers -ENOSYS to those that it has none for either.
static const struct {
    int (*handle)(struct domain *d, struct xen_domctl *op);
    unsigned int flags;
} commands[] = {
    [XEN_DOMCTL_createdomain] = {domctl_create, NO_DOMAIN | COPY_BACK},
    [XEN_DOMCTL_destroydomain] = {domctl_destroy, NOT_SELF},
    [XEN_DOMCTL_pausedomain] = {domctl_pause, NOT_SELF},
    [XEN_DOMCTL_unpausedomain] = {domctl_unpause, 0},
    [XEN_DOMCTL_getdomaininfo] = {domctl_get_info, COPY_BACK | XENSTORE},
    [XEN_DOMCTL_setvcpuaffinity] = {domctl_set_affinity, 0},
    [XEN_DOMCTL_getvcpuaffinity] = {domctl_get_affinity, 0},
    [XEN_DOMCTL_max_mem] = {domctl_max_mem, 0},
    [XEN_DOMCTL_setvcpucontext] = {domctl_set_vcpu_context, NOT_SELF},
    [XEN_DOMCTL_getvcpucontext] = {domctl_get_vcpu_context, NOT_SELF},
    [XEN_DOMCTL_getvcpuinfo] = {domctl_get_vcpu_info, COPY_BACK},
    [XEN_DOMCTL_max_vcpus] = {domctl_max_vcpus, NOT_SELF},
    [XEN_DOMCTL_scheduler_op] = {domctl_scheduler, COPY_BACK},
    [XEN_DOMCTL_setdomainhandle] = {domctl_set_handle, 0},
    [XEN_DOMCTL_setdebugging] = {unsupported, 0},
    [XEN_DOMCTL_irq_permission] = {domctl_irq_permission, 0},
    [XEN_DOMCTL_gsi_permission] = {domctl_gsi_permission, 0},
    [XEN_DOMCTL_iomem_permission] = {domctl_iomem_permission, 0},
    [XEN_DOMCTL_ioport_permission] = {domctl_ioport_permission, NOT_SELF},
    [XEN_DOMCTL_settimeoffset] = {domctl_set_time_offset, 0},
    [XEN_DOMCTL_resumedomain] = {domctl_resume, NOT_SELF},
    [XEN_DOMCTL_soft_reset] = {domctl_soft_reset, NOT_SELF},
    [XEN_DOMCTL_sendtrigger] = {domctl_send_trigger, 0},
    [XEN_DOMCTL_subscribe] = {domctl_subscribe, 0},
    [XEN_DOMCTL_assign_device] = {domctl_assign_device, NOT_SELF},
    [XEN_DOMCTL_deassign_device] = {domctl_deassign_device, NOT_SELF},
    [XEN_DOMCTL_test_assign_device] = {domctl_test_assign_device, NO_DOMAIN},
    [XEN_DOMCTL_get_device_group] = {domctl_get_device_group, COPY_BACK},
    [XEN_DOMCTL_memory_mapping] = {domctl_memory_mapping, DEVICE_MODEL},
    [XEN_DOMCTL_bind_pt_irq] = {domctl_bind_pt_irq, DEVICE_MODEL},
    [XEN_DOMCTL_unbind_pt_irq] = {domctl_unbind_pt_irq, DEVICE_MODEL},
    [XEN_DOMCTL_set_target] = {domctl_set_target, 0},
    [XEN_DOMCTL_debug_op] = {unsupported, 0},
    [XEN_DOMCTL_vm_event_op] = {unsupported, 0},
    [XEN_DOMCTL_mem_sharing_op] = {unsupported, 0},
    [XEN_DOMCTL_getpageframeinfo3] = {domctl_page_frame_info, 0},
    [XEN_DOMCTL_set_access_required] = {unsupported, 0},
    [XEN_DOMCTL_audit_p2m] = {unsupported, 0},
    [XEN_DOMCTL_set_virq_handler] = {domctl_set_virq_handler, 0},
    [XEN_DOMCTL_set_broken_page_p2m] = {unsupported, 0},
    [XEN_DOMCTL_setnodeaffinity] = {domctl_set_node_affinity, 0},
    [XEN_DOMCTL_getnodeaffinity] = {domctl_get_node_affinity, 0},
    [XEN_DOMCTL_setvnumainfo] = {unsupported, 0},
    [XEN_DOMCTL_psr_cmt_op] = {unsupported, 0},
    [XEN_DOMCTL_monitor_op] = {unsupported, 0},
    [XEN_DOMCTL_psr_alloc] = {unsupported, 0},
    [XEN_DOMCTL_vuart_op] = {unsupported, 0},
    [XEN_DOMCTL_vmtrace_op] = {unsupported, 0},
    [XEN_DOMCTL_set_llc_colors] = {unsupported, 0},
};

static unsigned int flags_of(uint32_t cmd)
{
    return cmd < ARRAY_SIZE(commands) ? commands[cmd].flags : 0;
}

static bool permitted(const struct domain *d, uint32_t cmd)
{
    const struct domain *self = current_domain();
    unsigned int flags = flags_of(cmd);

    if (self->privileged) {
        return true;
    }
    if ((flags & DEVICE_MODEL) && d && self->target_privileged_for_valid &&
        self->target_privileged_for == d->id) {
        return true;
    }
    return (flags & XENSTORE) && (self->creation_flags & XEN_DOMCTL_CDF_xs_domain);
}

static int perform(struct domain *d, struct xen_domctl *op, bool *copy_back)
{
    unsigned int flags = flags_of(op->cmd);
    int error;

    if (!d && !(flags & NO_DOMAIN)) {
        return -XEN_ESRCH;
    }
    if ((flags & NOT_SELF) && d == current_domain()) {
        return -XEN_EINVAL;
    }
    if (op->cmd >= ARRAY_SIZE(commands) || !commands[op->cmd].handle) {
        return arch_domctl(d, op, copy_back);
    }
    error = commands[op->cmd].handle(d, op);
    *copy_back = (error >= 0 && (flags & COPY_BACK)) || (flags & COPY_BACK_FAIL);
    return error;
}

static int locked(struct domain *d, struct xen_domctl *op, bool *copy_back)
{
    int error;

    if (!spin_trylock(&domctl_lock)) {
        return -XEN_ERESTART;
    }
    error = perform(d, op, copy_back);
    spin_unlock(&domctl_lock);
    return error;
}

// arg: structure.
int64_t do_domctl(struct hypercall *call)
{
    gva_t at = GVA(call->arg[0]);
    bool copy_back = false;
    struct xen_domctl op;
    struct domain *d;
    int error;

    if (copy_from_guest(&op, at, sizeof(op))) {
        return -XEN_EFAULT;
    }
    stretch_set_operation(op.cmd);
    if (op.interface_version != XEN_DOMCTL_INTERFACE_VERSION) {
        return -XEN_EACCES;
    }
    d = domain_get(op.domain);
    // Who has no rights at all does not learn which domains there are.
    if (!permitted(d, op.cmd)) {
        error = -XEN_EPERM;
    } else {
        error = locked(d, &op, &copy_back);
    }
    if (d) {
        domain_put(d);
    }
    if (error == -XEN_ERESTART) {
        return preempt_needed(), hypercall_restart(call);
    }
    if (copy_back && copy_to_guest(at, &op, sizeof(op))) {
        return -XEN_EFAULT;
    }
    return error;
}
