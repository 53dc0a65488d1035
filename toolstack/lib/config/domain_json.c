// SPDX-License-Identifier: Apache-2.0
//
// A domain's configuration as JSON, in a file for each domain below /var/lib/xen. Tables say which
// field has which name and kind, so that writing and reading cannot disagree. Files are written
// aside and renamed, so a file is whole or not there.
#include <toolstack/domain_config.h>
#include <toolstack/domain.h>
#include <toolstack/guest_image.h>
#include <toolstack/memory.h>

#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef STATE_FOLDER // tests have their own
#define STATE_FOLDER "/var/lib/xen"
#endif

enum field_kind { FIELD_TEXT, FIELD_NUMBER, FIELD_UNSIGNED, FIELD_FLAG, FIELD_ACTION, FIELD_MAC };

struct field {
    const char *name;
    enum field_kind kind;
    size_t offset;
    uint64_t high; // of numbers
};

#define FIELD(type, member, kind, high)                                                            \
    {                                                                                              \
#member, kind, offsetof(struct type, member), high                                         \
    }

static const struct field disk_fields[] = {
    FIELD(disk_config, target, FIELD_TEXT, 0),
    FIELD(disk_config, vdev, FIELD_TEXT, 0),
    FIELD(disk_config, format, FIELD_TEXT, 0),
    FIELD(disk_config, script, FIELD_TEXT, 0),
    FIELD(disk_config, backend, FIELD_TEXT, 0),
    FIELD(disk_config, readonly, FIELD_FLAG, 0),
    FIELD(disk_config, removable, FIELD_FLAG, 0),
    FIELD(disk_config, discard, FIELD_FLAG, 0),
    {NULL, FIELD_TEXT, 0, 0},
};

static const struct field nic_fields[] = {
    FIELD(nic_config, devid, FIELD_UNSIGNED, 65535),
    FIELD(nic_config, mac, FIELD_MAC, 0),
    FIELD(nic_config, bridge, FIELD_TEXT, 0),
    FIELD(nic_config, script, FIELD_TEXT, 0),
    FIELD(nic_config, backend, FIELD_TEXT, 0),
    FIELD(nic_config, vifname, FIELD_TEXT, 0),
    FIELD(nic_config, ip, FIELD_TEXT, 0),
    FIELD(nic_config, gatewaydev, FIELD_TEXT, 0),
    FIELD(nic_config, rate, FIELD_TEXT, 0),
    FIELD(nic_config, mtu, FIELD_UNSIGNED, 65535),
    {NULL, FIELD_TEXT, 0, 0},
};

static const struct field domain_fields[] = {
    FIELD(domain_config, name, FIELD_TEXT, 0),
    FIELD(domain_config, kernel, FIELD_TEXT, 0),
    FIELD(domain_config, ramdisk, FIELD_TEXT, 0),
    FIELD(domain_config, command_line, FIELD_TEXT, 0),
    FIELD(domain_config, pool, FIELD_TEXT, 0),
    FIELD(domain_config, cpus, FIELD_TEXT, 0),
    FIELD(domain_config, cpus_soft, FIELD_TEXT, 0),
    FIELD(domain_config, memory_kib, FIELD_NUMBER, GUEST_MEMORY_MAX >> 10),
    FIELD(domain_config, maxmem_kib, FIELD_NUMBER, GUEST_MEMORY_MAX >> 10),
    FIELD(domain_config, vcpus, FIELD_NUMBER, GUEST_VCPUS_MAX),
    FIELD(domain_config, maxvcpus, FIELD_NUMBER, GUEST_VCPUS_MAX),
    FIELD(domain_config, weight, FIELD_NUMBER, 65535),
    FIELD(domain_config, cap, FIELD_NUMBER, 65535),
    FIELD(domain_config, grant_frames, FIELD_NUMBER, GRANT_FRAMES_MAX),
    FIELD(domain_config, maptrack_frames, FIELD_NUMBER, 65536),
    FIELD(domain_config, grant_version, FIELD_NUMBER, 2),
    FIELD(domain_config, event_channels, FIELD_NUMBER, EVENT_CHANNELS_MAX),
    FIELD(domain_config, domid, FIELD_NUMBER, DOMAIN_ID_MAX),
    FIELD(domain_config, driver_domain, FIELD_FLAG, 0),
    FIELD(domain_config, nomigrate, FIELD_FLAG, 0),
    FIELD(domain_config, on_poweroff, FIELD_ACTION, 0),
    FIELD(domain_config, on_reboot, FIELD_ACTION, 0),
    FIELD(domain_config, on_watchdog, FIELD_ACTION, 0),
    FIELD(domain_config, on_crash, FIELD_ACTION, 0),
    {NULL, FIELD_TEXT, 0, 0},
};

