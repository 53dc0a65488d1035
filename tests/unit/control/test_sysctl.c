// SPDX-License-Identifier: Apache-2.0
// Sysctl: who may call it, what it reports of the machine, CPU pools.

#include "control.h"

#include <string.h>

#include <bulkhead/page.h>
#include <bulkhead/sched.h>

#define TEST(name) cmocka_unit_test_setup_teardown(name, control_start, control_stop)

static void access_is_checked(void **state)
{
    struct domain *guest = world_create(7, &(struct world_config){0});
    struct xen_sysctl op = {0};
    struct xen_sysctl *there = world_page(domain0, ARGUMENT_GFN);

    (void)state;
    for (uint32_t cmd = 0; cmd < 40; cmd++) {
        assert_int_equal(control_sysctl_by(guest->vcpus[0], cmd, &op), -XEN_EPERM);
    }
    world_destroy(guest);
    *there = (struct xen_sysctl){.cmd = XEN_SYSCTL_physinfo,
                                 .interface_version = XEN_SYSCTL_INTERFACE_VERSION + 1};
    assert_int_equal(
        control_call(domain0->vcpus[0], do_sysctl, ARGUMENT_GFN << PAGE_SHIFT, 0, 0, 0, 0),
        -XEN_EACCES);
    assert_int_equal(control_call(domain0->vcpus[0], do_sysctl, 1UL << 63, 0, 0, 0, 0),
                     -XEN_EFAULT);
    assert_int_equal(control_sysctl(0, &op), -XEN_ENOSYS);
    assert_int_equal(control_sysctl(XEN_SYSCTL_perfc_op, &op), -XEN_ENOSYS);
    assert_int_equal(control_sysctl(1000, &op), -XEN_ENOSYS);
    assert_int_equal(control_sysctl(XEN_SYSCTL_livepatch_op, &op), -XEN_EOPNOTSUPP);
    assert_int_equal(control_sysctl(XEN_SYSCTL_get_pmstat, &op), -XEN_ENODEV);
}

static void the_machine(void **state)
{
    struct xen_sysctl op = {0};
    struct xen_sysctl_physinfo *info = &op.u.physinfo;

    (void)state;
    assert_int_equal(control_sysctl(XEN_SYSCTL_physinfo, &op), 0);
    assert_int_equal(info->nr_cpus, WORLD_CPUS);
    assert_int_equal(info->max_cpu_id, WORLD_CPUS - 1);
    assert_int_equal(info->nr_nodes, 1);
    assert_int_equal(info->total_pages, page_total_count());
    assert_int_equal(info->free_pages, page_free_count());
    assert_true(info->capabilities & XEN_SYSCTL_PHYSCAP_directio);
    iommu_is_there = false;
    assert_int_equal(control_sysctl(XEN_SYSCTL_physinfo, &op), 0);
    assert_false(info->capabilities & XEN_SYSCTL_PHYSCAP_directio);
    assert_int_equal(control_sysctl(XEN_SYSCTL_sched_id, &op), 0);
    assert_int_equal(op.u.sched_id.sched_id, XEN_SCHEDULER_CREDIT2);
    op.u.availheap = (struct xen_sysctl_availheap){.node = -1};
    assert_int_equal(control_sysctl(XEN_SYSCTL_availheap, &op), 0);
    assert_int_equal(op.u.availheap.avail_bytes, page_free_count() << PAGE_SHIFT);
    op.u.availheap = (struct xen_sysctl_availheap){.node = 3};
    assert_int_equal(control_sysctl(XEN_SYSCTL_availheap, &op), -XEN_EINVAL);
}

static void domains_are_listed(void **state)
{
    struct domain *a = control_create(1), *b = control_create(2);
    struct xen_sysctl op = {0};
    struct xen_sysctl_getdomaininfolist *request = &op.u.getdomaininfolist;
    struct xen_domctl_getdomaininfo *list = control_buffer();

    (void)state;
    set_xen_guest_handle(request->buffer, (xen_domctl_getdomaininfo_t *)BUFFER_ADDRESS);
    request->max_domains = 10;
    assert_int_equal(control_sysctl(XEN_SYSCTL_getdomaininfolist, &op), 0);
    assert_int_equal(request->num_domains, 3);
    assert_int_equal(list[0].domain, 0);
    assert_int_equal(list[0].nr_online_vcpus, 2);
    assert_int_equal(list[1].domain, a->id);
    assert_int_equal(list[2].domain, b->id);
    assert_int_equal(list[2].max_vcpu_id, 1);
    request->first_domain = b->id;
    assert_int_equal(control_sysctl(XEN_SYSCTL_getdomaininfolist, &op), 0);
    assert_int_equal(request->num_domains, 1);
    request->first_domain = 0;
    request->max_domains = 2;
    assert_int_equal(control_sysctl(XEN_SYSCTL_getdomaininfolist, &op), 0);
    assert_int_equal(request->num_domains, 2);
    request->first_domain = DOMID_SELF;
    assert_int_equal(control_sysctl(XEN_SYSCTL_getdomaininfolist, &op), 0);
    assert_int_equal(request->num_domains, 0);
    request->first_domain = 0;
    set_xen_guest_handle(request->buffer, (xen_domctl_getdomaininfo_t *)(1UL << 63));
    assert_int_equal(control_sysctl(XEN_SYSCTL_getdomaininfolist, &op), -XEN_EFAULT);
    control_destroy(a->id);
    control_destroy(b->id);
}

