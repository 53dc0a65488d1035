// SPDX-License-Identifier: Apache-2.0
// Domains: table, creation, destruction, references.
//
// Data: a two-level table from domid to domain, and one from page_owner to domain. A domain leaves
// the first when its destruction has ended, and its id is free again; it leaves the second with its
// last reference, so frames that others still map find their owner even when a new domain has the
// same id.
// Locking: table_lock for both tables; domain.lock for the life-cycle state.
// Errors: domain_create undoes what it had done, in reverse; destruction is preemptible and
// remembers its stage in the domain.

#include <bulkhead/console.h>
#include <bulkhead/cpu.h>
#include <bulkhead/domain.h>
#include <bulkhead/grant_table.h>
#include <bulkhead/heap.h>
#include <bulkhead/page.h>
#include <bulkhead/sched.h>
#include <bulkhead/string.h>
#include <bulkhead/watchdog.h>
#include <xen/domctl.h>

#define TABLE_LEAF 512u
#define TABLE_LEAVES (DIV_ROUND_UP(DOMID_FIRST_RESERVED, TABLE_LEAF))
#define MAX_OWNERS (TABLE_LEAF * TABLE_LEAVES)

struct domain_leaf {
    struct domain *at[TABLE_LEAF];
};

static struct domain_leaf *by_id[TABLE_LEAVES], *by_owner[TABLE_LEAVES];
static struct spinlock table_lock = SPINLOCK_INIT;
static domid_t next_id = 1;

struct domain *domain0;

static struct domain **slot(struct domain_leaf **table, unsigned int index, bool grow)
{
    struct domain_leaf **leaf = &table[index / TABLE_LEAF];

    if (!*leaf && grow) {
        *leaf = heap_new(struct domain_leaf);
    }
    return *leaf ? &(*leaf)->at[index % TABLE_LEAF] : NULL;
}

static struct domain *find(unsigned int id)
{
    struct domain **at = id < DOMID_FIRST_RESERVED ? slot(by_id, id, false) : NULL;

    return at ? *at : NULL;
}

struct domain *domain_get(domid_t id)
{
    struct domain *d;

    if (id == DOMID_SELF) {
        d = current_domain();
        domain_hold(d);
        return d;
    }
    spin_lock(&table_lock);
    d = find(id);
    if (d) {
        domain_hold(d);
    }
    spin_unlock(&table_lock);
    return d;
}

struct domain *domain_get_alive(domid_t id)
{
    struct domain *d = domain_get(id);

    if (d && d->is_dying) {
        domain_put(d);
        return NULL;
    }
    return d;
}

struct domain *domain_get_controlled(domid_t id, int *error)
{
    struct domain *self = current_domain();
    struct domain *d = domain_get(id);

    if (!d) {
        *error = -XEN_ESRCH;
        return NULL;
    }
    if (d != self && !self->privileged &&
        !(self->target_privileged_for_valid && self->target_privileged_for == d->id)) {
        domain_put(d);
        *error = -XEN_EPERM;
        return NULL;
    }
    return d;
}

struct domain *domain_next(domid_t first)
{
    struct domain *d = NULL;

    spin_lock(&table_lock);
    for (unsigned int id = first; id < DOMID_FIRST_RESERVED && !d; id++) {
        if (!by_id[id / TABLE_LEAF]) {
            id |= TABLE_LEAF - 1;
            continue;
        }
        d = find(id);
    }
    if (d) {
        domain_hold(d);
    }
    spin_unlock(&table_lock);
    return d;
}

struct domain *domain_by_page_owner(uint16_t owner)
{
    // Never taken out while frames of the owner exist, so no lock is needed.
    return by_owner[owner / TABLE_LEAF]->at[owner % TABLE_LEAF];
}

static int enter_owner(struct domain *d)
{
    int error = -XEN_ENOMEM;

    spin_lock(&table_lock);
    for (unsigned int i = 0; i < MAX_OWNERS; i++) {
        struct domain **at = slot(by_owner, i, true);

        if (!at) {
            break;
        }
        if (!*at) {
            *at = d;
            d->page_owner = (uint16_t)i;
            error = 0;
            break;
        }
    }
    spin_unlock(&table_lock);
    return error;
}