static struct json_object *field_to_json(const struct field *field, const void *base)
{
    const char *at = (const char *)base + field->offset;
    char mac[18];

    switch (field->kind) {
    case FIELD_TEXT:
        return *(char *const *)at ? json_object_new_string(*(char *const *)at) : NULL;
    case FIELD_NUMBER:
        return json_object_new_int64((int64_t) * (const uint64_t *)at);
    case FIELD_UNSIGNED:
        return json_object_new_int64(*(const unsigned int *)at);
    case FIELD_FLAG:
        return json_object_new_boolean(*(const bool *)at);
    case FIELD_ACTION:
        return json_object_new_string(end_action_word(*(const enum end_action *)at));
    case FIELD_MAC:
        mac_format((const uint8_t *)at, mac);
        return json_object_new_string(mac);
    }
    return NULL;
}

static struct json_object *to_json(const struct field *fields, const void *base)
{
    struct json_object *object = json_object_new_object();

    for (; fields->name; fields++) {
        struct json_object *value = field_to_json(fields, base);

        if (value)
            json_object_object_add(object, fields->name, value);
    }
    return object;
}

static bool action_from_word(const char *word, enum end_action *action)
{
    for (unsigned int i = 0; i <= END_COREDUMP_RESTART; i++) {
        if (!strcmp(word, end_action_word(i))) {
            *action = i;
            return true;
        }
    }
    return false;
}

static bool number_from_json(struct json_object *value, uint64_t high, uint64_t *number)
{
    int64_t read = json_object_get_int64(value);

    *number = (uint64_t)read;
    return json_object_is_type(value, json_type_int) && read >= 0 && (uint64_t)read <= high;
}

static bool field_from_json(const struct field *field, struct json_object *value, void *base)
{
    char *at = (char *)base + field->offset;
    bool is_text = json_object_is_type(value, json_type_string);
    uint64_t number;

    switch (field->kind) {
    case FIELD_TEXT:
        if (is_text)
            *(char **)at = memory_copy_text(json_object_get_string(value));
        return is_text;
    case FIELD_NUMBER:
        return number_from_json(value, field->high, (uint64_t *)at);
    case FIELD_UNSIGNED:
        if (!number_from_json(value, field->high, &number))
            return false;
        *(unsigned int *)at = (unsigned int)number;
        return true;
    case FIELD_FLAG:
        *(bool *)at = json_object_get_boolean(value);
        return json_object_is_type(value, json_type_boolean);
    case FIELD_ACTION:
        return is_text && action_from_word(json_object_get_string(value), (enum end_action *)at);
    case FIELD_MAC:
        return is_text && mac_parse(json_object_get_string(value), (uint8_t *)at);
    }
    return false;
}

static struct error *from_json(const struct field *fields, struct json_object *object, void *base)
{
    if (!json_object_is_type(object, json_type_object))
        return error_new(ERROR_SYNTAX, "the kept configuration is damaged");
    for (; fields->name; fields++) {
        struct json_object *value;

        if (json_object_object_get_ex(object, fields->name, &value) &&
            !field_from_json(fields, value, base))
            return error_new(ERROR_SYNTAX, "the kept configuration has an impossible %s",
                             fields->name);
    }
    return NULL;
}

struct json_object *domain_config_to_json(const struct domain_config *config)
{
    struct json_object *object = to_json(domain_fields, config);
    struct json_object *disks = json_object_new_array();
    struct json_object *nics = json_object_new_array();
    struct json_object *functions = json_object_new_array();
    char uuid[UUID_TEXT_SIZE];

    uuid_format(config->uuid, uuid);
    json_object_object_add(object, "type", json_object_new_string("pvh"));
    json_object_object_add(object, "uuid", json_object_new_string(uuid));
    for (size_t i = 0; i < config->disk_count; i++)
        json_object_array_add(disks, to_json(disk_fields, &config->disks[i]));
    for (size_t i = 0; i < config->nic_count; i++)
        json_object_array_add(nics, to_json(nic_fields, &config->nics[i]));
    for (size_t i = 0; i < config->function_count; i++) {
        char *function = pci_format_whole(&config->functions[i]);

        json_object_array_add(functions, json_object_new_string(function));
        free(function);
    }
    json_object_object_add(object, "disks", disks);
    json_object_object_add(object, "nics", nics);
    json_object_object_add(object, "pci", functions);
    return object;
}

