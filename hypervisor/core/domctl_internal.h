// SPDX-License-Identifier: Apache-2.0
// The handlers of the domctl table in domctl.c, by the file that has them. Each is called with
// domctl_lock held and a reference on d (NULL where the table says that there may be no domain), on
// a copy of the caller's structure. 0, a positive count where the ABI has one, -errno, or
// -XEN_ERESTART to be called again from the start with the same structure.
#ifndef BULKHEAD_DOMCTL_INTERNAL_H
#define BULKHEAD_DOMCTL_INTERNAL_H

struct domain;
struct xen_domctl;

// domctl_life.c
int domctl_create(struct domain *d, struct xen_domctl *op);
int domctl_destroy(struct domain *d, struct xen_domctl *op);
int domctl_pause(struct domain *d, struct xen_domctl *op);
int domctl_unpause(struct domain *d, struct xen_domctl *op);
int domctl_resume(struct domain *d, struct xen_domctl *op);
int domctl_soft_reset(struct domain *d, struct xen_domctl *op);
int domctl_max_vcpus(struct domain *d, struct xen_domctl *op);
int domctl_get_info(struct domain *d, struct xen_domctl *op);
int domctl_set_handle(struct domain *d, struct xen_domctl *op);
int domctl_set_time_offset(struct domain *d, struct xen_domctl *op);
int domctl_set_target(struct domain *d, struct xen_domctl *op);
int domctl_subscribe(struct domain *d, struct xen_domctl *op);
int domctl_set_virq_handler(struct domain *d, struct xen_domctl *op);

// domctl_vcpu.c
int domctl_get_vcpu_info(struct domain *d, struct xen_domctl *op);
int domctl_get_vcpu_context(struct domain *d, struct xen_domctl *op);
int domctl_set_vcpu_context(struct domain *d, struct xen_domctl *op);
int domctl_get_affinity(struct domain *d, struct xen_domctl *op);
int domctl_set_affinity(struct domain *d, struct xen_domctl *op);
int domctl_scheduler(struct domain *d, struct xen_domctl *op);
int domctl_send_trigger(struct domain *d, struct xen_domctl *op);

// domctl_memory.c
int domctl_max_mem(struct domain *d, struct xen_domctl *op);
int domctl_get_node_affinity(struct domain *d, struct xen_domctl *op);
int domctl_set_node_affinity(struct domain *d, struct xen_domctl *op);
int domctl_iomem_permission(struct domain *d, struct xen_domctl *op);
int domctl_ioport_permission(struct domain *d, struct xen_domctl *op);
int domctl_irq_permission(struct domain *d, struct xen_domctl *op);
int domctl_gsi_permission(struct domain *d, struct xen_domctl *op);
int domctl_bind_pt_irq(struct domain *d, struct xen_domctl *op);
int domctl_unbind_pt_irq(struct domain *d, struct xen_domctl *op);
int domctl_memory_mapping(struct domain *d, struct xen_domctl *op);
int domctl_page_frame_info(struct domain *d, struct xen_domctl *op);

// domctl_pci.c
int domctl_assign_device(struct domain *d, struct xen_domctl *op);
int domctl_deassign_device(struct domain *d, struct xen_domctl *op);
int domctl_test_assign_device(struct domain *d, struct xen_domctl *op);
int domctl_get_device_group(struct domain *d, struct xen_domctl *op);

#endif
