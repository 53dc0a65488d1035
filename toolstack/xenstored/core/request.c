// SPDX-License-Identifier: Apache-2.0
//
// Dispatch of requests, and those about watches and transactions (request.h). The table is the
// policy: what is not in it is answered with ENOSYS.

#include "request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FOR_PRIVILEGED 1u
#define IN_TRANSACTION 2u

bool request_arguments(struct request *request, size_t least, size_t most)
{
    size_t at = 0;

    request->arguments = 0;
    while (at < request->length && request->arguments < most) {
        const char *end = memchr(request->payload + at, '\0', request->length - at);

        if (!end) {
            return false;
        }
        request->argument[request->arguments++] = request->payload + at;
        at = (size_t)(end - request->payload) + 1;
    }
    return at == request->length && request->arguments >= least;
}

int reply_add(struct request *request, const char *data, size_t length)
{
    if (length > XENSTORE_PAYLOAD_MAX - request->reply_length) {
        return E2BIG;
    }
    memcpy(request->reply + request->reply_length, data, length);
    request->reply_length += length;
    return 0;
}

int reply_text(struct request *request, const char *text)
{
    return reply_add(request, text, strlen(text) + 1);
}

bool parse_number(const char *text, unsigned long long most, unsigned long long *number)
{
    char *end;

    if (*text < '0' || *text > '9') {
        return false;
    }
    errno = 0;
    *number = strtoull(text, &end, 10);
    return *end == '\0' && errno == 0 && *number <= most;
}

/* Resolves a watched path; *SKIP is what the client has left out of it. */
static int watched_path(struct request *request, unsigned *skip)
{
    char home[PATH_HOME_SIZE];
    const char *text = request->argument[0];

    if (path_resolve(request->store->path, text, request->domain->id) == 0 ||
        domain_exceeds(request->domain, QUOTA_PATH_LENGTH, (long long)strlen(text))) {
        return EINVAL;
    }
    *skip = *text == '/' || *text == '@' ? 0 : (unsigned)path_home(home, request->domain->id) + 1;
    return 0;
}

static int request_watch(struct request *request)
{
    int depth = WATCH_ANY_DEPTH;
    unsigned skip;
    int error;

    if (!request_arguments(request, 2, 3)) {
        return EINVAL;
    }
    if (request->arguments == 3 && *request->argument[2]) {
        unsigned long long number;

        if (!parse_number(request->argument[2], PATH_LONGEST, &number)) {
            return EINVAL;
        }
        depth = (int)number;
    }
    error = watched_path(request, &skip);
    return error ? error
                 : watch_add(request->connection, request->store->path, request->argument[1], depth,
                             skip);
}

static int request_unwatch(struct request *request)
{
    unsigned skip;
    int error = request_arguments(request, 2, 3) ? watched_path(request, &skip) : EINVAL;

    return error ? error
                 : watch_remove(request->connection, request->store->path, request->argument[1]);
}

static int request_reset_watches(struct request *request)
{
    watch_remove_all(request->connection);
    transactions_end_all(request->connection);
    return 0;
}

static int request_transaction_start(struct request *request)
{
    char text[12];
    uint32_t id;
    int error;

    if (request->header.tx_id != 0) {
        return EBUSY;
    }
    error = transaction_start(request->connection, &id);
    if (error != 0) {
        return error;
    }
    snprintf(text, sizeof(text), "%u", (unsigned)id);
    return reply_text(request, text);
}

static int request_transaction_end(struct request *request)
{
    bool commit;
    int error;

    if (!request->transaction) {
        return ENOENT;
    }
    if (!request_arguments(request, 1, 1) ||
        (strcmp(request->argument[0], "T") != 0 && strcmp(request->argument[0], "F") != 0)) {
        return EINVAL;
    }
    commit = request->argument[0][0] == 'T';
    error = transaction_end(request->transaction, commit, &request->changes);
    request->transaction = NULL;
    request->committed = commit && error == 0;
    return error;
}

