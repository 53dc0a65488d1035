// SPDX-License-Identifier: Apache-2.0
// What the tests of the control interface share: hypercalls with their structures in guest memory,
// and what the stand-ins for the machine have seen.
#ifndef TEST_CONTROL_H
#define TEST_CONTROL_H

#include "world.h"

#include <xen/domctl.h>
#include <xen/sysctl.h>

// Guest memory that tests may point handles at: a page of its own.
#define BUFFER_GFN 8u
#define BUFFER_ADDRESS ((uint64_t)BUFFER_GFN << PAGE_SHIFT)

// Sets up domain 0 (two vcpus) and makes it the caller; control_stop takes it down again and
// reports what is left over.
int control_start(void **state);
int control_stop(void **state);

// A hypercall of v with up to five arguments, restarts followed.
int64_t control_call(struct vcpu *v, int64_t (*handler)(struct hypercall *call), uint64_t arg0,
                     uint64_t arg1, uint64_t arg2, uint64_t arg3, uint64_t arg4);
// The structure goes to guest memory and comes back. The caller is domain 0's vcpu 0, or v.
int64_t control_domctl(uint32_t cmd, domid_t domain, struct xen_domctl *op);
int64_t control_domctl_by(struct vcpu *v, uint32_t cmd, domid_t domain, struct xen_domctl *op);
int64_t control_sysctl(uint32_t cmd, struct xen_sysctl *op);
int64_t control_sysctl_by(struct vcpu *v, uint32_t cmd, struct xen_sysctl *op);
extern unsigned int control_restarts;

// The page behind BUFFER_ADDRESS of domain 0.
void *control_buffer(void);

// A PVH domain made by domctl, with vcpus, not yet running; destroyed by control_destroy.
struct domain *control_create(unsigned int vcpus);
void control_destroy(domid_t id);

// doubles.c
extern char console_output[4096]; // what console_write_raw got
extern size_t console_output_length;
extern char console_ring[256]; // what the console ring holds
extern bool iommu_is_there;
extern unsigned int ports_updated; // arch_domain_update_ports calls

#endif
