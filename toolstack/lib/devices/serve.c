// SPDX-License-Identifier: Apache-2.0
//
// The daemon's part in a driver domain. struct server holds a record for each backend that is
// described below this domain's own node; a watch there makes it look again at all of them. A
// record goes through enum stage; at most one script runs for it at a time, and scripts of
// different devices run beside each other. What is described is written by the control domain;
// frontends only reach their own nodes, which are not read here.
#include "block.h"

#include <toolstack/device.h>
#include <toolstack/loop.h>
#include <toolstack/memory.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STATE_INIT_WAIT = 2, STATE_CLOSED = 6, RECORDS_MAX = 4096, BEAT_MILLISECONDS = 2000 };

enum stage { STAGE_NEW, STAGE_CONNECTING, STAGE_CONNECTED, STAGE_REMOVING, STAGE_FAILED };

struct record {
    struct server *server;
    char *type;
    unsigned int domid; // of the frontend
    unsigned int devid;
    char *path;
    char *script; // read when the device was new: the nodes may be gone at the end
    enum stage stage;
    int process;
    int pid;
    bool seen;     // in this look
    bool own_disk; // connected here, without a script
};

struct server {
    struct toolstack *toolstack;
    struct loop loop;
    struct record **records;
    size_t count;
    unsigned int own;
    unsigned int beats;
    int64_t next_beat;
};

static void look(struct server *server);

static void record_free(struct record *record)
{
    free(record->type);
    free(record->path);
    free(record->script);
    free(record);
}

static void report(struct record *record, struct error *error)
{
    error_in_device(error, "%s %u of domain %u", record->type, record->devid, record->domid);
    error_print(error, stderr, "");
    // Whoever waits for the device in the control domain reads what follows.
    struct store *store = record->server->toolstack->store;
    // A script may have said more than is known here.
    char *told = store_read(store, "%s/hotplug-error", record->path);

    if (!told)
        error_ignore(store_write(store, error->message, "%s/hotplug-error", record->path));
    free(told);
    error_ignore(store_write(store, "error", "%s/hotplug-status", record->path));
    error_free(error);
    record->stage = STAGE_FAILED;
}

// What a device was waiting for has been done, or could not be.
static void finish(struct record *record, struct error *error)
{
    struct store *store = record->server->toolstack->store;

    if (record->stage == STAGE_CONNECTING) {
        record->stage = STAGE_CONNECTED;
        if (error)
            report(record, error);
        else
            error_ignore(store_write(store, "connected", "%s/hotplug-status", record->path));
    } else {
        error_ignore(error);
        error_ignore(store_remove(store, "%s", record->path));
        record->stage = STAGE_NEW;
    }
}

static void script_ended(void *context)
{
    struct record *record = context;
    int status = 0;

    waitpid(record->pid, &status, 0);
    loop_remove(&record->server->loop, record->process);
    close(record->process);
    bool worked = WIFEXITED(status) && !WEXITSTATUS(status);

    finish(record, worked
                       ? NULL
                       : error_new(ERROR_HOTPLUG, "its hotplug script %s failed", record->script));
    look(record->server);
}

static void connect_disk(struct record *record, enum stage stage)
{
    struct toolstack *toolstack = record->server->toolstack;
    struct error *error = NULL;

    record->stage = stage;
    if (stage == STAGE_CONNECTING) {
        char *target = store_read(toolstack->store, "%s/params", record->path);
        char *mode = store_read(toolstack->store, "%s/mode", record->path);

        error = target ? block_connect(toolstack, record->path, target, mode && *mode == 'r')
                       : error_new(ERROR_DEVICE, "no disk is named for it");
        free(target);
        free(mode);
    } else {
        block_disconnect(toolstack, record->path);
    }
    finish(record, error);
}

static void start(struct record *record, enum stage stage)
{
    if (record->own_disk) {
        connect_disk(record, stage);
        return;
    }
    struct toolstack *toolstack = record->server->toolstack;
    bool network = !strcmp(record->type, "vif");
    bool connecting = stage == STAGE_CONNECTING;
    const char *action =
        network ? (connecting ? "online" : "offline") : (connecting ? "add" : "remove");
    char *vif =
        network ? device_vif_name(toolstack, record->path, record->domid, record->devid) : NULL;
    struct error *error = record->script && access(record->script, X_OK) == 0
                              ? hotplug_start(record->type, record->script, action, record->path,
                                              vif, &record->process, &record->pid)
                              : error_new(ERROR_HOTPLUG, "its hotplug script %s cannot be run",
                                          record->script ? record->script : "(none is named)");

    free(vif);
    if (error) {
        report(record, error);
        return;
    }
    record->stage = stage;
    loop_add(&record->server->loop, record->process, script_ended, record);
}

