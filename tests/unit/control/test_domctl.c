// SPDX-License-Identifier: Apache-2.0
// Domctl: who may call it, and every command's good and bad cases.

#include "control.h"

#include <string.h>

#include <bulkhead/page.h>
#include <bulkhead/sched.h>
#include <bulkhead/rangeset.h>
#include <xen/sched.h>

#define TEST(name) cmocka_unit_test_setup_teardown(name, control_start, control_stop)

static void set_bitmap(struct xenctl_bitmap *bitmap, uint64_t offset, uint32_t bits)
{
    bitmap->nr_bits = bits;
    set_xen_guest_handle(bitmap->bitmap, (uint8_t *)(BUFFER_ADDRESS + offset));
}

static void version_is_checked_first(void **state)
{
    struct domain *other = control_create(1);
    struct xen_domctl *op = world_page(domain0, ARGUMENT_GFN);
    struct xen_domctl request = {.cmd = XEN_DOMCTL_pausedomain, .domain = other->id};

    (void)state;
    memcpy(op, &request, sizeof(request));
    op->interface_version = XEN_DOMCTL_INTERFACE_VERSION - 1;
    assert_int_equal(
        control_call(domain0->vcpus[0], do_domctl, ARGUMENT_GFN << PAGE_SHIFT, 0, 0, 0, 0),
        -XEN_EACCES);
    assert_int_equal(control_call(domain0->vcpus[0], do_domctl, 1UL << 63, 0, 0, 0, 0),
                     -XEN_EFAULT);
    control_destroy(other->id);
}

static void strangers_are_refused(void **state)
{
    struct domain *guest = world_create(7, &(struct world_config){0});
    struct domain *other = control_create(1);
    struct xen_domctl op = {0};

    (void)state;
    for (uint32_t cmd = 0; cmd < 100; cmd++) {
        assert_int_equal(control_domctl_by(guest->vcpus[0], cmd, other->id, &op), -XEN_EPERM);
        assert_int_equal(control_domctl_by(guest->vcpus[0], cmd, 99, &op), -XEN_EPERM);
    }
    control_destroy(other->id);
    world_destroy(guest);
}

static void unknown_commands_and_domains(void **state)
{
    struct xen_domctl op = {0};

    (void)state;
    assert_int_equal(control_domctl(XEN_DOMCTL_getdomaininfo, 99, &op), -XEN_ESRCH);
    assert_int_equal(control_domctl(XEN_DOMCTL_getdomaininfo, DOMID_IDLE, &op), -XEN_ESRCH);
    assert_int_equal(control_domctl(XEN_DOMCTL_real_mode_area, 0, &op), -XEN_ENOSYS);
    assert_int_equal(control_domctl(0, 0, &op), -XEN_ENOSYS);
    assert_int_equal(control_domctl(0xffffffff, 0, &op), -XEN_ENOSYS);
    assert_int_equal(control_domctl(XEN_DOMCTL_gdbsx_domstatus, 0, &op), -XEN_ENOSYS);
    assert_int_equal(control_domctl(XEN_DOMCTL_monitor_op, 0, &op), -XEN_EOPNOTSUPP);
}

static void a_domain_lives(void **state)
{
    struct domain *d = control_create(3);
    struct xen_domctl op = {0};
    struct xen_domctl_getdomaininfo *info = &op.u.getdomaininfo;
    xen_domain_handle_t handle = {1, 2, 3};

    (void)state;
    assert_true(d->id > 0 && d->max_vcpus == 3 && d->vcpus[2]);
    assert_int_equal(control_domctl(XEN_DOMCTL_getdomaininfo, d->id, &op), 0);
    assert_int_equal(info->domain, d->id);
    assert_int_equal(info->max_vcpu_id, 2);
    assert_int_equal(info->nr_online_vcpus, 0);
    assert_true(info->flags & XEN_DOMINF_paused);
    assert_true(info->flags & XEN_DOMINF_hvm_guest);
    assert_int_equal(info->cpupool, 0);

    memcpy(op.u.setdomainhandle.handle, handle, sizeof(handle));
    assert_int_equal(control_domctl(XEN_DOMCTL_setdomainhandle, d->id, &op), 0);
    op.u.max_mem.max_memkb = 1024;
    assert_int_equal(control_domctl(XEN_DOMCTL_max_mem, d->id, &op), 0);
    assert_int_equal(control_domctl(XEN_DOMCTL_unpausedomain, d->id, &op), 0);
    assert_int_equal(control_domctl(XEN_DOMCTL_unpausedomain, d->id, &op), -XEN_EINVAL);
    assert_int_equal(control_domctl(XEN_DOMCTL_getdomaininfo, d->id, &op), 0);
    assert_memory_equal(info->handle, handle, sizeof(handle));
    assert_int_equal(info->max_pages, 256);
    assert_false(info->flags & XEN_DOMINF_paused);
    assert_int_equal(control_domctl(XEN_DOMCTL_pausedomain, d->id, &op), 0);
    assert_int_equal(control_domctl(XEN_DOMCTL_pausedomain, d->id, &op), 0);
    assert_int_equal(control_domctl(XEN_DOMCTL_unpausedomain, d->id, &op), 0);
    assert_false(vcpu_runnable(d->vcpus[0]));
    assert_int_equal(d->pause_count, 1);
    control_destroy(d->id);
}

