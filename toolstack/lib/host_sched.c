// SPDX-License-Identifier: Apache-2.0
//
// Processor pools, scheduling parameters and affinities. Bitmaps travel in hypercall buffers as
// long as the machine has processors; each function frees its buffers on every way out.
#include <toolstack/host.h>
#include <toolstack/memory.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct error *refused(int result, unsigned int domid, const char *what)
{
    return error_in_domain(error_errno(ERROR_HYPERVISOR, result, "cannot %s", what), NULL,
                           (int)domid);
}

// Asks for the first pool whose id is at least id; -ENOENT after the last.
static int pool_info(struct toolstack *toolstack, uint32_t id, unsigned int cpus,
                     struct cpu_pool *pool)
{
    size_t size = (cpus + 7) / 8;
    uint8_t *bits = hypervisor_buffer(toolstack->hypervisor, size);
    struct xen_sysctl operation = {
        .cmd = XEN_SYSCTL_cpupool_op,
        .u.cpupool_op = {.op = XEN_SYSCTL_CPUPOOL_OP_INFO,
                         .cpupool_id = id,
                         .cpumap.nr_bits = cpus},
    };

    set_xen_guest_handle_raw(operation.u.cpupool_op.cpumap.bitmap, bits);
    int result = hypervisor_sysctl(toolstack->hypervisor, &operation);
    if (result >= 0) {
        pool->id = operation.u.cpupool_op.cpupool_id;
        pool->scheduler = operation.u.cpupool_op.sched_id;
        pool->domains = operation.u.cpupool_op.n_dom;
        cpu_set_make(&pool->cpus, cpus);
        memcpy(pool->cpus.bits, bits, size);
    }
    hypervisor_buffer_free(toolstack->hypervisor, bits);
    return result;
}

struct error *host_list_pools(struct toolstack *toolstack, struct cpu_pool **pools, size_t *count)
{
    unsigned int cpus;
    uint32_t next = 0;

    TRY(host_cpu_limit(toolstack, &cpus));
    TRY(toolstack_open_store(toolstack));
    *pools = NULL;
    *count = 0;
    for (;;) {
        struct cpu_pool pool = {0};
        int result = pool_info(toolstack, next, cpus, &pool);

        if (result == -ENOENT || (result >= 0 && pool.id < next)) {
            cpu_set_free(&pool.cpus);
            return NULL;
        }
        if (result < 0) {
            host_free_pools(*pools, *count);
            return error_errno(ERROR_HYPERVISOR, result, "cannot list the processor pools");
        }
        pool.name = store_read(toolstack->store, "/local/pool/%u/name", pool.id);
        if (!pool.name)
            pool.name = memory_format("Pool-%u", pool.id);
        *pools = memory_resized(*pools, *count + 1, sizeof(pool));
        (*pools)[(*count)++] = pool;
        next = pool.id + 1;
    }
}

void host_free_pools(struct cpu_pool *pools, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(pools[i].name);
        cpu_set_free(&pools[i].cpus);
    }
    free(pools);
}

struct error *host_find_pool(struct toolstack *toolstack, const char *text, uint32_t *id)
{
    struct cpu_pool *pools;
    size_t count;
    bool found = false;

    TRY(host_list_pools(toolstack, &pools, &count));
    for (size_t i = 0; i < count && !found; i++) {
        char number[16];

        snprintf(number, sizeof(number), "%u", pools[i].id);
        if (!strcmp(pools[i].name, text) || !strcmp(number, text)) {
            *id = pools[i].id;
            found = true;
        }
    }
    host_free_pools(pools, count);
    return found ? NULL
                 : error_advice(error_new(ERROR_VALUE, "%s is no processor pool", text),
                                "xl cpupool-list shows the pools that there are.");
}

struct error *host_pool_operation(struct toolstack *toolstack,
                                  struct xen_sysctl_cpupool_op *operation)
{
    TRY(toolstack_open_hypervisor(toolstack));
    struct xen_sysctl call = {.cmd = XEN_SYSCTL_cpupool_op, .u.cpupool_op = *operation};
    int result = hypervisor_sysctl(toolstack->hypervisor, &call);

    *operation = call.u.cpupool_op;
    if (result >= 0)
        return NULL;
    struct error *error = error_errno(ERROR_HYPERVISOR, result, "cannot change processor pools");

    if (result == -EBUSY)
        return error_advice(error, "The pool still holds domains, or the processor is in use.");
    return error;
}

static struct error *credit2(struct toolstack *toolstack, unsigned int domid, uint32_t command,
                             struct xen_domctl_sched_credit2 *parameters)
{
    TRY(toolstack_open_hypervisor(toolstack));
    struct xen_domctl operation = {
        .cmd = XEN_DOMCTL_scheduler_op,
        .domain = (domid_t)domid,
        .u.scheduler_op = {.sched_id = XEN_SCHEDULER_CREDIT2,
                           .cmd = command,
                           .u.credit2 = *parameters},
    };
    int result = hypervisor_domctl(toolstack->hypervisor, &operation);

    *parameters = operation.u.scheduler_op.u.credit2;
    return result < 0 ? refused(result, domid, "use credit2's parameters") : NULL;
}

