// SPDX-License-Identifier: Apache-2.0
//
// Clients that do not behave: who does not read, who sends half a request or too much, rings whose
// indices lie or change, and floods; and what a turn may cost.

#include "check.h"

#include <stdio.h>
#include <stdlib.h>

static void requests_come_in_pieces(void **state)
{
    struct socket_client *client = *state;
    char whole[64];
    size_t length;

    post(client, XS_READ, 0, "/tool/xenstored", 16);
    length = client->input_length;
    memcpy(whole, client->input, length);
    client->input_length = 0;
    for (size_t i = 0; i < length; i++) {
        client->input[0] = whole[i];
        client->input_length = 1;
        assert_int_equal(client->output_length, 0);
        assert_int_equal(xenstore_turn(client->connection), TURN_IDLE);
    }
    assert_int_equal(client->output_length, sizeof(struct xsd_sockmsg));
}

static void turns_are_bounded(void **state)
{
    struct socket_client *client = *state;
    unsigned turns = 1;

    for (unsigned i = 0; i < 1000; i++) {
        post(client, XS_READ, 0, "/tool/xenstored", 16);
    }
    while (xenstore_turn(client->connection) == TURN_MORE) {
        turns++;
    }
    assert_in_range(turns, 100, 200);
    assert_int_equal(client->output_length, 1000 * sizeof(struct xsd_sockmsg));
}

static void who_does_not_read_is_not_served(void **state)
{
    struct socket_client *client = *state;

    client->room = 10;
    for (unsigned i = 0; i < 1000; i++) {
        post(client, XS_DIRECTORY, 0, "/", 2);
    }
    settle();
    assert_int_equal(xenstore_turn(client->connection), TURN_BLOCKED);
    assert_in_range(client->connection->replies, 20, 30);
    client->room = SIZE_MAX;
    settle();
    assert_int_equal(client->output_length, 1000 * (sizeof(struct xsd_sockmsg) + 5));
}

static void long_requests_end_the_connection(void **state)
{
    struct socket_client *client = socket_open();
    struct xsd_sockmsg header = {.type = XS_READ, .len = XENSTORE_PAYLOAD_MAX + 1};

    (void)state;
    memcpy(client->input, &header, sizeof(header));
    client->input_length = sizeof(header);
    assert_int_equal(xenstore_turn(client->connection), TURN_CLOSED);
    socket_close(client);
}

static void events_are_gathered(void **state)
{
    struct socket_client *writer = *state;
    struct socket_client *reader = socket_open();
    char data[64];

    ask(reader, XS_WATCH, 0, "/e\0token");
    assert_string_equal(next_event(reader), "/e token");
    reader->room = 0;
    for (unsigned i = 0; i < 100; i++) {
        ask(writer, XS_WRITE, 0, "/e/x\0value");
    }
    assert_int_equal(reader->connection->events, 1);
    for (unsigned i = 0; i < 40000; i++) {
        int length = snprintf(data, sizeof(data), "/e/%u%c", i, 0);

        writer->output_length = 0;
        ask_long(writer, XS_WRITE, 0, data, (size_t)length, NULL);
        ask_long(writer, XS_RM, 0, data, (size_t)length, NULL);
    }
    assert_in_range(reader->connection->events, 32768, 32770);
    reader->room = SIZE_MAX;
    reader->output_length = 0;
    ask(reader, XS_UNWATCH, 0, "/e\0token");
    socket_close(reader);
}

static void dropped_events_stay_dropped(void **state)
{
    struct socket_client *client = *state;

    client->room = 0;
    post(client, XS_WATCH, 0, "/d\0token", 9);
    post(client, XS_WRITE, 0, "/d/x\0v", 6);
    post(client, XS_UNWATCH, 0, "/d\0token", 9);
    settle();
    client->room = SIZE_MAX;
    assert_null(next_event(client));
}

static struct xenstore_domain_interface *ring(unsigned domid)
{
    return world.ring[domid];
}

static void ring_put(unsigned domid, const void *data, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        ring(domid)->req[MASK_XENSTORE_IDX(ring(domid)->req_prod++)] = ((const char *)data)[i];
    }
}

