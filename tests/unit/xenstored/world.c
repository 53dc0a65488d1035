// SPDX-License-Identifier: Apache-2.0
//
// The test's world (world.h). Ports of domain N are N + port_offset. Nothing is checked here but
// what would make a test's own mistakes hard to find.

#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct world world;

static struct xenstore_domain_interface *map_ring(void *context, unsigned domid, uint64_t frame)
{
    (void)context;
    (void)frame;
    if (domid >= WORLD_DOMAINS || !world.ring[domid] || world.mapped[domid]) {
        return NULL;
    }
    world.mapped[domid] = true;
    return world.ring[domid];
}

static void unmap_ring(void *context, unsigned domid, struct xenstore_domain_interface *ring)
{
    (void)context;
    if (!world.mapped[domid] || world.ring[domid] != ring) {
        abort();
    }
    world.mapped[domid] = false;
}

static int bind_port(void *context, unsigned domid, unsigned remote_port)
{
    (void)context;
    (void)remote_port;
    return world.no_ports ? -1 : (int)(domid + world.port_offset);
}

static void unbind_port(void *context, unsigned port)
{
    (void)context;
    (void)port;
}

static void notify_port(void *context, unsigned port)
{
    (void)context;
    world.notified[port - world.port_offset]++;
}

static enum domain_state domain_state(void *context, unsigned domid)
{
    (void)context;
    return domid < WORLD_DOMAINS ? world.state[domid] : DOMAIN_GONE;
}

static int ring_opened(void *context, struct connection *connection, unsigned port)
{
    (void)context;
    world.opened[port - world.port_offset] = connection;
    return 0;
}

static void ring_closing(void *context, struct connection *connection, unsigned port)
{
    (void)context;
    if (world.opened[port - world.port_offset] != connection) {
        abort();
    }
    world.opened[port - world.port_offset] = NULL;
}

static void log_text(void *context, const char *text)
{
    (void)context;
    (void)text;
}

static int log_to(void *context, const char *path)
{
    (void)context;
    (void)path;
    return ENOENT;
}

static const struct host test_host = {
    .map_ring = map_ring,
    .unmap_ring = unmap_ring,
    .bind_port = bind_port,
    .unbind_port = unbind_port,
    .notify_port = notify_port,
    .domain_state = domain_state,
    .ring_opened = ring_opened,
    .ring_closing = ring_closing,
    .log = log_text,
    .log_to = log_to,
};

void world_begin(void)
{
    memset(&world, 0, sizeof(world));
    world.port_offset = 100;
    for (unsigned i = 1; i < WORLD_DOMAINS; i++) {
        world.state[i] = DOMAIN_GONE;
    }
    world.host = test_host;
    world.store = xenstore_create(&world.host);
    if (!world.store) {
        abort();
    }
}

void world_end(void)
{
    const char *wrong = xenstore_check(world.store);

    if (wrong) {
        fprintf(stderr, "the store's check: %s\n", wrong);
        abort();
    }
    xenstore_destroy(world.store);
    for (unsigned i = 0; i < WORLD_DOMAINS; i++) {
        if (world.mapped[i] || world.opened[i]) {
            fprintf(stderr, "the ring of domain %u was not given back\n", i);
            abort();
        }
        free(world.ring[i]);
    }
    if (nodes_alive() != 0) {
        fprintf(stderr, "%zu bytes of nodes are left\n", nodes_alive());
        abort();
    }
}

static ssize_t client_receive(struct connection *connection, char *data, size_t size)
{
    struct socket_client *client = connection_port(connection);
    size_t length = client->input_length < size ? client->input_length : size;

    memcpy(data, client->input, length);
    client->input_length -= length;
    memmove(client->input, client->input + length, client->input_length);
    return length == 0 && client->closed ? -1 : (ssize_t)length;
}

static ssize_t client_transmit(struct connection *connection, const char *data, size_t length)
{
    struct socket_client *client = connection_port(connection);

    if (length > client->room) {
        length = client->room;
    }
    if (length > sizeof(client->output) - client->output_length) {
        abort();
    }
    memcpy(client->output + client->output_length, data, length);
    client->output_length += length;
    client->room -= length;
    return client->closed ? -1 : (ssize_t)length;
}