static void creation_is_checked(void **state)
{
    static const struct {
        uint32_t flags, iommu_opts, altp2m, pool;
        int error;
    } cases[] = {
        {0, 0, 0, 0, -XEN_EINVAL}, // the simulated port wants the hvm flag
        {XEN_DOMCTL_CDF_hvm | 0x80000000, 0, 0, 0, -XEN_EINVAL},
        {XEN_DOMCTL_CDF_hvm, 1, 0, 0, -XEN_EINVAL},
        {XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_iommu, 1, 0, 0, -XEN_EOPNOTSUPP},
        {XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_iommu, 2, 0, 0, -XEN_EINVAL},
        {XEN_DOMCTL_CDF_hvm, 0, 1, 0, -XEN_EOPNOTSUPP},
        {XEN_DOMCTL_CDF_hvm, 0, 0, 5, -XEN_EINVAL},
    };
    struct xen_domctl op = {0};
    struct domain *d;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        op.u.createdomain = (struct xen_domctl_createdomain){
            .flags = cases[i].flags,
            .iommu_opts = cases[i].iommu_opts,
            .altp2m_opts = cases[i].altp2m,
            .cpupool_id = cases[i].pool,
            .max_vcpus = 1,
            .max_grant_frames = 4,
            .grant_opts = 1,
        };
        assert_int_equal(control_domctl(XEN_DOMCTL_createdomain, DOMID_INVALID, &op),
                         cases[i].error);
    }
    op.u.createdomain = (struct xen_domctl_createdomain){
        .flags = XEN_DOMCTL_CDF_hvm, .max_vcpus = 1, .max_grant_frames = 4, .grant_opts = 1};
    assert_int_equal(control_domctl(XEN_DOMCTL_createdomain, 42, &op), 0);
    assert_int_equal(op.domain, 42);
    assert_int_equal(control_domctl(XEN_DOMCTL_createdomain, 42, &op), -XEN_EEXIST);
    d = domain_get(42);
    domain_put(d);
    op.u.max_vcpus.max = 2;
    assert_int_equal(control_domctl(XEN_DOMCTL_max_vcpus, 42, &op), -XEN_EINVAL);
    control_destroy(42);
    iommu_is_there = false;
    op.u.createdomain = (struct xen_domctl_createdomain){
        .flags = XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_iommu, .max_vcpus = 1, .max_grant_frames = 4};
    assert_int_equal(control_domctl(XEN_DOMCTL_createdomain, 42, &op), -XEN_EINVAL);
}

static void vcpus_are_made_a_few_at_a_time(void **state)
{
    struct domain *d = control_create(10);

    (void)state;
    assert_int_equal(control_restarts, 2);
    assert_non_null(d->vcpus[9]);
    control_destroy(d->id);
}

static void creation_survives_lack_of_memory(void **state)
{
    struct xen_domctl op;
    unsigned int failures = 0;
    int64_t result;

    (void)state;
    for (unsigned int i = 1; i < 100; i++) {
        op = (struct xen_domctl){0};
        op.u.createdomain = (struct xen_domctl_createdomain){
            .flags = XEN_DOMCTL_CDF_hvm, .max_vcpus = 2, .max_grant_frames = 4, .grant_opts = 1};
        sim_heap_fail_at(i);
        result = control_domctl(XEN_DOMCTL_createdomain, 9, &op);
        if (!result) {
            break;
        }
        assert_int_equal(result, -XEN_ENOMEM);
        failures++;
    }
    sim_heap_fail_at(0);
    assert_true(failures > 3);
    control_destroy(9);
}

