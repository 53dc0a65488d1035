// SPDX-License-Identifier: Apache-2.0
//
// Operations on views (tree.h). Every change goes: find the deepest node that exists, check
// permissions and quotas, get all memory (accounts, new nodes, unique path), then link. Work is
// proportional to the depth of the path, and for removals to the number of nodes removed.

#include "tree.h"

#include <stdlib.h>
#include <string.h>

static struct account *view_account(struct view *view, unsigned domid)
{
    struct domain *domain = domain_get(view->store, domid);
    struct account *account;

    if (!domain || view == &view->store->main) {
        return domain ? &domain->owned : NULL;
    }
    for (account = view->accounts; account; account = account->next) {
        if (account->domid == domid) {
            return account;
        }
    }
    account = calloc(1, sizeof(*account));
    if (account) {
        account->domid = domid;
        account->next = view->accounts;
        view->accounts = account;
    }
    return account;
}

static void account_add(struct view *view, struct account *account, long nodes, long bytes)
{
    account->nodes += nodes;
    account->bytes += bytes;
    if (view == &view->store->main) {
        view->store->owned_bytes += (size_t)bytes;
    }
}

/* What WHO owns in the main view and would own by committing this one. */
static struct account total(struct view *view, const struct domain *who)
{
    struct account sum = who->owned;

    if (view != &view->store->main) {
        for (struct account *account = view->accounts; account; account = account->next) {
            if (account->domid == who->id) {
                sum.nodes += account->nodes;
                sum.bytes += account->bytes;
            }
        }
    }
    return sum;
}

void view_settle(struct view *view)
{
    for (struct account *account = view->accounts; account; account = account->next) {
        /* Known since the account was made: owners are remembered (domain.h). */
        struct domain *domain = domain_find(view->store, account->domid);

        account_add(&view->store->main, &domain->owned, account->nodes, account->bytes);
    }
}

void view_drop(struct view *view)
{
    while (view->accounts) {
        struct account *account = view->accounts;

        view->accounts = account->next;
        free(account);
    }
    node_put(&view->store->permissions, view->root);
    view->root = NULL;
}

struct node *tree_lookup(const struct view *view, const struct domain *who, const char *path,
                         unsigned wanted, int *error)
{
    const char *rest = path;
    struct node *node = node_walk(view->root, &rest);

    if ((domain_access(who, node->permissions) & wanted) != wanted) {
        *error = EACCES;
        return NULL;
    }
    *error = *rest ? ENOENT : 0;
    return *rest ? NULL : node;
}

/* Keeps what decides who is told of the change. */
static void see(struct change *change, struct permissions *now, struct permissions *other)
{
    change->happened = true;
    change->seen[0] = permissions_get(now);
    change->seen[1] = other ? permissions_get(other) : NULL;
}

void change_release(struct store *store, struct change *change)
{
    permissions_put(&store->permissions, change->seen[0]);
    permissions_put(&store->permissions, change->seen[1]);
    node_put(&store->permissions, change->removed);
    change->seen[0] = change->seen[1] = NULL;
    change->removed = NULL;
    change->happened = false;
}

static int change_value(struct view *view, const struct domain *who, struct change *change,
                        struct node *node)
{
    struct account *account = view_account(view, node->permissions->entry[0].domid);
    long more = (long)change->length - node->value_length;
    struct node **slot;

    if (!account) {
        return ENOMEM;
    }
    if (more > 0 && account->domid == who->id && domain_lacks_memory(who, (size_t)more)) {
        return ENOSPC;
    }
    slot = node_own_path(&view->root, change->path, strlen(change->path));
    if (!slot || node_set_value(slot, change->value, change->length) != 0) {
        return ENOMEM;
    }
    (*slot)->generation = ++view->store->generation;
    account_add(view, account, 0, more);
    see(change, (*slot)->permissions, NULL);
    return 0;
}

/*
 * Makes the nodes of REST, a path below a node with PERMISSIONS, each the child of the one before,
 * and counts them. Returns the topmost, or NULL without memory.
 */
static struct node *make_chain(struct store *store, const char *rest, const struct change *change,
                               struct permissions *permissions, struct account *sum)
{
    struct node *top = NULL;
    struct node *last = NULL;
    struct component name;

    while (path_next(&rest, &name)) {
        struct node *node = *rest ? node_new(name, NULL, 0, permissions)
                                  : node_new(name, change->value, change->length, permissions);

        if (!node || (last && node_insert(last, node) != 0)) {
            node_put(&store->permissions, node);
            node_put(&store->permissions, top);
            return NULL;
        }
        node->generation = ++store->generation;
        sum->nodes++;
        sum->bytes += (long)node_bytes(node);
        top = top ? top : node;
        last = node;
    }
    return top;
}

/* Links a chain of new nodes below the node at the first LENGTH bytes of the path. */
static int link_chain(struct view *view, const struct change *change, size_t length,
                      struct node *chain)
{
    struct node **slot = node_own_path(&view->root, change->path, length);

    if (!slot || node_insert(*slot, chain) != 0) {
        return ENOMEM;
    }
    (*slot)->generation = ++view->store->generation;
    return 0;
}