// The items of a list; 0 when it is missing or no list.
static size_t list_length(struct json_object *json, const char *name, struct json_object **list)
{
    if (!json_object_object_get_ex(json, name, list) ||
        !json_object_is_type(*list, json_type_array))
        return 0;
    return json_object_array_length(*list);
}

static struct error *devices_from_json(struct json_object *json, struct domain_config *result)
{
    struct json_object *list;
    size_t count = list_length(json, "disks", &list);
    unsigned int number;

    result->disks = memory_zeroed(count * sizeof(*result->disks));
    for (size_t i = 0; i < count; i++) {
        struct disk_config *disk = &result->disks[result->disk_count++];

        TRY(from_json(disk_fields, json_object_array_get_idx(list, i), disk));
        if (!disk->target || !disk->vdev || !disk_number(disk->vdev, &number))
            return error_new(ERROR_SYNTAX, "the kept configuration has an incomplete disk");
    }
    count = list_length(json, "nics", &list);
    result->nics = memory_zeroed(count * sizeof(*result->nics));
    for (size_t i = 0; i < count; i++)
        TRY(from_json(nic_fields, json_object_array_get_idx(list, i),
                      &result->nics[result->nic_count++]));
    count = list_length(json, "pci", &list);
    result->functions = memory_zeroed(count * sizeof(*result->functions));
    for (size_t i = 0; i < count; i++) {
        const char *text = json_object_get_string(json_object_array_get_idx(list, i));

        if (!text || !pci_parse(text, &result->functions[result->function_count++]))
            return error_new(ERROR_SYNTAX, "the kept configuration has an impossible function");
    }
    return NULL;
}

struct error *domain_config_from_json(struct json_object *json, struct domain_config *result)
{
    struct json_object *uuid;

    *result = (struct domain_config){0};
    TRY(from_json(domain_fields, json, result));
    if (!result->name || !result->kernel || !result->command_line || !result->memory_kib ||
        result->maxmem_kib < result->memory_kib || !result->vcpus ||
        result->maxvcpus < result->vcpus || !json_object_object_get_ex(json, "uuid", &uuid) ||
        !json_object_is_type(uuid, json_type_string) ||
        !uuid_parse(json_object_get_string(uuid), result->uuid))
        return error_new(ERROR_SYNTAX, "the kept configuration is incomplete");
    return devices_from_json(json, result);
}

static char *path_of(const uint8_t uuid[16], const char *suffix)
{
    char text[UUID_TEXT_SIZE];

    uuid_format(uuid, text);
    return memory_format(STATE_FOLDER "/domain-%s.json%s", text, suffix);
}

struct error *domain_config_save(const struct domain_config *config)
{
    struct json_object *json = domain_config_to_json(config);
    char *path = path_of(config->uuid, "");
    char *aside = path_of(config->uuid, ".new");
    struct error *error = NULL;

    mkdir(STATE_FOLDER, 0700);
    // The library's own modes would let everybody read it.
    mode_t mask = umask(077);

    if (json_object_to_file_ext(aside, json, JSON_C_TO_STRING_PRETTY) != 0 ||
        rename(aside, path) != 0)
        error = error_errno(ERROR_SYSTEM, errno, "cannot keep the configuration in %s", path);
    umask(mask);
    free(aside);
    free(path);
    json_object_put(json);
    return error;
}

struct error *domain_config_load(const uint8_t uuid[16], struct domain_config *result)
{
    char *path = path_of(uuid, "");
    struct json_object *json = json_object_from_file(path);
    struct error *error;

    *result = (struct domain_config){0};
    if (!json)
        error = error_advice(
            error_new(ERROR_NO_FILE, "its configuration is not kept in %s", path),
            "The domain was started by another toolstack, or before the folder was emptied.");
    else
        error = domain_config_from_json(json, result);
    json_object_put(json);
    free(path);
    return error;
}

void domain_config_forget(const uint8_t uuid[16])
{
    char *path = path_of(uuid, "");

    unlink(path);
    free(path);
}
