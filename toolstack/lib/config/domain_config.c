// SPDX-License-Identifier: Apache-2.0
//
// From settings to a domain: each group of settings has its function, which reads them, gives
// defaults and checks what depends on more than one. After an error the structure holds what was
// read so far, and domain_config_free takes it.
#include <toolstack/domain_config.h>
#include <toolstack/domain.h>
#include <toolstack/guest_image.h>
#include <toolstack/memory.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define MAPTRACK_FRAMES 1024
#define NAME_MAX_LENGTH 200
#define MEMORY_LIMIT_MIB (GUEST_MEMORY_MAX >> 20)

static struct error *copy_string(struct config *config, const char *key, char **field)
{
    const char *value = NULL;

    TRY(config_string(config, key, &value));
    if (value) {
        free(*field);
        *field = memory_copy_text(value);
    }
    return NULL;
}

static struct error *missing(const struct config *config, const char *key, const char *advice)
{
    const char *source = config->source_count ? config->sources[0] : "the configuration";

    return error_advice(error_new(ERROR_VALUE, "%s: %s is not set", source, key), "%s", advice);
}

static struct error *read_kind(struct config *config)
{
    const char *type = NULL;
    const char *builder = NULL;

    TRY(config_string(config, "type", &type));
    TRY(config_string(config, "builder", &builder));
    if (!type && !builder)
        return missing(config, "type", "Only PVH domains can be started: type = \"pvh\".");
    if (type && !strcmp(type, "pvh"))
        return NULL;
    return error_advice(config_error(&config_find(config, type ? "type" : "builder")->place,
                                     ERROR_UNSUPPORTED, "domains of type %s are not supported",
                                     type ? type : builder),
                        "Use type = \"pvh\", or another toolstack for this domain.");
}

static struct error *read_name(struct config *config, struct domain_config *result)
{
    const char *uuid = NULL;

    TRY(copy_string(config, "name", &result->name));
    if (!result->name || !*result->name)
        return missing(config, "name", "Give the domain a name: name = \"guest\".");
    if (strlen(result->name) > NAME_MAX_LENGTH || strpbrk(result->name, "/\n") ||
        strspn(result->name, "0123456789") == strlen(result->name))
        return config_error(&config_find(config, "name")->place, ERROR_VALUE,
                            "a name has no slash, is no number and has at most %d bytes",
                            NAME_MAX_LENGTH);
    TRY(config_string(config, "uuid", &uuid));
    if (!uuid)
        return uuid_generate(result->uuid);
    if (!uuid_parse(uuid, result->uuid))
        return config_error(&config_find(config, "uuid")->place, ERROR_VALUE, "\"%s\" is no UUID",
                            uuid);
    return NULL;
}

static struct error *read_boot(struct config *config, struct domain_config *result)
{
    char *root = NULL;
    char *extra = NULL;
    struct error *error;

    TRY(copy_string(config, "kernel", &result->kernel));
    if (!result->kernel)
        return missing(config, "kernel", "Name the file to start: kernel = \"/boot/vmlinuz\".");
    TRY(copy_string(config, "ramdisk", &result->ramdisk));
    TRY(copy_string(config, "cmdline", &result->command_line));
    error = copy_string(config, "root", &root);
    if (!error)
        error = copy_string(config, "extra", &extra);
    if (!error && !result->command_line)
        result->command_line = root ? memory_format("root=%s %s", root, extra ? extra : "")
                                    : memory_copy_text(extra ? extra : "");
    free(root);
    free(extra);
    return error;
}

static struct error *read_size(struct config *config, struct domain_config *result)
{
    uint64_t memory = 0;
    uint64_t maxmem;

    TRY(config_number(config, "memory", 1, MEMORY_LIMIT_MIB, &memory));
    maxmem = memory;
    TRY(config_number(config, "maxmem", 1, MEMORY_LIMIT_MIB, &maxmem));
    if (!memory)
        memory = maxmem;
    if (!memory)
        return missing(config, "memory", "Say how many MiB the domain gets: memory = 512.");
    if (maxmem < memory)
        return config_error(&config_find(config, "maxmem")->place, ERROR_VALUE,
                            "maxmem is %lu, less than memory, which is %lu", maxmem, memory);
    result->memory_kib = memory << 10;
    result->maxmem_kib = maxmem << 10;
    result->vcpus = 1;
    TRY(config_number(config, "vcpus", 1, GUEST_VCPUS_MAX, &result->vcpus));
    result->maxvcpus = result->vcpus;
    TRY(config_number(config, "maxvcpus", 1, GUEST_VCPUS_MAX, &result->maxvcpus));
    if (result->maxvcpus < result->vcpus)
        return config_error(&config_find(config, "maxvcpus")->place, ERROR_VALUE,
                            "maxvcpus is %lu, less than vcpus, which is %lu", result->maxvcpus,
                            result->vcpus);
    return NULL;
}

