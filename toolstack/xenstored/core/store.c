// SPDX-License-Identifier: Apache-2.0
//
// Birth and death of the store, and the check of its invariants (xenstore.h). A new store has the
// nodes that clients expect of every xenstored. Creation either succeeds whole or frees everything.

#include "connection.h"
#include "transaction.h"
#include "watch.h"

#include <stdlib.h>
#include <string.h>

static const char *const first_nodes[] = {"/tool", "/tool/xenstored"};

static bool make_specials(struct store *store)
{
    static const char *const names[SPECIAL_COUNT] = {"@introduceDomain", "@releaseDomain"};
    struct permission closed = {.domid = 0, .access = 0};

    for (unsigned i = 0; i < SPECIAL_COUNT; i++) {
        store->special[i].name = names[i];
        store->special[i].permissions = permissions_intern(&store->permissions, &closed, 1);
        if (!store->special[i].permissions) {
            return false;
        }
    }
    return true;
}

static bool make_tree(struct store *store)
{
    struct permission readable = {.domid = 0, .access = 0};
    struct permissions *list = permissions_intern(&store->permissions, &readable, 1);
    struct domain *control = domain_get(store, 0);

    if (!list || !control) {
        permissions_put(&store->permissions, list);
        return false;
    }
    store->main.root = node_new((struct component){"", 0}, NULL, 0, list);
    permissions_put(&store->permissions, list);
    if (!store->main.root) {
        return false;
    }
    control->owned.nodes = 1;
    control->owned.bytes = (long)node_bytes(store->main.root);
    store->owned_bytes = node_bytes(store->main.root);
    for (size_t i = 0; i < sizeof(first_nodes) / sizeof(first_nodes[0]); i++) {
        struct change change = {.kind = CHANGE_MKDIR, .path = first_nodes[i]};
        int error = tree_apply(&store->main, control, &change);

        change_release(store, &change);
        if (error != 0) {
            return false;
        }
    }
    return true;
}

struct store *xenstore_create(const struct host *host)
{
    struct store *store = calloc(1, sizeof(*store));

    if (!store) {
        return NULL;
    }
    store->host = host;
    store->main.store = store;
    store->last_transaction = &store->oldest_transaction;
    store->quotas = quota_defaults;
    if (!watches_create(store)) {
        free(store);
        return NULL;
    }
    if (!make_specials(store) || !make_tree(store)) {
        xenstore_destroy(store);
        return NULL;
    }
    return store;
}

void xenstore_destroy(struct store *store)
{
    struct connection *next;

    for (struct connection *connection = store->connections; connection; connection = next) {
        next = connection->next;
        connection_reset(connection);
    }
    domains_destroy(store);
    while (store->connections) {
        xenstore_disconnect(store->connections);
    }
    node_put(&store->permissions, store->main.root);
    for (unsigned i = 0; i < SPECIAL_COUNT; i++) {
        permissions_put(&store->permissions, store->special[i].permissions);
    }
    watches_destroy(store);
    free(store);
}

struct quotas *xenstore_quotas(struct store *store)
{
    return &store->quotas;
}

struct sums {
    long nodes[DOMAIN_BUCKETS]; /* of the domains of a bucket together */
    long bytes[DOMAIN_BUCKETS];
    const char *wrong;
};

static void sum_nodes(const struct node *node, struct sums *sums)
{
    unsigned bucket = node->permissions->entry[0].domid % DOMAIN_BUCKETS;
    struct children_place place = {&node->children, 0, 0};
    const struct node *child;

    sums->nodes[bucket]++;
    sums->bytes[bucket] += (long)node_bytes(node);
    if (node->references == 0 || node->permissions->references == 0) {
        sums->wrong = "a node or its permissions are used after they were freed";
    }
    while ((child = children_next(&place))) {
        if (node_child(node, (struct component){child->data, child->name_length}) != child) {
            sums->wrong = "children are not in order";
        }
        sum_nodes(child, sums);
    }
}

const char *xenstore_check(struct store *store)
{
    struct sums *sums = calloc(1, sizeof(*sums));
    const char *wrong;

    if (!sums) {
        return "there is no memory for the check";
    }
    sum_nodes(store->main.root, sums);
    for (unsigned i = 0; i < DOMAIN_BUCKETS; i++) {
        for (struct domain *domain = store->domains[i]; domain; domain = domain->next) {
            sums->nodes[i] -= domain->owned.nodes;
            sums->bytes[i] -= domain->owned.bytes;
        }
        if (sums->nodes[i] != 0 || sums->bytes[i] != 0) {
            sums->wrong = "the nodes or bytes that domains own are counted wrongly";
        }
    }
    wrong = sums->wrong;
    free(sums);
    return wrong;
}
