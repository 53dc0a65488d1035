// SPDX-License-Identifier: Apache-2.0
//
// Xenstore over libxenstore. A struct store holds the connection and the transaction that is under
// way. Each call makes its path, talks to the daemon, and frees the path; errors name the path.
#include <toolstack/store.h>
#include <toolstack/memory.h>

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <xenstore.h>

struct store {
    struct xs_handle *handle;
    xs_transaction_t transaction;
};

enum { TRANSACTION_ATTEMPTS = 1000 };

struct error *store_open(struct store **result)
{
    struct xs_handle *handle = xs_open(0);

    if (!handle)
        return error_advice(error_errno(ERROR_STORE, errno, "cannot reach xenstored"),
                            "Is xenstored running, and are you root?");
    *result = memory_zeroed(sizeof(**result));
    (*result)->handle = handle;
    return NULL;
}

void store_close(struct store *store)
{
    if (!store)
        return;
    xs_close(store->handle);
    free(store);
}

#define MAKE_PATH(path, format)                                                                    \
    va_list arguments_;                                                                            \
    va_start(arguments_, format);                                                                  \
    char *path = memory_vformat(format, arguments_);                                               \
    va_end(arguments_)

char *store_read(struct store *store, const char *format, ...)
{
    MAKE_PATH(path, format);
    char *value = xs_read(store->handle, store->transaction, path, NULL);

    free(path);
    return value;
}

long store_read_number(struct store *store, long fallback, const char *format, ...)
{
    MAKE_PATH(path, format);
    char *value = xs_read(store->handle, store->transaction, path, NULL);
    char *end = NULL;
    long number = value ? strtol(value, &end, 10) : fallback;

    if (value && (end == value || *end))
        number = fallback;
    free(value);
    free(path);
    return number;
}

char **store_list(struct store *store, size_t *count, const char *format, ...)
{
    MAKE_PATH(path, format);
    unsigned int number = 0;
    char **names = xs_directory(store->handle, store->transaction, path, &number);

    free(path);
    *count = names ? number : 0;
    return names;
}

// Turns errno of the last call into an error about the path, which is freed.
static struct error *finish(bool success, const char *what, char *path)
{
    struct error *error =
        success ? NULL : error_errno(ERROR_STORE, errno, "cannot %s %s in xenstore", what, path);

    free(path);
    return error;
}

struct error *store_write(struct store *store, const char *value, const char *format, ...)
{
    MAKE_PATH(path, format);
    bool done = xs_write(store->handle, store->transaction, path, value, strlen(value));

    return finish(done, "write", path);
}

struct error *store_remove(struct store *store, const char *format, ...)
{
    MAKE_PATH(path, format);
    bool done = xs_rm(store->handle, store->transaction, path) || errno == ENOENT;

    return finish(done, "remove", path);
}

struct error *store_remove_with_parent(struct store *store, const char *path)
{
    const char *slash = strrchr(path, '/');
    char *parent = memory_format("%.*s", slash ? (int)(slash - path) : 0, path);
    struct error *error = store_remove(store, "%s", path);
    size_t count = 1;

    if (!error && *parent) {
        // A node that is not there has no children either.
        free(store_list(store, &count, "%s", parent));
        if (!count)
            error = store_remove(store, "%s", parent);
    }
    free(parent);
    return error;
}

static bool set_access(struct store *store, struct store_access access, const char *path)
{
    struct xs_permissions permissions[2] = {
        {.id = (unsigned int)access.owner, .perms = XS_PERM_NONE},
        {.id = (unsigned int)access.reader,
         .perms = access.writer ? XS_PERM_READ | XS_PERM_WRITE : XS_PERM_READ},
    };

    return xs_set_permissions(store->handle, store->transaction, path, permissions,
                              access.reader < 0 ? 1 : 2);
}

struct error *store_write_for(struct store *store, struct store_access access, const char *value,
                              const char *format, ...)
{
    MAKE_PATH(path, format);
    bool done = xs_write(store->handle, store->transaction, path, value, strlen(value)) &&
                set_access(store, access, path);

    return finish(done, "write", path);
}

struct error *store_set_access_below(struct store *store, struct store_access access,
                                     const char *path)
{
    if (!set_access(store, access, path) && errno != ENOENT)
        return finish(false, "set who may use", memory_copy_text(path));
    size_t count;
    char **names = store_list(store, &count, "%s", path);
    struct error *error = NULL;

    // xenstored bounds how many nodes a domain has and how deep they lie.
    for (size_t i = 0; i < count && !error; i++) {
        char *child = memory_format("%s/%s", path, names[i]);

        error = store_set_access_below(store, access, child);
        free(child);
    }
    free(names);
    return error;
}

struct error *store_transaction(struct store *store, store_body *body, void *context)
{
    for (unsigned int attempt = 0; attempt < TRANSACTION_ATTEMPTS; attempt++) {
        store->transaction = xs_transaction_start(store->handle);
        if (store->transaction == XBT_NULL)
            return error_errno(ERROR_STORE, errno, "cannot start a transaction");
        struct error *error = body(store, context);
        bool done = xs_transaction_end(store->handle, store->transaction, error != NULL);
        int number = errno;

        store->transaction = XBT_NULL;
        if (error || done)
            return error;
        if (number != EAGAIN)
            return error_errno(ERROR_STORE, number, "cannot end a transaction");
    }
    return error_new(ERROR_STORE, "a transaction was interrupted %d times", TRANSACTION_ATTEMPTS);
}

struct error *store_introduce(struct store *store, unsigned int domid, unsigned long frame,
                              unsigned int port)
{
    if (!xs_introduce_domain(store->handle, domid, frame, port))
        return error_errno(ERROR_STORE, errno, "xenstored does not take the domain");
    return NULL;
}

struct error *store_release(struct store *store, unsigned int domid)
{
    if (!xs_release_domain(store->handle, domid))
        return error_errno(ERROR_STORE, errno, "xenstored does not release the domain");
    return NULL;
}

struct error *store_watch(struct store *store, const char *token, const char *format, ...)
{
    MAKE_PATH(path, format);

    return finish(xs_watch(store->handle, path, token), "watch", path);
}

void store_unwatch(struct store *store, const char *token, const char *format, ...)
{
    MAKE_PATH(path, format);

    xs_unwatch(store->handle, path, token);
    free(path);
}

int store_descriptor(struct store *store)
{
    return xs_fileno(store->handle);
}

char *store_next_event(struct store *store, const char **token)
{
    char **event = xs_check_watch(store->handle);

    if (!event)
        return NULL;
    // One block of text instead of libxenstore's block of pointers and text.
    size_t path_size = strlen(event[XS_WATCH_PATH]) + 1;
    size_t token_size = strlen(event[XS_WATCH_TOKEN]) + 1;
    char *copy = memory_zeroed(path_size + token_size);

    memcpy(copy, event[XS_WATCH_PATH], path_size);
    memcpy(copy + path_size, event[XS_WATCH_TOKEN], token_size);
    *token = copy + path_size;
    free(event);
    return copy;
}
