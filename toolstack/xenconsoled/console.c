// SPDX-License-Identifier: Apache-2.0
//
// One domain's console. The ring's page is mapped through the domain's first grant. Output goes to
// the log at once and to the terminal as fast as somebody reads it; what is not read yet stays in a
// buffer of bounded size. A domain that writes too fast is not looked at for the rest of a period:
// its event channel stays masked, and its ring full, so it waits without costing anything. The
// slave end of the terminal is held open, so that the master never sees it hang up.
#include "xenconsoled.h"

#include <toolstack/console_ring.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <termios.h>
#include <unistd.h>
#include <xen/grant_table.h>
#include <xen/io/console.h>

enum {
    PERIOD_MILLISECONDS = 200,
    EVENTS_PER_PERIOD = 30,
    DEFAULT_LIMIT = 1 << 20,
    LIMIT_MAX = 1 << 26,
    PIECE = 2048,
};

struct console {
    struct daemon *daemon;
    unsigned int domid;
    struct xencons_interface *ring;
    bool granted; // mapped by a grant, not as a foreign page
    int port;     // of the event channel here
    int master;
    int slave;
    char *buffer; // output that the terminal has not taken
    size_t buffered;
    size_t limit;
    struct log log;
    int64_t period_end;
    unsigned int events; // in this period
    bool masked;
};

static void terminal_ready(void *context)
{
    console_work(context);
}

static bool open_terminal(struct console *console)
{
    struct termios raw;
    char name[64];

    console->slave = -1;
    console->master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (console->master < 0 || grantpt(console->master) || unlockpt(console->master) ||
        ptsname_r(console->master, name, sizeof(name)))
        return false;
    console->slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (console->slave < 0 || tcgetattr(console->slave, &raw))
        return false;
    cfmakeraw(&raw);
    tcsetattr(console->slave, TCSAFLUSH, &raw);
    struct error *error = store_write(console->daemon->toolstack.store, name,
                                      "/local/domain/%u/console/tty", console->domid);

    error_ignore(error);
    return !error;
}

static bool map_ring(struct console *console)
{
    struct daemon *daemon = console->daemon;
    struct store *store = daemon->toolstack.store;
    long frame = store_read_number(store, -1, "/local/domain/%u/console/ring-ref", console->domid);
    long port = store_read_number(store, -1, "/local/domain/%u/console/port", console->domid);

    if (frame < 0 || port < 0)
        return false;
    console->ring = xengnttab_map_grant_ref(daemon->grants, console->domid, GNTTAB_RESERVED_CONSOLE,
                                            PROT_READ | PROT_WRITE);
    console->granted = console->ring != NULL;
    if (!console->ring)
        console->ring = hypervisor_map_range(daemon->toolstack.hypervisor, (uint16_t)console->domid,
                                             (xen_pfn_t)frame, 1);
    if (!console->ring)
        return false;
    console->port = xenevtchn_bind_interdomain(daemon->events, console->domid, (evtchn_port_t)port);
    return console->port >= 0;
}

static void open_log(struct console *console)
{
    const struct settings *settings = &console->daemon->settings;
    char *name = domain_name(&console->daemon->toolstack, console->domid);

    console->log.descriptor = -1;
    // A name is xenstore's, and must not lead out of the folder.
    if (settings->log_guests && name && !strchr(name, '/'))
        log_open(&console->log, settings,
                 memory_format("%s/guest-%s.log", settings->log_folder, name),
                 settings->stamp_guests);
    free(name);
}

// Whether the domain's console is meant for this daemon.
static bool is_ours(struct daemon *daemon, unsigned int domid)
{
    char *type = store_read(daemon->toolstack.store, "/local/domain/%u/console/type", domid);
    bool ours = !type || !strcmp(type, "xenconsoled");

    free(type);
    return ours;
}

struct console *console_make(struct daemon *daemon, unsigned int domid)
{
    if (!is_ours(daemon, domid))
        return NULL;
    struct console *console = memory_zeroed(sizeof(*console));
    long limit = store_read_number(daemon->toolstack.store, DEFAULT_LIMIT,
                                   "/local/domain/%u/console/limit", domid);

