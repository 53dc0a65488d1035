// SPDX-License-Identifier: Apache-2.0
//
// Transactions at random: what several interleaved transactions leave, and what they have read, is
// what the committed ones would have left and read one after the other, in the order in which they
// were committed.

#include "check.h"

#include <stdio.h>
#include <stdlib.h>

#define OPEN 4
#define STEPS 60
#define OPERATIONS_MOST 40
#define ROUNDS 2000

struct operation {
    uint32_t type;
    char data[64];
    size_t length;
    char reply[256];
};

struct history {
    uint32_t id;
    unsigned count;
    struct operation operation[OPERATIONS_MOST];
};

static struct history open_ones[OPEN];
static struct history committed[STEPS + OPEN];
static unsigned committed_count;

static const char *const paths[] = {"/s",   "/s/a",   "/s/a/b", "/s/a/b/c", "/s/a/d",
                                    "/s/e", "/s/e/f", "/s/g",   "/s/g/a/b", "/s/h"};
static const char *const owners[] = {"n0", "n5", "n6", "b5"};

static void make_operation(struct operation *operation)
{
    static const uint32_t types[] = {XS_WRITE,     XS_WRITE,     XS_WRITE, XS_MKDIR,    XS_RM,
                                     XS_DIRECTORY, XS_SET_PERMS, XS_READ,  XS_GET_PERMS};
    const char *path = paths[(unsigned)rand() % (sizeof(paths) / sizeof(paths[0]))];
    int length = 0;

    operation->type = types[(unsigned)rand() % (sizeof(types) / sizeof(types[0]))];
    if (operation->type == XS_WRITE) {
        length = snprintf(operation->data, sizeof(operation->data), "%s%c%d", path, 0, rand() % 4);
    } else if (operation->type == XS_SET_PERMS) {
        length = 1 + snprintf(operation->data, sizeof(operation->data), "%s%c%s", path, 0,
                              owners[(unsigned)rand() % 4]);
    } else {
        length = 1 + snprintf(operation->data, sizeof(operation->data), "%s", path);
    }
    operation->length = (size_t)length;
}

/* Keeps a reply as text without terminators inside. */
static void keep_reply(char *to, const char *reply, size_t length)
{
    if (reply[0] == '!') {
        length = strlen(reply);
    }
    assert_true(length < 256);
    for (size_t i = 0; i < length; i++) {
        to[i] = reply[i] ? reply[i] : ' ';
    }
    to[length] = '\0';
}

static void do_operation(struct socket_client *client, uint32_t id, struct operation *operation)
{
    size_t length = 0;
    const char *reply =
        ask_long(client, operation->type, id, operation->data, operation->length, &length);

    keep_reply(operation->reply, reply, length);
}

/* Appends a line for each node below PATH. */
static void dump(struct socket_client *client, const char *path, char *text, size_t size)
{
    char names[XENSTORE_PAYLOAD_MAX + 1];
    char line[1024];
    char value[256];
    char permissions[256];
    size_t length = 0;
    const char *reply = ask_long(client, XS_READ, 0, path, strlen(path) + 1, &length);

    if (reply[0] == '!') {
        return;
    }
    keep_reply(value, reply, length);
    reply = ask_long(client, XS_GET_PERMS, 0, path, strlen(path) + 1, &length);
    keep_reply(permissions, reply, length);
    snprintf(line, sizeof(line), "%s=%s %s\n", path, value, permissions);
    assert_true(strlen(text) + strlen(line) < size);
    strcat(text, line);
    reply = ask_long(client, XS_DIRECTORY, 0, path, strlen(path) + 1, &length);
    memcpy(names, reply, length);
    for (size_t at = 0; at < length; at += strlen(names + at) + 1) {
        snprintf(line, sizeof(line), "%s/%s", path, names + at);
        dump(client, line, text, size);
    }
}

static void step(struct socket_client *client, struct history *history)
{
    if (history->id == 0) {
        history->id = (uint32_t)strtoul(ask(client, XS_TRANSACTION_START, 0, ""), NULL, 10);
        history->count = 0;
    } else if (history->count == OPERATIONS_MOST || rand() % 6 == 0) {
        const char *reply = ask(client, XS_TRANSACTION_END, history->id, "T");

        if (strcmp(reply, "OK") == 0) {
            committed[committed_count++] = *history;
        } else {
            assert_string_equal(reply, "!EAGAIN");
        }
        history->id = 0;
    } else {
        struct operation *operation = &history->operation[history->count++];

        make_operation(operation);
        do_operation(client, history->id, operation);
    }
    assert_null(xenstore_check(world.store));
}

static void prepare(struct socket_client *client)
{
    domain_begin(client, 5);
    domain_begin(client, 6);
    ask(client, XS_WRITE, 0, "/s/a/b/c\0x");
    ask(client, XS_WRITE, 0, "/s/e/f\0x");
    ask(client, XS_SET_PERMS, 0, "/s/e\0n5");
}

static void committed_ones_are_serial(void **state)
{
    static char interleaved[16384];
    static char serial[16384];
    unsigned total = 0;

    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct socket_client *client;

        srand(round);
        memset(open_ones, 0, sizeof(open_ones));
        committed_count = 0;
        interleaved[0] = serial[0] = '\0';

        world_begin();
        client = socket_open();
        prepare(client);
        for (unsigned i = 0; i < STEPS; i++) {
            step(client, &open_ones[(unsigned)rand() % OPEN]);
        }
        dump(client, "/s", interleaved, sizeof(interleaved));
        socket_close(client);
        world_end();

        world_begin();
        client = socket_open();
        prepare(client);
        for (unsigned i = 0; i < committed_count; i++) {
            for (unsigned at = 0; at < committed[i].count; at++) {
                struct operation again = committed[i].operation[at];

                do_operation(client, 0, &again);
                if (strcmp(again.reply, committed[i].operation[at].reply) != 0) {
                    fail_msg("round %u: request %u of %s: %s, but %s in the transaction", round,
                             again.type, again.data, again.reply, committed[i].operation[at].reply);
                }
            }
        }
        dump(client, "/s", serial, sizeof(serial));
        assert_string_equal(interleaved, serial);
        socket_close(client);
        world_end();
        total += committed_count;
    }
    assert_true(total > ROUNDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(committed_ones_are_serial),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
