// SPDX-License-Identifier: Apache-2.0
// The sysctl commands that report on the machine: console ring, processors, memory, domains.
// All read data that is constant after boot, or counters whose momentary value will do.
// Errors: -XEN_EFAULT when the caller's buffer is not there; counts are always checked against
// what exists, never the other way round.

#include <bulkhead/arch/control.h>
#include <bulkhead/console.h>
#include <bulkhead/control.h>
#include <bulkhead/cpu.h>
#include <bulkhead/cpumask.h>
#include <bulkhead/debug_key.h>
#include <bulkhead/domain.h>
#include <bulkhead/guest_access.h>
#include <bulkhead/iommu.h>
#include <bulkhead/page.h>
#include <bulkhead/pci.h>
#include <bulkhead/sched.h>

#include "sysctl_internal.h"

#define PIECE 256u
#define MAX_DEBUG_KEYS 128u
#define LOCAL_DISTANCE 10u // of a NUMA node to itself, as ACPI counts

int control_give_cpumask(const struct xenctl_bitmap *bitmap, const struct cpumask *mask)
{
    size_t bytes = DIV_ROUND_UP((size_t)bitmap->nr_bits, 8);
    size_t ours = MIN(bytes, sizeof(mask->bits));
    gva_t at = guest_handle_address(bitmap->bitmap);
    struct cpumask cut = *mask;

    if (bytes > PAGE_SIZE) {
        bytes = PAGE_SIZE; // nobody has that many CPUs; what is beyond stays as it is
    }
    if (bitmap->nr_bits < MAX_CPUS && bitmap->nr_bits % 8) {
        uint8_t *last = (uint8_t *)cut.bits + bytes - 1;

        *last &= (uint8_t)((1u << (bitmap->nr_bits % 8)) - 1);
    }
    if (copy_to_guest(at, cut.bits, ours) || clear_guest(GVA(at.a + ours), bytes - ours)) {
        return -XEN_EFAULT;
    }
    return 0;
}

int control_take_cpumask(struct cpumask *mask, const struct xenctl_bitmap *bitmap)
{
    uint32_t bits = MIN(bitmap->nr_bits, MAX_CPUS);
    unsigned int cpu;

    cpumask_clear(mask);
    if (copy_from_guest(mask->bits, guest_handle_address(bitmap->bitmap), DIV_ROUND_UP(bits, 8))) {
        return -XEN_EFAULT;
    }
    for (cpu = bits; cpu < ALIGN_UP(bits, 8u); cpu++) {
        cpumask_unset(mask, cpu);
    }
    return 0;
}

ns_t control_idle_time(unsigned int cpu)
{
    const struct cpu *c = cpus[cpu];
    ns_t since = __atomic_load_n(&c->idle_since, __ATOMIC_RELAXED);
    ns_t total = __atomic_load_n(&c->idle_total, __ATOMIC_RELAXED);

    return since ? total + MAX(now() - since, (ns_t)0) : total;
}

int sysctl_read_console(struct xen_sysctl *op)
{
    struct xen_sysctl_readconsole *request = &op->u.readconsole;
    uint32_t index = request->incremental ? request->index : 0;
    uint32_t done = 0;
    char piece[PIECE];

    while (done < request->count) {
        size_t count = console_ring_read(&index, piece, MIN(request->count - done, PIECE), false);

        if (!count) {
            break;
        }
        if (copy_to_handle(request->buffer, done, piece, count)) {
            return -XEN_EFAULT;
        }
        done += (uint32_t)count;
    }
    if (request->clear) {
        uint32_t unused = index;

        console_ring_read(&unused, piece, 0, true);
    }
    request->index = index;
    request->count = done;
    return 0;
}

int sysctl_physinfo(struct xen_sysctl *op)
{
    struct xen_sysctl_physinfo *info = &op->u.physinfo;
    unsigned int cpu;

    *info = (struct xen_sysctl_physinfo){0};
    info->nr_cpus = cpumask_weight(&online_cpus);
    for_each_cpu (cpu, &online_cpus) {
        info->max_cpu_id = cpu;
    }
    info->nr_nodes = 1;
    info->total_pages = page_total_count();
    info->free_pages = page_free_count();
    // Unscrubbed frames are among the free ones: they are cleaned when they are handed out.
    info->outstanding_pages = page_claimed_count();
    info->max_mfn = frame_table_frames - 1;
    info->capabilities = XEN_SYSCTL_PHYSCAP_gnttab_v1 | XEN_SYSCTL_PHYSCAP_gnttab_v2;
    if (iommu_enabled()) {
        info->capabilities |= XEN_SYSCTL_PHYSCAP_directio | XEN_SYSCTL_PHYSCAP_iommu_hap_pt_share;
    }
    arch_physinfo(info);
    return 0;
}

