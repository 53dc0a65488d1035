// SPDX-License-Identifier: Apache-2.0
//
// Ending domains. The order: stop it, let its backends go, give its memory back, remove what is
// written about it. Each step is done even when an earlier one failed, so that nothing stays
// because of something else; the first error is returned.
#include <toolstack/create.h>
#include <toolstack/device.h>
#include <toolstack/memory.h>

#include "marks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct ending {
    unsigned int domid;
    char *vm_path; // or NULL
};

static struct error *remove_all(struct store *store, void *context)
{
    const struct ending *ending = context;
    char *console = store_read(store, "/libxl/%u/device/console/0/backend", ending->domid);
    struct error *error = NULL;

    if (console)
        error = store_remove_with_parent(store, console);
    free(console);
    if (!error && ending->vm_path)
        error = store_remove(store, "%s", ending->vm_path);
    if (!error)
        error = store_remove(store, "/local/domain/%u", ending->domid);
    if (!error)
        error = store_remove(store, "/libxl/%u", ending->domid);
    return error;
}

struct error *domain_clear_away(struct toolstack *toolstack, unsigned int domid,
                                const uint8_t uuid[16])
{
    struct ending ending = {.domid = domid};
    struct device_entry *devices = NULL;
    size_t count = 0;

    TRY(toolstack_open(toolstack));
    // One that is dying already cannot be paused, and need not be.
    error_ignore(domain_pause(toolstack, domid));
    struct error *error = device_list(toolstack, domid, NULL, &devices, &count);

    if (!error)
        error = devices_detach(toolstack, devices, count, true);
    device_list_free(devices, count);
    ending.vm_path = store_read(toolstack->store, "/local/domain/%u/vm", domid);
    // Whether it served others, as far as it says; its successor would find the rest.
    free(store_list(toolstack->store, &count, "/local/domain/%u/backend/vif", domid));
    error = error_first(error, domain_destroy_only(toolstack, domid));
    if (count)
        error = error_first(error, devices_orphan(toolstack, domid));
    error = error_first(error, store_transaction(toolstack->store, remove_all, &ending));
    domain_config_forget(uuid);
    free(ending.vm_path);
    return error;
}

struct error *domain_destroy(struct toolstack *toolstack, unsigned int domid)
{
    struct mark mark;
    domain_info info;

    if (domid == 0)
        return error_new(ERROR_STATE, "domain 0 cannot be destroyed");
    TRY(domain_get_info(toolstack, domid, &info));
    // Whoever is still making it has marked it already.
    error_ignore(mark_begin(&mark, info.handle, false));
    mark_note(&mark, domid);
    struct error *error = domain_clear_away(toolstack, domid, info.handle);

    mark_end(&mark);
    return error;
}

static struct error *write_aside(struct store *store, void *context)
{
    struct ending *ending = context;
    char *name = store_read(store, "/local/domain/%u/name", ending->domid);
    char *other = memory_format("%s-%u", name ? name : "domain", ending->domid);
    struct error *error = store_write(store, other, "/local/domain/%u/name", ending->domid);

    if (!error)
        error = store_write(store, ending->vm_path, "/local/domain/%u/vm", ending->domid);
    if (!error)
        error = store_write(store, other, "%s/name", ending->vm_path);
    free(name);
    free(other);
    return error;
}

struct error *domain_set_aside(struct toolstack *toolstack, unsigned int domid)
{
    struct ending ending = {.domid = domid};
    struct xen_domctl operation = {.cmd = XEN_DOMCTL_setdomainhandle, .domain = (domid_t)domid};
    char text[UUID_TEXT_SIZE];

    TRY(toolstack_open(toolstack));
    TRY(uuid_generate(operation.u.setdomainhandle.handle));
    uuid_format(operation.u.setdomainhandle.handle, text);
    int result = hypervisor_domctl(toolstack->hypervisor, &operation);

    if (result < 0)
        return error_in_domain(error_errno(ERROR_HYPERVISOR, result, "cannot change its UUID"),
                               NULL, (int)domid);
    ending.vm_path = memory_format("/vm/%s", text);
    struct error *error = store_transaction(toolstack->store, write_aside, &ending);

    free(ending.vm_path);
    return error;
}
