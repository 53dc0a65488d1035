// SPDX-License-Identifier: Apache-2.0
//
// The operations on a view of the tree, with permissions and quotas. Each decides first and then
// performs: when it returns an error the view reads as before. Accounts are the reason that a view
// may run out of memory before anything has changed.
#ifndef XENSTORED_TREE_H
#define XENSTORED_TREE_H

#include "domain.h"

/*
 * The node at PATH, if WHO may access it in the way WANTED. Otherwise NULL and *ERROR: EACCES, or
 * ENOENT when the node does not exist and WHO may know that.
 */
struct node *tree_lookup(const struct view *view, const struct domain *who, const char *path,
                         unsigned wanted, int *error);

/*
 * Applies a change in the name of WHO. 0 or EACCES, ENOENT, EINVAL, EPERM, ENOSPC, ENOMEM, E2BIG.
 * Call change_release() whatever the result.
 */
int tree_apply(struct view *view, const struct domain *who, struct change *change);

void change_release(struct store *store, struct change *change);

/* Adds the accounts of a view to the domains: its tree has become the main one. */
void view_settle(struct view *view);

/* Drops a view's tree and accounts. */
void view_drop(struct view *view);

#endif