int sysctl_domain_list(struct xen_sysctl *op)
{
    struct xen_sysctl_getdomaininfolist *request = &op->u.getdomaininfolist;
    struct xen_domctl_getdomaininfo info;
    uint32_t next = request->first_domain;
    struct domain *d;

    request->num_domains = 0;
    while (request->num_domains < request->max_domains && next < DOMID_FIRST_RESERVED &&
           (d = domain_next((domid_t)next)) != NULL) {
        next = d->id + 1u;
        control_domain_info(d, &info);
        domain_put(d);
        if (copy_to_handle(request->buffer, request->num_domains, &info, 1)) {
            return -XEN_EFAULT;
        }
        request->num_domains++;
        interrupt_window();
    }
    return 0;
}

int sysctl_debug_keys(struct xen_sysctl *op)
{
    struct xen_sysctl_debug_keys *request = &op->u.debug_keys;

    if (request->nr_keys > MAX_DEBUG_KEYS) {
        return -XEN_E2BIG;
    }
    for (uint32_t i = 0; i < request->nr_keys; i++) {
        char key;

        if (copy_from_handle(&key, request->keys, i, 1)) {
            return -XEN_EFAULT;
        }
        debug_key_handle(key);
    }
    return 0;
}

int sysctl_cpu_info(struct xen_sysctl *op)
{
    struct xen_sysctl_getcpuinfo *request = &op->u.getcpuinfo;
    unsigned int count = MIN(request->max_cpus, MAX_CPUS);

    request->nr_cpus = 0;
    for (unsigned int cpu = 0; cpu < count && cpumask_next(&online_cpus, cpu) < MAX_CPUS; cpu++) {
        struct xen_sysctl_cpuinfo info = {0};

        if (cpumask_test(&online_cpus, cpu)) {
            info.idletime = (uint64_t)control_idle_time(cpu);
        }
        if (copy_to_handle(request->info, cpu, &info, 1)) {
            return -XEN_EFAULT;
        }
        request->nr_cpus = cpu + 1;
    }
    return 0;
}

int sysctl_available_heap(struct xen_sysctl *op)
{
    struct xen_sysctl_availheap *request = &op->u.availheap;

    if (request->node != -1 && request->node != 0) {
        return -XEN_EINVAL;
    }
    // The allocator does not count by address.
    if (request->min_bitwidth || request->max_bitwidth) {
        return -XEN_EOPNOTSUPP;
    }
    request->avail_bytes = page_free_count() << PAGE_SHIFT;
    return 0;
}

int sysctl_cpu_topology(struct xen_sysctl *op)
{
    struct xen_sysctl_cputopoinfo *request = &op->u.cputopoinfo;
    unsigned int cpu, total = 0;

    for_each_cpu (cpu, &online_cpus) {
        total = cpu + 1;
    }
    for (cpu = 0; request->cputopo.p && cpu < MIN(request->num_cpus, total); cpu++) {
        struct xen_sysctl_cputopo topology = {XEN_INVALID_CORE_ID, XEN_INVALID_SOCKET_ID,
                                              XEN_INVALID_NODE_ID};

        if (cpumask_test(&online_cpus, cpu)) {
            arch_cpu_topology(cpu, &topology);
        }
        if (copy_to_handle(request->cputopo, cpu, &topology, 1)) {
            return -XEN_EFAULT;
        }
    }
    request->num_cpus = total;
    return 0;
}

// One node: the page allocator does not tell memory apart yet.
int sysctl_numa_info(struct xen_sysctl *op)
{
    struct xen_sysctl_numainfo *request = &op->u.numainfo;
    struct xen_sysctl_meminfo memory = {page_total_count() << PAGE_SHIFT, page_free_count()
                                                                              << PAGE_SHIFT};
    uint32_t distance = LOCAL_DISTANCE;

    if (request->num_nodes) {
        if (request->meminfo.p && copy_to_handle(request->meminfo, 0, &memory, 1)) {
            return -XEN_EFAULT;
        }
        if (request->distance.p && copy_to_handle(request->distance, 0, &distance, 1)) {
            return -XEN_EFAULT;
        }
    }
    request->num_nodes = 1;
    return 0;
}

int sysctl_pci_topology(struct xen_sysctl *op)
{
    struct xen_sysctl_pcitopoinfo *request = &op->u.pcitopoinfo;

    for (uint32_t i = 0; i < request->num_devs; i++) {
        struct physdev_pci_device device;
        struct pci_device *pdev;
        uint32_t node = XEN_INVALID_DEV;

        // What is left of a list that takes too long the caller asks for again.
        if (i && preempt_needed()) {
            request->num_devs = i;
            break;
        }
        if (copy_from_handle(&device, request->devs, i, 1)) {
            return -XEN_EFAULT;
        }
        pdev = pci_device_find(PCI_SBDF(device.seg, device.bus, device.devfn));
        if (pdev && !pdev->removed) {
            node = 0;
        }
        if (copy_to_handle(request->nodes, i, &node, 1)) {
            return -XEN_EFAULT;
        }
    }
    return 0;
}