static const struct {
    int (*serve)(struct request *request);
    const char *name;
    unsigned flags;
} types[REQUEST_TYPES] = {
    [XS_CONTROL] = {request_control, "CONTROL", FOR_PRIVILEGED},
    [XS_DIRECTORY] = {request_directory, "DIRECTORY", IN_TRANSACTION},
    [XS_READ] = {request_read, "READ", IN_TRANSACTION},
    [XS_GET_PERMS] = {request_get_permissions, "GET_PERMS", IN_TRANSACTION},
    [XS_WATCH] = {request_watch, "WATCH", 0},
    [XS_UNWATCH] = {request_unwatch, "UNWATCH", 0},
    [XS_TRANSACTION_START] = {request_transaction_start, "TRANSACTION_START", 0},
    [XS_TRANSACTION_END] = {request_transaction_end, "TRANSACTION_END", IN_TRANSACTION},
    [XS_INTRODUCE] = {request_introduce, "INTRODUCE", FOR_PRIVILEGED},
    [XS_RELEASE] = {request_release, "RELEASE", FOR_PRIVILEGED},
    [XS_GET_DOMAIN_PATH] = {request_domain_path, "GET_DOMAIN_PATH", 0},
    [XS_WRITE] = {request_write, "WRITE", IN_TRANSACTION},
    [XS_MKDIR] = {request_mkdir, "MKDIR", IN_TRANSACTION},
    [XS_RM] = {request_remove, "RM", IN_TRANSACTION},
    [XS_SET_PERMS] = {request_set_permissions, "SET_PERMS", IN_TRANSACTION},
    [XS_IS_DOMAIN_INTRODUCED] = {request_is_introduced, "IS_DOMAIN_INTRODUCED", 0},
    [XS_RESUME] = {request_resume, "RESUME", FOR_PRIVILEGED},
    [XS_SET_TARGET] = {request_set_target, "SET_TARGET", FOR_PRIVILEGED},
    [XS_RESET_WATCHES] = {request_reset_watches, "RESET_WATCHES", 0},
    [XS_DIRECTORY_PART] = {request_directory_part, "DIRECTORY_PART", IN_TRANSACTION},
    [REQUEST_GET_FEATURE] = {request_get_feature, "GET_FEATURE", 0},
    [REQUEST_SET_FEATURE] = {request_set_feature, "SET_FEATURE", FOR_PRIVILEGED},
    [REQUEST_GET_QUOTA] = {request_get_quota, "GET_QUOTA", FOR_PRIVILEGED},
    [REQUEST_SET_QUOTA] = {request_set_quota, "SET_QUOTA", FOR_PRIVILEGED},
};

static int run(struct request *request)
{
    uint32_t type = request->header.type;

    if (type >= REQUEST_TYPES || !types[type].serve) {
        return ENOSYS;
    }
    if ((types[type].flags & FOR_PRIVILEGED) && !request->domain->privileged) {
        return EACCES;
    }
    if (request->header.tx_id != 0 && (types[type].flags & IN_TRANSACTION)) {
        request->transaction = transaction_find(request->connection, request->header.tx_id);
        if (!request->transaction) {
            return ENOENT;
        }
    }
    return types[type].serve(request);
}

static const char *error_name(int error)
{
    for (size_t i = 0; i < sizeof(xsd_errors) / sizeof(xsd_errors[0]); i++) {
        if (xsd_errors[i].errnum == error) {
            return xsd_errors[i].errstring;
        }
    }
    return "EINVAL";
}

static void trace(const struct request *request, int error)
{
    uint32_t type = request->header.type;
    char line[160];
    int room = request->length < 80 ? (int)request->length : 80;

    snprintf(line, sizeof(line), "domain %u tx %u %s %.*s: %s", request->domain->id,
             (unsigned)request->header.tx_id,
             type < REQUEST_TYPES && types[type].name ? types[type].name : "?", room,
             request->payload, error ? error_name(error) : "OK");
    request->store->host->log(request->store->host->context, line);
}

static void answer(struct request *request, int error)
{
    struct xsd_sockmsg header = request->header;

    if (error != 0) {
        header.type = XS_ERROR;
        request->reply_length = 0;
        (void)reply_text(request, error_name(error));
    } else if (request->reply_length == 0 && header.type != XS_READ &&
               header.type != XS_DIRECTORY) {
        (void)reply_text(request, "OK");
    }
    header.len = (uint32_t)request->reply_length;
    connection_reply(request->connection, &header, request->reply);
}

/* Tells those who watch, after the reply. */
static void tell(struct request *request)
{
    for (struct change *change = request->changes; change; change = change->next) {
        watch_fire(request->store, change);
    }
    if (request->committed) {
        changes_free(request->store, request->changes);
    } else {
        change_release(request->store, &request->change);
        permissions_put(&request->store->permissions, request->change.permissions);
    }
}

void request_serve(struct connection *connection, const struct xsd_sockmsg *header,
                   const char *payload)
{
    struct store *store = connection->store;
    struct request request = {
        .store = store,
        .connection = connection,
        .domain = connection->domain,
        .header = *header,
        .payload = payload,
        .length = header->len,
        .reply = store->output + sizeof(*header),
    };
    int error = run(&request);

    if (store->trace) {
        trace(&request, error);
    }
    answer(&request, error);
    if (error == 0 && header->type == XS_WATCH && connection->watches) {
        (void)watch_greet(connection);
    }
    tell(&request);
    transactions_relieve(store);
}