static void destruction_is_preemptible(void **state)
{
    struct domain *d = control_create(2);
    struct xen_domctl op = {0};

    (void)state;
    for (unsigned int i = 0; i < 1000; i++) {
        evtchn_port_t port;

        assert_int_equal(event_alloc_unbound(d, 0, &port), 0);
    }
    sim_interrupt_every(1);
    assert_int_equal(control_domctl(XEN_DOMCTL_destroydomain, d->id, &op), 0);
    sim_interrupt_every(0);
    assert_true(control_restarts > 0);
}

static void nobody_stops_himself(void **state)
{
    static const uint32_t commands[] = {
        XEN_DOMCTL_destroydomain,     XEN_DOMCTL_pausedomain,   XEN_DOMCTL_setvcpucontext,
        XEN_DOMCTL_getvcpucontext,    XEN_DOMCTL_resumedomain,  XEN_DOMCTL_soft_reset,
        XEN_DOMCTL_ioport_permission, XEN_DOMCTL_assign_device,
    };
    struct xen_domctl op = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        assert_int_equal(control_domctl(commands[i], 0, &op), -XEN_EINVAL);
    }
}

static void device_models_have_few_rights(void **state)
{
    struct domain *model = world_create(5, &(struct world_config){0});
    struct domain *guest = control_create(1), *other = control_create(1);
    struct xen_domctl op = {0};

    (void)state;
    op.u.set_target.target = 77;
    assert_int_equal(control_domctl(XEN_DOMCTL_set_target, 5, &op), -XEN_ESRCH);
    op.u.set_target.target = 5;
    assert_int_equal(control_domctl(XEN_DOMCTL_set_target, 5, &op), -XEN_EINVAL);
    op.u.set_target.target = 0;
    assert_int_equal(control_domctl(XEN_DOMCTL_set_target, 5, &op), -XEN_EINVAL);
    op.u.set_target.target = guest->id;
    assert_int_equal(control_domctl(XEN_DOMCTL_set_target, 5, &op), 0);
    op.u.set_target.target = other->id;
    assert_int_equal(control_domctl(XEN_DOMCTL_set_target, 5, &op), -XEN_EINVAL);

    op.u.memory_mapping = (struct xen_domctl_memory_mapping){.nr_mfns = 1};
    assert_int_equal(control_domctl_by(model->vcpus[0], XEN_DOMCTL_memory_mapping, guest->id, &op),
                     -XEN_EPERM); // it has no such memory itself, but is heard
    op.u.memory_mapping.nr_mfns = 0;
    assert_int_equal(control_domctl_by(model->vcpus[0], XEN_DOMCTL_memory_mapping, guest->id, &op),
                     -XEN_EINVAL);
    assert_int_equal(control_domctl_by(model->vcpus[0], XEN_DOMCTL_memory_mapping, other->id, &op),
                     -XEN_EPERM);
    assert_int_equal(control_domctl_by(model->vcpus[0], XEN_DOMCTL_pausedomain, guest->id, &op),
                     -XEN_EPERM);
    control_destroy(guest->id);
    control_destroy(other->id);
    world_destroy(model);
}

