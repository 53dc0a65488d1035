// SPDX-License-Identifier: Apache-2.0
//
// xl console: joins the terminal with the pseudo terminal that xenconsoled has made for a domain.
// Bytes go both ways in one poll loop until the escape character is typed, the domain ends, or the
// input is over. The terminal's settings are restored on every way out, signals included.
#include "xl.h"

#include <toolstack/loop.h>
#include <toolstack/memory.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

enum { TTY_MILLISECONDS = 20000, BUFFER_SIZE = 4096 };

static struct termios saved_settings;
static bool settings_are_saved;

static void restore_terminal(void)
{
    if (settings_are_saved)
        tcsetattr(STDIN_FILENO, TCSANOW, &saved_settings);
    settings_are_saved = false;
}

static void end_by_signal(int number)
{
    restore_terminal();
    _exit(128 + number);
}

static void make_terminal_raw(void)
{
    struct termios raw;

    if (tcgetattr(STDIN_FILENO, &saved_settings) != 0)
        return;
    settings_are_saved = true;
    raw = saved_settings;
    cfmakeraw(&raw);
    tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    signal(SIGTERM, end_by_signal);
    signal(SIGHUP, end_by_signal);
    signal(SIGINT, end_by_signal);
}

static char *tty_path(struct xl *xl, unsigned int domid, const char *type, unsigned int number)
{
    struct store *store = xl->toolstack.store;
    char *path;

    if (!strcmp(type, "serial"))
        path = store_read(store, "/local/domain/%u/serial/%u/tty", domid, number);
    else if (number)
        path = store_read(store, "/local/domain/%u/device/console/%u/tty", domid, number);
    else
        path = store_read(store, "/local/domain/%u/console/tty", domid);
    if (path && !*path) {
        free(path);
        path = NULL;
    }
    return path;
}

// Waits until xenconsoled has made the terminal.
static struct error *wait_for_tty(struct xl *xl, unsigned int domid, const char *type,
                                  unsigned int number, char **path)
{
    struct store *store = xl->toolstack.store;
    int64_t deadline = loop_now() + TTY_MILLISECONDS;

    TRY(store_watch(store, "tty", "/local/domain/%u", domid));
    while (!(*path = tty_path(xl, domid, type, number)) && loop_now() < deadline) {
        struct pollfd descriptor = {.fd = store_descriptor(store), .events = POLLIN};
        const char *token;
        char *event;

        poll(&descriptor, 1, (int)(deadline - loop_now()));
        while ((event = store_next_event(store, &token)) != NULL)
            free(event);
    }
    store_unwatch(store, "tty", "/local/domain/%u", domid);
    if (*path)
        return NULL;
    return error_advice(error_in_domain(error_new(ERROR_TIMEOUT,
                                                  "it has no console of type %s, "
                                                  "number %u",
                                                  type, number),
                                        NULL, (int)domid),
                        "Is xenconsoled running?");
}

static bool write_all(int descriptor, const char *bytes, size_t size)
{
    while (size) {
        ssize_t written = write(descriptor, bytes, size);

        if (written < 0 && errno == EAGAIN) {
            struct pollfd room = {.fd = descriptor, .events = POLLOUT};

            poll(&room, 1, -1);
            continue;
        }
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        bytes += written;
        size -= (size_t)written;
    }
    return true;
}

// Passes input on as far as the escape character; false when that or the end was reached.
static bool pass_input(int terminal, int escape)
{
    char buffer[BUFFER_SIZE];
    ssize_t size = read(STDIN_FILENO, buffer, sizeof(buffer));

    if (size < 0)
        return errno == EINTR || errno == EAGAIN;
    if (size == 0)
        return false;
    const char *end = memchr(buffer, escape, (size_t)size);

    if (!write_all(terminal, buffer, end ? (size_t)(end - buffer) : (size_t)size))
        return false;
    return !end;
}

static bool pass_output(int terminal)
{
    char buffer[BUFFER_SIZE];
    ssize_t size = read(terminal, buffer, sizeof(buffer));

    if (size < 0)
        return errno == EINTR || errno == EAGAIN;
    return size > 0 && write_all(STDOUT_FILENO, buffer, (size_t)size);
}

static void join(int terminal, int escape)
{
    struct pollfd ends[] = {{.fd = STDIN_FILENO, .events = POLLIN},
                            {.fd = terminal, .events = POLLIN}};

    for (;;) {
        if (poll(ends, 2, -1) < 0 && errno != EINTR)
            return;
        if (ends[1].revents && !pass_output(terminal))
            return;
        if (ends[0].revents && !pass_input(terminal, escape))
            return;
    }
}

struct error *console_attach(struct xl *xl, unsigned int domid, const char *type,
                             unsigned int number, int escape, bool unpause)
{
    struct termios raw;
    char *path;

    TRY(toolstack_open(&xl->toolstack));
    TRY(wait_for_tty(xl, domid, type, number, &path));
    int terminal = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
    struct error *error =
        terminal < 0 ? error_errno(ERROR_SYSTEM, errno, "cannot open its console %s", path) : NULL;

    free(path);
    if (error)
        return error_in_domain(error, NULL, (int)domid);
    if (tcgetattr(terminal, &raw) == 0) {
        cfmakeraw(&raw);
        tcsetattr(terminal, TCSANOW, &raw);
    }
    fflush(stdout);
    if (unpause)
        error = domain_unpause(&xl->toolstack, domid);
    if (!error) {
        make_terminal_raw();
        join(terminal, escape);
        restore_terminal();
    }
    close(terminal);
    return error;
}

// "^]" or a single character.
static struct error *parse_escape(const char *text, int *escape)
{
    if (text[0] == '^' && text[1] && !text[2])
        *escape = text[1] & 0x1f;
    else if (text[0] && !text[1])
        *escape = (unsigned char)text[0];
    else
        return error_new(ERROR_USAGE, "\"%s\" is no escape character; write ^] or the like", text);
    return NULL;
}

COMMAND(console)
{
    const char *type = "pv";
    unsigned int number = 0;
    int escape = CONSOLE_ESCAPE;
    unsigned int domid;
    int option;

    while ((option = xl_option(xl, argc, argv, "hn:t:e:", NULL)) >= 0) {
        if (option == 't')
            type = optarg;
        else if (option == 'n')
            number = (unsigned int)strtoul(optarg, NULL, 10);
        else if (option == 'e')
            TRY(parse_escape(optarg, &escape));
    }
    TRY(xl_expect_arguments(xl, argc, 1, 1));
    if (strcmp(type, "pv") && strcmp(type, "serial"))
        return xl_misused(xl, "consoles are of type pv or serial");
    TRY(xl_domain(xl, argv[optind], &domid));
    return console_attach(xl, domid, type, number, escape, false);
}
