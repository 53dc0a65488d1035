// SPDX-License-Identifier: Apache-2.0
//
// Clients' queues and turns (connection.h). A turn serves at most TURN_REQUESTS requests. Output is
// gathered to pieces of up to GATHER bytes, so that many small events cost one system call. An
// event for lack of memory is lost only together with the marker for its watch, which is tried
// again with each further event.

#include "connection.h"
#include "request.h"
#include "transaction.h"
#include "watch.h"

#include <stdlib.h>
#include <string.h>

#define TURN_REQUESTS 8
#define GATHER 4096
/* The rest of an incomplete request is before it in the buffer. */
#define RECEIVE_MOST (SCRATCH_SIZE - 2 * MESSAGE_LONGEST)
#define DUPLICATES_SEEN 64
/* What a privileged client may leave unread; it has no quota. */
#define EVENTS_MOST 32768

struct connection *connection_create(struct store *store, struct domain *domain,
                                     const struct port_operations *operations, void *port)
{
    struct connection *connection = calloc(1, sizeof(*connection));

    if (!connection) {
        return NULL;
    }
    connection->store = store;
    connection->domain = domain;
    connection->operations = operations;
    connection->port = port;
    connection->last = &connection->first;
    connection->next = store->connections;
    connection->link = &store->connections;
    if (connection->next) {
        connection->next->link = &connection->next;
    }
    store->connections = connection;
    return connection;
}

struct connection *xenstore_connect(struct store *store, const struct port_operations *operations,
                                    void *port)
{
    struct domain *domain = domain_get(store, 0);

    return domain ? connection_create(store, domain, operations, port) : NULL;
}

void *connection_port(const struct connection *connection)
{
    return connection->port;
}

static bool usable(const struct connection *connection)
{
    return !connection->gone && !connection->deaf;
}

static void free_message(struct connection *connection, struct message *message)
{
    connection->domain->memory -= (long)(sizeof(*message) + message->length);
    connection->replies -= message->reply;
    connection->events -= !message->reply;
    free(message);
}

static void take_first(struct connection *connection)
{
    struct message *message = connection->first;

    connection->first = message->next;
    if (!connection->first) {
        connection->last = &connection->first;
    }
    if (message->watch) {
        struct message **link = &message->watch->pending;

        while (*link != message) {
            link = &(*link)->next_pending;
        }
        *link = message->next_pending;
    }
    free_message(connection, message);
}

void connection_reset(struct connection *connection)
{
    transactions_end_all(connection);
    watch_remove_all(connection);
    while (connection->first) {
        take_first(connection);
    }
    free(connection->rest);
    connection->rest = NULL;
    connection->rest_length = 0;
    connection->deaf = false;
}

static void undirty(struct connection *connection)
{
    struct connection **link = &connection->store->dirty;

    while (*link != connection) {
        link = &(*link)->next_dirty;
    }
    *link = connection->next_dirty;
    connection->dirty = false;
}

void xenstore_disconnect(struct connection *connection)
{
    connection_reset(connection);
    if (connection->dirty) {
        undirty(connection);
    }
    *connection->link = connection->next;
    if (connection->next) {
        connection->next->link = connection->link;
    }
    free(connection);
}

static void mark_dirty(struct connection *connection)
{
    if (!connection->dirty) {
        connection->dirty = true;
        connection->next_dirty = connection->store->dirty;
        connection->store->dirty = connection;
    }
}

static struct message *queue(struct connection *connection, size_t length, bool reply)
{
    struct message *message = malloc(sizeof(*message) + length);

    if (!message) {
        return NULL;
    }
    *message = (struct message){.length = (uint32_t)length, .reply = reply};
    *connection->last = message;
    connection->last = &message->next;
    connection->replies += reply;
    connection->events += !reply;
    connection->domain->memory += (long)(sizeof(*message) + length);
    mark_dirty(connection);
    return message;
}

