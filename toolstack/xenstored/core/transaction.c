// SPDX-License-Identifier: Apache-2.0
//
// Transactions (transaction.h). Marks are hashed by path; the log of changes is a list in order,
// each with its texts behind it. All memory is charged to the client and bounded by its quotas.
// Committing builds the new tree beside the old one and then exchanges one pointer. Where nobody
// else has been, the new tree takes over whole subtrees of the transaction's; else its log is
// applied once more.

#include "transaction.h"

#include <stdlib.h>
#include <string.h>

#define BUCKETS_FIRST 8
/* Old trees may hold as much as the store itself and this. */
#define HELD_MOST (16u << 20)

struct read_mark {
    struct read_mark *next;
    uint32_t hash;
    unsigned parts;
    char path[];
};

struct logged {
    struct change change;
    char data[];
};

static uint32_t hash_path(const char *path)
{
    uint32_t hash = 2166136261u;

    for (; *path; path++) {
        hash = (hash ^ (unsigned char)*path) * 16777619u;
    }
    return hash;
}

int transaction_start(struct connection *connection, uint32_t *id)
{
    struct store *store = connection->store;
    struct domain *domain = connection->domain;
    struct transaction *transaction;

    if (domain_exceeds(domain, QUOTA_TRANSACTIONS, domain->transactions + 1LL) ||
        domain_lacks_memory(domain, sizeof(*transaction))) {
        return ENOSPC;
    }
    transaction = calloc(1, sizeof(*transaction));
    if (!transaction) {
        return ENOMEM;
    }
    do {
        transaction->id = ++store->next_transaction;
    } while (transaction->id == 0 || transaction_find(connection, transaction->id));
    transaction->connection = connection;
    transaction->base = node_get(store->main.root);
    transaction->view = (struct view){.store = store, .root = node_get(store->main.root)};
    transaction->last_change = &transaction->changes;
    transaction->bytes = sizeof(*transaction);
    domain->memory += (long)transaction->bytes;
    domain->transactions++;
    transaction->next_own = connection->transactions;
    connection->transactions = transaction;
    transaction->link = store->last_transaction;
    *store->last_transaction = transaction;
    store->last_transaction = &transaction->next;
    *id = transaction->id;
    return 0;
}

struct transaction *transaction_find(const struct connection *connection, uint32_t id)
{
    struct transaction *transaction = connection->transactions;

    while (transaction && transaction->id != id) {
        transaction = transaction->next_own;
    }
    return transaction;
}

/* Charges one more mark or change; 0 or ENOSPC. */
static int charge(struct transaction *transaction, size_t bytes)
{
    struct domain *domain = transaction->connection->domain;

    if (domain_exceeds(domain, QUOTA_TRANSACTION_NODES, (long long)transaction->count + 1) ||
        domain_lacks_memory(domain, bytes)) {
        return ENOSPC;
    }
    transaction->count++;
    transaction->bytes += bytes;
    domain->memory += (long)bytes;
    return 0;
}

static void uncharge(struct transaction *transaction, size_t bytes)
{
    transaction->count--;
    transaction->bytes -= bytes;
    transaction->connection->domain->memory -= (long)bytes;
}

static bool same_children(const struct node *one, const struct node *other)
{
    struct children_place in_one = {&one->children, 0, 0};
    struct children_place in_other = {&other->children, 0, 0};

    if (one->children.count != other->children.count) {
        return false;
    }
    for (uint32_t i = 0; i < one->children.count; i++) {
        const struct node *a = children_next(&in_one);
        const struct node *b = children_next(&in_other);

        if (a != b &&
            (a->name_length != b->name_length || memcmp(a->data, b->data, a->name_length) != 0)) {
            return false;
        }
    }
    return true;
}

/* Whether the parts of two nodes (or of none) are the same to a reader. */
static bool same(const struct node *one, const struct node *other, unsigned parts)
{
    if (one == other) {
        return true;
    }
    if (!one || !other) {
        return false;
    }
    return (!(parts & READ_VALUE) ||
            (one->value_length == other->value_length &&
             memcmp(node_value(one), node_value(other), one->value_length) == 0)) &&
           (!(parts & READ_CHILDREN) || same_children(one, other)) &&
           (!(parts & READ_PERMISSIONS) || one->permissions == other->permissions);
}

