// SPDX-License-Identifier: Apache-2.0
//
// Finding and removing devices. Removal goes by the toolstacks' own record, which neither domain
// can write: backends are told to close, all at once; whoever has not closed when the time is over,
// or has no domain any more, is not waited for. Then scripts run and the nodes go.
#include "block.h"

#include <toolstack/device.h>
#include <toolstack/loop.h>
#include <toolstack/memory.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CLOSE_MILLISECONDS = 10000, SCRIPT_MILLISECONDS = 40000, STATE_CLOSED = 6 };

// The domain in "/local/domain/N/backend/...".
static unsigned int domain_of_path(const char *path)
{
    unsigned int domid = 0;

    return sscanf(path, "/local/domain/%u/backend/", &domid) == 1 ? domid : 0;
}

static void add_entries(struct toolstack *toolstack, unsigned int domid, const char *type,
                        struct device_entry **entries, size_t *count)
{
    size_t number;
    char **names = store_list(toolstack->store, &number, "/libxl/%u/device/%s", domid, type);

    for (size_t i = 0; i < number; i++) {
        char *private_path = memory_format("/libxl/%u/device/%s/%s", domid, type, names[i]);
        char *frontend = store_read(toolstack->store, "%s/frontend", private_path);
        char *backend = store_read(toolstack->store, "%s/backend", private_path);

        if (!frontend || !backend) {
            free(frontend);
            free(backend);
            free(private_path);
            continue;
        }
        *entries = memory_resized(*entries, *count + 1, sizeof(**entries));
        (*entries)[(*count)++] = (struct device_entry){
            .type = memory_copy_text(type),
            .devid = (unsigned int)strtoul(names[i], NULL, 10),
            .domid = domid,
            .backend = domain_of_path(backend),
            .frontend_path = frontend,
            .backend_path = backend,
            .private_path = private_path,
        };
    }
    free(names);
}

struct error *device_list(struct toolstack *toolstack, unsigned int domid, const char *type,
                          struct device_entry **entries, size_t *count)
{
    TRY(toolstack_open_store(toolstack));
    *entries = NULL;
    *count = 0;
    if (type) {
        add_entries(toolstack, domid, type, entries, count);
        return NULL;
    }
    size_t number;
    char **types = store_list(toolstack->store, &number, "/libxl/%u/device", domid);

    for (size_t i = 0; i < number; i++)
        if (strcmp(types[i], "console") != 0)
            add_entries(toolstack, domid, types[i], entries, count);
    free(types);
    return NULL;
}

void device_list_free(struct device_entry *entries, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(entries[i].type);
        free(entries[i].frontend_path);
        free(entries[i].backend_path);
        free(entries[i].private_path);
    }
    free(entries);
}

struct closing {
    const struct device_entry *entry;
    bool force;
};

static struct error *tell_to_close(struct store *store, void *context)
{
    const struct closing *closing = context;
    const struct device_entry *entry = closing->entry;
    long state = store_read_number(store, -1, "%s/state", entry->backend_path);

    // A frontend that is not there has nothing to say, and its backend closes at once.
    if (closing->force)
        TRY(store_remove(store, "%s", entry->frontend_path));
    if (state < 0)
        return NULL;
    TRY(store_write(store, "0", "%s/online", entry->backend_path));
    if (state == STATE_CLOSED)
        return NULL;
    return store_write(store, XENBUS_CLOSING, "%s/state", entry->backend_path);
}

static bool domain_is_there(struct toolstack *toolstack, unsigned int domid)
{
    domain_info info;
    struct error *error = domain_get_info(toolstack, domid, &info);

    if (error) {
        error_ignore(error);
        return false;
    }
    return !(info.flags & XEN_DOMINF_dying);
}

static bool has_closed(struct toolstack *toolstack, const struct device_entry *entry)
{
    long state = store_read_number(toolstack->store, -1, "%s/state", entry->backend_path);

    return state < 0 || state == STATE_CLOSED || !domain_is_there(toolstack, entry->backend);
}

static void drain_events(struct store *store)
{
    const char *token;
    char *event;

    while ((event = store_next_event(store, &token)) != NULL)
        free(event);
}