static int create(struct view *view, const struct domain *who, struct change *change,
                  struct node *parent, const char *rest)
{
    struct store *store = view->store;
    struct permissions *above = permissions_get(parent->permissions);
    struct permissions *list = who->privileged
                                   ? permissions_get(above)
                                   : permissions_with_owner(&store->permissions, above, who->id);
    struct account sum = {0};
    struct account *account = NULL;
    struct node *chain = NULL;
    int error = ENOMEM;

    if (list) {
        account = view_account(view, list->entry[0].domid);
        chain = make_chain(store, rest, change, list, &sum);
    }
    if (account && chain) {
        struct account owned = total(view, who);

        if (domain_exceeds(who, QUOTA_NODES, (long long)owned.nodes + sum.nodes) ||
            domain_exceeds(who, QUOTA_MEMORY, (long long)who->memory + owned.bytes + sum.bytes)) {
            error = ENOSPC;
        } else {
            error = link_chain(view, change, (size_t)(rest - change->path), chain);
        }
    }
    if (error == 0) {
        account_add(view, account, sum.nodes, sum.bytes);
        see(change, list, above);
    } else {
        node_put(&store->permissions, chain);
    }
    permissions_put(&store->permissions, list);
    permissions_put(&store->permissions, above);
    return error;
}

static int apply_write(struct view *view, const struct domain *who, struct change *change)
{
    const char *rest = change->path;
    struct node *node = node_walk(view->root, &rest);

    if (!(domain_access(who, node->permissions) & ACCESS_WRITE)) {
        return EACCES;
    }
    if (domain_exceeds(who, QUOTA_NODE_SIZE, (long long)change->length) ||
        domain_exceeds(who, QUOTA_PATH_DEPTH, path_depth(change->path))) {
        return ENOSPC;
    }
    if (*rest) {
        return create(view, who, change, node, rest);
    }
    return change->kind == CHANGE_WRITE ? change_value(view, who, change, node) : 0;
}

/* Makes the account of every owner in a subtree, so that counting it cannot fail. */
static bool accounts_ready(struct view *view, const struct node *node)
{
    struct children_place place = {&node->children, 0, 0};
    const struct node *child;

    if (!view_account(view, node->permissions->entry[0].domid)) {
        return false;
    }
    while ((child = children_next(&place))) {
        if (!accounts_ready(view, child)) {
            return false;
        }
    }
    return true;
}

static void uncount(struct view *view, const struct node *node)
{
    struct children_place place = {&node->children, 0, 0};
    const struct node *child;

    account_add(view, view_account(view, node->permissions->entry[0].domid), -1,
                -(long)node_bytes(node));
    while ((child = children_next(&place))) {
        uncount(view, child);
    }
}

static int remove_missing(const struct domain *who, const struct node *above, const char *rest)
{
    if (!(domain_access(who, above->permissions) & ACCESS_WRITE)) {
        return EACCES;
    }
    return path_depth(rest) == 1 ? 0 : ENOENT;
}

static int apply_remove(struct view *view, const struct domain *who, struct change *change)
{
    const char *rest = change->path;
    struct node *node = node_walk(view->root, &rest);
    size_t above = path_parent_length(change->path);
    const char *name = change->path + above + 1;
    struct node **slot;

    if (*rest) {
        return remove_missing(who, node, rest);
    }
    if (node == view->root) {
        return EINVAL;
    }
    if (!(domain_access(who, node->permissions) & ACCESS_WRITE)) {
        return EACCES;
    }
    if (!accounts_ready(view, node)) {
        return ENOMEM;
    }
    slot = node_own_path(&view->root, change->path, above);
    if (!slot) {
        return ENOMEM;
    }
    change->removed = node_take(*slot, (struct component){name, strlen(name)});
    if (!change->removed) {
        return ENOMEM;
    }
    (*slot)->generation = ++view->store->generation;
    uncount(view, change->removed);
    see(change, change->removed->permissions, (*slot)->permissions);
    return 0;
}

static int apply_permissions(struct view *view, const struct domain *who, struct change *change)
{
    struct store *store = view->store;
    unsigned owner = change->permissions->entry[0].domid;
    int error;
    struct node *node = tree_lookup(view, who, change->path, ACCESS_WRITE | ACCESS_OWNER, &error);
    struct account *from;
    struct account *to;
    struct node **slot;

    if (!node) {
        return error;
    }
    if (!who->privileged && owner != node->permissions->entry[0].domid) {
        return EPERM;
    }
    from = view_account(view, node->permissions->entry[0].domid);
    to = view_account(view, owner);
    slot = from && to ? node_own_path(&view->root, change->path, strlen(change->path)) : NULL;
    if (!slot) {
        return ENOMEM;
    }
    node = *slot;
    see(change, change->permissions, node->permissions);
    account_add(view, from, -1, -(long)node_bytes(node));
    account_add(view, to, 1, (long)node_bytes(node));
    permissions_put(&store->permissions, node->permissions);
    node->permissions = permissions_get(change->permissions);
    node->generation = ++store->generation;
    return 0;
}

int tree_apply(struct view *view, const struct domain *who, struct change *change)
{
    change->happened = false;
    switch (change->kind) {
    case CHANGE_WRITE:
    case CHANGE_MKDIR:
        return apply_write(view, who, change);
    case CHANGE_REMOVE:
        return apply_remove(view, who, change);
    case CHANGE_PERMISSIONS:
        return apply_permissions(view, who, change);
    }
    return EINVAL;
}