static void affinity(void **state)
{
    struct domain *d = control_create(1);
    struct xen_domctl op = {0};
    struct xen_domctl_vcpuaffinity *request = &op.u.vcpuaffinity;
    uint8_t *hard = control_buffer(), *soft = hard + 64;

    (void)state;
    set_bitmap(&request->cpumap_hard, 0, 12);
    set_bitmap(&request->cpumap_soft, 64, 300);
    request->flags = XEN_VCPUAFFINITY_HARD | XEN_VCPUAFFINITY_SOFT;
    memset(soft, 0x55, 64);
    assert_int_equal(control_domctl(XEN_DOMCTL_getvcpuaffinity, d->id, &op), 0);
    assert_int_equal(hard[0], 0xff);
    assert_int_equal(hard[1], 0x0f);
    assert_int_equal(hard[2], 0);
    assert_int_equal(soft[31], 0xff);
    assert_int_equal(soft[32], 0);
    assert_int_equal(soft[37], 0);
    assert_int_equal(soft[38], 0x55);

    hard[0] = 0x06;
    hard[1] = 0xff; // CPUs 8 to 11 do not exist
    memset(soft, 0, 64);
    soft[0] = 0x05;
    assert_int_equal(control_domctl(XEN_DOMCTL_setvcpuaffinity, d->id, &op), 0);
    assert_int_equal(hard[0], 0x06);
    assert_int_equal(hard[1] & 0x0f, 0);
    assert_int_equal(soft[0], 0x04);
    assert_int_equal(d->vcpus[0]->hard_affinity.bits[0], 0xf06);

    hard[0] = 0;
    hard[1] = 0;
    assert_int_equal(control_domctl(XEN_DOMCTL_setvcpuaffinity, d->id, &op), -XEN_EINVAL);
    request->flags = 0;
    assert_int_equal(control_domctl(XEN_DOMCTL_setvcpuaffinity, d->id, &op), -XEN_EINVAL);
    request->flags = 8;
    assert_int_equal(control_domctl(XEN_DOMCTL_getvcpuaffinity, d->id, &op), -XEN_EINVAL);
    request->flags = XEN_VCPUAFFINITY_HARD;
    request->vcpu = 1;
    assert_int_equal(control_domctl(XEN_DOMCTL_setvcpuaffinity, d->id, &op), -XEN_EINVAL);
    request->vcpu = 0;
    set_xen_guest_handle(request->cpumap_hard.bitmap, (uint8_t *)(1UL << 63));
    assert_int_equal(control_domctl(XEN_DOMCTL_setvcpuaffinity, d->id, &op), -XEN_EFAULT);
    assert_int_equal(control_domctl(XEN_DOMCTL_getvcpuaffinity, d->id, &op), -XEN_EFAULT);

    // A pin override stands until it is forced.
    assert_int_equal(sched_pin_override(d->vcpus[0], 3), 0);
    set_bitmap(&request->cpumap_hard, 0, 8);
    hard[0] = 0x02;
    assert_int_equal(control_domctl(XEN_DOMCTL_setvcpuaffinity, d->id, &op), -XEN_EBUSY);
    request->flags |= XEN_VCPUAFFINITY_FORCE;
    assert_int_equal(control_domctl(XEN_DOMCTL_setvcpuaffinity, d->id, &op), 0);
    assert_false(sched_pinned(d->vcpus[0]));
    control_destroy(d->id);
}

static void vcpus_can_be_inspected(void **state)
{
    struct domain *d = control_create(2);
    struct xen_domctl op = {0};
    struct vcpu_guest_context *context = control_buffer();

    (void)state;
    op.u.getvcpuinfo.vcpu = 1;
    assert_int_equal(control_domctl(XEN_DOMCTL_getvcpuinfo, d->id, &op), 0);
    assert_false(op.u.getvcpuinfo.online || op.u.getvcpuinfo.running || op.u.getvcpuinfo.blocked);
    op.u.getvcpuinfo.vcpu = 2;
    assert_int_equal(control_domctl(XEN_DOMCTL_getvcpuinfo, d->id, &op), -XEN_EINVAL);

    op.u.vcpucontext.vcpu = 1;
    set_xen_guest_handle(op.u.vcpucontext.ctxt, (vcpu_guest_context_t *)BUFFER_ADDRESS);
    assert_int_equal(control_domctl(XEN_DOMCTL_getvcpucontext, d->id, &op), -XEN_ENODATA);
    d->vcpus[1]->arch.guest = (void (*)(struct vcpu *))1; // has a state to start from
    assert_int_equal(control_domctl(XEN_DOMCTL_getvcpucontext, d->id, &op), 0);
    assert_int_equal(context->flags, 2);
    assert_int_equal(control_domctl(XEN_DOMCTL_setvcpucontext, d->id, &op), 0);
    context->flags = 0;
    assert_int_equal(control_domctl(XEN_DOMCTL_setvcpucontext, d->id, &op), -XEN_EINVAL);
    set_xen_guest_handle(op.u.vcpucontext.ctxt, (vcpu_guest_context_t *)(1UL << 63));
    assert_int_equal(control_domctl(XEN_DOMCTL_setvcpucontext, d->id, &op), -XEN_EFAULT);
    assert_int_equal(control_domctl(XEN_DOMCTL_getvcpucontext, d->id, &op), -XEN_EFAULT);
    op.u.sendtrigger = (struct xen_domctl_sendtrigger){XEN_DOMCTL_SENDTRIGGER_NMI, 0};
    assert_int_equal(control_domctl(XEN_DOMCTL_sendtrigger, d->id, &op), 0);
    assert_true(d->vcpus[0]->arch.interrupt_pending);
    op.u.sendtrigger.trigger = XEN_DOMCTL_SENDTRIGGER_POWER;
    assert_int_equal(control_domctl(XEN_DOMCTL_sendtrigger, d->id, &op), -XEN_ENOSYS);
    control_destroy(d->id);
}

