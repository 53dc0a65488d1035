// SPDX-License-Identifier: Apache-2.0
//
// A xenstore in one process: a flat list of paths, transactions by copying it, watches with a pipe
// to wake the one who waits. Writing makes the nodes above, as the daemon does. Nodes below a
// backend are answered as a kernel's driver would.
#include "fake.h"

#include <errno.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <toolstack/store.h>
#include <unistd.h>
#include <xenstore.h>

enum { NODES = 1024, WATCHES = 64, EVENTS = 1024 };

struct node {
    char *path;
    char *value;
    int reader;
};

struct tree {
    struct node nodes[NODES];
    size_t count;
};

static struct tree store;
static struct tree before; // a transaction's way back
static bool in_transaction;
static bool backends_answer;
static struct node watches[WATCHES]; // path and token
static struct node events[EVENTS];
static size_t event_count;
static int wake[2] = {-1, -1};

static void free_tree(struct tree *tree)
{
    for (size_t i = 0; i < tree->count; i++) {
        free(tree->nodes[i].path);
        free(tree->nodes[i].value);
    }
    tree->count = 0;
}

static struct node *find(const char *path)
{
    for (size_t i = 0; i < store.count; i++)
        if (!strcmp(store.nodes[i].path, path))
            return &store.nodes[i];
    return NULL;
}

static bool is_below(const char *path, const char *above)
{
    size_t length = strlen(above);

    return !strncmp(path, above, length) && (!path[length] || path[length] == '/');
}

static void fire(const char *path)
{
    for (size_t i = 0; i < WATCHES; i++) {
        if (!watches[i].path || !is_below(path, watches[i].path) || event_count == EVENTS)
            continue;
        events[event_count++] = (struct node){strdup(path), strdup(watches[i].value), -1};
        if (write(wake[1], "x", 1) != 1)
            abort();
    }
}

void fake_store_set(const char *path, const char *value)
{
    struct node *node = find(path);

    if (!node) {
        char *above = strdup(path);
        char *slash = strrchr(above, '/');

        if (slash && slash != above) {
            *slash = '\0';
            if (!find(above))
                fake_store_set(above, "");
        }
        free(above);
        if (store.count == NODES)
            abort();
        node = &store.nodes[store.count++];
        *node = (struct node){strdup(path), NULL, -1};
    }
    free(node->value);
    node->value = strdup(value);
    fire(path);
    size_t length = strlen(path);

    if (!backends_answer || length < 6 || strcmp(path + length - 6, "/state") != 0 ||
        strncmp(path, "/local/domain/0/backend/v", 25) != 0)
        return;
    if (!strcmp(value, "1"))
        fake_store_set(path, "2");
    else if (!strcmp(value, "5"))
        fake_store_set(path, "6");
}

void fake_store_reset(void)
{
    free_tree(&store);
    free_tree(&before);
    in_transaction = false;
    backends_answer = true;
    for (size_t i = 0; i < event_count; i++) {
        free(events[i].path);
        free(events[i].value);
    }
    event_count = 0;
    for (size_t i = 0; i < WATCHES; i++) {
        free(watches[i].path);
        free(watches[i].value);
        watches[i] = (struct node){0};
    }
    fake_store_set("/local/domain/0/name", "Domain-0");
    fake_store_set("/local/domain/0/backend", "");
    fake_store_set("/vm", "");
    fake_store_set("/libxl", "");
}

void fake_backends_answer(bool answer)
{
    backends_answer = answer;
}

size_t fake_nodes(void)
{
    return store.count;
}

const char *fake_value(const char *path)
{
    const struct node *node = find(path);

    return node ? node->value : NULL;
}

int fake_reader(const char *path)
{
    const struct node *node = find(path);

    return node ? node->reader : -1;
}

size_t fake_watches(void)
{
    size_t count = 0;

    for (size_t i = 0; i < WATCHES; i++)
        count += watches[i].path != NULL;
    return count;
}

static bool fails(void)
{
    errno = ENOMEM;
    return fake_call_fails();
}

struct xs_handle *xs_open(unsigned long flags)
{
    (void)flags;
    if (wake[0] < 0 && pipe(wake) != 0)
        abort();
    return (struct xs_handle *)malloc(1);
}

void xs_close(struct xs_handle *handle)
{
    free(handle);
}

void *xs_read(struct xs_handle *handle, xs_transaction_t transaction, const char *path,
              unsigned int *length)
{
    const char *value = fake_value(path);

    (void)handle;
    (void)transaction;
    errno = ENOENT;
    if (!value)
        return NULL;
    if (length)
        *length = (unsigned int)strlen(value);
    return strdup(value);
}

