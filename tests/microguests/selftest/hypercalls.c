// SPDX-License-Identifier: Apache-2.0
// Hypercalls that must fail, and how.

#include "selftest.h"

#define UNKNOWN 999

static void check_unknown(void)
{
    bool vmcall = cpuid(0, 0).ecx == 0x6c65746e; // "ntel"

    check_equal(hypercall_instruction(1000, vmcall), -XEN_ENOSYS, "hypercall 1000 is unknown");
    check_equal(hypercall_instruction(63, vmcall), -XEN_ENOSYS, "hypercall 63 is unknown");
    check_equal(hypercall_instruction(1ul << 31, vmcall), -XEN_ENOSYS, "hypercall 2^31 is unknown");
    check_equal(hypercall2(__HYPERVISOR_xen_version, UNKNOWN, NULL), -XEN_ENOSYS,
                "xen_version: unknown operation");
    check_equal(hypercall2(__HYPERVISOR_sched_op, UNKNOWN, NULL), -XEN_ENOSYS,
                "sched_op: unknown operation");
    check_equal(hypercall2(__HYPERVISOR_event_channel_op, UNKNOWN, NULL), -XEN_ENOSYS,
                "event_channel_op: unknown operation");
    check_equal(hypercall2(__HYPERVISOR_memory_op, 63, NULL), -XEN_ENOSYS,
                "memory_op: unknown operation");
    check_equal(hypercall2(__HYPERVISOR_hvm_op, UNKNOWN, NULL), -XEN_ENOSYS,
                "hvm_op: unknown operation");
    check(hypercall(__HYPERVISOR_vcpu_op, UNKNOWN, 0, 0, 0, 0) < 0, "vcpu_op: unknown operation");
}

static void check_bad_pointers(void)
{
    static const unsigned long addresses[] = {UNMAPPED, -8ul};

    for (unsigned int i = 0; i < ARRAY_SIZE(addresses); i++) {
        const void *bad = (const void *)addresses[i];

        say("bad pointer 0x%lx", addresses[i]);
        check_equal(hypercall2(__HYPERVISOR_event_channel_op, EVTCHNOP_send, bad), -XEN_EFAULT,
                    "event_channel_op copies in: EFAULT");
        check_equal(hypercall2(__HYPERVISOR_xen_version, XENVER_extraversion, bad), -XEN_EFAULT,
                    "xen_version copies out: EFAULT");
        check_equal(hypercall2(__HYPERVISOR_memory_op, XENMEM_add_to_physmap, bad), -XEN_EFAULT,
                    "memory_op copies in: EFAULT");
        check_equal(hypercall2(__HYPERVISOR_sched_op, SCHEDOP_poll, bad), -XEN_EFAULT,
                    "sched_op copies in: EFAULT");
    }
}

static void check_bad_arguments(void)
{
    struct evtchn_send send = {.port = 100000};
    struct evtchn_bind_ipi ipi = {.vcpu = 1000};
    struct xen_hvm_param parameter = {.domid = DOMID_SELF, .index = 10000};

    check_equal(hypercall2(__HYPERVISOR_event_channel_op, EVTCHNOP_send, &send), -XEN_EINVAL,
                "EVTCHNOP_send to no port: EINVAL");
    check_equal(hypercall2(__HYPERVISOR_event_channel_op, EVTCHNOP_bind_ipi, &ipi), -XEN_ENOENT,
                "EVTCHNOP_bind_ipi to no vcpu: ENOENT");
    check_equal(hypercall2(__HYPERVISOR_hvm_op, HVMOP_get_param, &parameter), -XEN_EINVAL,
                "HVMOP_get_param of none: EINVAL");
    check_equal(hypercall(__HYPERVISOR_vcpu_op, VCPUOP_is_up, 1000, 0, 0, 0), -XEN_ENOENT,
                "vcpu_op on no vcpu: ENOENT");
}

void check_hypercalls(void)
{
    struct xen_hvm_param parameter = {.domid = DOMID_SELF, .index = HVM_PARAM_CALLBACK_IRQ};

    check_unknown();
    check_bad_pointers();
    check_bad_arguments();
    check_equal(hypercall2(__HYPERVISOR_hvm_op, HVMOP_get_param, &parameter), 0,
                "HVMOP_get_param of the upcall vector");
    check_equal((long)parameter.value,
                (long)((uint64_t)HVM_PARAM_CALLBACK_TYPE_VECTOR << 56 | UPCALL_VECTOR),
                "the upcall vector is what was set");
}