static void grow(struct transaction *transaction)
{
    size_t buckets = transaction->buckets ? transaction->buckets * 2 : BUCKETS_FIRST;
    struct read_mark **table = calloc(buckets, sizeof(*table));

    if (!table) {
        return;
    }
    for (size_t i = 0; i < transaction->buckets; i++) {
        while (transaction->table[i]) {
            struct read_mark *mark = transaction->table[i];

            transaction->table[i] = mark->next;
            mark->next = table[mark->hash % buckets];
            table[mark->hash % buckets] = mark;
        }
    }
    free(transaction->table);
    transaction->table = table;
    transaction->buckets = buckets;
}

static int add_mark(struct transaction *transaction, const char *path, uint32_t hash,
                    unsigned parts)
{
    size_t size = sizeof(struct read_mark) + strlen(path) + 1;
    struct read_mark *mark;
    int error = charge(transaction, size + 2 * sizeof(mark));

    if (error != 0) {
        return error;
    }
    if (transaction->marks >= transaction->buckets) {
        grow(transaction);
    }
    mark = transaction->buckets ? malloc(size) : NULL;
    if (!mark) {
        uncharge(transaction, size + 2 * sizeof(mark));
        return ENOMEM;
    }
    mark->hash = hash;
    mark->parts = parts;
    strcpy(mark->path, path);
    mark->next = transaction->table[hash % transaction->buckets];
    transaction->table[hash % transaction->buckets] = mark;
    transaction->marks++;
    return 0;
}

/* Whether the value at PATH is the one that the transaction has written itself. */
static bool own_value(const struct transaction *transaction, const char *path)
{
    const struct node *mine = NULL;

    if (transaction->changes) {
        mine = node_find(transaction->view.root, path);
    }
    return mine && mine->value_length > 0 &&
           !same(node_find(transaction->base, path), mine, READ_VALUE);
}

static int mark_read(struct transaction *transaction, const char *path, unsigned part)
{
    uint32_t hash = hash_path(path);
    struct read_mark *mark = NULL;

    if (transaction->buckets) {
        mark = transaction->table[hash % transaction->buckets];
    }
    while (mark && (mark->hash != hash || strcmp(mark->path, path) != 0)) {
        mark = mark->next;
    }
    if (mark) {
        mark->parts |= part;
        return 0;
    }
    return add_mark(transaction, path, hash, part);
}

/*
 * Marks the permissions of all nodes above PATH: a node that the transaction has made, or would
 * have found, has what the one above gave it.
 */
static int mark_above(struct transaction *transaction, const char *path)
{
    char above[PATH_SIZE];
    size_t length = strlen(path);
    int error = 0;

    memcpy(above, path, length + 1);
    while (error == 0 && above[1]) {
        length = path_parent_length(above);
        above[length ? length : 1] = '\0';
        error = mark_read(transaction, above, READ_PERMISSIONS);
    }
    return error;
}

int transaction_read(struct transaction *transaction, const char *path, unsigned part)
{
    int error;

    if (transaction->doomed || (part == READ_VALUE && own_value(transaction, path))) {
        return 0;
    }
    error = mark_read(transaction, path, part);
    if (error == 0 && part == READ_PERMISSIONS &&
        (transaction->changes || !node_find(transaction->base, path))) {
        error = mark_above(transaction, path);
    }
    return error;
}

const struct view *transaction_view(const struct transaction *transaction)
{
    return transaction->doomed ? &transaction->view.store->main : &transaction->view;
}

static size_t logged_size(const struct change *change)
{
    return sizeof(struct logged) + strlen(change->path) + 1 + change->length;
}

