// SPDX-License-Identifier: Apache-2.0
//
// Ring pages (ring.h). Order of memory accesses: a producer's index is read before the bytes that
// it announces and written after them; a consumer's index is written after its bytes were read.
// The event channel is notified once a turn, when anything moved.

#include "ring.h"

#include <stdlib.h>
#include <string.h>

static struct ring *ring_of(const struct connection *connection)
{
    return connection->port;
}

/* Copies LENGTH bytes at stream position AT out of or into a circular buffer. */
static void copy_out(char *to, const char *buffer, uint32_t at, size_t length)
{
    size_t first = XENSTORE_RING_SIZE - MASK_XENSTORE_IDX(at);

    first = first < length ? first : length;
    memcpy(to, buffer + MASK_XENSTORE_IDX(at), first);
    memcpy(to + first, buffer, length - first);
}

static void copy_in(char *buffer, const char *from, uint32_t at, size_t length)
{
    size_t first = XENSTORE_RING_SIZE - MASK_XENSTORE_IDX(at);

    first = first < length ? first : length;
    memcpy(buffer + MASK_XENSTORE_IDX(at), from, first);
    memcpy(buffer, from + first, length - first);
}

static ssize_t ring_receive(struct connection *connection, char *data, size_t size)
{
    struct ring *ring = ring_of(connection);
    uint32_t produced = __atomic_load_n(&ring->page->req_prod, __ATOMIC_ACQUIRE);
    uint32_t length = produced - ring->taken;

    if (length > XENSTORE_RING_SIZE) {
        connection_break(connection, XENSTORE_ERROR_RINGIDX);
        return 0;
    }
    if (length > size) {
        length = (uint32_t)size;
    }
    if (length > 0) {
        copy_out(data, ring->page->req, ring->taken, length);
        ring->taken += length;
        __atomic_store_n(&ring->page->req_cons, ring->taken, __ATOMIC_RELEASE);
        ring->notify = true;
    }
    return (ssize_t)length;
}

static ssize_t ring_transmit(struct connection *connection, const char *data, size_t length)
{
    struct ring *ring = ring_of(connection);
    uint32_t consumed = __atomic_load_n(&ring->page->rsp_cons, __ATOMIC_ACQUIRE);
    uint32_t waiting = ring->given - consumed;

    if (waiting > XENSTORE_RING_SIZE) {
        connection_break(connection, XENSTORE_ERROR_RINGIDX);
        return 0;
    }
    if (length > XENSTORE_RING_SIZE - waiting) {
        length = XENSTORE_RING_SIZE - waiting;
    }
    if (length > 0) {
        copy_in(ring->page->rsp, data, ring->given, length);
        ring->given += (uint32_t)length;
        __atomic_store_n(&ring->page->rsp_prod, ring->given, __ATOMIC_RELEASE);
        ring->notify = true;
    }
    return (ssize_t)length;
}

/* Serves a domain that asks for a new connection. */
static void ring_begin(struct connection *connection)
{
    struct ring *ring = ring_of(connection);
    struct xenstore_domain_interface *page = ring->page;

    if (__atomic_load_n(&page->connection, __ATOMIC_ACQUIRE) != XENSTORE_RECONNECT ||
        !(connection->domain->features & XENSTORE_SERVER_FEATURE_RECONNECTION)) {
        return;
    }
    connection_reset(connection);
    ring->taken = ring->given = 0;
    page->req_cons = page->req_prod = page->rsp_cons = page->rsp_prod = 0;
    page->error = XENSTORE_ERROR_NONE;
    __atomic_store_n(&page->connection, XENSTORE_CONNECTED, __ATOMIC_RELEASE);
    ring->notify = true;
}

static void ring_finish(struct connection *connection)
{
    struct ring *ring = ring_of(connection);
    const struct host *host = connection->store->host;

    if (ring->notify) {
        ring->notify = false;
        host->notify_port(host->context, ring->port);
    }
}

static bool ring_broken(struct connection *connection, unsigned error)
{
    struct ring *ring = ring_of(connection);

    if (connection->domain->features & XENSTORE_SERVER_FEATURE_ERROR) {
        __atomic_store_n(&ring->page->error, error, __ATOMIC_RELEASE);
    }
    ring->notify = true;
    return true;
}

static const struct port_operations ring_operations = {
    .begin = ring_begin,
    .receive = ring_receive,
    .transmit = ring_transmit,
    .finish = ring_finish,
    .broken = ring_broken,
};

struct ring *ring_create(struct domain *domain, struct xenstore_domain_interface *page,
                         unsigned port, bool local)
{
    struct ring *ring = calloc(1, sizeof(*ring));

    if (!ring) {
        return NULL;
    }
    ring->page = page;
    ring->port = port;
    ring->local = local;
    ring->taken = page->req_cons;
    ring->given = page->rsp_prod;
    ring->connection = connection_create(domain->store, domain, &ring_operations, ring);
    if (!ring->connection) {
        free(ring);
        return NULL;
    }
    page->server_features = domain->features;
    ring->notify = true;
    return ring;
}

void ring_free(struct ring *ring)
{
    xenstore_disconnect(ring->connection);
    free(ring);
}

void ring_destroy(struct ring *ring)
{
    struct domain *domain = ring->connection->domain;
    const struct host *host = domain->store->host;

    host->ring_closing(host->context, ring->connection, ring->port);
    if (!ring->local) {
        host->unbind_port(host->context, ring->port);
        host->unmap_ring(host->context, domain->id, ring->page);
    }
    ring_free(ring);
}
