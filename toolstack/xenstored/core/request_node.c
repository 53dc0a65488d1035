// SPDX-License-Identifier: Apache-2.0
//
// Requests about nodes (request.h): a path is resolved into the store's one path buffer, the view
// is the transaction's or the main one. In a transaction whatever the client learns is remembered,
// errors included. Special paths have permissions but are no nodes.

#include "request.h"

#include <stdio.h>
#include <string.h>

/* Resolves the client's path; 0 or EINVAL. */
static int resolve(struct request *request, const char *text)
{
    size_t length = path_resolve(request->store->path, text, request->domain->id);

    return length == 0 || domain_exceeds(request->domain, QUOTA_PATH_LENGTH, (long long)length)
               ? EINVAL
               : 0;
}

static const struct view *view_of(const struct request *request)
{
    return request->transaction ? transaction_view(request->transaction) : &request->store->main;
}

/* The node at the resolved path, for a client who wants to read PART of it. */
static struct node *look(struct request *request, unsigned part, int *error)
{
    const char *path = request->store->path;
    struct node *node = NULL;

    *error = EINVAL;
    if (!path_is_special(path)) {
        node = tree_lookup(view_of(request), request->domain, path, ACCESS_READ, error);
    }
    if (request->transaction && *error != EINVAL) {
        int full = transaction_read(request->transaction, path,
                                    *error == EACCES ? READ_PERMISSIONS : part);

        if (full != 0) {
            *error = full;
            return NULL;
        }
    }
    return node;
}

int request_read(struct request *request)
{
    int error = request_arguments(request, 1, 1) ? resolve(request, request->argument[0]) : EINVAL;
    struct node *node = error ? NULL : look(request, READ_VALUE, &error);

    return node ? reply_add(request, node_value(node), node->value_length) : error;
}

int request_directory(struct request *request)
{
    int error = request_arguments(request, 1, 1) ? resolve(request, request->argument[0]) : EINVAL;
    struct node *node = error ? NULL : look(request, READ_CHILDREN, &error);
    struct children_place place = {node ? &node->children : NULL, 0, 0};
    const struct node *child;

    while (node && error == 0 && (child = children_next(&place))) {
        error = reply_add(request, child->data, child->name_length);
        if (error == 0) {
            error = reply_add(request, "", 1);
        }
    }
    return error;
}

/* The list of children from an offset that is the beginning of a name, as whole names. */
static int add_part(struct request *request, const struct node *node, unsigned long long offset)
{
    struct children_place place = {&node->children, 0, 0};
    const struct node *child;
    unsigned long long at = 0;

    while ((child = children_next(&place))) {
        size_t size = child->name_length + 1u;

        if (at >= offset) {
            if (size > XENSTORE_PAYLOAD_MAX - request->reply_length) {
                return 0;
            }
            (void)reply_add(request, child->data, child->name_length);
            (void)reply_add(request, "", 1);
        }
        at += size;
    }
    /* An empty name ends the list. */
    return request->reply_length < XENSTORE_PAYLOAD_MAX ? reply_add(request, "", 1) : 0;
}

int request_directory_part(struct request *request)
{
    unsigned long long offset = 0;
    struct node *node;
    char generation[24];
    int error;

    if (!request_arguments(request, 2, 2) ||
        !parse_number(request->argument[1], UINT32_MAX, &offset)) {
        return EINVAL;
    }
    error = resolve(request, request->argument[0]);
    node = error ? NULL : look(request, READ_CHILDREN, &error);
    if (!node) {
        return error;
    }
    snprintf(generation, sizeof(generation), "%llu", (unsigned long long)node->generation);
    error = reply_text(request, generation);
    return error ? error : add_part(request, node, offset);
}

static struct special *special(struct store *store)
{
    for (unsigned i = 0; i < SPECIAL_COUNT; i++) {
        if (strcmp(store->special[i].name, store->path) == 0) {
            return &store->special[i];
        }
    }
    return NULL;
}

static int reply_permissions(struct request *request, const struct permissions *permissions)
{
    size_t room = XENSTORE_PAYLOAD_MAX - request->reply_length;
    size_t needed = permissions_format(permissions, request->reply + request->reply_length, room);

    if (needed > room) {
        return E2BIG;
    }
    request->reply_length += needed;
    return 0;
}

