// SPDX-License-Identifier: Apache-2.0
//
// The store through its protocol: snapshots, merges of transactions, accounts of who owns what, and
// what happens when memory runs out at any one allocation.

#include "check.h"

#include <stdio.h>
#include <stdlib.h>

static uint32_t begin(struct socket_client *client)
{
    return (uint32_t)strtoul(ask(client, XS_TRANSACTION_START, 0, ""), NULL, 10);
}

static void snapshots_hold(void **state)
{
    struct socket_client *client = *state;
    uint32_t old;

    ask(client, XS_WRITE, 0, "/a/b\0one");
    old = begin(client);
    ask(client, XS_WRITE, 0, "/a/b\0two");
    ask(client, XS_WRITE, 0, "/a/c\0new");
    ask(client, XS_RM, 0, "/tool");
    assert_string_equal(ask(client, XS_READ, old, "/a/b"), "one");
    assert_string_equal(ask(client, XS_READ, old, "/a/c"), "!ENOENT");
    assert_string_equal(ask(client, XS_READ, old, "/tool/xenstored"), "");
    assert_string_equal(ask(client, XS_READ, 0, "/a/b"), "two");
    assert_string_equal(ask(client, XS_TRANSACTION_END, old, "T"), "!EAGAIN");
}

static void blind_writers_merge(void **state)
{
    struct socket_client *client = *state;
    uint32_t number[20];
    char data[64];

    for (unsigned i = 0; i < 20; i++) {
        number[i] = begin(client);
    }
    for (unsigned i = 0; i < 20; i++) {
        int length = snprintf(data, sizeof(data), "/m/dir/%u%cvalue", i, 0);

        assert_string_equal(ask_long(client, XS_WRITE, number[i], data, (size_t)length, NULL),
                            "OK");
        assert_string_equal(ask(client, XS_WRITE, number[i], "/m/same\0v"), "OK");
    }
    for (unsigned i = 0; i < 20; i++) {
        assert_string_equal(ask(client, XS_TRANSACTION_END, number[i], "T"), "OK");
    }
    assert_string_equal(ask(client, XS_READ, 0, "/m/dir/19"), "value");
    assert_string_equal(ask(client, XS_READ, 0, "/m/dir/0"), "value");
}

static void what_was_read_must_hold(void **state)
{
    static const struct {
        uint32_t type;
        const char *read;
        const char *change; /* a path and a value */
        size_t length;
        bool conflicts;
    } cases[] = {
        {XS_READ, "/r/x", "/r/x\0new", 8, true},
        {XS_READ, "/r/x", "/r/x\0old", 9, false},
        {XS_READ, "/r/x", "/r/y\0new", 8, false},
        {XS_READ, "/r/none", "/r/none\0v", 9, true},
        {XS_READ, "/r/none", "/r/nonesuch\0v", 13, false},
        {XS_DIRECTORY, "/r", "/r/z\0v", 6, true},
        {XS_DIRECTORY, "/r", "/r/x\0new", 8, false},
        {XS_DIRECTORY, "/r", "/r/x/deep\0v", 11, false},
        {XS_READ, "/r", "/r/x\0new", 8, false},
        {XS_GET_PERMS, "/r", "/r/z\0v", 6, false},
    };
    struct socket_client *client = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint32_t number;

        ask(client, XS_RM, 0, "/r");
        ask(client, XS_WRITE, 0, "/r/x\0old");
        number = begin(client);
        ask_long(client, cases[i].type, number, cases[i].read, strlen(cases[i].read) + 1, NULL);
        ask(client, XS_WRITE, number, "/r/mine\0v");
        ask_long(client, XS_WRITE, 0, cases[i].change, cases[i].length, NULL);
        if (strcmp(ask(client, XS_TRANSACTION_END, number, "T"),
                   cases[i].conflicts ? "!EAGAIN" : "OK") != 0) {
            fail_msg("reading %s against writing %s", cases[i].read, cases[i].change);
        }
    }
}

