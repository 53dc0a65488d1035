// SPDX-License-Identifier: Apache-2.0
// CPU pools: sets of CPUs with a run queue each. A domain belongs to one pool.
// Data: a list of pools in use, ascending by id; pool structures are never freed but used again,
// because a CPU may still be about to lock the queue of a pool that has just gone.
// Locking: pools_lock over the list and over moves (domains, CPUs); then the queues' locks, one
// after the other, never two at once. All operations are made by domain 0's toolstack.
// Errors: everything is checked before anything changes; memory is got first.

#include <bulkhead/console.h>
#include <bulkhead/heap.h>

#include "run_queue.h"

struct cpupool *pool0;
static struct list pools = {&pools, &pools};
static struct list unused = {&unused, &unused};
static struct spinlock pools_lock = SPINLOCK_INIT;

struct cpupool *cpupool_by_id(uint32_t id)
{
    struct cpupool *pool, *found = NULL;

    spin_lock(&pools_lock);
    list_for_each (pool, &pools, link) {
        if (pool->id == id) {
            found = pool;
        }
    }
    spin_unlock(&pools_lock);
    return found;
}

uint32_t cpupool_id(const struct cpupool *pool)
{
    return pool->id;
}

const struct cpumask *cpupool_cpus(const struct cpupool *pool)
{
    return &pool->queue.cpus;
}

// The pool with that id, or the next one. pools_lock held.
static struct cpupool *pool_from(uint32_t id)
{
    struct cpupool *pool;

    list_for_each (pool, &pools, link) {
        if (pool->id >= id) {
            return pool;
        }
    }
    return NULL;
}

static struct cpupool *find_pool(uint32_t id)
{
    struct cpupool *pool = pool_from(id);

    return pool && pool->id == id ? pool : NULL;
}

static void pool_reset(struct cpupool *pool, uint32_t id, bool null)
{
    struct run_queue *rq = &pool->queue;

    // The lock stays as it is: somebody may hold it for a last look.
    pool->id = id;
    pool->domain_count = 0;
    rq->null = null;
    list_init(&rq->waiting);
    list_init(&rq->domains);
    rq->max_weight = 1;
    rq->soft_vcpus = 0;
    rq->ratelimit = RATELIMIT_DEFAULT;
}

// Creates a pool; pools_lock held. id XEN_SYSCTL_CPUPOOL_PAR_ANY: the first that is free.
static int pool_create(uint32_t id, bool null, struct cpupool **out)
{
    struct cpupool *pool, *before;
    uint32_t free_id = 0;

    list_for_each (before, &pools, link) {
        free_id += before->id == free_id;
    }
    if (id == XEN_SYSCTL_CPUPOOL_PAR_ANY) {
        id = free_id;
    } else if (find_pool(id)) {
        return -XEN_EEXIST;
    }
    if (list_empty(&unused)) {
        pool = heap_new(struct cpupool);
        if (!pool) {
            return -XEN_ENOMEM;
        }
    } else {
        pool = list_entry(unused.next, struct cpupool, link);
        list_remove(&pool->link);
    }
    pool_reset(pool, id, null);
    before = pool_from(id);
    list_add_tail(before ? &before->link : &pools, &pool->link);
    *out = pool;
    return 0;
}

int cpupool_init(void)
{
    return pool_create(0, sched_default_null, &pool0);
}

static void update_all_allowed(struct run_queue *rq)
{
    struct sched_domain *sd;
    struct sched_vcpu *sv;

    list_for_each (sd, &rq->domains, link) {
        list_for_each (sv, &sd->vcpus, domain_link) {
            update_allowed(rq, sv);
            if (rq->null) {
                null_allowed_changed(rq, sv);
            }
        }
    }
}

// Makes every CPU of the queue choose again, because what is allowed where has changed.
static void tell_all(struct run_queue *rq)
{
    unsigned int cpu;

    for_each_cpu (cpu, &rq->cpus) {
        tell_cpu(rq, cpu);
    }
}

static void add_cpu(struct cpupool *pool, struct sched_cpu *sc)
{
    struct run_queue *rq = &pool->queue;

    spin_lock(&rq->lock);
    cpumask_set(&rq->cpus, sc->cpu->id);
    __atomic_store_n(&sc->queue, rq, __ATOMIC_RELEASE);
    update_all_allowed(rq);
    tell_all(rq);
    spin_unlock(&rq->lock);
}

void cpupool_add_boot_cpu(struct sched_cpu *sc)
{
    spin_lock(&pools_lock);
    add_cpu(pool0, sc);
    spin_unlock(&pools_lock);
}

