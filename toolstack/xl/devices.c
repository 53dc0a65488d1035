// SPDX-License-Identifier: Apache-2.0
//
// Disks and network interfaces of running domains: listing, attaching, detaching. What is attached
// or detached is also noted in the domain's kept configuration, so that it is the same after a
// restart.
#include "xl.h"

#include <toolstack/device.h>
#include <toolstack/domain_config.h>
#include <toolstack/memory.h>

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct config_place command_line = {"command line", 0, 0};

// A number below the frontend's or backend's nodes; -1 when it is not there.
static long node(struct xl *xl, const char *path, const char *key)
{
    return store_read_number(xl->toolstack.store, -1, "%s/%s", path, key);
}

static struct json_object *device_json(struct xl *xl, const struct device_entry *entry)
{
    static const char *const keys[] = {"mac", "bridge", "params", "dev", "mode", "script", NULL};
    struct json_object *object = json_object_new_object();

    json_object_object_add(object, "domid", json_object_new_int((int)entry->domid));
    json_object_object_add(object, "type", json_object_new_string(entry->type));
    json_object_object_add(object, "devid", json_object_new_int((int)entry->devid));
    json_object_object_add(object, "backend_domid", json_object_new_int((int)entry->backend));
    json_object_object_add(object, "state",
                           json_object_new_int((int)node(xl, entry->backend_path, "state")));
    json_object_object_add(object, "backend_path", json_object_new_string(entry->backend_path));
    for (size_t i = 0; keys[i]; i++) {
        char *value = store_read(xl->toolstack.store, "%s/%s", entry->private_path, keys[i]);

        if (value)
            json_object_object_add(object, keys[i], json_object_new_string(value));
        free(value);
    }
    return object;
}

static void nic_line(struct xl *xl, const struct device_entry *entry)
{
    char *mac = store_read(xl->toolstack.store, "%s/mac", entry->private_path);

    printf("%-3u %-2u %s%6u %5ld %6ld %5ld/%-11ld %-30s\n", entry->devid, entry->backend,
           mac ? mac : "", entry->devid, node(xl, entry->frontend_path, "state"),
           node(xl, entry->frontend_path, "event-channel"),
           node(xl, entry->frontend_path, "tx-ring-ref"),
           node(xl, entry->frontend_path, "rx-ring-ref"), entry->backend_path);
    free(mac);
}

static void disk_line(struct xl *xl, const struct device_entry *entry)
{
    printf("%-5u %-3u %-6u %-5ld %-6ld %-8ld %-30s\n", entry->devid, entry->backend, entry->domid,
           node(xl, entry->frontend_path, "state"), node(xl, entry->frontend_path, "event-channel"),
           node(xl, entry->frontend_path, "ring-ref"), entry->backend_path);
}

static struct error *list_of_domain(struct xl *xl, const char *word, const char *type,
                                    struct json_object *array)
{
    struct device_entry *entries;
    unsigned int domid;
    size_t count;

    TRY(xl_domain(xl, word, &domid));
    TRY(device_list(&xl->toolstack, domid, type, &entries, &count));
    for (size_t i = 0; i < count; i++) {
        if (array)
            json_object_array_add(array, device_json(xl, &entries[i]));
        else if (!strcmp(type, "vif"))
            nic_line(xl, &entries[i]);
        else
            disk_line(xl, &entries[i]);
    }
    device_list_free(entries, count);
    return NULL;
}

static struct error *list_devices(struct xl *xl, int argc, char **argv, const char *type,
                                  const char *header)
{
    static const struct option longs[] = {
        {"help", no_argument, NULL, 'h'}, JSON_OPTION, END_OF_OPTIONS};
    struct json_object *array = NULL;
    struct error *error = NULL;
    bool json = false;
    int option;

    while ((option = xl_option(xl, argc, argv, "h", longs)) >= 0)
        json |= option == OPTION_JSON;
    TRY(xl_expect_arguments(xl, argc, 1, -1));
    if (json)
        array = json_object_new_array();
    else
        puts(header);
    for (int i = optind; i < argc && !error; i++)
        error = list_of_domain(xl, argv[i], type, array);
    if (json)
        xl_print_json(array);
    return error;
}

