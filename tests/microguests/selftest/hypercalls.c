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

static long memory_op_32(unsigned int op, void *arg)
{
    return hypercall_32(__HYPERVISOR_memory_op, op, (uint32_t)(uintptr_t)arg);
}

// What GRUB needs, for instance, before it starts a 64-bit kernel. All data is below 4 GiB.
static void check_32_bit_code(void)
{
    static struct xen_hvm_param parameter = {.domid = DOMID_SELF, .index = HVM_PARAM_CALLBACK_IRQ};
    static struct {
        uint64_t address, size;
        uint32_t type;
    } __attribute__((packed)) entries[64];
    static struct {
        uint32_t count, buffer;
    } map = {ARRAY_SIZE(entries), 0};
    static struct {
        uint16_t domid, size;
        uint32_t space, index, gfn;
    } add = {DOMID_SELF, 0, XENMAPSPACE_shared_info, 0, 0};

    check_equal(hypercall_32(__HYPERVISOR_xen_version, XENVER_version, 0),
                hypercall2(__HYPERVISOR_xen_version, XENVER_version, NULL),
                "32-bit code: the version");
    check_equal(hypercall_32(63, 0, 0), -XEN_ENOSYS, "32-bit code: hypercall 63 is unknown");
    check_equal(hypercall_32(__HYPERVISOR_hvm_op, HVMOP_get_param, (uint32_t)(uintptr_t)&parameter),
                0, "32-bit code: HVMOP_get_param");
    check_equal((long)(uint8_t)parameter.value, UPCALL_VECTOR, "32-bit code: what was set");
    map.buffer = (uint32_t)(uintptr_t)entries;
    check_equal(memory_op_32(XENMEM_memory_map, &map), 0, "32-bit code: the memory map");
    check(map.count > 0 && entries[0].size > 0 && entries[0].type == 1, "and RAM in it");
    add.gfn = (uint32_t)((uintptr_t)&shared_info >> 12);
    check_equal(memory_op_32(XENMEM_add_to_physmap, &add), 0, "32-bit code: shared_info");
    check_equal(memory_op_32(XENMEM_add_to_physmap, (void *)0xfffffff8ul), -XEN_EFAULT,
                "32-bit code: EFAULT");
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
    check_32_bit_code();
}
