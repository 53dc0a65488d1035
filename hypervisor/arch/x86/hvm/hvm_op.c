// SPDX-License-Identifier: Apache-2.0
// The hvm_op hypercall: parameters, upcall vectors. Parameters are words that the toolstack and the
// guest leave for each other; a few have an effect here. Who may set or read which is a table in
// which zero denies.

#include <bulkhead/console.h>
#include <bulkhead/cpu.h>
#include <bulkhead/domain.h>
#include <bulkhead/guest_access.h>
#include <bulkhead/hypercall.h>
#include <x86/hvm.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/params.h>

#define GUEST_READS 1
#define GUEST_WRITES 2
#define TOOLS 4 // the controlling domain reads and writes
#define SET_ONCE 8

static const uint8_t rights[HVM_NR_PARAMS] = {
    [HVM_PARAM_CALLBACK_IRQ] = GUEST_READS | GUEST_WRITES | TOOLS,
    [HVM_PARAM_STORE_PFN] = GUEST_READS | TOOLS,
    [HVM_PARAM_STORE_EVTCHN] = GUEST_READS | TOOLS,
    [HVM_PARAM_CONSOLE_PFN] = GUEST_READS | TOOLS,
    [HVM_PARAM_CONSOLE_EVTCHN] = GUEST_READS | TOOLS,
    [HVM_PARAM_PAE_ENABLED] = TOOLS,
    [HVM_PARAM_IOREQ_PFN] = TOOLS,
    [HVM_PARAM_BUFIOREQ_PFN] = TOOLS,
    [HVM_PARAM_TIMER_MODE] = TOOLS,
    [HVM_PARAM_HPET_ENABLED] = TOOLS,
    [HVM_PARAM_IDENT_PT] = TOOLS,
    [HVM_PARAM_ACPI_S_STATE] = TOOLS,
    [HVM_PARAM_VM86_TSS] = GUEST_READS | GUEST_WRITES | TOOLS,
    [HVM_PARAM_VPT_ALIGN] = TOOLS,
    [HVM_PARAM_NESTEDHVM] = TOOLS,
    [HVM_PARAM_PAGING_RING_PFN] = TOOLS,
    [HVM_PARAM_MONITOR_RING_PFN] = TOOLS,
    [HVM_PARAM_SHARING_RING_PFN] = TOOLS,
    [HVM_PARAM_TRIPLE_FAULT_REASON] = TOOLS,
    [HVM_PARAM_IOREQ_SERVER_PFN] = TOOLS,
    [HVM_PARAM_NR_IOREQ_SERVER_PAGES] = TOOLS,
    [HVM_PARAM_VM_GENERATION_ID_ADDR] = GUEST_READS | TOOLS,
    [HVM_PARAM_ALTP2M] = TOOLS,
    [HVM_PARAM_X87_FIP_WIDTH] = TOOLS,
    [HVM_PARAM_VM86_TSS_SIZED] = TOOLS,
    [HVM_PARAM_MCA_CAP] = TOOLS,
};

static int set_callback(struct domain *d, uint64_t value)
{
    unsigned int type = (unsigned int)(value >> 56);

    // Only delivery by vector: there is no emulated interrupt controller line to pull.
    if (type == HVM_PARAM_CALLBACK_TYPE_VECTOR && (value & 0xff) >= 0x10) {
        __atomic_store_n(&d->arch.callback_vector, (uint8_t)value, __ATOMIC_SEQ_CST);
        return 0;
    }
    if (value == 0) {
        __atomic_store_n(&d->arch.callback_vector, 0, __ATOMIC_SEQ_CST);
        return 0;
    }
    return -XEN_EINVAL;
}

// Parameters that promise something that is not there.
static bool asks_for_missing(uint32_t index, uint64_t value)
{
    return value && (index == HVM_PARAM_NESTEDHVM || index == HVM_PARAM_ALTP2M ||
                     index == HVM_PARAM_MCA_CAP);
}

static int set_param(struct domain *d, uint32_t index, uint64_t value)
{
    if (asks_for_missing(index, value)) {
        return -XEN_EOPNOTSUPP;
    }
    if (index == HVM_PARAM_CALLBACK_IRQ) {
        int error = set_callback(d, value);

        if (error) {
            return error;
        }
    }
    d->arch.hvm_params[index] = value;
    return 0;
}

static int64_t param_op(gva_t at, bool set)
{
    struct xen_hvm_param arg;
    struct domain *d;
    uint8_t needed;
    int error = 0;

    if (copy_from_guest(&arg, at, sizeof(arg))) {
        return -XEN_EFAULT;
    }
    if (arg.index >= HVM_NR_PARAMS) {
        return -XEN_EINVAL;
    }
    d = domain_get_controlled(arg.domid, &error);
    if (!d) {
        return error;
    }
    needed = current_domain()->privileged || d != current_domain() ? TOOLS
             : set                                                 ? GUEST_WRITES
                                                                   : GUEST_READS;
    if (!(rights[arg.index] & needed)) {
        error = rights[arg.index] ? -XEN_EPERM : -XEN_EINVAL;
    } else if (set) {
        error = set_param(d, arg.index, arg.value);
    } else {
        arg.value = d->arch.hvm_params[arg.index];
        error = copy_to_guest(at, &arg, sizeof(arg));
    }
    domain_put(d);
    return error;
}

static int64_t set_upcall_vector(gva_t at)
{
    xen_hvm_evtchn_upcall_vector_t arg;
    struct vcpu *v;

    if (copy_from_guest(&arg, at, sizeof(arg))) {
        return -XEN_EFAULT;
    }
    if (arg.vector < 0x10) {
        return -XEN_EINVAL;
    }
    v = domain_vcpu(current_domain(), arg.vcpu);
    if (!v) {
        return -XEN_ENOENT;
    }
    v->arch.upcall_vector = arg.vector;
    return 0;
}

int64_t do_hvm_op(struct hypercall *call)
{
    gva_t at = GVA(call->arg[1]);

    switch (call->arg[0]) {
    case HVMOP_set_param:
        return param_op(at, true);
    case HVMOP_get_param:
        return param_op(at, false);
    case HVMOP_set_evtchn_upcall_vector:
        return set_upcall_vector(at);
    default:
        return -XEN_ENOSYS;
    }
}

// There are no device models yet, and so nothing that one could ask for.
int64_t do_dm_op(struct hypercall *call)
{
    (void)call;
    return -XEN_EOPNOTSUPP;
}