static bool client_broken(struct connection *connection, unsigned error)
{
    (void)connection;
    (void)error;
    return false;
}

static const struct port_operations client_operations = {
    .receive = client_receive,
    .transmit = client_transmit,
    .broken = client_broken,
};

struct socket_client *socket_open(void)
{
    struct socket_client *client = calloc(1, sizeof(*client));

    if (!client) {
        abort();
    }
    client->room = SIZE_MAX;
    client->connection = xenstore_connect(world.store, &client_operations, client);
    if (!client->connection) {
        abort();
    }
    return client;
}

void socket_close(struct socket_client *client)
{
    xenstore_disconnect(client->connection);
    free(client);
}

void domain_begin(struct socket_client *client, unsigned domid)
{
    char data[64];
    int length = snprintf(data, sizeof(data), "%u%c1%c%u", domid, 0, 0, domid + 7) + 1;

    if (!world.ring[domid]) {
        world.ring[domid] = calloc(1, 4096);
    }
    world.state[domid] = DOMAIN_RUNS;
    if (!world.ring[domid] ||
        strcmp(ask_long(client, XS_INTRODUCE, 0, data, (size_t)length, NULL), "OK") != 0) {
        abort();
    }
}

uint32_t post(struct socket_client *client, uint32_t type, uint32_t transaction, const char *data,
              size_t length)
{
    static uint32_t number;
    struct xsd_sockmsg header = {
        .type = type, .req_id = ++number, .tx_id = transaction, .len = (uint32_t)length};

    if (client->input_length + sizeof(header) + length > sizeof(client->input)) {
        abort();
    }
    memcpy(client->input + client->input_length, &header, sizeof(header));
    memcpy(client->input + client->input_length + sizeof(header), data, length);
    client->input_length += sizeof(header) + length;
    return number;
}

void settle(void)
{
    bool more = true;

    for (unsigned rounds = 0; more && rounds < 10000; rounds++) {
        struct connection *next;

        more = false;
        for (struct connection *c = world.store->connections; c; c = next) {
            next = c->next;
            more = xenstore_turn(c) == TURN_MORE || more;
        }
        xenstore_flush(world.store);
    }
}

/* Takes the first message off the client's output; false when there is no whole one. */
static bool take_message(struct socket_client *client, struct xsd_sockmsg *header, char *data)
{
    size_t length;

    if (client->output_length < sizeof(*header)) {
        return false;
    }
    memcpy(header, client->output, sizeof(*header));
    length = sizeof(*header) + header->len;
    if (client->output_length < length) {
        return false;
    }
    memcpy(data, client->output + sizeof(*header), header->len);
    data[header->len] = '\0';
    client->output_length -= length;
    memmove(client->output, client->output + length, client->output_length);
    return true;
}

const char *next_event(struct socket_client *client)
{
    static char text[XENSTORE_PAYLOAD_MAX + 1];
    struct xsd_sockmsg header;

    settle();
    while (take_message(client, &header, text)) {
        if (header.type == XS_WATCH_EVENT) {
            text[strlen(text)] = ' ';
            return text;
        }
    }
    return NULL;
}

const char *ask_long(struct socket_client *client, uint32_t type, uint32_t transaction,
                     const char *data, size_t length, size_t *reply_length)
{
    static char reply[XENSTORE_PAYLOAD_MAX + 2];
    static char kept[sizeof(client->output)];
    struct xsd_sockmsg header = {0};
    size_t kept_length = 0;
    uint32_t number = post(client, type, transaction, data, length);

    settle();
    while (take_message(client, &header, reply + 1)) {
        if (header.req_id == number && header.type != XS_WATCH_EVENT) {
            break;
        }
        memcpy(kept + kept_length, &header, sizeof(header));
        memcpy(kept + kept_length + sizeof(header), reply + 1, header.len);
        kept_length += sizeof(header) + header.len;
    }
    memmove(client->output + kept_length, client->output, client->output_length);
    memcpy(client->output, kept, kept_length);
    client->output_length += kept_length;
    if (header.req_id != number) {
        return "!no reply";
    }
    if (reply_length) {
        *reply_length = header.len;
    }
    reply[0] = '!';
    return header.type == XS_ERROR ? reply : reply + 1;
}
