// SPDX-License-Identifier: Apache-2.0
// See control.h.

#include "control.h"

#include <string.h>

#include <bulkhead/page.h>

#define OP_ADDRESS ((uint64_t)ARGUMENT_GFN << PAGE_SHIFT)
// A restart that goes on for ever is a failure.
#define MAX_RESTARTS 10000u

unsigned int control_restarts;

int control_start(void **state)
{
    world_start(state);
    world_begin();
    console_output_length = 0;
    ports_updated = 0;
    iommu_is_there = true;
    domain0 = world_create(0, &(struct world_config){.privileged = true, .vcpus = 2});
    sim_cpu_enter(0, domain0->vcpus[0]);
    return 0;
}

int control_stop(void **state)
{
    (void)state;
    world_destroy(domain0);
    domain0 = NULL;
    return world_end();
}

int64_t control_call(struct vcpu *v, int64_t (*handler)(struct hypercall *call), uint64_t arg0,
                     uint64_t arg1, uint64_t arg2, uint64_t arg3, uint64_t arg4)
{
    struct hypercall call = {.arg = {arg0, arg1, arg2, arg3, arg4}};
    int64_t result;

    control_restarts = 0;
    do {
        sim_cpu_enter(this_cpu()->id, v);
        call.restart = false;
        result = handler(&call);
        this_cpu()->work = 0;
        assert_true(control_restarts < MAX_RESTARTS);
    } while (call.restart && ++control_restarts);
    return result;
}

int64_t control_domctl_by(struct vcpu *v, uint32_t cmd, domid_t domain, struct xen_domctl *op)
{
    void *page = world_page(v->domain, ARGUMENT_GFN);
    int64_t result;

    op->cmd = cmd;
    op->domain = domain;
    op->interface_version = XEN_DOMCTL_INTERFACE_VERSION;
    memcpy(page, op, sizeof(*op));
    result = control_call(v, do_domctl, OP_ADDRESS, 0, 0, 0, 0);
    memcpy(op, page, sizeof(*op));
    return result;
}

int64_t control_domctl(uint32_t cmd, domid_t domain, struct xen_domctl *op)
{
    return control_domctl_by(domain0->vcpus[0], cmd, domain, op);
}

int64_t control_sysctl_by(struct vcpu *v, uint32_t cmd, struct xen_sysctl *op)
{
    void *page = world_page(v->domain, ARGUMENT_GFN);
    int64_t result;

    op->cmd = cmd;
    op->interface_version = XEN_SYSCTL_INTERFACE_VERSION;
    memcpy(page, op, sizeof(*op));
    result = control_call(v, do_sysctl, OP_ADDRESS, 0, 0, 0, 0);
    memcpy(op, page, sizeof(*op));
    return result;
}

int64_t control_sysctl(uint32_t cmd, struct xen_sysctl *op)
{
    return control_sysctl_by(domain0->vcpus[0], cmd, op);
}

void *control_buffer(void)
{
    return world_page(domain0, BUFFER_GFN);
}

struct domain *control_create(unsigned int vcpus)
{
    struct xen_domctl op = {0};
    struct xen_domctl_createdomain *config = &op.u.createdomain;
    struct domain *d;

    config->flags = XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap | XEN_DOMCTL_CDF_iommu;
    config->max_vcpus = vcpus;
    config->max_evtchn_port = 2000;
    config->max_grant_frames = 4;
    config->max_maptrack_frames = 4;
    config->grant_opts = XEN_DOMCTL_GRANT_version(1);
    assert_int_equal(control_domctl(XEN_DOMCTL_createdomain, DOMID_INVALID, &op), 0);
    op.u.max_vcpus.max = vcpus;
    assert_int_equal(control_domctl(XEN_DOMCTL_max_vcpus, op.domain, &op), 0);
    d = domain_get(op.domain);
    assert_non_null(d);
    domain_put(d); // the table's reference keeps it
    return d;
}

void control_destroy(domid_t id)
{
    struct xen_domctl op = {0};

    assert_int_equal(control_domctl(XEN_DOMCTL_destroydomain, id, &op), 0);
    assert_int_equal(control_domctl(XEN_DOMCTL_getdomaininfo, id, &op), -XEN_ESRCH);
}
