// SPDX-License-Identifier: Apache-2.0
//
// What is written about a disk or a network interface: the nodes of the frontend and of the
// backend, as the drivers of the established interface read them (xen/io/blkif.h, xen/io/netif.h).
#include <toolstack/device.h>
#include <toolstack/memory.h>

#include <stdlib.h>
#include <string.h>

static void add_frontend(struct device *device, const char *key, char *value)
{
    device->frontend[device->frontend_count++] = (struct device_node){key, value};
}

static void add_backend(struct device *device, const char *key, char *value)
{
    device->backend_nodes[device->backend_count++] = (struct device_node){key, value};
}

static char *copy(const char *text)
{
    return memory_copy_text(text);
}

// A script's name is relative to the folder of scripts.
static char *script_path(const char *script, const char *fallback)
{
    if (!script)
        script = fallback;
    return *script == '/' ? copy(script) : memory_format(DEVICE_SCRIPTS "/%s", script);
}

static struct error *find_backend(struct toolstack *toolstack, const char *name,
                                  struct device *device)
{
    device->backend = device_own_domain(toolstack);
    if (!name)
        return NULL;
    struct error *error = domain_find(toolstack, name, true, &device->backend);

    if (!error)
        return NULL;
    error_ignore(error);
    error = error_new(ERROR_BACKEND, "there is no domain %s to serve it", name);
    return error_advice(error_in_device(error, "%s", device->label),
                        "Start that domain first; xl list shows what runs.");
}

static void add_common(struct device *device, char *virtual_key, const char *virtual_name)
{
    add_frontend(device, "backend",
                 memory_format("/local/domain/%u/backend/%s/%u/%u", device->backend, device->type,
                               device->domid, device->devid));
    add_frontend(device, "backend-id", memory_format("%u", device->backend));
    add_frontend(device, "state", copy(XENBUS_INITIALISING));
    add_frontend(device, virtual_name, virtual_key);
    add_backend(
        device, "frontend",
        memory_format("/local/domain/%u/device/%s/%u", device->domid, device->type, device->devid));
    add_backend(device, "frontend-id", memory_format("%u", device->domid));
    add_backend(device, "online", copy("1"));
    add_backend(device, "state", copy(XENBUS_INITIALISING));
    add_backend(device, "script", copy(device->script));
}

struct error *device_from_disk(struct toolstack *toolstack, unsigned int domid,
                               const struct disk_config *disk, struct device *device)
{
    *device = (struct device){.type = "vbd", .domid = domid};
    device->label = memory_format("disk %s", disk->vdev);
    device->script = script_path(disk->script, "block");
    if (!disk_number(disk->vdev, &device->devid))
        return error_in_device(error_new(ERROR_VALUE, "there is no such virtual disk"), "%s",
                               device->label);
    TRY(find_backend(toolstack, disk->backend, device));
    if (!disk->script && device->backend == device_own_domain(toolstack))
        device->target = copy(disk->target);
    device->readonly = disk->readonly;
    add_common(device, memory_format("%u", device->devid), "virtual-device");
    add_frontend(device, "device-type", copy(disk->removable ? "cdrom" : "disk"));
    add_frontend(device, "trusted", copy("1"));
    add_backend(device, "params", copy(disk->target));
    add_backend(device, "removable", copy(disk->removable ? "1" : "0"));
    add_backend(device, "bootable", copy("1"));
    add_backend(device, "dev", copy(disk->vdev));
    add_backend(device, "type", copy("phy"));
    add_backend(device, "mode", copy(disk->readonly ? "r" : "w"));
    add_backend(device, "device-type", copy(disk->removable ? "cdrom" : "disk"));
    add_backend(device, "discard-enable", copy(disk->discard && !disk->readonly ? "1" : "0"));
    add_backend(device, "specification", copy("xen"));
    return NULL;
}

static void add_optional(struct device *device, const char *key, const char *value)
{
    if (value)
        add_backend(device, key, copy(value));
}

// Credit per interval: "10Mb/s" and its like, as bytes in each 50 ms.
static char *rate_credit(const char *rate)
{
    static const struct {
        const char *unit;
        double bytes;
    } units[] = {{"Gb/s", 125e6}, {"Mb/s", 125e3}, {"Kb/s", 125}, {"b/s", 0.125},
                 {"GB/s", 1e9},   {"MB/s", 1e6},   {"KB/s", 1e3}, {"B/s", 1}};
    char *end;
    double number = strtod(rate, &end);

    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        size_t length = strlen(units[i].unit);

        if (!strncmp(end, units[i].unit, length) && (!end[length] || end[length] == '@') &&
            number > 0)
            return memory_format("%.0f,50000", number * units[i].bytes / 20);
    }
    return NULL;
}

struct error *device_from_nic(struct toolstack *toolstack, unsigned int domid,
                              const struct nic_config *nic, struct device *device)
{
    char mac[18];

    *device = (struct device){.type = "vif", .domid = domid, .devid = nic->devid};
    device->label = memory_format("network interface %u", nic->devid);
    device->script = script_path(nic->script, "vif-bridge");
    TRY(find_backend(toolstack, nic->backend, device));
    mac_format(nic->mac, mac);
    add_common(device, memory_format("%u", nic->devid), "handle");
    add_frontend(device, "mac", copy(mac));
    // Scripts write what the bridge has.
    device->shared = (struct device_node){"mtu", memory_format("%u", nic->mtu ? nic->mtu : 1500)};
    add_frontend(device, "trusted", copy("1"));
    add_backend(device, "mac", copy(mac));
    add_optional(device, "bridge", nic->bridge ? nic->bridge : "xenbr0");
    add_optional(device, "vifname", nic->vifname);
    add_optional(device, "ip", nic->ip);
    add_optional(device, "gatewaydev", nic->gatewaydev);
    if (nic->mtu)
        add_backend(device, "mtu", memory_format("%u", nic->mtu));
    add_backend(device, "handle", memory_format("%u", nic->devid));
    add_backend(device, "type", copy("vif"));
    add_backend(device, "hotplug-status", copy(""));
    if (!nic->rate)
        return NULL;
    char *rate = rate_credit(nic->rate);

    if (!rate)
        return error_advice(error_in_device(error_new(ERROR_VALUE, "\"%s\" is no rate", nic->rate),
                                            "%s", device->label),
                            "Write it as in 10Mb/s or 2MB/s.");
    add_backend(device, "rate", rate);
    return NULL;
}

void device_free(struct device *device)
{
    for (size_t i = 0; i < device->frontend_count; i++)
        free(device->frontend[i].value);
    for (size_t i = 0; i < device->backend_count; i++)
        free(device->backend_nodes[i].value);
    free(device->shared.value);
    free(device->label);
    free(device->target);
    free(device->script);
    *device = (struct device){0};
}
