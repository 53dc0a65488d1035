// SPDX-License-Identifier: Apache-2.0
//
// The tree of nodes. A node is one allocation: a header, its name and its value; its children are a
// list of its own kind (children.h). Nodes are counted and may be shared by several trees: a
// snapshot of the whole store is one more reference to its root. What is shared is never changed. A
// change first makes the nodes from the root to its place unique (node_own_path), which copies only
// those that a snapshot also holds, and then happens in place. Errors: memory only; a failure half
// way leaves a tree that reads the same.
#ifndef XENSTORED_NODE_H
#define XENSTORED_NODE_H

#include "children.h"
#include "permissions.h"

struct node {
    uint32_t references;
    uint16_t name_length;
    uint16_t value_length;
    uint64_t generation; /* of the last change of value, permissions or list of children */
    struct permissions *permissions;
    struct children children;
    char data[]; /* the name, then the value */
};

static inline const char *node_name(const struct node *node)
{
    return node->data;
}

static inline const char *node_value(const struct node *node)
{
    return node->data + node->name_length;
}

/* What a node counts for its owner's quota of memory: itself, its place in the parent's list and
 * the allocator's header. */
static inline size_t node_bytes(const struct node *node)
{
    return sizeof(*node) + node->name_length + node->value_length + sizeof(void *) + 16;
}

/* A node without children and with one reference; takes a reference to PERMISSIONS. NULL without
 * memory. */
struct node *node_new(struct component name, const char *value, size_t length,
                      struct permissions *permissions);

struct node *node_get(struct node *node);

/* Drops a reference; frees the node and what it alone held. NULL is allowed. */
void node_put(struct permission_table *table, struct node *node);

/* The child of that name, or NULL. */
struct node *node_child(const struct node *node, struct component name);

/*
 * Follows *REST down from ROOT as far as nodes exist and returns the last that does; *REST is then
 * what does not exist, empty when all does.
 */
struct node *node_walk(struct node *root, const char **rest);

/* The node at a canonical path, or NULL. */
struct node *node_find(struct node *root, const char *path);

/*
 * Makes the nodes from *ROOT to the one at the first LENGTH bytes of PATH, which exists, belong to
 * this tree alone. Returns where the pointer to the last of them is, or NULL without memory.
 */
struct node **node_own_path(struct node **root, const char *path, size_t length);

/* Gives a unique node another value; it may move. 0 or ENOMEM. */
int node_set_value(struct node **slot, const char *value, size_t length);

/* Adds a child to a unique node, which has none of its name; takes over the reference. 0 or
 * ENOMEM. */
int node_insert(struct node *parent, struct node *child);

/* Takes the child of that name, which exists, off a unique node; the reference goes to the caller.
 * NULL without memory. */
struct node *node_take(struct node *parent, struct component name);

/* Bytes of all nodes and their lists that exist, in whatever tree. */
size_t nodes_alive(void);

#endif