/* Takes SENT bytes off the front of the queue. */
static void advance(struct connection *connection, size_t sent)
{
    while (connection->first) {
        struct message *message = connection->first;
        size_t left = message->length - message->sent;

        if (left > sent) {
            message->sent += (uint32_t)sent;
            return;
        }
        sent -= left;
        take_first(connection);
    }
}

/* Sends what waits. Returns false when there is no room for all of it. */
static bool flush(struct connection *connection)
{
    char piece[GATHER];

    while (connection->first && usable(connection)) {
        size_t length = 0;
        ssize_t sent;

        for (struct message *message = connection->first; message && length < sizeof(piece);
             message = message->next) {
            size_t part = message->length - message->sent;

            if (part > sizeof(piece) - length) {
                part = sizeof(piece) - length;
            }
            memcpy(piece + length, message->data + message->sent, part);
            length += part;
        }
        sent = length ? connection->operations->transmit(connection, piece, length) : 0;
        if (sent < 0) {
            connection->gone = true;
            return false;
        }
        advance(connection, (size_t)sent);
        if ((size_t)sent < length) {
            return false;
        }
    }
    return true;
}

void xenstore_flush(struct store *store)
{
    while (store->dirty) {
        struct connection *connection = store->dirty;

        store->dirty = connection->next_dirty;
        connection->dirty = false;
        flush(connection);
        if (connection->operations->finish) {
            connection->operations->finish(connection);
        }
    }
}

void connection_break(struct connection *connection, unsigned error)
{
    connection_reset(connection);
    connection->deaf = connection->operations->broken(connection, error);
    connection->gone = !connection->deaf;
}

void connection_reply(struct connection *connection, const struct xsd_sockmsg *header,
                      const char *data)
{
    size_t length = sizeof(*header) + header->len;
    char *whole = connection->store->output;
    ssize_t sent = 0;
    struct message *message;

    memmove(whole + sizeof(*header), data, header->len);
    memcpy(whole, header, sizeof(*header));
    if (!connection->first) {
        sent = connection->operations->transmit(connection, whole, length);
        if (sent < 0) {
            connection->gone = true;
            return;
        }
    }
    if ((size_t)sent == length || !usable(connection)) {
        return;
    }
    message = queue(connection, length, true);
    if (!message) {
        connection_break(connection, XENSTORE_ERROR_COMM);
        return;
    }
    memcpy(message->data, whole, length);
    message->sent = (uint32_t)sent;
}

static uint32_t hash_text(const char *text)
{
    uint32_t hash = 2166136261u;

    for (; *text; text++) {
        hash = (hash ^ (unsigned char)*text) * 16777619u;
    }
    return hash;
}

static bool waits_already(const struct watch *watch, const char *path, uint32_t hash)
{
    unsigned seen = 0;

    for (struct message *message = watch->pending; message && seen < DUPLICATES_SEEN;
         message = message->next_pending, seen++) {
        if (message->hash == hash && message->sent == 0 &&
            strcmp(message->data + sizeof(struct xsd_sockmsg), path) == 0) {
            return true;
        }
    }
    return false;
}

static int queue_event(struct watch *watch, const char *path, uint32_t hash)
{
    size_t path_size = strlen(path) + 1;
    size_t token_size = strlen(watch->token) + 1;
    struct xsd_sockmsg header = {.type = XS_WATCH_EVENT, .len = (uint32_t)(path_size + token_size)};
    struct message *message =
        queue(watch->connection, sizeof(header) + path_size + token_size, false);

    if (!message) {
        return ENOMEM;
    }
    memcpy(message->data, &header, sizeof(header));
    memcpy(message->data + sizeof(header), path, path_size);
    memcpy(message->data + sizeof(header) + path_size, watch->token, token_size);
    message->hash = hash;
    message->watch = watch;
    message->next_pending = watch->pending;
    watch->pending = message;
    return 0;
}

