// SPDX-License-Identifier: Apache-2.0
//
// Many nodes of xenstore at once, by the wire protocol over the daemon's socket: requests go out by
// the window, then the answers are taken in. A listing of domains would otherwise wait for the
// daemon once for each of them. The connection lives for one call. Answers are checked: what is not
// as it should be ends the call, and nothing is returned.
#include <toolstack/memory.h>
#include <toolstack/store.h>

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <xen/io/xs_wire.h>

#define SOCKET "/run/xenstored/socket"

// Requests that are under way at the same time; their answers find room in a socket's buffer.
enum { WINDOW = 64, BUFFER_SIZE = 8192 };

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

static bool send_requests(int socket, char *const paths[], size_t count)
{
    struct text requests = {0};
    size_t sent = 0;
    ssize_t size = 1;

    for (size_t i = 0; i < count; i++) {
        struct xsd_sockmsg head = {
            .type = XS_READ, .req_id = (uint32_t)i, .len = (uint32_t)strlen(paths[i]) + 1};

        text_add_bytes(&requests, (const char *)&head, sizeof(head));
        text_add_bytes(&requests, paths[i], head.len);
    }
    while (sent < requests.length && size > 0) {
        size = send(socket, requests.bytes + sent, requests.length - sent, MSG_NOSIGNAL);
        if (size > 0)
            sent += (size_t)size;
    }
    bool all = sent == requests.length;

    text_free(&requests);
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

// The daemon answers a connection's requests in their order.
static bool take_answer(struct reader *reader, uint32_t number, char **value)
{
    struct xsd_sockmsg head;
    char payload[XENSTORE_PAYLOAD_MAX + 1];

    if (!take(reader, &head, sizeof(head)) || head.len > XENSTORE_PAYLOAD_MAX ||
        head.req_id != number || !take(reader, payload, head.len))
        return false;
    payload[head.len] = '\0';
    if (head.type == XS_READ)
        *value = memory_copy_text(payload);
    return head.type == XS_READ || head.type == XS_ERROR;
}

bool store_read_many(char *const paths[], char *values[], size_t count)
{
    struct reader reader = {.socket = connect_daemon()};
    bool good = reader.socket >= 0;

    memset(values, 0, count * sizeof(*values));
    for (size_t first = 0; first < count && good; first += WINDOW) {
        size_t window = count - first < WINDOW ? count - first : WINDOW;

        good = send_requests(reader.socket, paths + first, window);
        for (size_t i = 0; i < window && good; i++)
            good = take_answer(&reader, (uint32_t)i, &values[first + i]);
    }
    for (size_t i = 0; i < count && !good; i++) {
        free(values[i]);
        values[i] = NULL;
    }
    if (reader.socket >= 0)
        close(reader.socket);
    return good;
}