struct error *domain_get_credit2(struct toolstack *toolstack, unsigned int domid,
                                 struct xen_domctl_sched_credit2 *parameters)
{
    return credit2(toolstack, domid, XEN_DOMCTL_SCHEDOP_getinfo, parameters);
}

struct error *domain_set_credit2(struct toolstack *toolstack, unsigned int domid,
                                 struct xen_domctl_sched_credit2 *parameters)
{
    return credit2(toolstack, domid, XEN_DOMCTL_SCHEDOP_putinfo, parameters);
}

struct error *host_credit2_rate_limit(struct toolstack *toolstack, uint32_t pool, bool set,
                                      uint32_t *microseconds)
{
    TRY(toolstack_open_hypervisor(toolstack));
    struct xen_sysctl operation = {
        .cmd = XEN_SYSCTL_scheduler_op,
        .u.scheduler_op = {.cpupool_id = pool,
                           .sched_id = XEN_SCHEDULER_CREDIT2,
                           .cmd = set ? XEN_SYSCTL_SCHEDOP_putinfo : XEN_SYSCTL_SCHEDOP_getinfo},
    };

    operation.u.scheduler_op.u.sched_credit2.ratelimit_us = *microseconds;
    int result = hypervisor_sysctl(toolstack->hypervisor, &operation);
    *microseconds = operation.u.scheduler_op.u.sched_credit2.ratelimit_us;
    if (result < 0)
        return error_errno(ERROR_HYPERVISOR, result, "cannot use credit2's rate limit");
    return NULL;
}

static int get_affinity(struct hypervisor *hypervisor, unsigned int domid, unsigned int vcpu,
                        struct vcpu_info_line *line)
{
    size_t size = (line->hard.count + 7) / 8;
    uint8_t *maps = hypervisor_buffer(hypervisor, 2 * size);
    struct xen_domctl operation = {.cmd = XEN_DOMCTL_getvcpuaffinity, .domain = (domid_t)domid};
    struct xen_domctl_vcpuaffinity *affinity = &operation.u.vcpuaffinity;

    affinity->vcpu = vcpu;
    affinity->flags = XEN_VCPUAFFINITY_HARD | XEN_VCPUAFFINITY_SOFT;
    affinity->cpumap_hard.nr_bits = affinity->cpumap_soft.nr_bits = line->hard.count;
    set_xen_guest_handle_raw(affinity->cpumap_hard.bitmap, maps);
    set_xen_guest_handle_raw(affinity->cpumap_soft.bitmap, maps + size);
    int result = hypervisor_domctl(hypervisor, &operation);
    memcpy(line->hard.bits, maps, size);
    memcpy(line->soft.bits, maps + size, size);
    hypervisor_buffer_free(hypervisor, maps);
    return result;
}

struct error *domain_get_vcpu(struct toolstack *toolstack, unsigned int domid, unsigned int vcpu,
                              struct vcpu_info_line *line)
{
    unsigned int cpus;

    TRY(host_cpu_limit(toolstack, &cpus));
    struct xen_domctl operation = {.cmd = XEN_DOMCTL_getvcpuinfo, .domain = (domid_t)domid};

    operation.u.getvcpuinfo.vcpu = vcpu;
    int result = hypervisor_domctl(toolstack->hypervisor, &operation);
    if (result < 0)
        return refused(result, domid, "look at a vcpu");
    line->info = operation.u.getvcpuinfo;
    cpu_set_make(&line->hard, cpus);
    cpu_set_make(&line->soft, cpus);
    result = get_affinity(toolstack->hypervisor, domid, vcpu, line);
    if (result >= 0)
        return NULL;
    cpu_set_free(&line->hard);
    cpu_set_free(&line->soft);
    return refused(result, domid, "ask where a vcpu may run");
}

struct error *domain_set_affinity(struct toolstack *toolstack, unsigned int domid,
                                  unsigned int vcpu, const struct cpu_set *hard,
                                  const struct cpu_set *soft, bool force)
{
    TRY(toolstack_open_hypervisor(toolstack));
    unsigned int count = hard ? hard->count : soft ? soft->count : 0;
    size_t size = (count + 7) / 8;
    uint8_t *maps = hypervisor_buffer(toolstack->hypervisor, 2 * size);
    struct xen_domctl operation = {.cmd = XEN_DOMCTL_setvcpuaffinity, .domain = (domid_t)domid};
    struct xen_domctl_vcpuaffinity *affinity = &operation.u.vcpuaffinity;

    affinity->vcpu = vcpu;
    affinity->flags = force ? XEN_VCPUAFFINITY_FORCE : 0;
    affinity->cpumap_hard.nr_bits = affinity->cpumap_soft.nr_bits = count;
    set_xen_guest_handle_raw(affinity->cpumap_hard.bitmap, maps);
    set_xen_guest_handle_raw(affinity->cpumap_soft.bitmap, maps + size);
    if (hard) {
        affinity->flags |= XEN_VCPUAFFINITY_HARD;
        memcpy(maps, hard->bits, size);
    }
    if (soft) {
        affinity->flags |= XEN_VCPUAFFINITY_SOFT;
        memcpy(maps + size, soft->bits, size);
    }
    int result = hypervisor_domctl(toolstack->hypervisor, &operation);
    hypervisor_buffer_free(toolstack->hypervisor, maps);
    return result < 0 ? refused(result, domid, "set where a vcpu may run") : NULL;
}