int request_get_permissions(struct request *request)
{
    int error = request_arguments(request, 1, 1) ? resolve(request, request->argument[0]) : EINVAL;
    struct node *node;

    if (error == 0 && path_is_special(request->store->path)) {
        struct special *found = special(request->store);

        if (!found) {
            return ENOENT;
        }
        return request->domain->privileged ? reply_permissions(request, found->permissions)
                                           : EACCES;
    }
    node = error ? NULL : look(request, READ_PERMISSIONS, &error);
    return node ? reply_permissions(request, node->permissions) : error;
}

/* A change that fails tells something about the node, or the one above, which must still be so when
 * the transaction ends. */
static int note_error(struct request *request, int error)
{
    char *path = request->store->path;
    int full = 0;

    if (error == EACCES || error == ENOENT || error == EPERM) {
        full = transaction_read(request->transaction, path, READ_PERMISSIONS);
    }
    if (full == 0 && error == ENOENT && path[1]) {
        size_t length = path_parent_length(path);

        path[length ? length : 1] = '\0';
        full = transaction_read(request->transaction, path, READ_NAME);
    }
    return full ? full : error;
}

/* Applies the request's change, which tell() releases. */
static int change(struct request *request, enum change_kind kind)
{
    struct change *change = &request->change;
    int error;

    change->kind = kind;
    change->path = request->store->path;
    if (path_is_special(change->path)) {
        return EINVAL;
    }
    if (!request->transaction) {
        error = tree_apply(&request->store->main, request->domain, change);
        request->changes = error ? NULL : change;
        return error;
    }
    error = transaction_change(request->transaction, change);
    return error ? note_error(request, error) : 0;
}

int request_write(struct request *request)
{
    const char *end = memchr(request->payload, '\0', request->length);
    int error = end ? resolve(request, request->payload) : EINVAL;

    if (error != 0) {
        return error;
    }
    request->change.value = end + 1;
    request->change.length = request->length - (size_t)(end + 1 - request->payload);
    return change(request, CHANGE_WRITE);
}

int request_mkdir(struct request *request)
{
    int error = request_arguments(request, 1, 1) ? resolve(request, request->argument[0]) : EINVAL;

    return error ? error : change(request, CHANGE_MKDIR);
}

int request_remove(struct request *request)
{
    int error = request_arguments(request, 1, 1) ? resolve(request, request->argument[0]) : EINVAL;

    return error ? error : change(request, CHANGE_REMOVE);
}

static int set_special(struct request *request)
{
    struct special *found = special(request->store);

    if (!found) {
        return ENOENT;
    }
    if (!request->domain->privileged) {
        return EACCES;
    }
    permissions_put(&request->store->permissions, found->permissions);
    found->permissions = permissions_get(request->change.permissions);
    return 0;
}

/* Remembers the domains that a list names, so that it is noticed when one goes. */
static int remember(struct store *store, const struct permission *entries, int count)
{
    const struct host *host = store->host;

    for (int i = 0; i < count; i++) {
        unsigned domid = entries[i].domid;

        if (!domain_find(store, domid) && host->domain_state(host->context, domid) != DOMAIN_GONE &&
            !domain_get(store, domid)) {
            return ENOMEM;
        }
    }
    return 0;
}

int request_set_permissions(struct request *request)
{
    struct permission entries[PERMISSIONS_MOST];
    const char *end = memchr(request->payload, '\0', request->length);
    int error = end ? resolve(request, request->payload) : EINVAL;
    int count;

    if (error != 0) {
        return error;
    }
    count = permissions_parse(entries, PERMISSIONS_MOST, end + 1,
                              request->length - (size_t)(end + 1 - request->payload));
    if (count < 1) {
        return EINVAL;
    }
    if (domain_exceeds(request->domain, QUOTA_PERMISSIONS, count)) {
        return ENOSPC;
    }
    error = remember(request->store, entries, count);
    if (error != 0) {
        return error;
    }
    request->change.permissions =
        permissions_intern(&request->store->permissions, entries, (size_t)count);
    if (!request->change.permissions) {
        return ENOMEM;
    }
    return path_is_special(request->store->path) ? set_special(request)
                                                 : change(request, CHANGE_PERMISSIONS);
}