static struct error *read_affinity(struct config *config, const char *key, char **field)
{
    const struct config_value *value = config_find(config, key);

    if (value && value->kind == CONFIG_LIST)
        return error_advice(config_error(&value->place, ERROR_UNSUPPORTED,
                                         "%s cannot be a list with an entry for each vcpu", key),
                            "Write one string for all, and use xl vcpu-pin for single vcpus.");
    if (value)
        *field = memory_copy_text(value->text);
    return NULL;
}

static struct error *read_limits(struct config *config, struct domain_config *result)
{
    result->maptrack_frames = MAPTRACK_FRAMES;
    TRY(config_number(config, "max_grant_frames", 1, GRANT_FRAMES_MAX, &result->grant_frames));
    TRY(config_number(config, "max_maptrack_frames", 0, 65536, &result->maptrack_frames));
    TRY(config_number(config, "max_grant_version", 1, 2, &result->grant_version));
    TRY(config_number(config, "event_channels", 4, EVENT_CHANNELS_MAX, &result->event_channels));
    TRY(config_number(config, "max_event_channels", 4, EVENT_CHANNELS_MAX,
                      &result->event_channels));
    TRY(copy_string(config, "pool", &result->pool));
    TRY(read_affinity(config, "cpus", &result->cpus));
    TRY(read_affinity(config, "cpus_soft", &result->cpus_soft));
    TRY(config_number(config, "cpu_weight", 1, 65535, &result->weight));
    TRY(config_number(config, "cap", 0, 65535, &result->cap));
    TRY(config_number(config, "domid", 1, DOMAIN_ID_MAX, &result->domid));
    TRY(config_boolean(config, "nomigrate", &result->nomigrate));
    return config_boolean(config, "driver_domain", &result->driver_domain);
}

static const char *const action_words[] = {
    [END_DESTROY] = "destroy",
    [END_RESTART] = "restart",
    [END_RENAME_RESTART] = "rename-restart",
    [END_PRESERVE] = "preserve",
    [END_COREDUMP_DESTROY] = "coredump-destroy",
    [END_COREDUMP_RESTART] = "coredump-restart",
    NULL,
};

const char *end_action_word(enum end_action action)
{
    return action_words[action];
}

static bool find_action(const char *word, enum end_action *action)
{
    for (unsigned int i = 0; action_words[i]; i++) {
        if (!strcmp(action_words[i], word)) {
            *action = (enum end_action)i;
            return true;
        }
    }
    return false;
}

static struct error *read_action(struct config *config, const char *key, enum end_action fallback,
                                 enum end_action *action)
{
    const char *word = NULL;

    *action = fallback;
    TRY(config_string(config, key, &word));
    if (!word || find_action(word, action))
        return NULL;
    const char *nearest = config_nearest(word, action_words);
    struct error *error = config_error(&config_find(config, key)->place, ERROR_VALUE,
                                       "%s cannot be \"%s\"", key, word);

    if (nearest)
        return error_advice(error, "Do you mean %s?", nearest);
    return error_advice(error, "It is destroy, restart, rename-restart, preserve, "
                               "coredump-destroy or coredump-restart.");
}

static struct error *read_actions(struct config *config, struct domain_config *result)
{
    TRY(read_action(config, "on_poweroff", END_DESTROY, &result->on_poweroff));
    TRY(read_action(config, "on_reboot", END_RESTART, &result->on_reboot));
    TRY(read_action(config, "on_watchdog", END_DESTROY, &result->on_watchdog));
    return read_action(config, "on_crash", END_DESTROY, &result->on_crash);
}

// The list of strings of a key; *list is NULL when it is not set.
static struct error *string_list(struct config *config, const char *key,
                                 const struct config_value **list)
{
    const struct config_value *value = config_find(config, key);

    *list = value;
    if (!value)
        return NULL;
    if (value->kind != CONFIG_LIST)
        return error_advice(config_error(&value->place, ERROR_VALUE, "%s must be a list", key),
                            "Put brackets around it: %s = [ ... ].", key);
    for (size_t i = 0; i < value->count; i++)
        if (value->items[i].kind != CONFIG_STRING)
            return config_error(&value->items[i].place, ERROR_VALUE, "%s is a list of strings",
                                key);
    return NULL;
}

static struct error *read_disks(struct config *config, struct domain_config *result)
{
    const struct config_value *list;

