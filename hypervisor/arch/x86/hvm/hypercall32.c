// SPDX-License-Identifier: Apache-2.0
// The 32-bit calling convention, for what runs before a 64-bit kernel, such as GRUB's PVH port:
// the number in eax, arguments in ebx, ecx, edx, esi, edi, ebp.
//
// Most structures have one layout in both conventions, and then the common handlers get the call as
// it is. Others are copied here once and made anew in a local. A call that is not in the table,
// since such programs do without it, is refused with -ENOSYS. What the hypervisor itself writes
// into the shared page has the 64-bit layout: 32-bit code can read the time there, and has to poll
// for events. No lock; errors are the common handlers'.

#include <bulkhead/cpu.h>
#include <bulkhead/domain.h>
#include <bulkhead/guest_access.h>
#include <bulkhead/hypercall.h>
#include <bulkhead/memory_op.h>
#include <x86/domain.h>
#include <x86/hvm.h>
#include <xen/grant_table.h>
#include <xen/memory.h>
#include <xen/sched.h>
#include <xen/version.h>

#define OP_MASK ((1u << MEMOP_EXTENT_SHIFT) - 1)

struct memory_map_32 {
    uint32_t nr_entries, buffer;
};

struct foreign_memory_map_32 {
    uint16_t domid, unused;
    struct memory_map_32 map;
};

struct add_to_physmap_32 {
    uint16_t domid, size;
    uint32_t space, idx, gpfn;
};

struct remove_from_physmap_32 {
    uint16_t domid, unused;
    uint32_t gpfn;
};

static int64_t memory_map(gva_t at)
{
    struct memory_map_32 arg;
    int error;

    if (copy_from_guest(&arg, at, sizeof(arg))) {
        return -XEN_EFAULT;
    }
    error = domain_give_memory_map(GVA(arg.buffer), &arg.nr_entries);
    return error ? error : copy_to_guest(at, &arg, sizeof(arg));
}

static int64_t set_memory_map(gva_t at)
{
    struct foreign_memory_map_32 arg;

    if (copy_from_guest(&arg, at, sizeof(arg))) {
        return -XEN_EFAULT;
    }
    return domain_take_memory_map(arg.domid, GVA(arg.map.buffer), arg.map.nr_entries);
}

static int64_t add_to_physmap(struct hypercall *call, gva_t at)
{
    struct add_to_physmap_32 arg;

    if (copy_from_guest(&arg, at, sizeof(arg))) {
        return -XEN_EFAULT;
    }
    return memory_add_pages(
        call, &(struct xen_add_to_physmap){arg.domid, arg.size, arg.space, arg.idx, arg.gpfn});
}

static int64_t remove_from_physmap(gva_t at)
{
    struct remove_from_physmap_32 arg;

    if (copy_from_guest(&arg, at, sizeof(arg))) {
        return -XEN_EFAULT;
    }
    return memory_remove_page(&(struct xen_remove_from_physmap){arg.domid, arg.gpfn});
}

static int64_t memory_op(struct hypercall *call)
{
    gva_t at = GVA(call->arg[1]);

    switch (call->arg[0] & OP_MASK) {
    case XENMEM_memory_map:
        return memory_map(at);
    case XENMEM_set_memory_map:
        return set_memory_map(at);
    case XENMEM_add_to_physmap:
        return add_to_physmap(call, at);
    case XENMEM_remove_from_physmap:
        return remove_from_physmap(at);
    case XENMEM_current_reservation:
    case XENMEM_maximum_reservation:
    case XENMEM_maximum_gpfn:
        return do_memory_op(call);
    default:
        return -XEN_ENOSYS;
    }
}

static int64_t sched_op(struct hypercall *call)
{
    return call->arg[0] == SCHEDOP_poll ? -XEN_ENOSYS : do_sched_op(call);
}

// Mapping and copying are for drivers of a kernel.
static int64_t grant_table_op(struct hypercall *call)
{
    switch (call->arg[0]) {
    case GNTTABOP_query_size:
    case GNTTABOP_set_version:
    case GNTTABOP_get_version:
        return do_grant_table_op(call);
    default:
        return -XEN_ENOSYS;
    }
}

static int64_t xen_version(struct hypercall *call)
{
    return call->arg[0] == XENVER_platform_parameters ? -XEN_ENOSYS : do_xen_version(call);
}

static const hypercall_handler handlers[] = {
    [__HYPERVISOR_memory_op] = memory_op,
    [__HYPERVISOR_xen_version] = xen_version,
    [__HYPERVISOR_console_io] = do_console_io,
    [__HYPERVISOR_grant_table_op] = grant_table_op,
    [__HYPERVISOR_sched_op] = sched_op,
    [__HYPERVISOR_event_channel_op] = do_event_channel_op,
    [__HYPERVISOR_hvm_op] = do_hvm_op,
};

bool hvm_hypercall_32(struct vcpu *v)
{
    static const uint8_t registers[] = {3, 1, 2, 6, 7, 5};
    uint64_t *gpr = v->arch.gpr;
    uint32_t number = (uint32_t)gpr[0];
    struct hypercall call = {.restart = false};

    if (number >= ARRAY_SIZE(handlers) || !handlers[number]) {
        gpr[0] = (uint32_t)-XEN_ENOSYS;
        return true;
    }
    for (unsigned int i = 0; i < ARRAY_SIZE(registers); i++) {
        call.arg[i] = (uint32_t)gpr[registers[i]];
    }
    gpr[0] = (uint32_t)handlers[number](&call);
    for (unsigned int i = 0; call.restart && i < ARRAY_SIZE(registers); i++) {
        gpr[registers[i]] = (uint32_t)call.arg[i];
    }
    if (call.restart) {
        gpr[0] = number;
    }
    return !call.restart;
}
