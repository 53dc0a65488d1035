// SPDX-License-Identifier: Apache-2.0
//
// Keeps a xenstored busy: load SOCKET CLIENTS SECONDS DOMAINS. Each client is a process with a
// connection of its own that repeats what a toolstack does for a device: begin a transaction, read
// two nodes, write two below its own domain, commit, and begin again on a conflict. DOMAINS homes
// of 30 nodes and a watch each are made first, so that the store has its usual size. Prints one
// line: transactions, conflicts, requests, and the microseconds from the first to the last.
// Everything is written against the wire protocol, so that no library's costs come in. Any error
// ends the run.

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <xen/io/xs_wire.h>

struct client {
    int fd;
    uint32_t transaction;
    size_t buffered;
    char buffer[16384];
    char reply[XENSTORE_PAYLOAD_MAX + 1];
};

struct counts {
    uint64_t transactions;
    uint64_t conflicts;
    uint64_t requests;
};

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

/* Waits until LENGTH bytes are in the buffer. */
static void fill(struct client *client, size_t length)
{
    while (client->buffered < length) {
        ssize_t part = read(client->fd, client->buffer + client->buffered,
                            sizeof(client->buffer) - client->buffered);

        if (part <= 0) {
            fail("read");
        }
        client->buffered += (size_t)part;
    }
}

/* Takes the next message: its payload goes to REPLY. Returns its type. */
static uint32_t next_message(struct client *client)
{
    struct xsd_sockmsg header;
    size_t whole;

    fill(client, sizeof(header));
    memcpy(&header, client->buffer, sizeof(header));
    whole = sizeof(header) + header.len;
    fill(client, whole);
    memcpy(client->reply, client->buffer + sizeof(header), header.len);
    client->reply[header.len] = '\0';
    client->buffered -= whole;
    memmove(client->buffer, client->buffer + whole, client->buffered);
    return header.type;
}

/* Sends a request and waits for its reply, past events. Returns whether it was no error. */
static int request(struct client *client, uint32_t type, const char *data, size_t length)
{
    char message[sizeof(struct xsd_sockmsg) + XENSTORE_PAYLOAD_MAX];
    struct xsd_sockmsg header = {
        .type = type, .tx_id = client->transaction, .len = (uint32_t)length};

    memcpy(message, &header, sizeof(header));
    memcpy(message + sizeof(header), data, length);
    if (write(client->fd, message, sizeof(header) + length) != (ssize_t)(sizeof(header) + length)) {
        fail("write");
    }
    do {
        type = next_message(client);
    } while (type == XS_WATCH_EVENT);
    return type != XS_ERROR;
}

static void must(struct client *client, uint32_t type, const char *data, size_t length)
{
    if (!request(client, type, data, length)) {
        fprintf(stderr, "request %u %s: %s\n", type, data, client->reply);
        exit(1);
    }
}

static void write_node(struct client *client, const char *path, const char *value)
{
    char data[512];
    int length = snprintf(data, sizeof(data), "%s%c%s", path, 0, value);

    must(client, XS_WRITE, data, (size_t)length);
}

static void connect_client(struct client *client, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    memset(client, 0, sizeof(*client));
    strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
    client->fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (client->fd < 0 || connect(client->fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        fail(path);
    }
}

static void make_domains(struct client *client, unsigned domains)
{
    for (unsigned domid = 1; domid <= domains; domid++) {
        char path[128];

        for (unsigned node = 0; node < 30; node++) {
            snprintf(path, sizeof(path), "/local/domain/%u/device/vif/%u/feature-%u", domid,
                     node / 10, node % 10);
            write_node(client, path, "some value");
        }
        snprintf(path, sizeof(path), "/local/domain/%u/device%cw%u", domid, 0, domid);
        must(client, XS_WATCH, path, strlen(path) + 1 + strlen(path + strlen(path) + 1) + 1);
    }
}

/* One transaction; returns whether it was committed. */
static int transact(struct client *client, unsigned number, uint64_t round, struct counts *counts)
{
    char path[128];
    char value[32];
    int committed;

    must(client, XS_TRANSACTION_START, "", 1);
    client->transaction = (uint32_t)strtoul(client->reply, NULL, 10);
    must(client, XS_READ, "/tool/xenstored", 16);
    snprintf(path, sizeof(path), "/bench/%u/state", number);
    must(client, XS_READ, path, strlen(path) + 1);
    snprintf(value, sizeof(value), "%llu", (unsigned long long)round);
    write_node(client, path, value);
    snprintf(path, sizeof(path), "/bench/%u/device/vif/0/state", number);
    write_node(client, path, value);
    committed = request(client, XS_TRANSACTION_END, "T", 2);
    if (!committed && strcmp(client->reply, "EAGAIN") != 0) {
        fprintf(stderr, "commit: %s\n", client->reply);
        exit(1);
    }
    client->transaction = 0;
    counts->requests += 6;
    return committed;
}

static void work(const char *socket_path, unsigned number, double seconds, struct counts *counts)
{
    struct client client;
    struct timespec begin;
    struct timespec now;
    char path[64];

    connect_client(&client, socket_path);
    snprintf(path, sizeof(path), "/bench/%u/state", number);
    write_node(&client, path, "0");
    clock_gettime(CLOCK_MONOTONIC, &begin);
    do {
        if (transact(&client, number, counts->transactions, counts)) {
            counts->transactions++;
        } else {
            counts->conflicts++;
        }
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((double)(now.tv_sec - begin.tv_sec) + (double)(now.tv_nsec - begin.tv_nsec) * 1e-9 <
             seconds);
}

int main(int argc, char **argv)
{
    struct client control;
    struct counts total = {0};
    struct counts *counts;
    unsigned clients;

    if (argc != 5) {
        fprintf(stderr, "Usage: load SOCKET CLIENTS SECONDS DOMAINS\n");
        return 2;
    }
    clients = (unsigned)strtoul(argv[2], NULL, 10);
    counts = mmap(NULL, clients * sizeof(*counts), PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (clients == 0 || counts == MAP_FAILED) {
        fail("counts");
    }
    connect_client(&control, argv[1]);
    make_domains(&control, (unsigned)strtoul(argv[4], NULL, 10));
    for (unsigned i = 0; i < clients; i++) {
        pid_t child = fork();

        if (child < 0) {
            fail("fork");
        }
        if (child == 0) {
            work(argv[1], i, strtod(argv[3], NULL), &counts[i]);
            _exit(0);
        }
    }
    for (unsigned i = 0; i < clients; i++) {
        int status;

        if (wait(&status) < 0 || status != 0) {
            fail("a client");
        }
        total.transactions += counts[i].transactions;
        total.conflicts += counts[i].conflicts;
        total.requests += counts[i].requests;
    }
    printf("transactions %llu conflicts %llu requests %llu\n",
           (unsigned long long)total.transactions, (unsigned long long)total.conflicts,
           (unsigned long long)total.requests);
    return 0;
}