    TRY(string_list(config, "disk", &list));
    if (!list)
        return NULL;
    result->disks = memory_zeroed(list->count * sizeof(*result->disks));
    for (size_t i = 0; i < list->count; i++) {
        struct disk_config *disk = &result->disks[result->disk_count++];

        TRY(disk_config_parse(list->items[i].text, &list->items[i].place, disk));
        for (size_t j = 0; j < i; j++)
            if (!strcmp(result->disks[j].vdev, disk->vdev))
                return config_error(&list->items[i].place, ERROR_VALUE, "two disks are called %s",
                                    disk->vdev);
    }
    return NULL;
}

struct error *nic_config_complete(struct nic_config *nic)
{
    static const uint8_t none[6];
    uint8_t random[3];

    if (memcmp(nic->mac, none, 6) != 0)
        return NULL;
    if (getrandom(random, sizeof(random), 0) != sizeof(random))
        return error_errno(ERROR_SYSTEM, errno, "cannot get random numbers");
    memcpy(nic->mac, "\x00\x16\x3e", 3);
    nic->mac[3] = random[0] & 0x7f;
    nic->mac[4] = random[1];
    nic->mac[5] = random[2];
    return NULL;
}

static struct error *read_nics(struct config *config, struct domain_config *result)
{
    const struct config_value *list;

    TRY(string_list(config, "vif", &list));
    if (!list)
        return NULL;
    result->nics = memory_zeroed(list->count * sizeof(*result->nics));
    for (size_t i = 0; i < list->count; i++) {
        struct nic_config *nic = &result->nics[result->nic_count++];

        TRY(nic_config_parse(list->items[i].text, &list->items[i].place, nic));
        TRY(nic_config_complete(nic));
        if (nic->devid == ~0u)
            nic->devid = (unsigned int)i;
        for (size_t j = 0; j < i; j++)
            if (result->nics[j].devid == nic->devid)
                return config_error(&list->items[i].place, ERROR_VALUE,
                                    "two network interfaces have the number %u", nic->devid);
    }
    return NULL;
}

static struct error *read_functions(struct config *config, struct domain_config *result)
{
    const struct config_value *list;

    TRY(string_list(config, "pci", &list));
    if (!list)
        return NULL;
    result->functions = memory_zeroed(list->count * sizeof(*result->functions));
    for (size_t i = 0; i < list->count; i++) {
        struct pci_function *function = &result->functions[result->function_count++];

        if (!pci_parse(list->items[i].text, function))
            return error_advice(config_error(&list->items[i].place, ERROR_VALUE,
                                             "\"%s\" is no PCI function", list->items[i].text),
                                "Write it as in 0000:03:00.0.");
        for (size_t j = 0; j < i; j++)
            if (pci_is_same(function, &result->functions[j]))
                return config_error(&list->items[i].place, ERROR_VALUE,
                                    "the PCI function is listed twice");
    }
    return NULL;
}

// Settings that ask for what is not there must not be passed over with a warning.
static struct error *refuse_unsupported(struct config *config)
{
    static const char *const keys[] = {"bootloader", "usbdev", "usbctrl", "vtpm", "p9",   "channel",
                                       "vnuma",      "iomem",  "ioports", "irqs", "cpuid"};

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        const struct config_value *value = config_find(config, keys[i]);

        if (value && (value->kind != CONFIG_LIST || value->count))
            return config_error(&value->place, ERROR_UNSUPPORTED,
                                "%s is not supported by this toolstack", keys[i]);
    }
    return NULL;
}

struct error *domain_config_read(struct config *config, struct domain_config *result)
{
    *result = (struct domain_config){0};
    TRY(read_kind(config));
    TRY(read_name(config, result));
    TRY(read_boot(config, result));
    TRY(read_size(config, result));
    TRY(read_limits(config, result));
    TRY(read_actions(config, result));
    TRY(read_disks(config, result));
    TRY(read_nics(config, result));
    TRY(read_functions(config, result));
    domain_config_derive_limits(result);
    return refuse_unsupported(config);
}

void domain_config_free(struct domain_config *config)
{
    for (size_t i = 0; i < config->disk_count; i++)
        disk_config_free(&config->disks[i]);
    for (size_t i = 0; i < config->nic_count; i++)
        nic_config_free(&config->nics[i]);
    free(config->disks);
    free(config->nics);
    free(config->functions);
    free(config->name);
    free(config->kernel);
    free(config->ramdisk);
    free(config->command_line);
    free(config->pool);
    free(config->cpus);
    free(config->cpus_soft);
    *config = (struct domain_config){0};
}