static void own_writes_are_no_reads(void **state)
{
    struct socket_client *client = *state;
    uint32_t number = begin(client);

    ask(client, XS_WRITE, number, "/o/x\0mine");
    assert_string_equal(ask(client, XS_READ, number, "/o/x"), "mine");
    ask(client, XS_WRITE, 0, "/o/x\0theirs");
    assert_string_equal(ask(client, XS_TRANSACTION_END, number, "T"), "OK");
    assert_string_equal(ask(client, XS_READ, 0, "/o/x"), "mine");
}

static void removed_in_transaction(void **state)
{
    struct socket_client *client = *state;
    uint32_t number;

    ask(client, XS_WRITE, 0, "/g/a/b\0v");
    ask(client, XS_WATCH, 0, "/g/a/b\0deep");
    assert_string_equal(next_event(client), "/g/a/b deep");
    number = begin(client);
    ask(client, XS_RM, number, "/g/a");
    ask(client, XS_WRITE, 0, "/g/other\0v");
    assert_null(next_event(client));
    assert_string_equal(ask(client, XS_TRANSACTION_END, number, "T"), "OK");
    assert_string_equal(next_event(client), "/g/a/b deep");
    assert_string_equal(ask(client, XS_READ, 0, "/g/a"), "!ENOENT");
    assert_string_equal(ask(client, XS_READ, 0, "/g/other"), "v");
}

static void accounts_follow_owners(void **state)
{
    struct socket_client *client = *state;
    struct domain *domain;
    uint32_t number;

    domain_begin(client, 5);
    domain = domain_find(world.store, 5);
    ask(client, XS_WRITE, 0, "/q/x\0value");
    ask(client, XS_SET_PERMS, 0, "/q\0n5");
    assert_int_equal(domain->owned.nodes, 1);
    ask(client, XS_WRITE, 0, "/q/y\0value");
    assert_int_equal(domain->owned.nodes, 2);
    number = begin(client);
    ask(client, XS_WRITE, number, "/q/z/deep\0value");
    assert_int_equal(domain->owned.nodes, 2);
    ask(client, XS_TRANSACTION_END, number, "T");
    assert_int_equal(domain->owned.nodes, 4);
    number = begin(client);
    ask(client, XS_RM, number, "/q/z");
    ask(client, XS_WRITE, 0, "/elsewhere\0v");
    ask(client, XS_TRANSACTION_END, number, "T");
    assert_int_equal(domain->owned.nodes, 2);
    ask(client, XS_RM, 0, "/q");
    assert_int_equal(domain->owned.nodes, 0);
    assert_int_equal(domain->owned.bytes, 0);
}

static void domains_die_in_the_middle(void **state)
{
    struct socket_client *client = *state;
    uint32_t number;

    domain_begin(client, 5);
    ask(client, XS_WRITE, 0, "/local/domain/5/data/x\0value");
    ask(client, XS_SET_PERMS, 0, "/local/domain/5/data\0n5");
    ask(client, XS_WRITE, 0, "/kept\0v");
    ask(client, XS_SET_PERMS, 0, "/kept\0n0\0r5");
    number = begin(client);
    ask(client, XS_WRITE, number, "/local/domain/5/data/y\0value");
    world.state[5] = DOMAIN_GONE;
    xenstore_look_at_domains(world.store);
    assert_null(domain_find(world.store, 5));
    assert_string_equal(ask(client, XS_TRANSACTION_END, number, "T"), "!EAGAIN");
    assert_string_equal(ask(client, XS_READ, 0, "/local/domain/5/data"), "!ENOENT");
    assert_string_equal(ask(client, XS_GET_PERMS, 0, "/kept"), "n0");
    assert_false(world.mapped[5]);
}