char **xs_directory(struct xs_handle *handle, xs_transaction_t transaction, const char *path,
                    unsigned int *count)
{
    size_t length = strlen(path);
    size_t room = NODES * sizeof(char *);
    char **names = malloc(room + NODES * 64);
    char *text = (char *)names + room;

    (void)handle;
    (void)transaction;
    *count = 0;
    errno = ENOENT;
    if (!find(path)) {
        free(names);
        return NULL;
    }
    for (size_t i = 0; i < store.count; i++) {
        const char *node = store.nodes[i].path;

        if (strncmp(node, path, length) != 0 || node[length] != '/' ||
            strchr(node + length + 1, '/'))
            continue;
        names[(*count)++] = text;
        text = stpcpy(text, node + length + 1) + 1;
    }
    return names;
}

bool xs_write(struct xs_handle *handle, xs_transaction_t transaction, const char *path,
              const void *data, unsigned int length)
{
    (void)handle;
    (void)transaction;
    if (fails())
        return false;
    char *value = strndup(data, length);

    fake_store_set(path, value);
    free(value);
    return true;
}

bool xs_set_permissions(struct xs_handle *handle, xs_transaction_t transaction, const char *path,
                        struct xs_permissions *permissions, unsigned int count)
{
    struct node *node = find(path);

    (void)handle;
    (void)transaction;
    errno = ENOENT;
    if (!node || fails())
        return false;
    node->reader = count > 1 ? (int)permissions[1].id : -1;
    return true;
}

void fake_store_remove(const char *path)
{
    for (size_t i = 0; i < store.count;) {
        if (!is_below(store.nodes[i].path, path)) {
            i++;
            continue;
        }
        free(store.nodes[i].path);
        free(store.nodes[i].value);
        store.nodes[i] = store.nodes[--store.count];
    }
    fire(path);
}

// Removal always works: undoing relies on it.
bool xs_rm(struct xs_handle *handle, xs_transaction_t transaction, const char *path)
{
    (void)handle;
    (void)transaction;
    fake_call_fails();
    fake_store_remove(path);
    return true;
}

xs_transaction_t xs_transaction_start(struct xs_handle *handle)
{
    (void)handle;
    if (in_transaction)
        abort();
    in_transaction = true;
    for (size_t i = 0; i < store.count; i++)
        before.nodes[i] = (struct node){strdup(store.nodes[i].path), strdup(store.nodes[i].value),
                                        store.nodes[i].reader};
    before.count = store.count;
    return 1;
}

bool xs_transaction_end(struct xs_handle *handle, xs_transaction_t transaction, bool abandon)
{
    (void)handle;
    (void)transaction;
    if (!in_transaction)
        abort();
    in_transaction = false;
    if (abandon) {
        free_tree(&store);
        store = before;
        before.count = 0;
        return true;
    }
    free_tree(&before);
    return true;
}

bool xs_introduce_domain(struct xs_handle *handle, unsigned int domid, unsigned long frame,
                         unsigned int port)
{
    (void)handle;
    (void)domid;
    (void)frame;
    (void)port;
    return !fails();
}

bool xs_release_domain(struct xs_handle *handle, unsigned int domid)
{
    (void)handle;
    (void)domid;
    return true;
}

bool xs_watch(struct xs_handle *handle, const char *path, const char *token)
{
    (void)handle;
    if (fails())
        return false;
    for (size_t i = 0; i < WATCHES; i++) {
        if (watches[i].path)
            continue;
        watches[i] = (struct node){strdup(path), strdup(token), -1};
        fire(path);
        return true;
    }
    abort();
}

bool xs_unwatch(struct xs_handle *handle, const char *path, const char *token)
{
    (void)handle;
    for (size_t i = 0; i < WATCHES; i++) {
        if (!watches[i].path || strcmp(watches[i].path, path) != 0 ||
            strcmp(watches[i].value, token) != 0)
            continue;
        free(watches[i].path);
        free(watches[i].value);
        watches[i] = (struct node){0};
        return true;
    }
    return false;
}

int xs_fileno(struct xs_handle *handle)
{
    (void)handle;
    return wake[0];
}

char **xs_check_watch(struct xs_handle *handle)
{
    char byte;

    (void)handle;
    errno = EAGAIN;
    if (!event_count)
        return NULL;
    if (read(wake[0], &byte, 1) != 1)
        abort();
    struct node event = events[0];
    size_t path = strlen(event.path) + 1;
    char **result = malloc(2 * sizeof(char *) + path + strlen(event.value) + 1);

    memmove(events, events + 1, --event_count * sizeof(*events));
    result[XS_WATCH_PATH] = (char *)(result + 2);
    result[XS_WATCH_TOKEN] = result[XS_WATCH_PATH] + path;
    strcpy(result[XS_WATCH_PATH], event.path);
    strcpy(result[XS_WATCH_TOKEN], event.value);
    free(event.path);
    free(event.value);
    return result;
}

// The daemon's socket is not there: everything is read one by one.
bool store_read_many(char *const paths[], char *values[], size_t count)
{
    (void)paths;
    (void)values;
    (void)count;
    return false;
}

bool store_set_quota(unsigned int domid, const char *name, unsigned int value)
{
    (void)domid;
    (void)name;
    (void)value;
    return !fails();
}