COMMAND(network_list)
{
    return list_devices(xl, argc, argv, "vif",
                        "Idx BE Mac Addr.         handle state evt-ch   tx-/rx-ring-ref BE-path"
                        "                       ");
}

COMMAND(block_list)
{
    return list_devices(xl, argc, argv, "vbd",
                        "Vdev  BE  handle state evt-ch ring-ref BE-path                       ");
}

// The words of the command line as one specification.
static char *join_words(int count, char **words)
{
    struct text text = {0};

    for (int i = 0; i < count; i++)
        text_add(&text, "%s%s", i ? "," : "", words[i]);
    return text_take(&text);
}

// The configuration to be changed along with a domain; false when it has none that is kept.
static bool load_kept(struct xl *xl, unsigned int domid, struct domain_config *config)
{
    domain_info info;
    struct error *error = domain_get_info(&xl->toolstack, domid, &info);

    *config = (struct domain_config){0};
    if (!error)
        error = domain_config_load(info.handle, config);
    if (!error)
        return true;
    error_ignore(error);
    domain_config_free(config);
    return false;
}

static struct error *attach(struct xl *xl, struct device *device)
{
    struct error *error = devices_attach(&xl->toolstack, device, 1);

    if (!error)
        return NULL;
    // Nothing of it stays.
    struct device_entry *entries = NULL;
    size_t count = 0;

    error_ignore(device_list(&xl->toolstack, device->domid, device->type, &entries, &count));
    for (size_t i = 0; i < count; i++)
        if (entries[i].devid == device->devid)
            error_ignore(devices_detach(&xl->toolstack, &entries[i], 1, true));
    device_list_free(entries, count);
    return error;
}

static bool has_device(struct xl *xl, unsigned int domid, const char *type, unsigned int devid)
{
    char *path =
        store_read(xl->toolstack.store, "/libxl/%u/device/%s/%u/backend", domid, type, devid);
    bool found = path != NULL;

    free(path);
    return found;
}

static struct error *attach_disk(struct xl *xl, unsigned int domid, struct disk_config *disk)
{
    struct domain_config kept;
    struct device device = {0};
    struct error *error = device_from_disk(&xl->toolstack, domid, disk, &device);

    if (!error && has_device(xl, domid, "vbd", device.devid))
        error = error_in_domain(error_new(ERROR_DEVICE, "it has a disk %s already", disk->vdev),
                                NULL, (int)domid);
    if (!error)
        error = attach(xl, &device);
    if (!error && load_kept(xl, domid, &kept)) {
        kept.disks = memory_resized(kept.disks, kept.disk_count + 1, sizeof(*kept.disks));
        kept.disks[kept.disk_count++] = *disk;
        *disk = (struct disk_config){0};
        error = domain_config_save(&kept);
        domain_config_free(&kept);
    }
    device_free(&device);
    return error;
}

COMMAND(block_attach)
{
    struct disk_config disk = {0};
    unsigned int domid;

    while (xl_option(xl, argc, argv, "h", NULL) >= 0)
        ;
    TRY(xl_expect_arguments(xl, argc, 2, -1));
    TRY(toolstack_open(&xl->toolstack));
    TRY(xl_domain(xl, argv[optind], &domid));
    char *specification = join_words(argc - optind - 1, argv + optind + 1);
    struct error *error = disk_config_parse(specification, &command_line, &disk);

    free(specification);
    if (!error)
        error = attach_disk(xl, domid, &disk);
    disk_config_free(&disk);
    return error;
}

static struct error *attach_nic(struct xl *xl, unsigned int domid, struct nic_config *nic)
{
    struct domain_config kept;
    struct device device = {0};

    for (nic->devid = nic->devid == ~0u ? 0 : nic->devid; has_device(xl, domid, "vif", nic->devid);
         nic->devid++)
        ;
    TRY(nic_config_complete(nic));
    struct error *error = device_from_nic(&xl->toolstack, domid, nic, &device);

