// SPDX-License-Identifier: Apache-2.0
//
// What the files of xenconsoled share. struct daemon is the process: one event loop, one handle of
// each kind. A console is a domain's ring, joined with a pseudo terminal and a log.
#ifndef XENCONSOLED_XENCONSOLED_H
#define XENCONSOLED_XENCONSOLED_H

#include <stdbool.h>
#include <stdint.h>
#include <toolstack/domain.h>
#include <toolstack/loop.h>
#include <toolstack/memory.h>
#include <xenevtchn.h>
#include <xengnttab.h>

struct settings {
    bool log_guests;
    bool log_hypervisor;
    bool stamp_guests; // a time before each line
    bool stamp_hypervisor;
    bool keep_old; // when a buffer is full: drop what is new instead of what is old
    bool foreground;
    const char *log_folder;
    const char *pid_file;
    uint64_t log_size; // a log is turned over beyond so many bytes; 0: never
    unsigned int log_count;
};

// A log file that is turned over when it has grown: NAME, NAME.1, NAME.2 and so on.
struct log {
    const struct settings *settings;
    char *path;
    int descriptor; // -1: closed
    uint64_t size;
    bool stamps;
    bool at_line_start;
};

void log_open(struct log *log, const struct settings *settings, char *path, bool stamps);
void log_write(struct log *log, const char *bytes, size_t size);
// Opens the file anew, for programs that move it away.
void log_reopen(struct log *log);
void log_close(struct log *log);

struct console;

struct daemon {
    struct settings settings;
    struct toolstack toolstack;
    struct loop loop;
    xenevtchn_handle *events;
    xengnttab_handle *grants;
    struct console **consoles;
    size_t count;
    unsigned int *waiting; // domains without a console yet
    size_t waiting_count;
    unsigned int own;
    struct log hypervisor_log;
    int hypervisor_port; // of VIRQ_CON_RING, -1 when not bound
    uint32_t hypervisor_index;
};

// console.c

// Makes the console of a domain if it has a ring that is to be served; NULL otherwise.
struct console *console_make(struct daemon *daemon, unsigned int domid);
// Takes what the domain has still written and ends its console.
void console_free(struct console *console);
unsigned int console_domid(const struct console *console);
// Whether an event on this port is for the console, which then looks at its ring.
bool console_event(struct console *console, uint32_t port);
// Moves what can be moved between ring, terminal and log.
void console_work(struct console *console);
// Milliseconds until the console may be looked at again; -1: when something happens.
long console_wait(struct console *console, int64_t now);
void console_reopen_log(struct console *console);

// waiting.c

// Watches the nodes that a domain's console needs, until waiting_end. Both may be repeated.
void waiting_begin(struct daemon *daemon, unsigned int domid);
void waiting_end(struct daemon *daemon, unsigned int domid);

// hypervisor.c
void hypervisor_log_begin(struct daemon *daemon);
void hypervisor_log_read(struct daemon *daemon);

#endif
