// SPDX-License-Identifier: Apache-2.0
//
// What libxenstore does not offer, by the wire protocol over the daemon's socket: many nodes at
// once (requests go out by the window, then the answers are taken in; a listing of domains would
// otherwise wait for the daemon once for each of them), and quotas of one domain. A connection
// lives for one call. Answers are checked: what is not as it should be ends the call, and nothing
// is returned.
#include <toolstack/memory.h>
#include <toolstack/store.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <xen/io/xs_wire.h>

#define SOCKET "/run/xenstored/socket"

// Requests that are under way at the same time; their answers find room in a socket's buffer.
enum { WINDOW = 64, BUFFER_SIZE = 8192 };

// Of the protocol as it came after 4.20, whose header ends before it.
enum { REQUEST_SET_QUOTA = XS_DIRECTORY_PART + 4 };

struct reader {
    int socket;
    size_t filled;
    size_t used;
    char bytes[BUFFER_SIZE];
};

static int connect_daemon(void)
{
    const char *path = getenv("XENSTORED_PATH");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int descriptor;

    if (!path)
        path = SOCKET;
    if (strlen(path) >= sizeof(address.sun_path))
        return -1;
    strcpy(address.sun_path, path);
    descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor >= 0 && connect(descriptor, (struct sockaddr *)&address, sizeof(address)) != 0) {
        close(descriptor);
        return -1;
    }
    return descriptor;
}

static void add_request(struct text *requests, uint32_t type, size_t number, const char *payload,
                        size_t size)
{
    struct xsd_sockmsg head = {.type = type, .req_id = (uint32_t)number, .len = (uint32_t)size};

    text_add_bytes(requests, (const char *)&head, sizeof(head));
    text_add_bytes(requests, payload, size);
}

// Sends what was added and empties it.
static bool send_requests(int socket, struct text *requests)
{
    size_t sent = 0;
    ssize_t size = 1;

    while (sent < requests->length && size > 0) {
        size = send(socket, requests->bytes + sent, requests->length - sent, MSG_NOSIGNAL);
        if (size > 0)
            sent += (size_t)size;
    }
    bool all = sent == requests->length;

    text_free(requests);
    return all;
}

static bool take(struct reader *reader, void *bytes, size_t size)
{
    while (size) {
        size_t piece = reader->filled - reader->used;

        if (!piece) {
            ssize_t got = read(reader->socket, reader->bytes, sizeof(reader->bytes));

            if (got <= 0)
                return false;
            reader->filled = (size_t)got;
            reader->used = 0;
            continue;
        }
        if (piece > size)
            piece = size;
        memcpy(bytes, reader->bytes + reader->used, piece);
        reader->used += piece;
        bytes = (char *)bytes + piece;
        size -= piece;
    }
    return true;
}

// The daemon answers a connection's requests in their order, with their type or an error. The
// value, which ends in a NUL and is the caller's, is NULL for an error.
static bool take_answer(struct reader *reader, uint32_t type, size_t number, char **value)
{
    struct xsd_sockmsg head;
    char payload[XENSTORE_PAYLOAD_MAX + 1];

    if (!take(reader, &head, sizeof(head)) || head.len > XENSTORE_PAYLOAD_MAX ||
        head.req_id != number || !take(reader, payload, head.len))
        return false;
    payload[head.len] = '\0';
    if (head.type == type)
        *value = memory_copy_text(payload);
    return head.type == type || head.type == XS_ERROR;
}

bool store_read_many(char *const paths[], char *values[], size_t count)
{
    struct reader reader = {.socket = connect_daemon()};
    bool good = reader.socket >= 0;

    memset(values, 0, count * sizeof(*values));
    for (size_t first = 0; first < count && good; first += WINDOW) {
        size_t window = count - first < WINDOW ? count - first : WINDOW;

        struct text requests = {0};

        for (size_t i = 0; i < window; i++)
            add_request(&requests, XS_READ, i, paths[first + i], strlen(paths[first + i]) + 1);
        good = send_requests(reader.socket, &requests);
        for (size_t i = 0; i < window && good; i++)
            good = take_answer(&reader, XS_READ, i, &values[first + i]);
    }
    for (size_t i = 0; i < count && !good; i++) {
        free(values[i]);
        values[i] = NULL;
    }
    if (reader.socket >= 0)
        close(reader.socket);
    return good;
}

bool store_set_quota(unsigned int domid, const char *name, unsigned int value)
{
    struct reader reader = {.socket = connect_daemon()};
    char *payload = memory_format("%u%c%s%c%u", domid, '\0', name, '\0', value);
    size_t size = (size_t)snprintf(NULL, 0, "%u %s %u", domid, name, value) + 1;
    struct text requests = {0};
    char *answer = NULL;

    add_request(&requests, REQUEST_SET_QUOTA, 0, payload, size);
    free(payload);
    if (reader.socket < 0 || !send_requests(reader.socket, &requests) ||
        !take_answer(&reader, REQUEST_SET_QUOTA, 0, &answer))
        answer = NULL;
    text_free(&requests);
    if (reader.socket >= 0)
        close(reader.socket);
    bool set = answer != NULL;

    free(answer);
    return set;
}