// Takes a CPU out; -XEN_ERESTART while its vcpu has not yet left it.
static int remove_cpu(struct cpupool *pool, unsigned int cpu)
{
    struct run_queue *rq = &pool->queue;
    struct sched_cpu *sc = sched_cpu_of(cpu);
    bool busy;

    spin_lock(&rq->lock);
    if (cpumask_test(&rq->cpus, cpu)) {
        cpumask_unset(&rq->cpus, cpu);
        update_all_allowed(rq);
        tell_all(rq);
    }
    busy = sc->current || sc->cpu->current;
    if (busy) {
        cpu_raise_work(cpu, CPU_WORK_SCHEDULE);
    } else {
        cpumask_unset(&rq->idle, cpu);
        __atomic_store_n(&sc->queue, NULL, __ATOMIC_RELEASE);
    }
    spin_unlock(&rq->lock);
    return busy ? -XEN_ERESTART : 0;
}

static bool cpu_exists(uint32_t cpu)
{
    return cpu < MAX_CPUS && cpumask_test(&online_cpus, cpu) && cpus[cpu] && cpus[cpu]->sched;
}

static bool cpu_is_free(unsigned int cpu)
{
    return cpu_exists(cpu) && !sched_cpu_of(cpu)->queue;
}

static void free_cpus(struct cpumask *out)
{
    unsigned int cpu;

    cpumask_clear(out);
    for_each_cpu (cpu, &online_cpus) {
        if (cpu_is_free(cpu)) {
            cpumask_set(out, cpu);
        }
    }
}

static int op_add_cpu(struct xen_sysctl_cpupool_op *op)
{
    struct cpupool *pool = find_pool(op->cpupool_id);
    struct cpumask free;
    uint32_t cpu = op->cpu;

    if (!pool) {
        return -XEN_ENOENT;
    }
    if (cpu == XEN_SYSCTL_CPUPOOL_PAR_ANY) {
        free_cpus(&free);
        cpu = cpumask_next(&free, 0);
        if (cpu == MAX_CPUS) {
            return -XEN_ENODEV;
        }
    }
    if (!cpu_exists(cpu)) {
        return -XEN_EINVAL;
    }
    if (!cpu_is_free(cpu)) {
        return -XEN_ENODEV;
    }
    add_cpu(pool, sched_cpu_of(cpu));
    return 0;
}

static int op_remove_cpu(struct xen_sysctl_cpupool_op *op)
{
    struct cpupool *pool = find_pool(op->cpupool_id);
    uint32_t cpu = op->cpu;

    if (!pool) {
        return -XEN_ENOENT;
    }
    if (cpu == XEN_SYSCTL_CPUPOOL_PAR_ANY) {
        uint32_t at;

        for_each_cpu (at, &pool->queue.cpus) {
            cpu = at;
        }
        op->cpu = cpu; // a restart goes on with this one
    }
    if (!cpu_exists(cpu)) {
        return -XEN_EINVAL;
    }
    // A CPU on its way out is still bound to the queue, but no longer among its CPUs.
    if (sched_cpu_of(cpu)->queue != &pool->queue) {
        return -XEN_ENODEV;
    }
    if (pool->domain_count && cpumask_test(&pool->queue.cpus, cpu) &&
        cpumask_weight(&pool->queue.cpus) == 1) {
        return -XEN_EBUSY;
    }
    return remove_cpu(pool, cpu);
}

static int op_create(struct xen_sysctl_cpupool_op *op)
{
    struct cpupool *pool;
    int error;

    if (op->sched_id != XEN_SCHEDULER_CREDIT2 && op->sched_id != XEN_SCHEDULER_NULL) {
        return -XEN_EINVAL;
    }
    error = pool_create(op->cpupool_id, op->sched_id == XEN_SCHEDULER_NULL, &pool);
    if (!error) {
        op->cpupool_id = pool->id;
    }
    return error;
}

static int op_destroy(struct xen_sysctl_cpupool_op *op)
{
    struct cpupool *pool = find_pool(op->cpupool_id);

    if (!pool) {
        return -XEN_ENOENT;
    }
    if (pool == pool0 || pool->domain_count || !cpumask_empty(&pool->queue.cpus)) {
        return -XEN_EBUSY;
    }
    list_remove(&pool->link);
    list_add_tail(&unused, &pool->link);
    return 0;
}

static void detach(struct domain *d, struct sched_domain *sd)
{
    struct run_queue *rq = run_queue_lock_domain(sd);
    struct sched_vcpu *sv;

    list_for_each (sv, &sd->vcpus, domain_link) {
        if (rq->null) {
            null_release(rq, sv);
        }
        rq->soft_vcpus -= sv->has_soft;
        sv->has_soft = false;
        sv->virtual_time -= rq->base; // kept as a (negated) credit between the queues
    }
    list_remove(&sd->link);
    credit_update_weights(rq);
    d->pool->domain_count--;
    spin_unlock(&rq->lock);
}

static void attach(struct domain *d, struct sched_domain *sd, struct cpupool *pool)
{
    struct run_queue *rq = &pool->queue;
    struct sched_vcpu *sv;

    spin_lock(&rq->lock);
    __atomic_store_n(&sd->queue, rq, __ATOMIC_RELEASE);
    d->pool = pool;
    pool->domain_count++;
    list_add_tail(&rq->domains, &sd->link);
    credit_update_weights(rq);
    if (rq->null) {
        sd->cap = 0; // nothing there would keep it
    }
    list_for_each (sv, &sd->vcpus, domain_link) {
        sv->virtual_time += rq->base;
        update_allowed(rq, sv);
    }
    spin_unlock(&rq->lock);
}