static void topology(void **state)
{
    struct xen_sysctl op = {0};
    struct xen_sysctl_cputopo *cpu = control_buffer();
    struct xen_sysctl_meminfo *memory = control_buffer();
    struct physdev_pci_device *device = control_buffer();
    uint32_t *node = (uint32_t *)((char *)control_buffer() + 1024);

    (void)state;
    assert_int_equal(control_sysctl(XEN_SYSCTL_cputopoinfo, &op), 0);
    assert_int_equal(op.u.cputopoinfo.num_cpus, WORLD_CPUS);
    op.u.cputopoinfo.num_cpus = 3;
    cpu[3].core = 77;
    set_xen_guest_handle(op.u.cputopoinfo.cputopo, (xen_sysctl_cputopo_t *)BUFFER_ADDRESS);
    assert_int_equal(control_sysctl(XEN_SYSCTL_cputopoinfo, &op), 0);
    assert_int_equal(cpu[2].core, 2);
    assert_int_equal(cpu[3].core, 77);

    op = (struct xen_sysctl){0};
    assert_int_equal(control_sysctl(XEN_SYSCTL_numainfo, &op), 0);
    assert_int_equal(op.u.numainfo.num_nodes, 1);
    set_xen_guest_handle(op.u.numainfo.meminfo, (xen_sysctl_meminfo_t *)BUFFER_ADDRESS);
    assert_int_equal(control_sysctl(XEN_SYSCTL_numainfo, &op), 0);
    assert_int_equal(memory->memsize, page_total_count() << PAGE_SHIFT);

    op = (struct xen_sysctl){0};
    device[0] = (struct physdev_pci_device){0, 1, 8};
    device[1] = (struct physdev_pci_device){0, 2, 0};
    op.u.pcitopoinfo.num_devs = 2;
    set_xen_guest_handle(op.u.pcitopoinfo.devs, (physdev_pci_device_t *)BUFFER_ADDRESS);
    set_xen_guest_handle(op.u.pcitopoinfo.nodes, (uint32_t *)(BUFFER_ADDRESS + 1024));
    assert_int_equal(control_sysctl(XEN_SYSCTL_pcitopoinfo, &op), 0);
    assert_int_equal(op.u.pcitopoinfo.num_devs, 2);
    assert_int_equal(node[0], 0);
    assert_int_equal(node[1], XEN_INVALID_DEV);
    sim_interrupt_every(1);
    assert_int_equal(control_sysctl(XEN_SYSCTL_pcitopoinfo, &op), 0);
    sim_interrupt_every(0);
    assert_int_equal(op.u.pcitopoinfo.num_devs, 1); // the caller asks for the rest
}

static void the_console_ring(void **state)
{
    struct xen_sysctl op = {0};
    struct xen_sysctl_readconsole *request = &op.u.readconsole;

    (void)state;
    strcpy(console_ring, "one line\nanother\n");
    set_xen_guest_handle(request->buffer, (char *)BUFFER_ADDRESS);
    request->count = 8;
    assert_int_equal(control_sysctl(XEN_SYSCTL_readconsole, &op), 0);
    assert_int_equal(request->count, 8);
    assert_memory_equal(control_buffer(), "one line", 8);
    request->incremental = 1;
    request->count = 100;
    request->clear = 1;
    assert_int_equal(control_sysctl(XEN_SYSCTL_readconsole, &op), 0);
    assert_int_equal(request->count, 9);
    assert_memory_equal(control_buffer(), "\nanother\n", 9);
    assert_int_equal(console_ring[0], 0);
    strcpy(console_ring, "x");
    request->incremental = 0;
    set_xen_guest_handle(request->buffer, (char *)(1UL << 63));
    assert_int_equal(control_sysctl(XEN_SYSCTL_readconsole, &op), -XEN_EFAULT);
}

static void processors_and_keys(void **state)
{
    struct xen_sysctl op = {0};
    struct xen_sysctl_cpuinfo *info = control_buffer();

    (void)state;
    cpus[1]->idle_total = 1000;
    cpus[1]->idle_since = 0;
    op.u.getcpuinfo.max_cpus = 100;
    set_xen_guest_handle(op.u.getcpuinfo.info, (xen_sysctl_cpuinfo_t *)BUFFER_ADDRESS);
    assert_int_equal(control_sysctl(XEN_SYSCTL_getcpuinfo, &op), 0);
    assert_int_equal(op.u.getcpuinfo.nr_cpus, WORLD_CPUS);
    assert_int_equal(info[1].idletime, 1000);
    op = (struct xen_sysctl){0};
    set_xen_guest_handle(op.u.debug_keys.keys, (const char *)BUFFER_ADDRESS);
    op.u.debug_keys.nr_keys = 3;
    strcpy(control_buffer(), "\377?r");
    assert_int_equal(control_sysctl(XEN_SYSCTL_debug_keys, &op), 0);
    op.u.debug_keys.nr_keys = 1000000;
    assert_int_equal(control_sysctl(XEN_SYSCTL_debug_keys, &op), -XEN_E2BIG);
}

