// SPDX-License-Identifier: Apache-2.0
//
// A backend's domain has died and another with the same id takes its place, while the frontends
// stay connected. What was known of the devices is in the toolstacks' own record
// (/libxl/ID/device), which neither domain can write; the backends' nodes are made again of it,
// each in one transaction, as if the devices were new. The dead domain's id was taken out of all
// permissions when it went, so its successor gets back the right to read what the frontends wrote.
// docs/healing.md says why frontends do not notice.
#include <toolstack/device.h>
#include <toolstack/memory.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct error *device_list_served(struct toolstack *toolstack, unsigned int backend,
                                 struct device_entry **entries, size_t *count)
{
    domain_info *domains;
    size_t domain_count;

    *entries = NULL;
    *count = 0;
    TRY(toolstack_open_store(toolstack));
    TRY(domain_list(toolstack, &domains, &domain_count));
    struct error *error = NULL;

    for (size_t i = 0; i < domain_count && !error; i++) {
        struct device_entry *devices = NULL;
        size_t device_count = 0;

        if (domains[i].flags & XEN_DOMINF_dying)
            continue;
        error = device_list(toolstack, domains[i].domain, NULL, &devices, &device_count);
        *entries = memory_resized(*entries, *count + device_count + 1, sizeof(**entries));
        for (size_t j = 0; j < device_count; j++) {
            if (devices[j].backend != backend || devices[j].domid == backend)
                continue;
            (*entries)[(*count)++] = devices[j];
            devices[j] = (struct device_entry){0};
        }
        device_list_free(devices, device_count);
    }
    free(domains);
    return error;
}

static struct error *announce(struct store *store, void *context)
{
    const struct device_entry *entry = context;
    struct store_access frontend = {.owner = (int)entry->domid, .reader = (int)entry->backend};
    struct store_access backend = {.owner = (int)entry->backend, .reader = (int)entry->domid};
    struct store_access shared = {frontend.owner, frontend.reader, .writer = true};
    char *mtu = memory_format("%s/mtu", entry->frontend_path);
    size_t count;
    char **keys = store_list(store, &count, "%s", entry->private_path);
    struct error *error = store_remove(store, "%s", entry->backend_path);

    if (!error)
        error = store_write_for(store, backend, "", "%s", entry->backend_path);
    for (size_t i = 0; i < count && !error; i++) {
        char *value = store_read(store, "%s/%s", entry->private_path, keys[i]);

        // The record has the nodes as they were first written, and where the backend is.
        if (value && strcmp(keys[i], "backend") != 0)
            error = store_write(store, value, "%s/%s", entry->backend_path, keys[i]);
        free(value);
    }
    free(keys);
    if (!error)
        error = store_set_access_below(store, frontend, entry->frontend_path);
    // The one node of an interface that its backend's script writes.
    if (!error)
        error = store_set_access_below(store, shared, mtu);
    free(mtu);
    return error;
}

struct error *devices_announce(struct toolstack *toolstack, unsigned int backend)
{
    struct device_entry *entries;
    size_t count;
    struct error *error = device_list_served(toolstack, backend, &entries, &count);

    for (size_t i = 0; i < count && !error; i++) {
        // What the guest has begun to send since. One whose ring cannot be emptied may lose its
        // interface; the others shall not.
        struct error *open = device_answer_open(toolstack, &entries[i]);

        if (open)
            error_print(open, stderr, "");
        error_ignore(open);
        error = store_transaction(toolstack->store, announce, &entries[i]);
        error_in_device(error, "%s %u of domain %u", entries[i].type, entries[i].devid,
                        entries[i].domid);
    }
    device_list_free(entries, count);
    return error;
}
