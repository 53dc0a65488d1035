// SPDX-License-Identifier: Apache-2.0
//
// Domains (domain.h): a chained hash with as many buckets as there are likely domains. Removing the
// nodes of a dead domain looks below its home first, where they are, and walks the whole tree only
// while some are left; it goes through the ordinary removal, so watches are told.

#include "domain.h"
#include "ring.h"
#include "transaction.h"
#include "watch.h"

#include <stdlib.h>
#include <string.h>

struct domain *domain_find(struct store *store, unsigned domid)
{
    struct domain *domain = store->domains[domid % DOMAIN_BUCKETS];

    while (domain && domain->id != domid) {
        domain = domain->next;
    }
    return domain;
}

struct domain *domain_get(struct store *store, unsigned domid)
{
    struct domain *domain = domain_find(store, domid);

    if (domain) {
        return domain;
    }
    domain = calloc(1, sizeof(*domain));
    if (domain) {
        domain->store = store;
        domain->id = domid;
        domain->target = NO_TARGET;
        domain->privileged = domid == 0;
        domain->features = FEATURES_ALL;
        domain->quotas = store->quotas;
        domain->owned.domid = domid;
        domain->next = store->domains[domid % DOMAIN_BUCKETS];
        store->domains[domid % DOMAIN_BUCKETS] = domain;
    }
    return domain;
}

unsigned domain_access(const struct domain *domain, const struct permissions *permissions)
{
    unsigned access;

    if (domain->privileged) {
        return ACCESS_ALL;
    }
    access = permissions_access(permissions, domain->id);
    if (domain->target != NO_TARGET && domain->target != domain->id) {
        access |= permissions_access(permissions, domain->target);
    }
    return access;
}

static int connect_ring(struct domain *domain, struct xenstore_domain_interface *page,
                        unsigned port, bool local)
{
    const struct host *host = domain->store->host;

    domain->ring = ring_create(domain, page, port, local);
    if (!domain->ring) {
        return ENOMEM;
    }
    if (host->ring_opened(host->context, domain->ring->connection, port) != 0) {
        ring_free(domain->ring);
        domain->ring = NULL;
        return ENOMEM;
    }
    domain->introduced = true;
    domain->shut_down = false;
    return 0;
}

int xenstore_introduce_local(struct store *store, unsigned domid,
                             struct xenstore_domain_interface *ring, unsigned port)
{
    struct domain *domain = domain_get(store, domid);
    int error = domain && !domain->ring ? connect_ring(domain, ring, port, true) : ENOMEM;

    if (error == 0) {
        watch_fire_special(store, SPECIAL_INTRODUCE, domid);
    }
    return error;
}

/*
 * A domain that is introduced again may have a new event channel; its page is the same. The old one
 * goes first, because the domain's end of it cannot be bound twice; without a new one the domain is
 * disconnected.
 */
static int introduce_again(struct domain *domain, unsigned remote_port)
{
    const struct host *host = domain->store->host;
    struct ring *ring = domain->ring;
    struct xenstore_domain_interface *page = ring->page;
    int port;

    host->ring_closing(host->context, ring->connection, ring->port);
    host->unbind_port(host->context, ring->port);
    port = host->bind_port(host->context, domain->id, remote_port);
    if (port >= 0 && host->ring_opened(host->context, ring->connection, (unsigned)port) == 0) {
        ring->port = (unsigned)port;
        return 0;
    }
    if (port >= 0) {
        host->unbind_port(host->context, (unsigned)port);
    }
    ring_free(ring);
    host->unmap_ring(host->context, domain->id, page);
    domain->ring = NULL;
    domain->introduced = false;
    return port < 0 ? EINVAL : ENOMEM;
}

static int introduce_new(struct domain *domain, uint64_t frame, unsigned remote_port)
{
    const struct host *host = domain->store->host;
    struct xenstore_domain_interface *page = host->map_ring(host->context, domain->id, frame);
    int port = page ? host->bind_port(host->context, domain->id, remote_port) : -1;
    int error = port < 0 ? EINVAL : connect_ring(domain, page, (unsigned)port, false);

    if (error == 0) {
        return 0;
    }
    if (port >= 0) {
        host->unbind_port(host->context, (unsigned)port);
    }
    if (page) {
        host->unmap_ring(host->context, domain->id, page);
    }
    return error;
}

