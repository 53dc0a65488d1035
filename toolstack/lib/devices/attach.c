// SPDX-License-Identifier: Apache-2.0
//
// Attaching devices. All descriptions are written in one transaction; then each device goes through
// the states of enum progress, driven by watches on the backends' nodes and by ends of scripts, all
// in one event loop with one deadline. struct attachment is a device with its progress.
#include "block.h"

#include <toolstack/device.h>
#include <toolstack/loop.h>
#include <toolstack/memory.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BACKEND_MILLISECONDS = 60000, STATE_INIT_WAIT = 2, STATE_CLOSING = 5 };

enum progress { WAITS_FOR_BACKEND, RUNS_SCRIPT, DONE };

struct attachment {
    struct attaching *all;
    struct device *device;
    char *backend_path;
    enum progress progress;
    int process; // of the script, with its pid
    int pid;
};

struct attaching {
    struct toolstack *toolstack;
    struct loop loop;
    struct attachment *attachments;
    size_t count;
    unsigned int own;
    struct error *error; // the first one
};

static struct error *write_nodes(struct store *store, const char *path,
                                 const struct device_node *nodes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        TRY(store_write(store, nodes[i].value, "%s/%s", path, nodes[i].key));
    return NULL;
}

static struct error *write_device(struct store *store, const struct device *device,
                                  const char *backend_path)
{
    char *frontend_path =
        memory_format("/local/domain/%u/device/%s/%u", device->domid, device->type, device->devid);
    char *private_path =
        memory_format("/libxl/%u/device/%s/%u", device->domid, device->type, device->devid);
    struct store_access frontend = {.owner = (int)device->domid, .reader = (int)device->backend};
    struct store_access shared = {frontend.owner, frontend.reader, .writer = true};
    struct store_access backend = {.owner = (int)device->backend, .reader = (int)device->domid};
    struct error *error = store_write(store, frontend_path, "%s/frontend", private_path);

    // The toolstacks' own record comes first: it is what destruction goes by.
    if (!error)
        error = store_write(store, backend_path, "%s/backend", private_path);
    if (!error)
        error = write_nodes(store, private_path, device->backend_nodes, device->backend_count);
    if (!error)
        error = store_remove(store, "%s", backend_path);
    if (!error)
        error = store_write_for(store, frontend, "", "%s", frontend_path);
    if (!error)
        error = write_nodes(store, frontend_path, device->frontend, device->frontend_count);
    if (!error && device->shared.key)
        error = store_write_for(store, shared, device->shared.value, "%s/%s", frontend_path,
                                device->shared.key);
    if (!error)
        error = store_write_for(store, backend, "", "%s", backend_path);
    if (!error)
        error = write_nodes(store, backend_path, device->backend_nodes, device->backend_count);
    free(frontend_path);
    free(private_path);
    return error;
}

static struct error *write_all(struct store *store, void *context)
{
    struct attaching *all = context;

    for (size_t i = 0; i < all->count; i++)
        TRY(write_device(store, all->attachments[i].device, all->attachments[i].backend_path));
    return NULL;
}

static void fail(struct attachment *attachment, struct error *error)
{
    error_in_device(error, "%s", attachment->device->label);
    error_in_domain(error, NULL, (int)attachment->device->domid);
    attachment->all->error = error_first(attachment->all->error, error);
    attachment->progress = DONE;
}

// What a script or a backend says about why it failed; the caller frees it.
static char *told_reason(struct attachment *attachment)
{
    struct store *store = attachment->all->toolstack->store;
    char *reason = store_read(store, "%s/hotplug-error", attachment->backend_path);

    if (!reason)
        reason = store_read(store, "/local/domain/%u/error/backend/%s/%u/%u/error",
                            attachment->device->backend, attachment->device->type,
                            attachment->device->domid, attachment->device->devid);
    return reason ? reason : memory_copy_text("it gives no reason");
}

static void script_failed(struct attachment *attachment)
{
    char *reason = told_reason(attachment);
    struct error *error = error_new(ERROR_HOTPLUG, "its hotplug script %s failed: %s",
                                    attachment->device->script, reason);

    fail(attachment, error_advice(error, "/var/log/xen/xen-hotplug.log may say more."));
    free(reason);
}

static void script_ended(void *context)
{
    struct attachment *attachment = context;
    int status = 0;

    waitpid(attachment->pid, &status, 0);
    loop_remove(&attachment->all->loop, attachment->process);
    close(attachment->process);
    attachment->process = -1;
    attachment->progress = DONE;
    char *told =
        store_read(attachment->all->toolstack->store, "%s/hotplug-error", attachment->backend_path);

    if (!WIFEXITED(status) || WEXITSTATUS(status) || told)
        script_failed(attachment);
    free(told);
}