static void permissions_are_passed_on(void **state)
{
    struct domain *d = control_create(1);
    struct xen_domctl op = {0};

    (void)state;
    rangeset_add(domain0->io_memory, 0x1000, 0x1fff);
    rangeset_add(domain0->io_ports, 0x60, 0x6f);
    rangeset_add(domain0->irqs, 9, 9);
    op.u.iomem_permission = (struct xen_domctl_iomem_permission){0x1000, 0x100, 1};
    assert_int_equal(control_domctl(XEN_DOMCTL_iomem_permission, d->id, &op), 0);
    assert_true(rangeset_contains(d->io_memory, 0x1000, 0x10ff));
    op.u.iomem_permission = (struct xen_domctl_iomem_permission){0x1f00, 0x101, 1};
    assert_int_equal(control_domctl(XEN_DOMCTL_iomem_permission, d->id, &op), -XEN_EPERM);
    op.u.iomem_permission = (struct xen_domctl_iomem_permission){0x1000, 0, 1};
    assert_int_equal(control_domctl(XEN_DOMCTL_iomem_permission, d->id, &op), -XEN_EINVAL);
    op.u.iomem_permission = (struct xen_domctl_iomem_permission){0x1000, ~0UL, 1};
    assert_int_equal(control_domctl(XEN_DOMCTL_iomem_permission, d->id, &op), -XEN_EINVAL);
    op.u.iomem_permission = (struct xen_domctl_iomem_permission){0x1000, 0x80, 0};
    assert_int_equal(control_domctl(XEN_DOMCTL_iomem_permission, d->id, &op), 0);
    assert_false(rangeset_overlaps(d->io_memory, 0x1000, 0x107f));

    op.u.ioport_permission = (struct xen_domctl_ioport_permission){0x60, 1, 1};
    assert_int_equal(control_domctl(XEN_DOMCTL_ioport_permission, d->id, &op), 0);
    assert_int_equal(ports_updated, 1);
    op.u.ioport_permission = (struct xen_domctl_ioport_permission){0xffff, 2, 1};
    assert_int_equal(control_domctl(XEN_DOMCTL_ioport_permission, d->id, &op), -XEN_EINVAL);
    op.u.ioport_permission = (struct xen_domctl_ioport_permission){0x70, 1, 1};
    assert_int_equal(control_domctl(XEN_DOMCTL_ioport_permission, d->id, &op), -XEN_EPERM);
    assert_int_equal(d->pause_count, 1); // as the toolstack left it

    op.u.irq_permission = (struct xen_domctl_irq_permission){.pirq = 9, .allow_access = 1};
    assert_int_equal(control_domctl(XEN_DOMCTL_irq_permission, d->id, &op), 0);
    op.u.gsi_permission = (struct xen_domctl_gsi_permission){.gsi = 9};
    assert_int_equal(control_domctl(XEN_DOMCTL_gsi_permission, d->id, &op), 0);
    assert_false(rangeset_contains(d->irqs, 9, 9));
    op.u.gsi_permission.flags = 2;
    assert_int_equal(control_domctl(XEN_DOMCTL_gsi_permission, d->id, &op), -XEN_EINVAL);
    control_destroy(d->id);
}

