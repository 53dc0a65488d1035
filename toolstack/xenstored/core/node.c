// SPDX-License-Identifier: Apache-2.0
//
// The tree of nodes (node.h). Children are sorted by the length of their names, then by bytes, so
// that numbers come in their order, and are found by bisection. Arrays grow by half. Freeing
// recurses over the depth of a tree, which the length of a path bounds (at most PATH_LONGEST / 2
// levels of one small frame each).

#include "node.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static size_t alive;

size_t nodes_alive(void)
{
    return alive;
}

static size_t allocation(const struct node *node)
{
    return node_bytes(node) + node->child_capacity * sizeof(node->children[0]);
}

struct node *node_new(struct component name, const char *value, size_t length,
                      struct permissions *permissions)
{
    struct node *node = malloc(sizeof(*node) + name.length + length);

    if (!node) {
        return NULL;
    }
    node->references = 1;
    node->child_count = 0;
    node->child_capacity = 0;
    node->name_length = (uint16_t)name.length;
    node->value_length = (uint16_t)length;
    node->generation = 0;
    node->permissions = permissions_get(permissions);
    node->children = NULL;
    memcpy(node->data, name.name, name.length);
    if (length > 0) {
        memcpy(node->data + name.length, value, length);
    }
    alive += allocation(node);
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
    for (uint32_t i = 0; i < node->child_count; i++) {
        node_put(table, node->children[i]);
    }
    alive -= allocation(node);
    permissions_put(table, node->permissions);
    free(node->children);
    free(node);
}

static int compare(const struct node *node, struct component name)
{
    if (node->name_length != name.length) {
        return node->name_length < name.length ? -1 : 1;
    }
    return memcmp(node->data, name.name, name.length);
}

/* Where the child is, or, when *FOUND is false, where it would be. */
static uint32_t position(const struct node *node, struct component name, bool *found)
{
    uint32_t low = 0;
    uint32_t high = node->child_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = compare(node->children[middle], name);

        if (order == 0) {
            *found = true;
            return middle;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *found = false;
    return low;
}

struct node *node_child(const struct node *node, struct component name)
{
    bool found;
    uint32_t at = position(node, name, &found);

    return found ? node->children[at] : NULL;
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
    if (old->child_count > 0) {
        size_t size = old->child_count * sizeof(copy->children[0]);

        copy->children = malloc(size);
        if (!copy->children) {
            /* Cannot be the last reference to the list: OLD has one. */
            copy->permissions->references--;
            alive -= allocation(copy);
            free(copy);
            return false;
        }
        memcpy(copy->children, old->children, size);
        copy->child_count = copy->child_capacity = old->child_count;
        alive += size;
        for (uint32_t i = 0; i < copy->child_count; i++) {
            copy->children[i]->references++;
        }
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

    while (make_unique(slot)) {
        bool found;

        if ((size_t)(rest - path) >= length || !path_next(&rest, &name)) {
            return slot;
        }
        slot = &(*slot)->children[position(*slot, name, &found)];
    }
    return NULL;
}

int node_set_value(struct node **slot, const char *value, size_t length)
{
    struct node *node = *slot;

    if (node->value_length != length) {
        size_t before = allocation(node);

        node = realloc(node, sizeof(*node) + node->name_length + length);
        if (!node) {
            return ENOMEM;
        }
        *slot = node;
        node->value_length = (uint16_t)length;
        alive += allocation(node) - before;
    }
    if (length > 0) {
        memcpy(node->data + node->name_length, value, length);
    }
    return 0;
}

int node_insert(struct node *parent, struct node *child)
{
    bool found;
    uint32_t at = position(parent, (struct component){child->data, child->name_length}, &found);

    if (parent->child_count == parent->child_capacity) {
        uint32_t capacity = parent->child_capacity + parent->child_capacity / 2 + 2;
        struct node **grown = realloc(parent->children, capacity * sizeof(grown[0]));

        if (!grown) {
            return ENOMEM;
        }
        alive += (capacity - parent->child_capacity) * sizeof(grown[0]);
        parent->children = grown;
        parent->child_capacity = capacity;
    }
    memmove(parent->children + at + 1, parent->children + at,
            (parent->child_count - at) * sizeof(parent->children[0]));
    parent->children[at] = child;
    parent->child_count++;
    return 0;
}

struct node *node_take(struct node *parent, struct component name)
{
    bool found;
    uint32_t at = position(parent, name, &found);
    struct node *child = parent->children[at];

    parent->child_count--;
    memmove(parent->children + at, parent->children + at + 1,
            (parent->child_count - at) * sizeof(parent->children[0]));
    if (parent->child_count == 0) {
        alive -= parent->child_capacity * sizeof(parent->children[0]);
        free(parent->children);
        parent->children = NULL;
        parent->child_capacity = 0;
    }
    return child;
}
