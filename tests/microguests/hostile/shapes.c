// SPDX-License-Identifier: Apache-2.0
// The table of shapes; an operation that leads to more code stands in it more than once. What would
// end or stop the guest by its own wish is not there.

#define __XEN_TOOLS__ // the operations of the toolstack, too
#include "shapes.h"

#include <stddef.h>
#include <xen/event_channel.h>
#include <xen/grant_table.h>
#include <xen/hvm/hvm_op.h>
#include <xen/memory.h>
#include <xen/physdev.h>
#include <xen/sched.h>
#include <xen/vcpu.h>
#include <xen/version.h>

#define EVENT(op, fields)                                                                          \
    {                                                                                              \
        __HYPERVISOR_event_channel_op, POINTER_SECOND, EVTCHNOP_##op, 0, fields                    \
    }
#define MEMORY(op, fields)                                                                         \
    {                                                                                              \
        __HYPERVISOR_memory_op, POINTER_SECOND, XENMEM_##op, 0, fields                             \
    }
#define GRANT(op, type, fields)                                                                    \
    {                                                                                              \
        __HYPERVISOR_grant_table_op, POINTER_SECOND_COUNT, GNTTABOP_##op, sizeof(struct type),     \
            fields                                                                                 \
    }
#define VCPU(op, fields)                                                                           \
    {                                                                                              \
        __HYPERVISOR_vcpu_op, POINTER_THIRD, VCPUOP_##op, 0, fields                                \
    }
#define OTHER(hypercall, form, op, fields)                                                         \
    {                                                                                              \
        __HYPERVISOR_##hypercall, form, op, 0, fields                                              \
    }

const struct shape shapes[] = {
    EVENT(bind_interdomain, "dpp"),
    EVENT(bind_virq, "kvp"),
    EVENT(bind_pirq, "nnp"),
    EVENT(close, "p"),
    EVENT(send, "p"),
    EVENT(status, "dpnn"),
    EVENT(alloc_unbound, "ddp"),
    EVENT(alloc_unbound, "ddp"),
    EVENT(bind_ipi, "vp"),
    EVENT(bind_ipi, "vp"),
    EVENT(bind_vcpu, "pv"),
    EVENT(unmask, "p"),
    EVENT(init_control, "gkvb"),
    EVENT(expand_array, "g"),
    EVENT(set_priority, "pk"),
    MEMORY(increase_reservation, "lcofd"),
    MEMORY(decrease_reservation, "lcofd"),
    MEMORY(populate_physmap, "lcofd"),
    MEMORY(populate_physmap, "lcofd"),
    MEMORY(exchange, "lcofd_lcofd_N"),
    MEMORY(maximum_ram_page, ""),
    MEMORY(current_reservation, "d"),
    MEMORY(maximum_reservation, "d"),
    MEMORY(maximum_gpfn, "d"),
    MEMORY(machphys_mfn_list, "nh"),
    MEMORY(add_to_physmap, "dskxg"),
    MEMORY(add_to_physmap, "dskxg"),
    MEMORY(add_to_physmap_batch, "dssdllh"),
    MEMORY(remove_from_physmap, "dg"),
    MEMORY(memory_map, "kh"),
    MEMORY(claim_pages, "lcofd"),
    MEMORY(acquire_resource, "dskkkcl"),
    MEMORY(reserved_device_memory_map, "nkh"),
    MEMORY(get_vnumainfo, "dkkkkhhhh"),
    GRANT(map_grant_ref, gnttab_map_grant_ref, "afrdsHN"),
    GRANT(map_grant_ref, gnttab_map_grant_ref, "afrdsHN"),
    GRANT(unmap_grant_ref, gnttab_unmap_grant_ref, "acHs"),
    GRANT(unmap_grant_ref, gnttab_unmap_grant_ref, "acHs"),
    GRANT(setup_table, gnttab_setup_table, "dksh"),
    GRANT(dump_table, gnttab_dump_table, "ds"),
    GRANT(transfer, gnttab_transfer, "gdrs"),
    GRANT(copy, gnttab_copy, "xdw_xdwwss"),
    GRANT(copy, gnttab_copy, "xdw_xdwwss"),
    GRANT(query_size, gnttab_query_size, "dkks"),
    GRANT(unmap_and_replace, gnttab_unmap_and_replace, "aaHs"),
    GRANT(set_version, gnttab_set_version, "k"),
    GRANT(get_status_frames, gnttab_get_status_frames, "kdsh"),
    GRANT(get_version, gnttab_get_version, "dsk"),
    GRANT(swap_grant_ref, gnttab_swap_grant_ref, "rrs"),
    GRANT(cache_flush, gnttab_cache_flush, "xwwf"),
    VCPU(is_up, "n"),
    VCPU(get_runstate_info, "NNNN"),
    VCPU(register_runstate_memory_area, "h"),
    VCPU(register_runstate_phys_area, "a"),
    VCPU(set_periodic_timer, "N"),
    VCPU(stop_periodic_timer, ""),
    VCPU(set_singleshot_timer, "Nf"),
    VCPU(stop_singleshot_timer, ""),
    VCPU(register_vcpu_info, "gwsn"),
    VCPU(register_vcpu_time_memory_area, "h"),
    VCPU(register_vcpu_time_phys_area, "a"),
    VCPU(get_physid, "N"),
    OTHER(sched_op, POINTER_SECOND, SCHEDOP_yield, ""),
    OTHER(sched_op, POINTER_SECOND, SCHEDOP_poll, "hk_t"),
    OTHER(sched_op, POINTER_SECOND, SCHEDOP_pin_override, "n"),
    OTHER(hvm_op, POINTER_SECOND, HVMOP_set_param, "dsiN"),
    OTHER(hvm_op, POINTER_SECOND, HVMOP_get_param, "dsiN"),
    OTHER(hvm_op, POINTER_SECOND, HVMOP_set_evtchn_upcall_vector, "vb"),
    OTHER(xen_version, POINTER_SECOND, XENVER_build_id, "kn"),
    OTHER(xen_version, POINTER_SECOND, XENVER_get_features, "kn"),
    OTHER(xen_version, POINTER_SECOND, XENVER_changeset, ""),
    OTHER(console_io, PLAIN, CONSOLEIO_write, ""),
    OTHER(console_io, PLAIN, CONSOLEIO_read, ""),
    OTHER(set_timer_op, POINTER_FIRST, 0, ""),
    OTHER(vm_assist, PLAIN, 0, ""),
    OTHER(physdev_op, POINTER_SECOND, PHYSDEVOP_pci_device_add, "nnnn"),
    OTHER(physdev_op, POINTER_SECOND, PHYSDEVOP_map_pirq, "dknnnnnN"),
    OTHER(domctl, POINTER_FIRST, 0, "kkd_NNNN"),
    OTHER(sysctl, POINTER_FIRST, 0, "kk_NNNN"),
    OTHER(platform_op, POINTER_FIRST, 0, "kk_NNNN"),
    OTHER(dm_op, PLAIN, DOMID_SELF, ""),
    OTHER(hypfs_op, PLAIN, 0, ""),
};

const unsigned int shapes_number = sizeof(shapes) / sizeof(shapes[0]);