static void device_memory_is_mapped(void **state)
{
    struct domain *d = control_create(1);
    struct xen_domctl op = {0};
    struct xen_domctl_memory_mapping *request = &op.u.memory_mapping;

    (void)state;
    rangeset_add(domain0->io_memory, 0x80000, 0x8ffff);
    *request = (struct xen_domctl_memory_mapping){0x100, 0x80000, 4, DPCI_ADD_MAPPING, 0};
    assert_int_equal(control_domctl(XEN_DOMCTL_memory_mapping, d->id, &op), -XEN_EPERM);
    rangeset_add(d->io_memory, 0x80000, 0x8ffff);
    assert_int_equal(control_domctl(XEN_DOMCTL_memory_mapping, d->id, &op), 0);
    assert_int_equal(p2m_lookup(d, GFN(0x103)).mfn.n, 0x80003);
    // Something is there already: nothing of the new range stays.
    *request = (struct xen_domctl_memory_mapping){0xfe, 0x80010, 4, DPCI_ADD_MAPPING, 0};
    assert_int_equal(control_domctl(XEN_DOMCTL_memory_mapping, d->id, &op), -XEN_EEXIST);
    assert_int_equal(p2m_lookup(d, GFN(0xfe)).type, P2M_INVALID);
    assert_int_equal(p2m_lookup(d, GFN(0x100)).mfn.n, 0x80000);
    *request = (struct xen_domctl_memory_mapping){0x1000, 0x80000, 0x10000, DPCI_ADD_MAPPING, 0};
    assert_int_equal(control_domctl(XEN_DOMCTL_memory_mapping, d->id, &op), -XEN_E2BIG);
    *request = (struct xen_domctl_memory_mapping){0x100, 0x80000, ~0UL, DPCI_ADD_MAPPING, 0};
    assert_int_equal(control_domctl(XEN_DOMCTL_memory_mapping, d->id, &op), -XEN_EINVAL);
    *request = (struct xen_domctl_memory_mapping){0x100, 0x80000, 4, DPCI_REMOVE_MAPPING, 0};
    assert_int_equal(control_domctl(XEN_DOMCTL_memory_mapping, d->id, &op), 0);
    assert_int_equal(p2m_lookup(d, GFN(0x103)).type, P2M_INVALID);
    control_destroy(d->id);
}

static void frames_are_described(void **state)
{
    struct xen_domctl op = {0};
    uint64_t *array = control_buffer();

    (void)state;
    array[0] = 3;
    array[1] = FREE_GFN;
    array[2] = ~0UL;
    op.u.getpageframeinfo3.num = 3;
    set_xen_guest_handle(op.u.getpageframeinfo3.array, (xen_pfn_t *)BUFFER_ADDRESS);
    assert_int_equal(control_domctl(XEN_DOMCTL_getpageframeinfo3, 0, &op), 0);
    assert_int_equal(array[0], XEN_DOMCTL_PFINFO_NOTAB);
    assert_int_equal(array[1], XEN_DOMCTL_PFINFO_XTAB);
    assert_int_equal(array[2], XEN_DOMCTL_PFINFO_XTAB);
    op.u.getpageframeinfo3.num = 1025;
    assert_int_equal(control_domctl(XEN_DOMCTL_getpageframeinfo3, 0, &op), -XEN_E2BIG);
    op.u.getpageframeinfo3.num = 1;
    set_xen_guest_handle(op.u.getpageframeinfo3.array, (xen_pfn_t *)(1UL << 63));
    assert_int_equal(control_domctl(XEN_DOMCTL_getpageframeinfo3, 0, &op), -XEN_EFAULT);
}

static void one_node(void **state)
{
    struct xen_domctl op = {0};
    uint8_t *map = control_buffer();

    (void)state;
    set_bitmap(&op.u.nodeaffinity.nodemap, 0, 64);
    assert_int_equal(control_domctl(XEN_DOMCTL_getnodeaffinity, 0, &op), 0);
    assert_int_equal(*(uint64_t *)map, 1);
    assert_int_equal(control_domctl(XEN_DOMCTL_setnodeaffinity, 0, &op), 0);
    map[0] = 2;
    assert_int_equal(control_domctl(XEN_DOMCTL_setnodeaffinity, 0, &op), -XEN_EINVAL);
}

