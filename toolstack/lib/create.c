// SPDX-License-Identifier: Apache-2.0
//
// Creating domains. A domain that is not complete has a mark (marks.h), by which the next creation
// clears it away when this program is killed. A lock makes checking for a name and taking it one
// step. Every failure destroys the domain that was begun.
#include <toolstack/create.h>
#include <toolstack/device.h>
#include <toolstack/host.h>
#include <toolstack/loop.h>
#include <toolstack/memory.h>

#include "builder/build.h"
#include "marks.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CONSOLE_LIMIT "1048576"

enum { DOMID_MILLISECONDS = 30000 };

struct creation {
    struct toolstack *toolstack;
    const struct domain_config *config;
    struct boot_image image;
    struct domain_ports ports;
    unsigned int domid;
    unsigned int own; // the domain of this program, which serves xenstore and consoles
    bool made;
    struct mark mark;
};

static struct error *check_free(struct creation *creation)
{
    const struct domain_config *config = creation->config;
    domain_info *list;
    size_t count;
    unsigned int other;
    bool taken = false;

    if (domain_find_name(creation->toolstack, config->name, &other))
        return error_advice(
            error_new(ERROR_NAME_TAKEN, "domain %u is already called %s", other, config->name),
            "Choose another name, or end that domain first.");
    TRY(domain_list(creation->toolstack, &list, &count));
    for (size_t i = 0; i < count; i++)
        taken |= !memcmp(list[i].handle, config->uuid, sizeof(config->uuid));
    free(list);
    return taken ? error_new(ERROR_NAME_TAKEN, "another domain has the same UUID") : NULL;
}

// Waits until the id that the configuration asks for is free: a domain that is being taken apart
// keeps its own until the last of it has gone.
static struct error *wait_for_domid(struct creation *creation)
{
    unsigned int domid = (unsigned int)creation->config->domid;
    int64_t deadline = loop_now() + DOMID_MILLISECONDS;
    const struct timespec pause = {.tv_nsec = 50000000};
    domain_info info;

    while (domid) {
        struct error *gone = domain_get_info(creation->toolstack, domid, &info);

        if (gone) {
            error_ignore(gone);
            return NULL;
        }
        if (!(info.flags & XEN_DOMINF_dying))
            return error_advice(error_new(ERROR_NAME_TAKEN, "domain id %u is in use", domid),
                                "Choose another domid, or end that domain first.");
        if (loop_now() >= deadline)
            return error_advice(
                error_new(ERROR_TIMEOUT,
                          "domain %u has ended but is not gone after %d seconds: somebody still "
                          "uses its memory",
                          domid, DOMID_MILLISECONDS / 1000),
                "xl list shows it; a backend or device model that has it mapped must let go.");
        nanosleep(&pause, NULL);
    }
    return NULL;
}

static struct error *check_memory(struct creation *creation)
{
    struct xen_sysctl_physinfo physical = {0};

    TRY(host_get_physical(creation->toolstack, &physical));
    uint64_t free_kib = (physical.free_pages - physical.outstanding_pages) * (PAGE_SIZE >> 10);

    if (free_kib >= creation->config->memory_kib)
        return NULL;
    return error_advice(
        error_new(ERROR_HOST_MEMORY, "it needs %lu MiB of memory and the machine has %lu free",
                  creation->config->memory_kib >> 10, (unsigned long)(free_kib >> 10)),
        "Give it less, end other domains, or shrink domain 0 (xl mem-set 0).");
}

static struct error *write_vcpus(struct store *store, const struct creation *creation)
{
    for (unsigned int vcpu = 0; vcpu < creation->config->maxvcpus; vcpu++)
        TRY(store_write(store, vcpu < creation->config->vcpus ? "online" : "offline",
                        "/local/domain/%u/cpu/%u/availability", creation->domid, vcpu));
    return NULL;
}

// The nodes that the domain itself writes.
static struct error *write_own_nodes(struct store *store, const struct domain_config *config,
                                     unsigned int domid)
{
    static const char *const nodes[] = {
        "device/suspend/event-channel",
        "control/shutdown",
        "control/feature-poweroff",
        "control/feature-reboot",
        "control/sysrq",
        "data",
        "drivers",
        "feature",
        "attr",
        "error",
    };
    struct store_access own = {.owner = (int)domid, .reader = -1};

    for (size_t i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++)
        TRY(store_write_for(store, own, "", "/local/domain/%u/%s", domid, nodes[i]));
    // Where a driver domain's own tools keep their records.
    if (config->driver_domain)
        return store_write_for(store, own, "", "/local/domain/%u/libxl", domid);
    return NULL;
}