static void rings_carry_requests(void **state)
{
    struct xsd_sockmsg header = {.type = XS_WRITE, .req_id = 7, .len = 9};
    struct xsd_sockmsg reply;

    ring(5);
    world.ring[5] = calloc(1, 4096);
    ring(5)->req_cons = ring(5)->req_prod = 0xfffffff0u;
    ring(5)->rsp_cons = ring(5)->rsp_prod = 1020;
    domain_begin(*state, 5);
    ask(*state, XS_MKDIR, 0, "/local/domain/5");
    ask(*state, XS_SET_PERMS, 0, "/local/domain/5\0n5");
    ring_put(5, &header, sizeof(header));
    ring_put(5, "data/x\0vv", 9);
    settle();
    assert_string_equal(ask(*state, XS_READ, 0, "/local/domain/5/data/x"), "vv");
    assert_int_equal(ring(5)->req_cons, ring(5)->req_prod);
    assert_int_equal(ring(5)->rsp_prod, 1020 + sizeof(reply) + 3);
    for (size_t i = 0; i < sizeof(reply); i++) {
        ((char *)&reply)[i] = ring(5)->rsp[MASK_XENSTORE_IDX(1020 + i)];
    }
    assert_int_equal(reply.type, XS_WRITE);
    assert_int_equal(reply.req_id, 7);
    assert_int_equal(reply.len, 3);
    assert_in_range(world.notified[5], 1, 3);
}

static void lying_rings_are_left(void **state)
{
    static const uint32_t lies[] = {1025, 0x80000000u, 0xffffffffu};

    domain_begin(*state, 5);
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        ring(5)->req_prod = ring(5)->req_cons + lies[i];
        settle();
        assert_int_equal(ring(5)->error, XENSTORE_ERROR_RINGIDX);
        ring(5)->connection = XENSTORE_RECONNECT;
        settle();
        assert_int_equal(ring(5)->connection, XENSTORE_CONNECTED);
        assert_int_equal(ring(5)->error, XENSTORE_ERROR_NONE);
    }
    ring(5)->rsp_cons = ring(5)->rsp_prod + 1;
    ring_put(5, &(struct xsd_sockmsg){.type = XS_READ}, sizeof(struct xsd_sockmsg));
    settle();
    assert_int_equal(ring(5)->error, XENSTORE_ERROR_RINGIDX);
    assert_int_equal(domain_find(world.store, 5)->memory, 0);
}

static void new_connections_start_anew(void **state)
{
    struct xsd_sockmsg header = {.type = XS_WATCH, .len = 4};
    struct domain *domain;

    domain_begin(*state, 5);
    domain = domain_find(world.store, 5);
    ring_put(5, &header, sizeof(header));
    ring_put(5, "x\0t", 4);
    header.type = XS_TRANSACTION_START;
    header.len = 1;
    ring_put(5, &header, sizeof(header));
    ring_put(5, "", 1);
    ring_put(5, "half", 4);
    settle();
    assert_int_equal(domain->watches, 1);
    assert_int_equal(domain->transactions, 1);
    ring(5)->connection = XENSTORE_RECONNECT;
    settle();
    assert_int_equal(domain->watches, 0);
    assert_int_equal(domain->transactions, 0);
    assert_int_equal(domain->memory, 0);
    assert_int_equal(ring(5)->req_prod, 0);
    assert_int_equal(ring(5)->rsp_prod, 0);
}

static void domains_come_again(void **state)
{
    struct socket_client *client = *state;

    domain_begin(client, 5);
    domain_begin(client, 5);
    assert_true(world.mapped[5]);
    world.no_ports = true;
    assert_string_equal(ask(client, XS_INTRODUCE, 0, "5\0001\00012"), "!EINVAL");
    assert_false(world.mapped[5]);
    assert_string_equal(ask(client, XS_IS_DOMAIN_INTRODUCED, 0, "5"), "F");
    world.no_ports = false;
    domain_begin(client, 5);
    assert_string_equal(ask(client, XS_RELEASE, 0, "5"), "OK");
    assert_false(world.mapped[5]);
}

static void watch_floods_are_bounded(void **state)
{
    struct socket_client *client = *state;
    struct domain *domain;
    char data[256];

    domain_begin(client, 5);
    domain = domain_find(world.store, 5);
    for (unsigned i = 0; i < 2000; i++) {
        struct xsd_sockmsg header = {.type = XS_WATCH};

        header.len = (uint32_t)snprintf(data, sizeof(data), "%0100u%ctoken", i, 0) + 1;
        ring_put(5, &header, sizeof(header));
        ring_put(5, data, header.len);
        settle();
        ring(5)->rsp_cons = ring(5)->rsp_prod;
    }
    assert_int_equal(domain->watches, 128);
    assert_in_range(domain->memory, 1, 200000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        store_test(requests_come_in_pieces),
        store_test(turns_are_bounded),
        store_test(who_does_not_read_is_not_served),
        store_test(long_requests_end_the_connection),
        store_test(events_are_gathered),
        store_test(dropped_events_stay_dropped),
        store_test(rings_carry_requests),
        store_test(lying_rings_are_left),
        store_test(new_connections_start_anew),
        store_test(domains_come_again),
        store_test(watch_floods_are_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
