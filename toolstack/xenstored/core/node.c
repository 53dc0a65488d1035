// SPDX-License-Identifier: Apache-2.0
//
// The tree of nodes (node.h). Freeing recurses over the depth of a tree, which the length of a path
// bounds (at most PATH_LONGEST / 2 levels of two small frames each); everything else is a loop. The
// bytes of what exists are counted, so that the store can see what snapshots hold.

#include "node.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static size_t alive;

size_t nodes_alive(void)
{
    return alive + children_alive();
}

struct node *node_new(struct component name, const char *value, size_t length,
                      struct permissions *permissions)
{
    struct node *node = malloc(sizeof(*node) + name.length + length);

    if (!node) {
        return NULL;
    }
    node->references = 1;
    node->name_length = (uint16_t)name.length;
    node->value_length = (uint16_t)length;
    node->generation = 0;
    node->permissions = permissions_get(permissions);
    node->children = (struct children){0};
    memcpy(node->data, name.name, name.length);
    if (length > 0) {
        memcpy(node->data + name.length, value, length);
    }
    alive += node_bytes(node);
    return node;
}

struct node *node_get(struct node *node)
{
    node->references++;
    return node;
}

void node_put(struct permission_table *table, struct node *node)
{
    if (!node || --node->references > 0) {
        return;
    }
    children_release(table, &node->children);
    alive -= node_bytes(node);
    permissions_put(table, node->permissions);
    free(node);
}

struct node *node_child(const struct node *node, struct component name)
{
    return children_find(&node->children, name);
}

struct node *node_walk(struct node *root, const char **rest)
{
    const char *next = *rest;
    struct component name;

    while (path_next(&next, &name)) {
        struct node *child = node_child(root, name);

        if (!child) {
            return root;
        }
        root = child;
        *rest = next;
    }
    *rest = next + strlen(next);
    return root;
}

struct node *node_find(struct node *root, const char *path)
{
    struct node *node = node_walk(root, &path);

    return *path ? NULL : node;
}

/* Replaces a shared node by a copy that shares its children. */
static bool make_unique(struct node **slot)
{
    struct node *old = *slot;
    struct node *copy;

    if (old->references == 1) {
        return true;
    }
    copy = node_new((struct component){old->data, old->name_length}, node_value(old),
                    old->value_length, old->permissions);
    if (!copy) {
        return false;
    }
    copy->generation = old->generation;
    if (children_share(&copy->children, &old->children) != 0) {
        /* Cannot be the last reference to the list: OLD has one. */
        copy->permissions->references--;
        alive -= node_bytes(copy);
        free(copy);
        return false;
    }
    old->references--;
    *slot = copy;
    return true;
}

struct node **node_own_path(struct node **root, const char *path, size_t length)
{
    const char *rest = path;
    struct node **slot = root;
    struct component name;

    while (slot && make_unique(slot)) {
        if ((size_t)(rest - path) >= length || !path_next(&rest, &name)) {
            return slot;
        }
        slot = children_own(&(*slot)->children, name);
    }
    return NULL;
}

int node_set_value(struct node **slot, const char *value, size_t length)
{
    struct node *node = *slot;

    if (node->value_length != length) {
        size_t before = node_bytes(node);

        node = realloc(node, sizeof(*node) + node->name_length + length);
        if (!node) {
            return ENOMEM;
        }
        *slot = node;
        node->value_length = (uint16_t)length;
        alive += node_bytes(node) - before;
    }
    if (length > 0) {
        memcpy(node->data + node->name_length, value, length);
    }
    return 0;
}

int node_insert(struct node *parent, struct node *child)
{
    return children_insert(&parent->children, child);
}

struct node *node_take(struct node *parent, struct component name)
{
    return children_take(&parent->children, name);
}
