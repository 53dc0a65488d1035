// SPDX-License-Identifier: Apache-2.0
//
// Domains without a console yet. Some toolstacks write a domain's console nodes only after they
// have introduced it, so the nodes of such a domain are watched until its console is made or it is
// gone. The list holds numbers of domains, each with its watch.
#include "xenconsoled.h"

#define NODES "/local/domain/%u/console"

static size_t find(const struct daemon *daemon, unsigned int domid)
{
    size_t i = 0;

    while (i < daemon->waiting_count && daemon->waiting[i] != domid)
        i++;
    return i;
}

void waiting_begin(struct daemon *daemon, unsigned int domid)
{
    if (find(daemon, domid) < daemon->waiting_count)
        return;
    struct error *error = store_watch(daemon->toolstack.store, "nodes", NODES, domid);

    if (error) {
        error_print(error, stderr, "xenconsoled: ");
        error_free(error);
        return;
    }
    daemon->waiting =
        memory_resized(daemon->waiting, daemon->waiting_count + 1, sizeof(*daemon->waiting));
    daemon->waiting[daemon->waiting_count++] = domid;
}

void waiting_end(struct daemon *daemon, unsigned int domid)
{
    size_t place = find(daemon, domid);

    if (place == daemon->waiting_count)
        return;
    store_unwatch(daemon->toolstack.store, "nodes", NODES, domid);
    daemon->waiting[place] = daemon->waiting[--daemon->waiting_count];
}