static int move_domain(struct domain *d, struct cpupool *pool)
{
    if (d->pool == pool) {
        return 0;
    }
    if (cpumask_empty(&pool->queue.cpus)) {
        return -XEN_EBUSY;
    }
    // Paused, its vcpus neither run nor wait, and nothing but wake-ups looks at its queue.
    domain_pause(d);
    detach(d, d->sched);
    attach(d, d->sched, pool);
    domain_unpause(d);
    return 0;
}

int cpupool_move_domain(struct domain *d, struct cpupool *pool)
{
    int error;

    spin_lock(&pools_lock);
    error = move_domain(d, pool);
    spin_unlock(&pools_lock);
    return error;
}

static int op_move_domain(struct xen_sysctl_cpupool_op *op)
{
    struct cpupool *pool = find_pool(op->cpupool_id);
    struct domain *d;
    int error;

    if (op->domid >= DOMID_FIRST_RESERVED) {
        return -XEN_EINVAL;
    }
    if (!pool) {
        return -XEN_ENOENT;
    }
    d = domain_get_alive((domid_t)op->domid);
    if (!d) {
        return -XEN_ESRCH;
    }
    // Who moves itself would have to wait for itself to stop.
    error = d == current_domain() ? -XEN_EPERM : move_domain(d, pool);
    domain_put(d);
    return error;
}

static int op_info(struct xen_sysctl_cpupool_op *op, struct cpumask *mask)
{
    struct cpupool *pool = pool_from(op->cpupool_id);

    if (!pool) {
        return -XEN_ENOENT;
    }
    op->cpupool_id = pool->id;
    op->sched_id = pool->queue.null ? XEN_SCHEDULER_NULL : XEN_SCHEDULER_CREDIT2;
    op->n_dom = pool->domain_count;
    *mask = pool->queue.cpus;
    return 0;
}

int sched_cpupool_op(struct xen_sysctl_cpupool_op *op, struct cpumask *mask)
{
    int error;

    spin_lock(&pools_lock);
    switch (op->op) {
    case XEN_SYSCTL_CPUPOOL_OP_CREATE:
        error = op_create(op);
        break;
    case XEN_SYSCTL_CPUPOOL_OP_DESTROY:
        error = op_destroy(op);
        break;
    case XEN_SYSCTL_CPUPOOL_OP_INFO:
        error = op_info(op, mask);
        break;
    case XEN_SYSCTL_CPUPOOL_OP_ADDCPU:
        error = op_add_cpu(op);
        break;
    case XEN_SYSCTL_CPUPOOL_OP_RMCPU:
        error = op_remove_cpu(op);
        break;
    case XEN_SYSCTL_CPUPOOL_OP_MOVEDOMAIN:
        error = op_move_domain(op);
        break;
    case XEN_SYSCTL_CPUPOOL_OP_FREEINFO:
        free_cpus(mask);
        error = 0;
        break;
    default:
        error = -XEN_ENOSYS;
        break;
    }
    spin_unlock(&pools_lock);
    return error;
}

static void dump_cpu(const struct run_queue *rq, const struct sched_cpu *sc)
{
    const struct sched_vcpu *current = sc->current;

    if (current) {
        log_info("  CPU%u runs d%uv%u, credit %lld", sc->cpu->id, current->vcpu->domain->id,
                 current->vcpu->id, (long long)credit_of(rq, current));
    } else if (sc->owner) {
        log_info("  CPU%u is idle, kept for d%uv%u", sc->cpu->id, sc->owner->vcpu->domain->id,
                 sc->owner->vcpu->id);
    } else {
        log_info("  CPU%u is idle", sc->cpu->id);
    }
}

static void dump_queue(struct run_queue *rq)
{
    struct sched_vcpu *sv;
    unsigned int cpu;

    spin_lock(&rq->lock);
    for_each_cpu (cpu, &rq->cpus) {
        dump_cpu(rq, sched_cpu_of(cpu));
    }
    list_for_each (sv, &rq->waiting, link) {
        log_info("  waiting: d%uv%u, credit %lld", sv->vcpu->domain->id, sv->vcpu->id,
                 (long long)credit_of(rq, sv));
    }
    spin_unlock(&rq->lock);
}

void sched_dump(void)
{
    struct cpupool *pool;

    spin_lock(&pools_lock);
    log_info("Scheduler: %s", sched_name());
    list_for_each (pool, &pools, link) {
        log_info("CPU pool %u: %s, %u CPUs, %u domains, rate limit %lld ns", pool->id,
                 pool->queue.null ? "null" : "credit2", cpumask_weight(&pool->queue.cpus),
                 pool->domain_count, (long long)pool->queue.ratelimit);
        dump_queue(&pool->queue);
    }
    spin_unlock(&pools_lock);
}