    if (!error)
        error = attach(xl, &device);
    if (!error && load_kept(xl, domid, &kept)) {
        kept.nics = memory_resized(kept.nics, kept.nic_count + 1, sizeof(*kept.nics));
        kept.nics[kept.nic_count++] = *nic;
        *nic = (struct nic_config){0};
        error = domain_config_save(&kept);
        domain_config_free(&kept);
    }
    device_free(&device);
    return error;
}

COMMAND(network_attach)
{
    struct nic_config nic = {0};
    unsigned int domid;

    while (xl_option(xl, argc, argv, "h", NULL) >= 0)
        ;
    TRY(xl_expect_arguments(xl, argc, 1, -1));
    TRY(toolstack_open(&xl->toolstack));
    TRY(xl_domain(xl, argv[optind], &domid));
    char *specification = join_words(argc - optind - 1, argv + optind + 1);
    struct error *error = nic_config_parse(specification, &command_line, &nic);

    free(specification);
    if (!error)
        error = attach_nic(xl, domid, &nic);
    nic_config_free(&nic);
    return error;
}

// Takes a device that is gone out of the kept configuration.
static struct error *forget_device(struct xl *xl, const struct device_entry *entry)
{
    struct domain_config kept;
    unsigned int number;

    if (!load_kept(xl, entry->domid, &kept))
        return NULL;
    for (size_t i = 0; i < kept.disk_count && !strcmp(entry->type, "vbd"); i++) {
        if (disk_number(kept.disks[i].vdev, &number) && number == entry->devid) {
            disk_config_free(&kept.disks[i]);
            kept.disks[i] = kept.disks[--kept.disk_count];
            break;
        }
    }
    for (size_t i = 0; i < kept.nic_count && !strcmp(entry->type, "vif"); i++) {
        if (kept.nics[i].devid == entry->devid) {
            nic_config_free(&kept.nics[i]);
            kept.nics[i] = kept.nics[--kept.nic_count];
            break;
        }
    }
    struct error *error = domain_config_save(&kept);

    domain_config_free(&kept);
    return error;
}

// Whether a word of the command line means a device: its number, a disk's name, a MAC address.
static bool is_meant(struct xl *xl, const struct device_entry *entry, const char *word)
{
    unsigned int number;

    if (!strcmp(entry->type, "vbd"))
        return disk_number(word, &number) && number == entry->devid;
    if (strspn(word, "0123456789") == strlen(word))
        return strtoul(word, NULL, 10) == entry->devid;
    char *mac = store_read(xl->toolstack.store, "%s/mac", entry->private_path);
    bool same = mac && !strcasecmp(mac, word);

    free(mac);
    return same;
}

static struct error *detach(struct xl *xl, int argc, char **argv, const char *type)
{
    static const struct option longs[] = {
        {"force", no_argument, NULL, 'f'}, {"help", no_argument, NULL, 'h'}, END_OF_OPTIONS};
    bool force = xl->force;
    struct device_entry *entries;
    struct error *error = NULL;
    unsigned int domid;
    size_t count;
    bool found = false;
    int option;

    while ((option = xl_option(xl, argc, argv, "hf", longs)) >= 0)
        force |= option == 'f';
    TRY(xl_expect_arguments(xl, argc, 2, 2));
    TRY(toolstack_open(&xl->toolstack));
    TRY(xl_domain(xl, argv[optind], &domid));
    TRY(device_list(&xl->toolstack, domid, type, &entries, &count));
    for (size_t i = 0; i < count && !found; i++) {
        if (!is_meant(xl, &entries[i], argv[optind + 1]))
            continue;
        found = true;
        error = devices_detach(&xl->toolstack, &entries[i], 1, force);
        if (!error)
            error = forget_device(xl, &entries[i]);
    }
    device_list_free(entries, count);
    if (found)
        return error;
    error = error_new(ERROR_NO_DEVICE, "it has no %s %s",
                      strcmp(type, "vbd") ? "network interface" : "disk", argv[optind + 1]);
    return error_advice(error_in_domain(error, argv[optind], (int)domid),
                        "xl %s shows what it has.",
                        strcmp(type, "vbd") ? "network-list" : "block-list");
}

COMMAND(block_detach)
{
    return detach(xl, argc, argv, "vbd");
}

COMMAND(network_detach)
{
    return detach(xl, argc, argv, "vif");
}