    *console =
        (struct console){.daemon = daemon, .domid = domid, .port = -1, .master = -1, .slave = -1};
    console->limit = limit >= PIECE && limit <= LIMIT_MAX ? (size_t)limit : DEFAULT_LIMIT;
    console->log.descriptor = -1;
    if (!map_ring(console) || !open_terminal(console)) {
        console_free(console);
        return NULL;
    }
    open_log(console);
    loop_add(&daemon->loop, console->master, terminal_ready, console);
    console_work(console);
    return console;
}

void console_free(struct console *console)
{
    struct daemon *daemon = console->daemon;

    // What the domain said last belongs to its log, however fast it said it.
    if (console->ring && console->port >= 0) {
        console->events = 0;
        console_work(console);
    }
    if (console->master >= 0) {
        loop_remove(&daemon->loop, console->master);
        close(console->master);
    }
    if (console->slave >= 0)
        close(console->slave);
    if (console->port >= 0)
        xenevtchn_unbind(daemon->events, (evtchn_port_t)console->port);
    if (console->ring && console->granted)
        xengnttab_unmap(daemon->grants, console->ring, 1);
    else if (console->ring)
        hypervisor_unmap(daemon->toolstack.hypervisor, console->ring, 1);
    log_close(&console->log);
    free(console->buffer);
    free(console);
}

unsigned int console_domid(const struct console *console)
{
    return console->domid;
}

void console_reopen_log(struct console *console)
{
    log_reopen(&console->log);
}

// Adds output to the buffer; when that is full, what is old (or new, if so set) is dropped.
static void buffer_output(struct console *console, const char *bytes, size_t size)
{
    if (console->buffered + size > console->limit) {
        if (console->daemon->settings.keep_old)
            return;
        // A quarter at a time, so that a full buffer is not moved for every byte.
        size_t dropped =
            console->limit / 4 < console->buffered ? console->limit / 4 : console->buffered;

        memmove(console->buffer, console->buffer + dropped, console->buffered - dropped);
        console->buffered -= dropped;
    }
    console->buffer = memory_resized(console->buffer, console->buffered + size, 1);
    memcpy(console->buffer + console->buffered, bytes, size);
    console->buffered += size;
}

// Takes the domain's output off the ring; true when there was any.
static bool take_output(struct console *console)
{
    char bytes[PIECE];
    size_t size = console_ring_take(console->ring, bytes, sizeof(bytes));

    if (!size)
        return false;
    log_write(&console->log, bytes, size);
    buffer_output(console, bytes, size);
    return true;
}

static void write_terminal(struct console *console)
{
    while (console->buffered) {
        size_t piece = console->buffered < PIECE ? console->buffered : PIECE;
        ssize_t written = write(console->master, console->buffer, piece);

        if (written <= 0)
            return;
        console->buffered -= (size_t)written;
        memmove(console->buffer, console->buffer + written, console->buffered);
    }
    free(console->buffer);
    console->buffer = NULL;
}

// Passes input to the domain as far as it has room; true when there was any.
static bool give_input(struct console *console)
{
    char bytes[PIECE];
    size_t room = console_ring_room(console->ring);

    if (!room)
        return false;
    ssize_t size = read(console->master, bytes, room < sizeof(bytes) ? room : sizeof(bytes));

    if (size <= 0)
        return false;
    console_ring_give(console->ring, bytes, (size_t)size);
    return true;
}

void console_work(struct console *console)
{
    bool moved = take_output(console);

    moved |= give_input(console);
    if (moved)
        xenevtchn_notify(console->daemon->events, (evtchn_port_t)console->port);
    if (console->buffered)
        write_terminal(console);
}

bool console_event(struct console *console, uint32_t port)
{
    if ((uint32_t)console->port != port)
        return false;
    console->masked = true;
    console->events++;
    console_work(console);
    return true;
}

long console_wait(struct console *console, int64_t now)
{
    if (now >= console->period_end) {
        console->period_end = now + PERIOD_MILLISECONDS;
        console->events = 0;
    }
    if (console->masked && console->events < EVENTS_PER_PERIOD) {
        console->masked = false;
        xenevtchn_unmask(console->daemon->events, (evtchn_port_t)console->port);
    }
    // The terminal matters when the domain has room for input, or when there is output for it.
    loop_wait_for(&console->daemon->loop, console->master,
                  (short)((console_ring_room(console->ring) ? POLLIN : 0) |
                          (console->buffered ? POLLOUT : 0)));
    return console->masked ? (long)(console->period_end - now) : -1;
}