static void devices_change_hands(void **state)
{
    struct domain *d = control_create(1), *other = control_create(1);
    struct xen_domctl op = {0};
    struct xen_domctl_assign_device *request = &op.u.assign_device;

    (void)state;
    request->dev = XEN_DOMCTL_DEV_PCI;
    assert_int_equal(control_domctl(XEN_DOMCTL_test_assign_device, DOMID_INVALID, &op), 0);
    assert_int_equal(control_domctl(XEN_DOMCTL_test_assign_device, 999, &op), -XEN_ESRCH);
    assert_int_equal(control_domctl(XEN_DOMCTL_assign_device, d->id, &op), 0);
    assert_int_equal(control_domctl(XEN_DOMCTL_test_assign_device, DOMID_INVALID, &op), -XEN_EBUSY);
    assert_int_equal(control_domctl(XEN_DOMCTL_assign_device, other->id, &op), -XEN_EBUSY);
    assert_int_equal(control_domctl(XEN_DOMCTL_deassign_device, other->id, &op), -XEN_ENODEV);
    assert_int_equal(control_domctl(XEN_DOMCTL_deassign_device, d->id, &op), 0);
    assert_int_equal(control_domctl(XEN_DOMCTL_assign_device, other->id, &op), 0);
    assert_int_equal(control_domctl(XEN_DOMCTL_deassign_device, other->id, &op), 0);
    // Without the creation flag only before the domain has run.
    other->creation_flags &= ~(uint32_t)XEN_DOMCTL_CDF_iommu;
    other->created_paused = false;
    assert_int_equal(control_domctl(XEN_DOMCTL_assign_device, other->id, &op), -XEN_EINVAL);
    other->created_paused = true;
    assert_int_equal(control_domctl(XEN_DOMCTL_assign_device, other->id, &op), 0);
    assert_true(other->creation_flags & XEN_DOMCTL_CDF_iommu);
    assert_int_equal(control_domctl(XEN_DOMCTL_deassign_device, other->id, &op), 0);
    request->u.pci.machine_sbdf = 1; // cannot be shown: ends in quarantine
    assert_int_equal(control_domctl(XEN_DOMCTL_assign_device, d->id, &op), -XEN_EBUSY);
    assert_int_equal(control_domctl(XEN_DOMCTL_deassign_device, d->id, &op), -XEN_ENODEV);
    request->u.pci.machine_sbdf = 0x108; // cannot be reset: stays there
    assert_int_equal(control_domctl(XEN_DOMCTL_assign_device, d->id, &op), -XEN_EIO);
    assert_int_equal(control_domctl(XEN_DOMCTL_deassign_device, d->id, &op), -XEN_ENODEV);
    request->u.pci.machine_sbdf = 0x00ff00;
    assert_int_equal(control_domctl(XEN_DOMCTL_assign_device, d->id, &op), -XEN_ENODEV);
    request->dev = XEN_DOMCTL_DEV_DT;
    assert_int_equal(control_domctl(XEN_DOMCTL_assign_device, d->id, &op), -XEN_ENODEV);

    op.u.get_device_group =
        (struct xen_domctl_get_device_group){.machine_sbdf = 0x100, .max_sdevs = 8};
    set_xen_guest_handle(op.u.get_device_group.sdev_array, (uint32_t *)BUFFER_ADDRESS);
    assert_int_equal(control_domctl(XEN_DOMCTL_get_device_group, 0, &op), 0);
    assert_int_equal(op.u.get_device_group.num_sdevs, 1);
    assert_int_equal(*(uint32_t *)control_buffer(), 0x10800);
    control_destroy(d->id);
    control_destroy(other->id);
}

static void lines_are_bound_by_permission(void **state)
{
    struct domain *d = control_create(1);
    struct xen_domctl op = {0};
    struct xen_domctl_bind_pt_irq *request = &op.u.bind_pt_irq;

    (void)state;
    *request = (struct xen_domctl_bind_pt_irq){.machine_irq = 17, .irq_type = PT_IRQ_TYPE_MSI};
    assert_int_equal(control_domctl(XEN_DOMCTL_bind_pt_irq, d->id, &op), -XEN_EOPNOTSUPP);
    request->irq_type = PT_IRQ_TYPE_PCI;
    request->u.pci.device = 3;
    assert_int_equal(control_domctl(XEN_DOMCTL_bind_pt_irq, d->id, &op), -XEN_EPERM);
    assert_int_equal(rangeset_add(domain0->irqs, 0, 23), 0);
    assert_int_equal(control_domctl(XEN_DOMCTL_bind_pt_irq, d->id, &op), -XEN_EPERM);
    assert_int_equal(rangeset_add(d->irqs, 17, 17), 0);
    assert_int_equal(control_domctl(XEN_DOMCTL_bind_pt_irq, d->id, &op), 0);
    request->u.pci.bus = 1;
    assert_int_equal(control_domctl(XEN_DOMCTL_bind_pt_irq, d->id, &op), -XEN_EINVAL);
    request->u.pci.bus = 0;
    assert_int_equal(control_domctl(XEN_DOMCTL_unbind_pt_irq, d->id, &op), 0);
    request->u.pci.device = 4;
    assert_int_equal(control_domctl(XEN_DOMCTL_unbind_pt_irq, d->id, &op), -XEN_ENODEV);
    control_destroy(d->id);
}