static struct error *write_vm(struct store *store, const struct creation *creation)
{
    struct store_access readable = {.owner = (int)creation->own, .reader = (int)creation->domid};
    char uuid[UUID_TEXT_SIZE];
    char start[32];

    uuid_format(creation->config->uuid, uuid);
    snprintf(start, sizeof(start), "%ld.00", (long)time(NULL));
    TRY(store_write_for(store, readable, "", "/vm/%s", uuid));
    TRY(store_write(store, creation->config->name, "/vm/%s/name", uuid));
    TRY(store_write(store, uuid, "/vm/%s/uuid", uuid));
    TRY(store_write(store, start, "/vm/%s/start_time", uuid));
    char *path = memory_format("/vm/%s", uuid);
    struct error *error = store_write(store, path, "/local/domain/%u/vm", creation->domid);

    free(path);
    return error;
}

static struct error *write_domain(struct store *store, void *context)
{
    const struct creation *creation = context;
    const struct domain_config *config = creation->config;
    unsigned int domid = creation->domid;
    struct store_access readable = {.owner = (int)creation->own, .reader = (int)domid};
    char number[32];

    TRY(store_remove(store, "/local/domain/%u", domid));
    TRY(store_remove(store, "/libxl/%u", domid));
    TRY(store_write_for(store, readable, "", "/local/domain/%u", domid));
    TRY(write_vm(store, creation));
    TRY(store_write(store, config->name, "/local/domain/%u/name", domid));
    snprintf(number, sizeof(number), "%u", domid);
    TRY(store_write(store, number, "/local/domain/%u/domid", domid));
    TRY(write_vcpus(store, creation));
    snprintf(number, sizeof(number), "%lu", config->maxmem_kib);
    TRY(store_write(store, number, "/local/domain/%u/memory/static-max", domid));
    snprintf(number, sizeof(number), "%lu", config->memory_kib);
    TRY(store_write(store, number, "/local/domain/%u/memory/target", domid));
    TRY(store_write(store, "0", "/local/domain/%u/memory/videoram", domid));
    TRY(store_write(store, "1", "/local/domain/%u/control/platform-feature-multiprocessor-suspend",
                    domid));
    TRY(store_write(store, "1", "/local/domain/%u/control/platform-feature-xs_reset_watches",
                    domid));
    TRY(write_own_nodes(store, config, domid));
    return store_write(store, "pvh", "/libxl/%u/type", domid);
}

static struct error *write_console(struct store *store, const struct creation *creation)
{
    unsigned int domid = creation->domid;
    unsigned int own = creation->own;
    struct store_access readable = {.owner = (int)own, .reader = (int)domid};
    char *backend = memory_format("/local/domain/%u/backend/console/%u/0", own, domid);
    char *frontend = memory_format("/local/domain/%u/console", domid);
    char own_text[16];
    char domid_text[16];

    snprintf(own_text, sizeof(own_text), "%u", own);
    snprintf(domid_text, sizeof(domid_text), "%u", domid);
    const struct device_node front[] = {{"backend", backend},     {"backend-id", own_text},
                                        {"limit", CONSOLE_LIMIT}, {"type", "xenconsoled"},
                                        {"output", "pty"},        {"tty", ""}};
    const struct device_node back[] = {{"frontend", frontend},
                                       {"frontend-id", domid_text},
                                       {"online", "1"},
                                       {"state", "1"},
                                       {"protocol", "vt100"}};
    struct error *error = store_write_for(store, readable, "", "%s", backend);

    for (size_t i = 0; i < sizeof(back) / sizeof(back[0]) && !error; i++)
        error = store_write(store, back[i].value, "%s/%s", backend, back[i].key);
    for (size_t i = 0; i < sizeof(front) / sizeof(front[0]) && !error; i++)
        error = store_write(store, front[i].value, "%s/%s", frontend, front[i].key);
    if (!error)
        error = store_write(store, frontend, "/libxl/%u/device/console/0/frontend", domid);
    if (!error)
        error = store_write(store, backend, "/libxl/%u/device/console/0/backend", domid);
    free(backend);
    free(frontend);
    return error;
}