static void old_trees_are_given_up(void **state)
{
    static char data[4096];
    struct socket_client *client = *state;
    uint32_t number[40];
    unsigned doomed = 0;

    for (unsigned i = 0; i < 40; i++) {
        int begin_value = snprintf(data, sizeof(data), "/h/0%c", 0);

        number[i] = begin(client);
        for (unsigned node = 0; node < 500; node++) {
            begin_value = snprintf(data, sizeof(data), "/h/%u%c", node, 0);
            memset(data + begin_value, 'a' + (int)(i % 26), 2000);
            ask_long(client, XS_WRITE, 0, data, (size_t)begin_value + 2000, NULL);
        }
    }
    assert_true(nodes_alive() < 2 * world.store->owned_bytes + (17u << 20));
    for (unsigned i = 0; i < 40; i++) {
        doomed += ask(client, XS_TRANSACTION_END, number[i], "T")[0] == '!';
    }
    assert_in_range(doomed, 10, 39);
}

/* Allocation failures: malloc and its relatives are wrapped (see the Makefile). */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);

static unsigned allocations_left = UINT32_MAX;

static bool may_allocate(void)
{
    if (allocations_left == UINT32_MAX) {
        return true;
    }
    if (allocations_left == 0) {
        return false;
    }
    allocations_left--;
    return true;
}

void *__wrap_malloc(size_t size)
{
    return may_allocate() ? __real_malloc(size) : NULL;
}

void *__wrap_calloc(size_t count, size_t size)
{
    return may_allocate() ? __real_calloc(count, size) : NULL;
}

void *__wrap_realloc(void *old, size_t size)
{
    return may_allocate() ? __real_realloc(old, size) : NULL;
}

/* A request whose allocations fail after the first LEFT; true when it did not need more. */
static bool starved(struct socket_client *client, uint32_t type, uint32_t transaction,
                    const char *data, size_t length, unsigned left)
{
    const char *reply;

    allocations_left = left;
    reply = ask_long(client, type, transaction, data, length, NULL);
    allocations_left = UINT32_MAX;
    assert_null(xenstore_check(world.store));
    if (reply[0] == '!') {
        assert_string_equal(reply, "!ENOMEM");
    }
    return reply[0] != '!';
}

static void nothing_breaks_without_memory(void **state)
{
    struct socket_client *client = *state;
    uint32_t number;

    ask(client, XS_WRITE, 0, "/n/old/deep\0value");
    domain_begin(client, 5);
    for (unsigned left = 0; left < 40; left++) {
        number = begin(client);
        starved(client, XS_WRITE, 0, "/n/new/node/deep\0some value", 26, left);
        starved(client, XS_WRITE, 0, "/n/old\0some value", 17, left);
        starved(client, XS_SET_PERMS, 0, "/n/old\0n9\0r5", 13, left);
        starved(client, XS_WATCH, 0, "/n/some/path\0token", 19, left);
        ask(client, XS_UNWATCH, 0, "/n/some/path\0token");
        starved(client, XS_RM, 0, "/n/new", 7, left);
        starved(client, XS_WRITE, number, "/n/tx/node\0value", 16, left);
        starved(client, XS_DIRECTORY, number, "/n", 3, left);
        starved(client, XS_SET_PERMS, number, "/n/old\0n5\0r9", 13, left);
        allocations_left = left;
        (void)ask(client, XS_TRANSACTION_END, number, "T");
        allocations_left = UINT32_MAX;
        assert_null(xenstore_check(world.store));
        number = 0;
    }
    assert_string_equal(ask(client, XS_READ, 0, "/n/old/deep"), "value");
    assert_string_equal(ask(client, XS_READ, 0, "/n/tx/node"), "value");
}

static void no_store_without_memory(void **state)
{
    struct store *store = NULL;
    unsigned left;

    (void)state;
    for (left = 0; !store; left++) {
        allocations_left = left;
        store = xenstore_create(&world.host);
        allocations_left = UINT32_MAX;
    }
    assert_in_range(left, 8, 30);
    assert_null(xenstore_check(store));
    xenstore_destroy(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        store_test(snapshots_hold),
        store_test(blind_writers_merge),
        store_test(what_was_read_must_hold),
        store_test(own_writes_are_no_reads),
        store_test(removed_in_transaction),
        store_test(accounts_follow_owners),
        store_test(domains_die_in_the_middle),
        store_test(old_trees_are_given_up),
        store_test(nothing_breaks_without_memory),
        store_test(no_store_without_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