static void suspension_is_told_to_the_subscriber(void **state)
{
    struct domain *d = control_create(1);
    struct xen_domctl op = {0};
    evtchn_port_t port, mine;

    (void)state;
    assert_int_equal(event_alloc_unbound(d, 0, &port), 0);
    mine = world_bind(domain0, d->id, port);
    domain0->shared_info->evtchn_pending[0] = 0; // binding itself is an event
    op.u.subscribe.port = port;
    assert_int_equal(control_domctl(XEN_DOMCTL_subscribe, d->id, &op), 0);
    assert_false(event_port_pending(domain0, mine));
    domain_shutdown(d, SHUTDOWN_suspend);
    assert_true(event_port_pending(domain0, mine));
    assert_int_equal(control_domctl(XEN_DOMCTL_getdomaininfo, d->id, &op), 0);
    assert_true(op.u.getdomaininfo.flags & XEN_DOMINF_shutdown);
    assert_int_equal(op.u.getdomaininfo.flags >> XEN_DOMINF_shutdownshift, SHUTDOWN_suspend);
    assert_int_equal(control_domctl(XEN_DOMCTL_soft_reset, d->id, &op), -XEN_EINVAL);
    assert_int_equal(control_domctl(XEN_DOMCTL_resumedomain, d->id, &op), 0);
    assert_false(d->is_shut_down);
    control_destroy(d->id);
}

static void soft_reset(void **state)
{
    struct domain *d = control_create(1);
    struct xen_domctl op = {0};
    evtchn_port_t port;

    (void)state;
    assert_int_equal(event_alloc_unbound(d, 0, &port), 0);
    domain_shutdown(d, SHUTDOWN_soft_reset);
    assert_int_equal(control_domctl(XEN_DOMCTL_soft_reset, d->id, &op), 0);
    assert_int_equal(d->events.active, 0);
    assert_false(d->is_shut_down);
    control_destroy(d->id);
}

static void time_and_virqs(void **state)
{
    struct domain *d = control_create(1);
    struct xen_domctl op = {0};

    (void)state;
    op.u.settimeoffset.time_offset_seconds = -3600;
    assert_int_equal(control_domctl(XEN_DOMCTL_settimeoffset, d->id, &op), 0);
    assert_int_equal(d->time_offset_seconds, -3600);
    op.u.settimeoffset.time_offset_seconds = INT64_MAX;
    assert_int_equal(control_domctl(XEN_DOMCTL_settimeoffset, d->id, &op), -XEN_EINVAL);
    op.u.set_virq_handler.virq = VIRQ_TIMER;
    assert_int_equal(control_domctl(XEN_DOMCTL_set_virq_handler, d->id, &op), -XEN_EINVAL);
    op.u.set_virq_handler.virq = VIRQ_CONSOLE;
    assert_int_equal(control_domctl(XEN_DOMCTL_set_virq_handler, d->id, &op), 0);
    op.u.scheduler_op = (struct xen_domctl_scheduler_op){.sched_id = XEN_SCHEDULER_CREDIT2,
                                                         .cmd = XEN_DOMCTL_SCHEDOP_getinfo};
    assert_int_equal(control_domctl(XEN_DOMCTL_scheduler_op, d->id, &op), 0);
    assert_int_equal(op.u.scheduler_op.u.credit2.weight, 256);
    control_destroy(d->id);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(version_is_checked_first),
        TEST(strangers_are_refused),
        TEST(unknown_commands_and_domains),
        TEST(a_domain_lives),
        TEST(creation_is_checked),
        TEST(vcpus_are_made_a_few_at_a_time),
        TEST(creation_survives_lack_of_memory),
        TEST(destruction_is_preemptible),
        TEST(nobody_stops_himself),
        TEST(device_models_have_few_rights),
        TEST(affinity),
        TEST(vcpus_can_be_inspected),
        TEST(permissions_are_passed_on),
        TEST(device_memory_is_mapped),
        TEST(frames_are_described),
        TEST(one_node),
        TEST(devices_change_hands),
        TEST(lines_are_bound_by_permission),
        TEST(suspension_is_told_to_the_subscriber),
        TEST(soft_reset),
        TEST(time_and_virqs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