int domain_introduce(struct store *store, unsigned domid, uint64_t frame, unsigned remote_port)
{
    const struct host *host = store->host;
    struct domain *domain;
    int error;

    if (host->domain_state(host->context, domid) == DOMAIN_GONE) {
        return ENOENT;
    }
    domain = domain_get(store, domid);
    if (!domain) {
        return ENOMEM;
    }
    error = domain->ring ? introduce_again(domain, remote_port)
                         : introduce_new(domain, frame, remote_port);
    if (error == 0) {
        watch_fire_special(store, SPECIAL_INTRODUCE, domid);
    }
    return error;
}

static void disconnect(struct domain *domain)
{
    if (domain->ring) {
        ring_destroy(domain->ring);
        domain->ring = NULL;
    }
    domain->introduced = false;
}

int domain_release(struct store *store, unsigned domid)
{
    struct domain *domain = domain_find(store, domid);

    if (!domain || !domain->introduced) {
        return ENOENT;
    }
    disconnect(domain);
    watch_fire_special(store, SPECIAL_RELEASE, domid);
    return 0;
}

/*
 * Writes the path of the first node that a domain owns below NODE, which is at PATH[0..LENGTH],
 * not counting NODE itself. False when there is none.
 */
static bool find_owned(const struct node *node, unsigned domid, char *path, size_t length)
{
    struct children_place place = {&node->children, 0, 0};
    const struct node *child;

    while ((child = children_next(&place))) {
        size_t end = length + 1 + child->name_length;

        path[length] = '/';
        memcpy(path + length + 1, child->data, child->name_length);
        path[end] = '\0';
        if (child->permissions->entry[0].domid == domid || find_owned(child, domid, path, end)) {
            return true;
        }
    }
    return false;
}

/* Removes what a domain owns below a path; stops when memory runs out. */
static void remove_owned(struct store *store, struct domain *domain, size_t length)
{
    const struct domain *control = domain_find(store, 0);
    struct node *from;

    while (domain->owned.nodes > 0) {
        struct change change = {.kind = CHANGE_REMOVE, .path = store->path};
        int error;

        store->path[length] = '\0';
        from = node_find(store->main.root, store->path);
        if (!from || !find_owned(from, domain->id, store->path, length)) {
            return;
        }
        error = tree_apply(&store->main, control, &change);
        watch_fire(store, &change);
        change_release(store, &change);
        if (error != 0) {
            return;
        }
    }
}

/* The domain does not exist any more: nothing of it stays, and nobody inherits from it. */
static void bury(struct store *store, struct domain *domain)
{
    struct domain **link = &store->domains[domain->id % DOMAIN_BUCKETS];
    struct domain *control = domain_find(store, 0);

    disconnect(domain);
    remove_owned(store, domain, path_home(store->path, domain->id));
    remove_owned(store, domain, 0);
    transactions_forget(store, domain->id);
    permissions_forget(&store->permissions, domain->id);
    control->owned.nodes += domain->owned.nodes;
    control->owned.bytes += domain->owned.bytes;
    while (*link != domain) {
        link = &(*link)->next;
    }
    *link = domain->next;
    free(domain);
}

/* Takes a dead domain's id from who targeted it. */
static void untarget(struct store *store, unsigned domid)
{
    for (unsigned i = 0; i < DOMAIN_BUCKETS; i++) {
        for (struct domain *domain = store->domains[i]; domain; domain = domain->next) {
            if (domain->target == domid) {
                domain->target = NO_TARGET;
            }
        }
    }
}

static void look_at(struct store *store, struct domain *domain)
{
    const struct host *host = store->host;
    enum domain_state state = host->domain_state(host->context, domain->id);
    unsigned domid = domain->id;
    bool told = domain->introduced;

    if (state == DOMAIN_GONE) {
        bury(store, domain);
        untarget(store, domid);
    } else if (state == DOMAIN_SHUT_DOWN && !domain->shut_down) {
        domain->shut_down = true;
    } else {
        return;
    }
    if (told) {
        watch_fire_special(store, SPECIAL_RELEASE, domid);
    }
}

void xenstore_look_at_domains(struct store *store)
{
    for (unsigned i = 0; i < DOMAIN_BUCKETS; i++) {
        struct domain *next;

        for (struct domain *domain = store->domains[i]; domain; domain = next) {
            next = domain->next;
            if (domain->id != 0) {
                look_at(store, domain);
            }
        }
    }
}

void domains_destroy(struct store *store)
{
    for (unsigned i = 0; i < DOMAIN_BUCKETS; i++) {
        while (store->domains[i]) {
            struct domain *domain = store->domains[i];

            disconnect(domain);
            store->domains[i] = domain->next;
            free(domain);
        }
    }
}