/* Whether the client has so many events to take that it only gets markers now. */
static bool crowded(const struct connection *connection)
{
    const struct domain *domain = connection->domain;

    return connection->events >= EVENTS_MOST ||
           domain_exceeds(domain, QUOTA_EVENTS, (long long)connection->events + 1) ||
           domain_lacks_memory(domain, MESSAGE_LONGEST);
}

void connection_event(struct watch *watch, const char *path)
{
    uint32_t hash;

    if (crowded(watch->connection)) {
        /* One event for the whole watch is waiting already, or it is made now. */
        path = watch->path;
    }
    path += watch->skip;
    hash = hash_text(path);
    if (!watch->connection->deaf && !waits_already(watch, path, hash)) {
        (void)queue_event(watch, path, hash);
    }
}

int connection_first_event(struct watch *watch)
{
    const char *path = watch->path + watch->skip;

    return queue_event(watch, path, hash_text(path));
}

void connection_drop_events(struct watch *watch)
{
    while (watch->pending) {
        struct message *message = watch->pending;

        watch->pending = message->next_pending;
        message->watch = NULL;
        if (message->sent == 0) {
            message->sent = message->length;
        }
    }
}

/* Serves whole requests in DATA; returns how many bytes they were. */
static size_t serve(struct connection *connection, char *data, size_t length, unsigned *budget)
{
    struct xsd_sockmsg header;
    size_t done = 0;

    while (*budget > 0 && length - done >= sizeof(header)) {
        memcpy(&header, data + done, sizeof(header));
        if (header.len > XENSTORE_PAYLOAD_MAX) {
            connection_break(connection, XENSTORE_ERROR_PROTO);
            return length;
        }
        if (length - done < sizeof(header) + header.len) {
            break;
        }
        --*budget;
        request_serve(connection, &header, data + done + sizeof(header));
        done += sizeof(header) + header.len;
        if (!usable(connection)) {
            return length;
        }
    }
    return done;
}

static bool keep_rest(struct connection *connection, const char *data, size_t length)
{
    connection->rest = length ? malloc(length) : NULL;
    connection->rest_length = connection->rest ? length : 0;
    if (connection->rest) {
        memcpy(connection->rest, data, length);
    }
    return connection->rest || length == 0;
}

/* Whether as many replies wait as the client may leave. */
static bool full(const struct connection *connection)
{
    unsigned limit = connection->domain->quotas.limit[QUOTA_OUTSTANDING];

    return connection->replies >= (limit ? limit : quota_defaults.limit[QUOTA_OUTSTANDING]);
}

static enum turn take_requests(struct connection *connection)
{
    char *data = connection->store->scratch;
    size_t length = connection->rest_length;
    unsigned budget = TURN_REQUESTS;
    ssize_t received = 0;
    size_t done;

    memcpy(data, connection->rest ? connection->rest : "", length);
    free(connection->rest);
    connection->rest = NULL;
    connection->rest_length = 0;

    done = serve(connection, data, length, &budget);
    if (usable(connection) && budget > 0) {
        received = connection->operations->receive(connection, data + length, RECEIVE_MOST);
        if (received < 0) {
            connection->gone = true;
        } else if (usable(connection)) {
            length += (size_t)received;
            done += serve(connection, data + done, length - done, &budget);
        }
    }
    if (usable(connection) && !keep_rest(connection, data + done, length - done)) {
        connection_break(connection, XENSTORE_ERROR_COMM);
    }
    return budget == 0 || received == RECEIVE_MOST ? TURN_MORE : TURN_IDLE;
}

enum turn xenstore_turn(struct connection *connection)
{
    enum turn turn = TURN_BLOCKED;

    if (connection->operations->begin) {
        connection->operations->begin(connection);
    }
    if (usable(connection) && (flush(connection) || !full(connection))) {
        turn = take_requests(connection);
    }
    if (connection->operations->finish) {
        connection->operations->finish(connection);
    }
    if (!usable(connection)) {
        return connection->gone ? TURN_CLOSED : TURN_IDLE;
    }
    return turn;
}
