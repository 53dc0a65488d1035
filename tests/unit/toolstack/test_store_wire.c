// SPDX-License-Identifier: Apache-2.0
//
// Reading many nodes at once and setting quotas, against a daemon of the test's own: its answers,
// and every way in which they can be wrong. The daemon is a child process at a socket of the
// test's.
#include "check.h"

#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <toolstack/memory.h>
#include <toolstack/store.h>
#include <unistd.h>
#include <xen/io/xs_wire.h>

#define SOCKET FOLDER "/store.socket"

enum { COUNT = 150 };

enum fault { NO_FAULT, ENDS_EARLY, WRONG_NUMBER, SAME_TWICE, TOO_LONG, WRONG_TYPE };

static bool get_all(int client, void *bytes, size_t size)
{
    return recv(client, bytes, size, MSG_WAITALL) == (ssize_t)size;
}

// Answers "value PATH", and an error for every tenth.
static bool answer(int client, unsigned int number, enum fault fault)
{
    struct xsd_sockmsg head;
    char path[256];
    char value[sizeof(path) + 8];

    if (!get_all(client, &head, sizeof(head)) || !get_all(client, path, head.len))
        return false;
    if (head.type == XS_DIRECTORY_PART + 4) {
        static const char wanted[] = "7\0watches\0"
                                     "4096";
        bool expected = head.len == sizeof(wanted) && !memcmp(path, wanted, sizeof(wanted));

        head.type = expected ? head.type : XS_ERROR;
        head.len = 0;
        return send(client, &head, sizeof(head), MSG_NOSIGNAL) > 0;
    }
    bool missing = number % 10 == 9;
    int length =
        snprintf(value, sizeof(value), "%s%s", missing ? "ENOENT" : "value ", missing ? "" : path);

    head.type = missing ? XS_ERROR : XS_READ;
    head.len = (uint32_t)length + missing;
    if (number == 70) {
        if (fault == ENDS_EARLY)
            return false;
        if (fault == WRONG_NUMBER)
            head.req_id = 12345;
        if (fault == SAME_TWICE)
            head.req_id--;
        if (fault == TOO_LONG)
            head.len = 1u << 20;
        if (fault == WRONG_TYPE)
            head.type = XS_WRITE;
    }
    return send(client, &head, sizeof(head), MSG_NOSIGNAL) > 0 &&
           (fault != TOO_LONG || number != 70) && send(client, value, head.len, MSG_NOSIGNAL) > 0;
}

static pid_t start_daemon(enum fault fault)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = SOCKET};
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);

    unlink(SOCKET);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(listener, 1), 0);
    pid_t child = fork();

    if (child == 0) {
        int client = accept(listener, NULL, NULL);

        for (unsigned int i = 0; answer(client, i, fault); i++)
            ;
        _exit(0);
    }
    close(listener);
    return child;
}

static bool read_all(enum fault fault, char *values[])
{
    char *paths[COUNT];
    pid_t child = start_daemon(fault);

    setenv("XENSTORED_PATH", SOCKET, 1);
    for (unsigned int i = 0; i < COUNT; i++)
        paths[i] = memory_format("/local/domain/%u/name", i);
    bool good = store_read_many(paths, values, COUNT);

    for (unsigned int i = 0; i < COUNT; i++)
        free(paths[i]);
    waitpid(child, NULL, 0);
    return good;
}

static void reads_all_in_order(void **state)
{
    char *values[COUNT];
    char expected[64];

    (void)state;
    assert_true(read_all(NO_FAULT, values));
    for (unsigned int i = 0; i < COUNT; i++) {
        snprintf(expected, sizeof(expected), "value /local/domain/%u/name", i);
        if (i % 10 == 9)
            assert_null(values[i]);
        else
            assert_string_equal(values[i], expected);
        free(values[i]);
    }
}

static void a_faulty_daemon_gives_nothing(void **state)
{
    (void)state;
    for (enum fault fault = ENDS_EARLY; fault <= WRONG_TYPE; fault++) {
        char *values[COUNT];

        assert_false(read_all(fault, values));
        for (unsigned int i = 0; i < COUNT; i++)
            assert_null(values[i]);
    }
}

static void sets_a_quota(void **state)
{
    pid_t child = start_daemon(NO_FAULT);

    (void)state;
    setenv("XENSTORED_PATH", SOCKET, 1);
    assert_true(store_set_quota(7, "watches", 4096));
    waitpid(child, NULL, 0);
    child = start_daemon(NO_FAULT);
    assert_false(store_set_quota(7, "nodes", 4096));
    waitpid(child, NULL, 0);
}

static void without_a_daemon_there_is_nothing(void **state)
{
    char *values[1];
    char *path = "/x";

    (void)state;
    setenv("XENSTORED_PATH", FOLDER "/nowhere", 1);
    assert_false(store_read_many(&path, values, 1));
    assert_false(store_set_quota(1, "nodes", 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_all_in_order),
        cmocka_unit_test(a_faulty_daemon_gives_nothing),
        cmocka_unit_test(sets_a_quota),
        cmocka_unit_test(without_a_daemon_there_is_nothing),
    };

    return cmocka_run_group_tests_name("store_wire", tests, NULL, NULL);
}