int transaction_change(struct transaction *transaction, const struct change *change)
{
    struct store *store = transaction->view.store;
    size_t path_size = strlen(change->path) + 1;
    size_t size = logged_size(change);
    struct logged *logged;
    int error;

    if (transaction->doomed) {
        return 0;
    }
    error = charge(transaction, size);
    if (error != 0) {
        return error;
    }
    logged = malloc(size);
    if (!logged) {
        uncharge(transaction, size);
        return ENOMEM;
    }
    logged->change = *change;
    logged->change.path = memcpy(logged->data, change->path, path_size);
    logged->change.value = logged->data + path_size;
    if (change->length > 0) {
        memcpy(logged->data + path_size, change->value, change->length);
    }
    error = tree_apply(&transaction->view, transaction->connection->domain, &logged->change);
    if (error != 0) {
        change_release(store, &logged->change);
        free(logged);
        uncharge(transaction, size);
        return error;
    }
    if (change->permissions) {
        permissions_get(change->permissions);
    }
    *transaction->last_change = &logged->change;
    transaction->last_change = &logged->change.next;
    return 0;
}

void changes_free(struct store *store, struct change *changes)
{
    while (changes) {
        struct change *change = changes;

        changes = change->next;
        change_release(store, change);
        permissions_put(&store->permissions, change->permissions);
        free(change);
    }
}

/* Whether all that was read is the same in the tree of now. */
static bool reads_hold(const struct transaction *transaction)
{
    struct node *now = transaction->view.store->main.root;

    for (size_t i = 0; i < transaction->buckets; i++) {
        for (struct read_mark *mark = transaction->table[i]; mark; mark = mark->next) {
            if (!same(node_find(transaction->base, mark->path), node_find(now, mark->path),
                      mark->parts)) {
                return false;
            }
        }
    }
    return true;
}

/* Makes a view the main one; what the main one was goes. */
static void publish(struct view *view)
{
    struct store *store = view->store;
    struct node *old = store->main.root;

    view_settle(view);
    store->main.root = view->root;
    view->root = NULL;
    node_put(&store->permissions, old);
}

/* Puts NOW's child NAME, which is OLD or nothing, in step with MINE or nothing. */
static bool replace_child(struct store *store, struct node *now, struct component name,
                          const struct node *old, struct node *mine)
{
    struct node **slot;
    bool done;

    if (old && mine) {
        slot = children_own(&now->children, name);
        if (slot) {
            node_put(&store->permissions, *slot);
            *slot = node_get(mine);
        }
        return slot;
    }
    now->generation = ++store->generation;
    if (old) {
        struct node *taken = node_take(now, name);

        done = taken;
        node_put(&store->permissions, taken);
    } else {
        done = node_insert(now, mine) == 0;
        mine->references += done;
    }
    return done;
}

/*
 * Brings one change into VIEW, which began as the tree of now, by taking over the highest node on
 * its path below which nobody else has changed anything. False when there is none, or no memory.
 */
static bool graft(const struct transaction *transaction, struct view *view,
                  const struct change *change)
{
    const struct node *old = transaction->base;
    const struct node *mine = transaction->view.root;
    const struct node *now = view->root;
    const char *rest = change->path;
    const char *above = rest;
    struct component name;

    for (; path_next(&rest, &name); above = rest) {
        struct node *old_child = node_child(old, name);
        struct node *my_child = node_child(mine, name);
        struct node *child = node_child(now, name);

        if (child == my_child && (child || !old_child)) {
            return true;
        }
        if (child == old_child) {
            /* Who may create or remove here must be as it was. */
            struct node **slot =
                now->permissions == old->permissions
                    ? node_own_path(&view->root, change->path, (size_t)(above - change->path))
                    : NULL;

            return slot && replace_child(view->store, *slot, name, old_child, my_child);
        }
        if (!old_child || !my_child || !child) {
            return false;
        }
        old = old_child;
        mine = my_child;
        now = child;
    }
    return false;
}

/* Whether the client may own what its transaction would make it own, now. */
static bool affordable(const struct transaction *transaction)
{
    const struct domain *who = transaction->connection->domain;
    const struct account *account = transaction->view.accounts;

    while (account && account->domid != who->id) {
        account = account->next;
    }
    return !account || account->nodes <= 0 ||
           !domain_exceeds(who, QUOTA_NODES, (long long)who->owned.nodes + account->nodes);
}