static void start_script(struct attachment *attachment)
{
    struct device *device = attachment->device;
    struct toolstack *toolstack = attachment->all->toolstack;
    char *vif = strcmp(device->type, "vif") ? NULL
                                            : device_vif_name(toolstack, attachment->backend_path,
                                                              device->domid, device->devid);

    if (access(device->script, X_OK) != 0) {
        fail(attachment,
             error_advice(error_errno(ERROR_HOTPLUG, errno, "cannot run %s", device->script),
                          "Check the script= setting of the device."));
        free(vif);
        return;
    }
    struct error *error =
        hotplug_start(device->type, device->script, vif ? "online" : "add",
                      attachment->backend_path, vif, &attachment->process, &attachment->pid);

    free(vif);
    if (error) {
        fail(attachment, error);
        return;
    }
    attachment->progress = RUNS_SCRIPT;
    loop_add(&attachment->all->loop, attachment->process, script_ended, attachment);
}

// A disk without a script of its own.
static void connect_disk(struct attachment *attachment)
{
    struct error *error = block_connect(attachment->all->toolstack, attachment->backend_path,
                                        attachment->device->target, attachment->device->readonly);

    attachment->progress = DONE;
    if (error)
        fail(attachment, error);
}

// A backend in another domain has its scripts run there.
static void look_at_remote(struct attachment *attachment)
{
    struct store *store = attachment->all->toolstack->store;
    char *status = store_read(store, "%s/hotplug-status", attachment->backend_path);
    char *reason = store_read(store, "%s/hotplug-error", attachment->backend_path);

    if (reason || (status && !strcmp(status, "error")))
        script_failed(attachment);
    else if (status && !strcmp(status, "connected"))
        attachment->progress = DONE;
    free(status);
    free(reason);
}

static void look_at_backend(struct attachment *attachment)
{
    long state = store_read_number(attachment->all->toolstack->store, 0, "%s/state",
                                   attachment->backend_path);

    if (attachment->progress != WAITS_FOR_BACKEND)
        return;
    if (state >= STATE_CLOSING) {
        char *reason = told_reason(attachment);

        fail(attachment, error_new(ERROR_DEVICE, "its backend refuses it: %s", reason));
        free(reason);
    } else if (state >= STATE_INIT_WAIT) {
        if (attachment->device->target)
            connect_disk(attachment);
        else if (attachment->device->backend == attachment->all->own)
            start_script(attachment);
        else
            look_at_remote(attachment);
    }
}

static void watch_fired(void *context)
{
    struct attaching *all = context;
    const char *token;
    char *event;

    while ((event = store_next_event(all->toolstack->store, &token)) != NULL) {
        for (size_t i = 0; i < all->count; i++)
            if (!strcmp(token, all->attachments[i].backend_path))
                look_at_backend(&all->attachments[i]);
        free(event);
    }
}

static bool all_done(const struct attaching *all)
{
    for (size_t i = 0; i < all->count; i++)
        if (all->attachments[i].progress != DONE)
            return false;
    return true;
}

static void time_is_over(struct attaching *all)
{
    for (size_t i = 0; i < all->count; i++) {
        struct attachment *attachment = &all->attachments[i];

        if (attachment->progress == RUNS_SCRIPT) {
            kill(attachment->pid, SIGKILL);
            script_ended(attachment);
        }
        if (attachment->progress != WAITS_FOR_BACKEND)
            continue;
        bool own = attachment->device->backend == all->own;
        struct error *error =
            error_new(ERROR_TIMEOUT, "no backend in domain %u has taken it within %d seconds",
                      attachment->device->backend, BACKEND_MILLISECONDS / 1000);

        error_advice(error,
                     own ? "Is the backend's driver loaded (modprobe xen-%s)?"
                         : "Is xl devd running there, and its driver loaded (xen-%s)?",
                     strcmp(attachment->device->type, "vbd") ? "netback" : "blkback");
        fail(attachment, error);
    }
}

static struct error *wait_for_all(struct attaching *all)
{
    struct store *store = all->toolstack->store;
    int64_t deadline = loop_now() + BACKEND_MILLISECONDS;

    loop_add(&all->loop, store_descriptor(store), watch_fired, all);
    for (size_t i = 0; i < all->count; i++)
        TRY(store_watch(store, all->attachments[i].backend_path, "%s",
                        all->attachments[i].backend_path));
    while (!all_done(all)) {
        int64_t left = deadline - loop_now();

        if (left <= 0)
            time_is_over(all);
        else
            TRY(loop_wait(&all->loop, left));
    }
    return NULL;
}

struct error *devices_attach(struct toolstack *toolstack, struct device *devices, size_t count)
{
    struct attaching all = {.toolstack = toolstack, .count = count};

    if (!count)
        return NULL;
    all.own = device_own_domain(toolstack);
    all.attachments = memory_zeroed(count * sizeof(*all.attachments));
    for (size_t i = 0; i < count; i++) {
        struct device *device = &devices[i];

        all.attachments[i] = (struct attachment){.all = &all, .device = device, .process = -1};
        all.attachments[i].backend_path =
            memory_format("/local/domain/%u/backend/%s/%u/%u", device->backend, device->type,
                          device->domid, device->devid);
    }
    struct error *error = store_transaction(toolstack->store, write_all, &all);

    if (!error)
        error = wait_for_all(&all);
    for (size_t i = 0; i < count; i++) {
        store_unwatch(toolstack->store, all.attachments[i].backend_path, "%s",
                      all.attachments[i].backend_path);
        free(all.attachments[i].backend_path);
    }
    free(all.attachments);
    loop_free(&all.loop);
    return error_first(error, all.error);
}