static int64_t pool_op(uint32_t operation, uint32_t pool, uint32_t cpu, uint32_t domid,
                       struct xen_sysctl_cpupool_op *out)
{
    struct xen_sysctl op = {0};
    int64_t result;

    op.u.cpupool_op = (struct xen_sysctl_cpupool_op){.op = operation,
                                                     .cpupool_id = pool,
                                                     .sched_id = XEN_SCHEDULER_CREDIT2,
                                                     .cpu = cpu,
                                                     .domid = domid};
    op.u.cpupool_op.cpumap.nr_bits = 64;
    set_xen_guest_handle(op.u.cpupool_op.cpumap.bitmap, (uint8_t *)BUFFER_ADDRESS);
    result = control_sysctl(XEN_SYSCTL_cpupool_op, &op);
    if (out) {
        *out = op.u.cpupool_op;
    }
    return result;
}

static void cpu_pools(void **state)
{
    struct domain *d = control_create(1);
    struct xen_sysctl_cpupool_op info;
    uint64_t *map = control_buffer();

    (void)state;
    // CPU 0 runs the caller; the others are idle.
    assert_int_equal(pool_op(XEN_SYSCTL_CPUPOOL_OP_INFO, 0, 0, 0, &info), 0);
    assert_int_equal(*map, 0xff);
    assert_int_equal(info.n_dom, 2);
    assert_int_equal(pool_op(XEN_SYSCTL_CPUPOOL_OP_CREATE, ~0u, 0, 0, &info), 0);
    assert_int_equal(info.cpupool_id, 1);
    assert_int_equal(pool_op(XEN_SYSCTL_CPUPOOL_OP_RMCPU, 0, 5, 0, NULL), 0);
    assert_int_equal(pool_op(XEN_SYSCTL_CPUPOOL_OP_FREEINFO, 0, 0, 0, NULL), 0);
    assert_int_equal(*map, 0x20);
    assert_int_equal(pool_op(XEN_SYSCTL_CPUPOOL_OP_ADDCPU, 1, 5, 0, NULL), 0);
    assert_int_equal(pool_op(XEN_SYSCTL_CPUPOOL_OP_MOVEDOMAIN, 1, 0, d->id, NULL), 0);
    assert_int_equal(cpupool_id(d->pool), 1);
    assert_int_equal(pool_op(XEN_SYSCTL_CPUPOOL_OP_MOVEDOMAIN, 1, 0, 0, NULL), -XEN_EPERM);
    assert_int_equal(pool_op(XEN_SYSCTL_CPUPOOL_OP_MOVEDOMAIN, 1, 0, 999, NULL), -XEN_ESRCH);
    assert_int_equal(pool_op(XEN_SYSCTL_CPUPOOL_OP_MOVEDOMAIN, 1, 0, 99999, NULL), -XEN_EINVAL);
    assert_int_equal(pool_op(XEN_SYSCTL_CPUPOOL_OP_DESTROY, 1, 0, 0, NULL), -XEN_EBUSY);
    control_destroy(d->id);
    assert_int_equal(pool_op(XEN_SYSCTL_CPUPOOL_OP_RMCPU, 1, 5, 0, NULL), 0);
    assert_int_equal(pool_op(XEN_SYSCTL_CPUPOOL_OP_DESTROY, 1, 0, 0, NULL), 0);
    assert_int_equal(pool_op(XEN_SYSCTL_CPUPOOL_OP_ADDCPU, 0, 5, 0, NULL), 0);
    assert_int_equal(pool_op(XEN_SYSCTL_CPUPOOL_OP_DESTROY, 0, 0, 0, NULL), -XEN_EBUSY);
}

// The pool structure that an earlier destruction left for reuse is not a leak of the test.
static int start_with_spare_pool(void **state)
{
    int error = world_start(state);
    struct xen_sysctl_cpupool_op op = {
        .op = XEN_SYSCTL_CPUPOOL_OP_CREATE, .cpupool_id = 1, .sched_id = XEN_SCHEDULER_CREDIT2};
    struct cpumask unused;

    error = error ? error : sched_cpupool_op(&op, &unused);
    op.op = XEN_SYSCTL_CPUPOOL_OP_DESTROY;
    return error ? error : sched_cpupool_op(&op, &unused);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(access_is_checked), TEST(the_machine),      TEST(domains_are_listed),
        TEST(topology),          TEST(the_console_ring), TEST(processors_and_keys),
        TEST(cpu_pools),
    };

    return cmocka_run_group_tests(tests, start_with_spare_pool, NULL);
}