/*
 * Commits by grafting, where the transaction and everybody else have changed different nodes. False
 * when that cannot be done.
 */
static bool merge(struct transaction *transaction)
{
    struct store *store = transaction->view.store;
    struct view view = {.store = store, .root = node_get(store->main.root)};
    struct change *change = transaction->changes;

    while (change && change->happened && graft(transaction, &view, change)) {
        change = change->next;
    }
    if (change || !affordable(transaction)) {
        view_drop(&view);
        return false;
    }
    view.accounts = transaction->view.accounts;
    transaction->view.accounts = NULL;
    publish(&view);
    view_drop(&view);
    return true;
}

/* Commits by doing it all again in the tree of now. */
static int replay(struct transaction *transaction)
{
    struct store *store = transaction->view.store;
    struct view view = {.store = store, .root = node_get(store->main.root)};
    int error = 0;

    for (struct change *change = transaction->changes; change && error == 0;
         change = change->next) {
        change_release(store, change);
        error = tree_apply(&view, transaction->connection->domain, change);
    }
    if (error == 0) {
        publish(&view);
    }
    view_drop(&view);
    return error == 0 || error == ENOSPC || error == ENOMEM ? error : EAGAIN;
}

static int commit(struct transaction *transaction)
{
    struct store *store = transaction->view.store;

    if (transaction->doomed) {
        return EAGAIN;
    }
    if (store->main.root == transaction->base) {
        publish(&transaction->view);
        return 0;
    }
    if (!reads_hold(transaction)) {
        return EAGAIN;
    }
    return merge(transaction) ? 0 : replay(transaction);
}

static void unlink_transaction(struct transaction *transaction)
{
    struct store *store = transaction->view.store;
    struct transaction **own = &transaction->connection->transactions;

    while (*own != transaction) {
        own = &(*own)->next_own;
    }
    *own = transaction->next_own;
    *transaction->link = transaction->next;
    if (transaction->next) {
        transaction->next->link = transaction->link;
    } else {
        store->last_transaction = transaction->link;
    }
}

int transaction_end(struct transaction *transaction, bool committing, struct change **changes)
{
    struct store *store = transaction->view.store;
    struct domain *domain = transaction->connection->domain;
    int error = committing ? commit(transaction) : 0;

    unlink_transaction(transaction);
    if (committing && error == 0) {
        *changes = transaction->changes;
    } else {
        changes_free(store, transaction->changes);
    }
    for (size_t i = 0; i < transaction->buckets; i++) {
        while (transaction->table[i]) {
            struct read_mark *mark = transaction->table[i];

            transaction->table[i] = mark->next;
            free(mark);
        }
    }
    free(transaction->table);
    view_drop(&transaction->view);
    node_put(&store->permissions, transaction->base);
    domain->memory -= (long)transaction->bytes;
    domain->transactions--;
    free(transaction);
    return error;
}

void transactions_end_all(struct connection *connection)
{
    while (connection->transactions) {
        (void)transaction_end(connection->transactions, false, NULL);
    }
}

/* Takes the old tree away; the client sees the tree of now, and will have to begin again. */
static void doom(struct transaction *transaction)
{
    struct store *store = transaction->view.store;

    if (transaction->doomed) {
        return;
    }
    transaction->doomed = true;
    changes_free(store, transaction->changes);
    transaction->changes = NULL;
    transaction->last_change = &transaction->changes;
    view_drop(&transaction->view);
    node_put(&store->permissions, transaction->base);
    transaction->base = NULL;
}

void transactions_forget(struct store *store, unsigned domid)
{
    struct transaction *transaction;

    for (transaction = store->oldest_transaction; transaction; transaction = transaction->next) {
        struct account *account = transaction->view.accounts;

        while (account && account->domid != domid) {
            account = account->next;
        }
        if (account) {
            doom(transaction);
        }
    }
}

void transactions_relieve(struct store *store)
{
    struct transaction *transaction = store->oldest_transaction;

    while (transaction && nodes_alive() > 2 * store->owned_bytes + HELD_MOST) {
        doom(transaction);
        transaction = transaction->next;
    }
}