static struct error *write_ring(struct store *store, unsigned int domid, const char *name,
                                unsigned long frame, uint32_t port)
{
    char number[32];

    snprintf(number, sizeof(number), "%u", port);
    TRY(store_write(store, number, "/local/domain/%u/%s/port", domid, name));
    snprintf(number, sizeof(number), "%lu", frame);
    return store_write(store, number, "/local/domain/%u/%s/ring-ref", domid, name);
}

static struct error *write_rings(struct store *store, void *context)
{
    const struct creation *creation = context;

    TRY(write_ring(store, creation->domid, "store", STORE_FRAME, creation->ports.store));
    TRY(write_console(store, creation));
    return write_ring(store, creation->domid, "console", CONSOLE_FRAME, creation->ports.console);
}

// Makes the domain under its name; from here on there is something to destroy.
static struct error *make_named(struct creation *creation)
{
    int lock;

    TRY(file_lock(RUN_FOLDER "/create.lock", LOCK_EX, &lock));
    struct error *error = check_free(creation);

    if (!error)
        error = build_make(creation->toolstack, creation->config, &creation->domid);
    if (!error) {
        creation->made = true;
        mark_note(&creation->mark, creation->domid);
        error = store_transaction(creation->toolstack->store, write_domain, creation);
    }
    close(lock);
    return error;
}

// A driver domain watches each device that it serves, and writes its nodes. A xenstored that knows
// no quotas of single domains leaves it at what all have.
static void raise_quotas(const struct creation *creation)
{
    static const struct {
        const char *name;
        unsigned int value;
    } quotas[] = {{"watches", 4096}, {"nodes", 16384}, {"memory", 32 << 20}};

    if (!creation->config->driver_domain)
        return;
    for (size_t i = 0; i < sizeof(quotas) / sizeof(quotas[0]); i++)
        store_set_quota(creation->domid, quotas[i].name, quotas[i].value);
}

static struct error *attach_devices(struct creation *creation)
{
    const struct domain_config *config = creation->config;
    size_t total = config->disk_count + config->nic_count;
    struct device *devices = memory_zeroed(total * sizeof(*devices));
    struct error *error = NULL;
    size_t count = 0;

    for (size_t i = 0; i < config->disk_count && !error; i++)
        error = device_from_disk(creation->toolstack, creation->domid, &config->disks[i],
                                 &devices[count++]);
    for (size_t i = 0; i < config->nic_count && !error; i++)
        error = device_from_nic(creation->toolstack, creation->domid, &config->nics[i],
                                &devices[count++]);
    if (!error)
        error = devices_attach(creation->toolstack, devices, count);
    for (size_t i = 0; i < count; i++)
        device_free(&devices[i]);
    free(devices);
    return error;
}

static struct error *create(struct creation *creation)
{
    struct toolstack *toolstack = creation->toolstack;

    TRY(boot_image_read(creation->config, &creation->image));
    TRY(toolstack_open(toolstack));
    mkdir(RUN_FOLDER, 0755);
    marks_clear(toolstack);
    creation->own = device_own_domain(toolstack);
    TRY(mark_begin(&creation->mark, creation->config->uuid, true));
    TRY(wait_for_domid(creation));
    TRY(check_memory(creation));
    TRY(make_named(creation));
    TRY(build_fill(toolstack, creation->config, &creation->image, creation->domid, creation->own,
                   &creation->ports));
    // An unpacked kernel takes much of a small control domain; devices may take their time.
    boot_image_free(&creation->image);
    TRY(store_transaction(toolstack->store, write_rings, creation));
    TRY(store_introduce(toolstack->store, creation->domid, STORE_FRAME, creation->ports.store));
    raise_quotas(creation);
    TRY(attach_devices(creation));
    // What an earlier domain of this id served to others is served by this one.
    if (creation->config->domid)
        TRY(devices_announce(toolstack, creation->domid));
    return domain_config_save(creation->config);
}

struct error *domain_create(struct toolstack *toolstack, const struct domain_config *config,
                            unsigned int *domid)
{
    struct creation creation = {.toolstack = toolstack, .config = config, .mark.descriptor = -1};
    struct error *error = create(&creation);

    if (error && creation.made) {
        error_in_domain(error, config->name, (int)creation.domid);
        // Somebody may have destroyed it meanwhile, before the last nodes were written.
        error_ignore(domain_clear_away(toolstack, creation.domid, config->uuid));
    }
    error_in_domain(error, config->name, -1);
    mark_end(&creation.mark);
    boot_image_free(&creation.image);
    *domid = creation.domid;
    return error;
}
