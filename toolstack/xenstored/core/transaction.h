// SPDX-License-Identifier: Apache-2.0
//
// Transactions. A transaction holds the tree as it was when it began (one reference) and its own
// view, which begins as the same tree. It remembers what it has read (paths and which part of the
// node) and a log of its changes. When it ends and nobody has changed the store, its tree becomes
// the store's. Otherwise what it read is compared, by content, between the old tree and the one of
// now; if all is equal, its changes are applied to the tree of now, and only if one fails there or
// something read is different does the client get EAGAIN. So two writers of different nodes never
// disturb each other, nor do two who create nodes in one directory.
//
// A tree that is held costs memory when others change the store. When that gets out of proportion
// the oldest transactions lose theirs: they see the tree of now, and end with EAGAIN.
#ifndef XENSTORED_TRANSACTION_H
#define XENSTORED_TRANSACTION_H

#include "connection.h"
#include "tree.h"

/* What of a node was read. Whether it exists always belongs to it. */
#define READ_NAME 0u
#define READ_VALUE 1u
#define READ_CHILDREN 2u
#define READ_PERMISSIONS 4u

struct read_mark;

struct transaction {
    struct transaction *next_own;
    struct transaction *next; /* younger */
    struct transaction **link;
    struct connection *connection;
    uint32_t id;
    bool doomed;
    struct node *base;
    struct view view;
    struct change *changes;
    struct change **last_change;
    struct read_mark **table;
    size_t buckets;
    size_t marks;
    size_t count; /* marks and changes: for the quota */
    size_t bytes; /* charged to the client */
};

/* 0 and *ID, ENOSPC (quota) or ENOMEM. */
int transaction_start(struct connection *connection, uint32_t *id);

struct transaction *transaction_find(const struct connection *connection, uint32_t id);

/* What the transaction's client sees. */
const struct view *transaction_view(const struct transaction *transaction);

/* Remembers that a part of the node at PATH was read (READ_PERMISSIONS: or a refusal met). 0,
 * ENOSPC or ENOMEM. */
int transaction_read(struct transaction *transaction, const char *path, unsigned part);

/* Applies a change (with texts of the caller) to the transaction's view and logs it; does nothing
 * in one that cannot be committed any more. Errors as tree_apply(). */
int transaction_change(struct transaction *transaction, const struct change *change);

/*
 * Ends a transaction. With COMMIT, 0 and its changes in *CHANGES, which are now visible and which
 * the caller tells of and frees (changes_free); EAGAIN on a conflict; ENOSPC or ENOMEM.
 */
int transaction_end(struct transaction *transaction, bool commit, struct change **changes);

void changes_free(struct store *store, struct change *changes);

void transactions_end_all(struct connection *connection);

/* A domain is gone: transactions that changed what it owned cannot be committed. */
void transactions_forget(struct store *store, unsigned domid);

/* Dooms the oldest transactions while old trees hold too much memory. */
void transactions_relieve(struct store *store);

#endif