static void leave_owner(struct domain *d)
{
    spin_lock(&table_lock);
    *slot(by_owner, d->page_owner, false) = NULL;
    spin_unlock(&table_lock);
}

// Puts the domain into the table under its id, or the next free one for DOMID_INVALID.
static int enter_id(struct domain *d, domid_t id)
{
    struct domain **at;
    int error = 0;

    spin_lock(&table_lock);
    if (id == DOMID_INVALID) {
        id = next_id;
        for (unsigned int tries = 0; find(id); tries++) {
            id = id + 1u < DOMID_FIRST_RESERVED ? id + 1 : 1;
            if (tries == DOMID_FIRST_RESERVED) {
                error = -XEN_ENOMEM;
                break;
            }
        }
        if (!error) {
            next_id = id + 1u < DOMID_FIRST_RESERVED ? id + 1 : 1;
        }
    }
    at = error ? NULL : slot(by_id, id, true);
    if (!at) {
        error = -XEN_ENOMEM;
    } else if (*at) {
        error = -XEN_EEXIST;
    } else {
        d->id = id;
        *at = d;
    }
    spin_unlock(&table_lock);
    return error;
}

static void leave_id(struct domain *d)
{
    spin_lock(&table_lock);
    *slot(by_id, d->id, false) = NULL;
    spin_unlock(&table_lock);
}

static void free_vcpus(struct domain *d)
{
    struct vcpu *v;
    unsigned int i;

    for_each_vcpu (v, d, i) {
        vcpu_timers_kill(v);
        arch_vcpu_free(v);
        sched_vcpu_destroy(v);
        heap_free(v);
    }
    heap_free(d->vcpus);
}

static void domain_free(struct domain *d)
{
    free_vcpus(d);
    grant_table_free(d);
    event_domain_free(d);
    watchdog_destroy(d);
    sched_domain_destroy(d);
    arch_domain_free(d);
    rangeset_free(d->io_memory);
    rangeset_free(d->io_ports);
    rangeset_free(d->irqs);
    if (d->shared_info) {
        page_put(mfn_to_page(heap_mfn(d->shared_info)));
    }
    leave_owner(d);
    heap_free(d);
}

void domain_put(struct domain *d)
{
    if (__atomic_sub_fetch(&d->references, 1, __ATOMIC_ACQ_REL) == 0) {
        domain_free(d);
    }
}

static int check_config(const struct xen_domctl_createdomain *config)
{
    if (config->max_vcpus == 0 || config->max_vcpus > DOMAIN_MAX_VCPUS) {
        return -XEN_EINVAL;
    }
    if (config->grant_opts & ~(uint32_t)XEN_DOMCTL_GRANT_version_mask) {
        return -XEN_EINVAL;
    }
    return arch_domain_check_config(config);
}

static int create_parts(struct domain *d, const struct xen_domctl_createdomain *config)
{
    uint32_t version = config->grant_opts & XEN_DOMCTL_GRANT_version_mask;
    int error;

    d->io_memory = rangeset_create();
    d->io_ports = rangeset_create();
    d->irqs = rangeset_create();
    d->vcpus = heap_alloc_array(config->max_vcpus, sizeof(*d->vcpus));
    d->shared_info = domain_shared_page_alloc(d);
    if (!d->io_memory || !d->io_ports || !d->irqs || !d->vcpus || !d->shared_info) {
        return -XEN_ENOMEM;
    }
    d->max_vcpus = config->max_vcpus;
    error = event_domain_init(d, config->max_evtchn_port);
    if (!error) {
        error = grant_table_create(d, config->max_grant_frames, config->max_maptrack_frames,
                                   version ? version : 1);
    }
    if (!error) {
        error = sched_domain_create(d);
    }
    return error ? error : arch_domain_create(d, config);
}