// Waits until all backends have closed or the time is over; says how many have not.
static size_t wait_closed(struct toolstack *toolstack, const struct device_entry *entries,
                          size_t count)
{
    struct store *store = toolstack->store;
    int64_t deadline = loop_now() + CLOSE_MILLISECONDS;
    size_t closed = 0;

    for (size_t i = 0; i < count; i++)
        error_ignore(store_watch(store, "close", "%s/state", entries[i].backend_path));
    while (closed < count) {
        struct pollfd descriptor = {.fd = store_descriptor(store), .events = POLLIN};
        int64_t left = deadline - loop_now();

        if (has_closed(toolstack, &entries[closed])) {
            closed++;
            continue;
        }
        if (left <= 0)
            break;
        poll(&descriptor, 1, (int)left);
        drain_events(store);
    }
    for (size_t i = 0; i < count; i++)
        store_unwatch(store, "close", "%s/state", entries[i].backend_path);
    return count - closed;
}

// Runs the script that takes a device away, and waits for it within bounds.
static struct error *run_remove_script(struct toolstack *toolstack,
                                       const struct device_entry *entry)
{
    char *script = store_read(toolstack->store, "%s/script", entry->private_path);
    bool network = !strcmp(entry->type, "vif");
    struct pollfd process = {.events = POLLIN};
    struct error *error = NULL;
    int status = 0;
    int pid;

    if (!script || access(script, X_OK) != 0 || entry->backend != device_own_domain(toolstack)) {
        free(script);
        return NULL;
    }
    char *vif = network
                    ? device_vif_name(toolstack, entry->backend_path, entry->domid, entry->devid)
                    : NULL;

    error = hotplug_start(entry->type, script, network ? "offline" : "remove", entry->backend_path,
                          vif, &process.fd, &pid);
    if (!error) {
        if (poll(&process, 1, SCRIPT_MILLISECONDS) <= 0)
            kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
        close(process.fd);
        if (!WIFEXITED(status) || WEXITSTATUS(status))
            error = error_new(ERROR_HOTPLUG, "its hotplug script %s failed on removal", script);
    }
    free(vif);
    free(script);
    return error;
}

// Whether the domain of a backend has taken the device's nodes away, as xl devd does there.
static bool remote_has_removed(struct toolstack *toolstack, const struct device_entry *entry)
{
    char *frontend = store_read(toolstack->store, "%s/frontend", entry->backend_path);
    bool gone = !frontend;

    free(frontend);
    return gone || !domain_is_there(toolstack, entry->backend);
}

// Gives a driver domain time to run its script while the nodes are still there.
static void wait_for_remote(struct toolstack *toolstack, const struct device_entry *entry)
{
    int64_t deadline = loop_now() + CLOSE_MILLISECONDS;
    struct store *store = toolstack->store;

    if (entry->backend == device_own_domain(toolstack))
        return;
    error_ignore(store_watch(store, "remote", "%s", entry->backend_path));
    while (!remote_has_removed(toolstack, entry) && loop_now() < deadline) {
        struct pollfd descriptor = {.fd = store_descriptor(store), .events = POLLIN};

        poll(&descriptor, 1, (int)(deadline - loop_now()));
        drain_events(store);
    }
    store_unwatch(store, "remote", "%s", entry->backend_path);
}

static struct error *remove_nodes(struct store *store, void *context)
{
    const struct device_entry *entry = context;

    TRY(store_remove_with_parent(store, entry->frontend_path));
    TRY(store_remove_with_parent(store, entry->backend_path));
    return store_remove_with_parent(store, entry->private_path);
}

struct error *devices_detach(struct toolstack *toolstack, const struct device_entry *entries,
                             size_t count, bool force)
{
    struct error *error = NULL;

    for (size_t i = 0; i < count; i++) {
        struct closing closing = {.entry = &entries[i], .force = force};

        error = error_first(error, store_transaction(toolstack->store, tell_to_close, &closing));
    }
    size_t open = wait_closed(toolstack, entries, count);

    if (open && !force)
        return error_first(
            error,
            error_advice(error_in_domain(error_new(ERROR_TIMEOUT,
                                                   "%zu of its devices have not been let go", open),
                                         NULL, (int)entries[0].domid),
                         "The domain still uses them; unmount or stop them inside, or "
                         "force it."));
    for (size_t i = 0; i < count; i++) {
        struct device_entry *entry = (struct device_entry *)(uintptr_t)&entries[i];
        struct error *failed = run_remove_script(toolstack, entry);

        error_in_device(failed, "%s %u", entry->type, entry->devid);
        error = error_first(error, failed);
        wait_for_remote(toolstack, entry);
        error = error_first(error, store_transaction(toolstack->store, remove_nodes, entry));
    }
    return error;
}
