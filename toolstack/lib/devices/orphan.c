// SPDX-License-Identifier: Apache-2.0
//
// What is done for the clients of a driver domain that has died: the packets that it had taken and
// not answered are answered as lost (net_ring.h). The guest's ring is found as the backend found
// it, by the references in xenstore and the guest's grant table, and the guest is paused for the
// moment that it takes. All of that is the guest's: what does not make sense is left alone, and
// harms nobody else.
#include "net_ring.h"

#include <toolstack/device.h>
#include <toolstack/memory.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { QUEUES_MAX = 64, ENTRIES_IN_FRAME = PAGE_SIZE / sizeof(grant_entry_v1_t) };

struct client {
    struct hypervisor *hypervisor;
    unsigned int domid;
    unsigned int backend;
    grant_entry_v1_t *entries;
    size_t entry_count;
    void *resource;
};

static void close_client(struct client *client)
{
    hypervisor_unmap_resource(client->hypervisor, client->resource);
}

// Maps the client's grant table. A table of version 2 would be read wrongly, and is told by its
// entries' domain ids, which do not fit (is_granted).
static struct error *open_client(struct client *client)
{
    struct gnttab_query_size size = {.dom = (domid_t)client->domid};
    void *address;
    int result = hypervisor_grant_op(client->hypervisor, GNTTABOP_query_size, &size, sizeof(size));

    if (result < 0 || size.status != GNTST_okay || !size.nr_frames)
        return error_new(ERROR_HYPERVISOR, "cannot ask for the size of its grant table");
    TRY(hypervisor_map_grant_table(client->hypervisor, (uint16_t)client->domid, size.nr_frames,
                                   &address, &client->resource));
    client->entries = address;
    client->entry_count = (size_t)size.nr_frames * ENTRIES_IN_FRAME;
    return NULL;
}

static bool is_granted(void *context, grant_ref_t ref)
{
    const struct client *client = context;

    return ref < client->entry_count && client->entries[ref].domid == client->backend &&
           (client->entries[ref].flags & GTF_type_mask) == GTF_permit_access;
}

// Answers what is open on one ring.
static void answer_ring(struct client *client, const struct device_entry *entry, long ref)
{
    if (ref < 0 || !is_granted(client, (grant_ref_t)ref))
        return;
    void *page = hypervisor_map_range(client->hypervisor, (uint16_t)client->domid,
                                      client->entries[ref].frame, 1);

    if (!page)
        return;
    int answered = net_ring_answer_open(page, is_granted, client);

    hypervisor_unmap(client->hypervisor, page, 1);
    if (answered < 0)
        fprintf(stderr, "%s %u of domain %u: its ring is none that can be emptied\n", entry->type,
                entry->devid, entry->domid);
}

static void answer_rings(struct client *client, struct store *store,
                         const struct device_entry *entry)
{
    const char *path = entry->frontend_path;
    long queues = store_read_number(store, 1, "%s/multi-queue-num-queues", path);

    answer_ring(client, entry, store_read_number(store, -1, "%s/tx-ring-ref", path));
    for (long i = 0; i < queues && i < QUEUES_MAX; i++)
        answer_ring(client, entry,
                    store_read_number(store, -1, "%s/queue-%ld/tx-ring-ref", path, i));
}

struct error *device_answer_open(struct toolstack *toolstack, const struct device_entry *entry)
{
    struct client client = {.domid = entry->domid, .backend = entry->backend};
    domain_info info;

    // The requests of a disk must not be lost; its backend takes them up (docs/healing.md).
    if (strcmp(entry->type, "vif") != 0)
        return NULL;
    TRY(toolstack_open(toolstack));
    client.hypervisor = toolstack->hypervisor;
    TRY(domain_get_info(toolstack, entry->domid, &info));
    bool runs = !(info.flags & XEN_DOMINF_paused);

    if (runs)
        TRY(domain_pause(toolstack, entry->domid));
    struct error *error = open_client(&client);

    if (!error)
        answer_rings(&client, toolstack->store, entry);
    close_client(&client);
    if (runs)
        error = error_first(error, domain_unpause(toolstack, entry->domid));
    return error;
}

struct error *devices_orphan(struct toolstack *toolstack, unsigned int backend)
{
    struct device_entry *entries = NULL;
    size_t count = 0;
    struct error *error = device_list_served(toolstack, backend, &entries, &count);

    for (size_t i = 0; i < count; i++)
        error = error_first(error, device_answer_open(toolstack, &entries[i]));
    device_list_free(entries, count);
    return error;
}