int domain_create(domid_t id, const struct xen_domctl_createdomain *config, bool privileged,
                  struct domain **out)
{
    struct domain *d;
    int error = check_config(config);

    if (error) {
        return error;
    }
    d = heap_new(struct domain);
    if (!d) {
        return -XEN_ENOMEM;
    }
    error = enter_owner(d);
    if (error) {
        heap_free(d);
        return error;
    }
    d->id = DOMID_INVALID;
    d->shared_info_gfn = INVALID_GFN;
    d->references = 1;
    d->pause_count = 1;
    d->paused_by_toolstack = true;
    d->created_paused = true;
    d->privileged = privileged;
    d->creation_flags = config->flags;
    d->ssidref = config->ssidref;
    d->max_grant_frames = config->max_grant_frames;
    d->max_maptrack_frames = config->max_maptrack_frames;
    memcpy(d->handle, config->handle, sizeof(d->handle));
    list_init(&d->link);
    error = create_parts(d, config);
    if (!error) {
        error = enter_id(d, id);
    }
    if (error) {
        d->is_dying = true;
        while (arch_domain_destroy(d) == -XEN_ERESTART) {
        }
        domain_put(d);
        return error;
    }
    *out = d;
    return 0;
}

int vcpu_create(struct domain *d, unsigned int id)
{
    struct vcpu *v;
    int error;

    if (id >= d->max_vcpus || d->vcpus[id] || (id && !d->vcpus[id - 1])) {
        return -XEN_EINVAL;
    }
    v = heap_new(struct vcpu);
    if (!v) {
        return -XEN_ENOMEM;
    }
    v->id = id;
    v->domain = d;
    v->pause_flags = VCPU_DOWN;
    v->info = vcpu_default_info(v);
    memset(&v->hard_affinity, 0xff, sizeof(v->hard_affinity));
    memset(&v->soft_affinity, 0xff, sizeof(v->soft_affinity));
    error = sched_vcpu_create(v);
    if (error) {
        goto free;
    }
    error = vcpu_timers_init(v);
    if (error) {
        goto unschedule;
    }
    error = event_vcpu_init(v);
    if (!error) {
        error = arch_vcpu_create(v);
    }
    if (error) {
        goto untime;
    }
    __atomic_store_n(&d->vcpus[id], v, __ATOMIC_RELEASE);
    return 0;
untime:
    vcpu_timers_kill(v);
unschedule:
    sched_vcpu_destroy(v);
free:
    heap_free(v);
    return error;
}

enum destroy_stage { DESTROY_STOP, DESTROY_GRANTS, DESTROY_EVENTS, DESTROY_ARCH, DESTROY_DONE };

static int destroy_step(struct domain *d)
{
    struct vcpu *v;
    unsigned int i;

    switch ((enum destroy_stage)d->destroy_stage) {
    case DESTROY_STOP:
        domain_pause(d);
        // Under page_lock, so that no allocation slips in behind.
        spin_lock(&d->page_lock);
        d->is_dying = true;
        spin_unlock(&d->page_lock);
        arch_domain_quarantine(d);
        domain_claim_pages(d, 0);
        for_each_vcpu (v, d, i) {
            vcpu_timers_stop(v);
        }
        return 0;
    case DESTROY_GRANTS:
        return grant_table_release_mappings(d);
    case DESTROY_EVENTS:
        return event_domain_destroy(d);
    case DESTROY_ARCH:
        for_each_vcpu (v, d, i) {
            vcpu_release_registrations(v);
        }
        return arch_domain_destroy(d);
    case DESTROY_DONE:
        break;
    }
    return 0;
}

int domain_destroy(struct domain *d)
{
    while (d->destroy_stage < DESTROY_DONE) {
        int error = destroy_step(d);

        if (error) {
            return error;
        }
        d->destroy_stage++;
    }
    leave_id(d);
    event_send_host_virq(VIRQ_DOM_EXC);
    domain_put(d);
    return 0;
}