// What is to be done for a device now; false when its record is of no more use.
static bool attend(struct record *record)
{
    struct store *store = record->server->toolstack->store;
    long state = store_read_number(store, STATE_CLOSED, "%s/state", record->path);
    long online = store_read_number(store, 0, "%s/online", record->path);
    bool over = !record->seen || (state == STATE_CLOSED && !online);

    switch (record->stage) {
    case STAGE_NEW:
        if (over)
            return false;
        if (state >= STATE_INIT_WAIT)
            start(record, STAGE_CONNECTING);
        return true;
    case STAGE_CONNECTED:
        if (over)
            start(record, STAGE_REMOVING);
        return true;
    case STAGE_FAILED:
        if (over)
            error_ignore(store_remove(store, "%s", record->path));
        return !over;
    default:
        return true;
    }
}

static struct record *find_record(struct server *server, const char *path)
{
    for (size_t i = 0; i < server->count; i++)
        if (!strcmp(server->records[i]->path, path))
            return server->records[i];
    return NULL;
}

// Disks with the ordinary script are connected here: what healing needs of a disk (docs/healing.md)
// is not left to a script. But a script looks for what is named by a label.
static bool is_own_disk(const struct record *record)
{
    char *target = store_read(record->server->toolstack->store, "%s/params", record->path);
    bool own = !strcmp(record->type, "vbd") && record->script &&
               !strcmp(record->script, BLOCK_SCRIPT) && target && *target == '/';

    free(target);
    return own;
}

static void add_record(struct server *server, const char *type, const char *domid,
                       const char *devid, char *path)
{
    struct store *store = server->toolstack->store;
    char *status = store_read(store, "%s/hotplug-status", path);
    struct record *record = memory_zeroed(sizeof(*record));

    *record = (struct record){.server = server,
                              .type = memory_copy_text(type),
                              .domid = (unsigned int)strtoul(domid, NULL, 10),
                              .devid = (unsigned int)strtoul(devid, NULL, 10),
                              .path = path,
                              .script = store_read(store, "%s/script", path),
                              .seen = true};
    record->own_disk = is_own_disk(record);
    // One that an earlier run of this program has connected.
    if (status && !strcmp(status, "connected"))
        record->stage = STAGE_CONNECTED;
    free(status);
    server->records = memory_resized(server->records, server->count + 1, sizeof(*server->records));
    server->records[server->count++] = record;
}

static void look_at_frontends(struct server *server, const char *type)
{
    struct store *store = server->toolstack->store;
    size_t domain_count;
    char **domains =
        store_list(store, &domain_count, "/local/domain/%u/backend/%s", server->own, type);

    for (size_t i = 0; i < domain_count; i++) {
        size_t device_count;
        char **devices = store_list(store, &device_count, "/local/domain/%u/backend/%s/%s",
                                    server->own, type, domains[i]);

        for (size_t j = 0; j < device_count; j++) {
            char *path = memory_format("/local/domain/%u/backend/%s/%s/%s", server->own, type,
                                       domains[i], devices[j]);
            struct record *record = find_record(server, path);

            if (record)
                record->seen = true;
            if (record || server->count == RECORDS_MAX)
                free(path);
            else
                add_record(server, type, domains[i], devices[j], path);
        }
        free(devices);
    }
    free(domains);
}

static void look(struct server *server)
{
    for (size_t i = 0; i < server->count; i++)
        server->records[i]->seen = false;
    look_at_frontends(server, "vif");
    look_at_frontends(server, "vbd");
    for (size_t i = 0; i < server->count;) {
        if (attend(server->records[i])) {
            i++;
        } else {
            record_free(server->records[i]);
            server->records[i] = server->records[--server->count];
        }
    }
}

static void watch_fired(void *context)
{
    struct server *server = context;
    const char *token;
    char *event;

    while ((event = store_next_event(server->toolstack->store, &token)) != NULL)
        free(event);
    look(server);
}

// Tells the control domain that this domain still works. It may not have the node; then nobody
// there asks for it.
static void beat(struct server *server)
{
    char number[16];

    if (loop_now() < server->next_beat)
        return;
    server->next_beat = loop_now() + BEAT_MILLISECONDS;
    snprintf(number, sizeof(number), "%u", ++server->beats);
    error_ignore(store_write(server->toolstack->store, number, DEVICE_HEARTBEAT, server->own));
}

struct error *device_serve(struct toolstack *toolstack)
{
    struct server server = {.toolstack = toolstack};

    TRY(toolstack_open_store(toolstack));
    server.own = device_own_domain(toolstack);
    TRY(store_watch(toolstack->store, "backends", "/local/domain/%u/backend", server.own));
    loop_add(&server.loop, store_descriptor(toolstack->store), watch_fired, &server);
    struct error *error = NULL;

    while (!error) {
        beat(&server);
        error = loop_wait(&server.loop, BEAT_MILLISECONDS);
    }
    for (size_t i = 0; i < server.count; i++)
        record_free(server.records[i]);
    free(server.records);
    loop_free(&server.loop);
    return error;
}
