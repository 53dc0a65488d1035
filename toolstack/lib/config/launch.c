// SPDX-License-Identifier: Apache-2.0
//
// Reading the launch configuration. One pass makes a structure for each name in "domains", a second
// reads the settings of each and its own configuration file, a third turns names (after=, backend=)
// into indices. A domain comes after the domains that serve it, so the order of the list must agree
// with what depends on what; that also excludes circles. After an error launch_free takes what
// there is.
#include <toolstack/launch.h>
#include <toolstack/memory.h>

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { DOMAINS_MAX = 256, SECONDS_MAX = 86400 };

static const char *const settings[] = {"config", "after",    "devices", "restart", "heartbeat",
                                       "ready",  "restarts", "within",  NULL};
static const char *const policy_words[] = {[RESTART_ALWAYS] = "always",
                                           [RESTART_ON_FAILURE] = "on-failure",
                                           [RESTART_NEVER] = "never",
                                           NULL};

static const struct {
    const char *name;
    uint32_t code;
    uint32_t mask;
} classes[] = {
    {"storage", 0x0100, 0xff00}, {"ahci", 0x0106, 0xffff},  {"nvme", 0x0108, 0xffff},
    {"network", 0x0200, 0xff00}, {"audio", 0x0403, 0xffff}, {"usb", 0x0c03, 0xffff},
};

const char *restart_policy_word(enum restart_policy policy)
{
    return policy_words[policy];
}

static const struct config_value *find_setting(struct launch *launch, const char *domain,
                                               const char *setting)
{
    char *key = memory_format("%s.%s", domain, setting);
    const struct config_value *value = config_find(&launch->source, key);

    free(key);
    return value;
}

static struct error *read_number(struct launch *launch, const char *domain, const char *setting,
                                 uint64_t low, uint64_t high, uint64_t *number)
{
    char *key = memory_format("%s.%s", domain, setting);
    struct error *error = config_number(&launch->source, key, low, high, number);

    free(key);
    return error;
}

static struct error *check_strings(const struct config_value *value, const char *what)
{
    if (value->kind != CONFIG_LIST)
        return error_advice(config_error(&value->place, ERROR_VALUE, "%s must be a list", what),
                            "Put brackets around it: [ ... ].");
    for (size_t i = 0; i < value->count; i++)
        if (value->items[i].kind != CONFIG_STRING)
            return config_error(&value->items[i].place, ERROR_VALUE, "%s is a list of strings",
                                what);
    return NULL;
}

static bool is_name(const char *text)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";

    return *text && strspn(text, allowed) == strlen(text) && strlen(text) < 64;
}

static struct error *find_domain(const struct launch *launch, const char *name, size_t end,
                                 const struct config_place *place, size_t *index)
{
    for (*index = 0; *index < launch->count; (*index)++) {
        if (strcmp(launch->domains[*index].name, name) != 0)
            continue;
        if (*index < end)
            return NULL;
        return error_advice(config_error(place, ERROR_VALUE,
                                         "%s must come before %s in domains, which needs it", name,
                                         launch->domains[end].name),
                            "The list is the order in which they are started.");
    }
    return config_error(place, ERROR_VALUE, "there is no domain %s in domains", name);
}

static struct error *read_names(struct launch *launch, const char *path)
{
    const struct config_value *list = config_find(&launch->source, "domains");

    if (!list)
        return error_advice(error_new(ERROR_VALUE, "%s: domains is not set", path),
                            "Name what is to be started: domains = [ \"net\", \"guest\" ].");
    TRY(check_strings(list, "domains"));
    if (list->count > DOMAINS_MAX)
        return config_error(&list->place, ERROR_VALUE, "there are more than %d domains",
                            DOMAINS_MAX);
    launch->domains = memory_zeroed(list->count * sizeof(*launch->domains));
    for (size_t i = 0; i < list->count; i++) {
        const struct config_value *item = &list->items[i];

        if (!is_name(item->text))
            return config_error(&item->place, ERROR_VALUE,
                                "\"%s\" is no name: letters, digits, - and _", item->text);
        for (size_t j = 0; j < i; j++)
            if (!strcmp(launch->domains[j].name, item->text))
                return config_error(&item->place, ERROR_VALUE, "%s is listed twice", item->text);
        launch->domains[launch->count++] =
            (struct launch_domain){.place = item->place, .name = memory_copy_text(item->text)};
    }
    return NULL;
}

static struct error *read_config(struct launch *launch, struct launch_domain *domain)
{
    const struct config_value *file = find_setting(launch, domain->name, "config");
    const struct config_place *place = file ? &file->place : &domain->place;
    struct config config = {0};

    if (file && file->kind != CONFIG_STRING)
        return config_error(place, ERROR_VALUE, "config is a file's name, in quotes");
    domain->file =
        file ? memory_copy_text(file->text) : memory_format("/etc/xen/%s.cfg", domain->name);
    struct error *error = config_add_file(&config, domain->file);

    if (!error)
        error = domain_config_read(&config, &domain->config);
    config_free(&config);
    if (error)
        return error_advice(error, "It is the configuration of %s in %s, line %u.", domain->name,
                            place->source, place->line);
    if (strcmp(domain->config.name, domain->name) != 0)
        return config_error(place, ERROR_VALUE, "%s is the configuration of a domain called %s",
                            domain->file, domain->config.name);
    return NULL;
}

static struct error *read_policy(struct launch *launch, struct launch_domain *domain)
{
    const struct config_value *value = find_setting(launch, domain->name, "restart");

    domain->restart = domain->config.driver_domain ? RESTART_ALWAYS : RESTART_ON_FAILURE;
    if (!value)
        return NULL;
    for (unsigned int i = 0; policy_words[i] && value->kind == CONFIG_STRING; i++) {
        if (!strcmp(value->text, policy_words[i])) {
            domain->restart = (enum restart_policy)i;
            return NULL;
        }
    }
    return config_error(&value->place, ERROR_VALUE,
                        "restart is \"always\", \"on-failure\" or \"never\"");
}

static bool find_class(const char *name, struct launch_device *device)
{
    for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
        if (strcmp(classes[i].name, name) != 0)
            continue;
        device->class_name = classes[i].name;
        device->class_code = classes[i].code;
        device->class_mask = classes[i].mask;
        return true;
    }
    return false;
}

static struct error *read_devices(struct launch *launch, struct launch_domain *domain)
{
    const struct config_value *list = find_setting(launch, domain->name, "devices");

    if (!list)
        return NULL;
    TRY(check_strings(list, "devices"));
    domain->devices = memory_zeroed(list->count * sizeof(*domain->devices));
    for (size_t i = 0; i < list->count; i++) {
        const struct config_value *item = &list->items[i];
        struct launch_device *device = &domain->devices[domain->device_count++];
        bool by_class = !strncmp(item->text, "class=", 6);

        device->place = item->place;
        if (by_class ? find_class(item->text + 6, device)
                     : pci_parse(item->text, &device->function))
            continue;
        return error_advice(
            config_error(&item->place, ERROR_VALUE, "\"%s\" is no device", item->text),
            "Write an address (\"0000:03:00.0\", see lspci) or a class: class=network, storage, "
            "nvme, ahci, usb or audio.");
    }
    return NULL;
}

static void add_after(struct launch_domain *domain, size_t index)
{
    for (size_t i = 0; i < domain->after_count; i++)
        if (domain->after[i] == index)
            return;
    domain->after = memory_resized(domain->after, domain->after_count + 1, sizeof(*domain->after));
    domain->after[domain->after_count++] = index;
}

// A backend that is not in the launch configuration is somebody else's care, as domain 0 is.
static struct error *add_backend(const struct launch *launch, size_t index, const char *backend)
{
    struct launch_domain *domain = &launch->domains[index];
    size_t other;

    for (other = 0; backend && other < launch->count; other++) {
        if (strcmp(launch->domains[other].name, backend) != 0)
            continue;
        TRY(find_domain(launch, backend, index, &domain->place, &other));
        add_after(domain, other);
    }
    return NULL;
}

static struct error *read_dependencies(struct launch *launch, size_t index)
{
    struct launch_domain *domain = &launch->domains[index];
    const struct config_value *list = find_setting(launch, domain->name, "after");

    if (list)
        TRY(check_strings(list, "after"));
    for (size_t i = 0; list && i < list->count; i++) {
        size_t other;

        TRY(find_domain(launch, list->items[i].text, index, &list->items[i].place, &other));
        add_after(domain, other);
    }
    for (size_t i = 0; i < domain->config.disk_count; i++)
        TRY(add_backend(launch, index, domain->config.disks[i].backend));
    for (size_t i = 0; i < domain->config.nic_count; i++)
        TRY(add_backend(launch, index, domain->config.nics[i].backend));
    return NULL;
}

static struct error *read_domain(struct launch *launch, struct launch_domain *domain)
{
    TRY(read_config(launch, domain));
    TRY(read_policy(launch, domain));
    TRY(read_devices(launch, domain));
    domain->heartbeat = domain->config.driver_domain ? 60 : 0;
    domain->ready = 180;
    domain->restarts = 5;
    domain->within = 600;
    TRY(read_number(launch, domain->name, "heartbeat", 0, SECONDS_MAX, &domain->heartbeat));
    TRY(read_number(launch, domain->name, "ready", 1, SECONDS_MAX, &domain->ready));
    TRY(read_number(launch, domain->name, "restarts", 0, 1000, &domain->restarts));
    TRY(read_number(launch, domain->name, "within", 1, SECONDS_MAX, &domain->within));
    if (domain->heartbeat && !domain->config.driver_domain)
        return config_error(&find_setting(launch, domain->name, "heartbeat")->place, ERROR_VALUE,
                            "only a driver domain (driver_domain = 1 in its configuration) has a "
                            "heartbeat");
    return NULL;
}

// What nobody has read is a mistake: a misspelt setting, or one of a domain that is not listed.
static struct error *refuse_unknown(const struct launch *launch)
{
    for (size_t i = 0; i < launch->source.count; i++) {
        const struct config_entry *entry = &launch->source.entries[i];
        const char *dot = strchr(entry->key, '.');

        if (entry->used)
            continue;
        struct error *error =
            config_error(&entry->place, ERROR_VALUE, "there is no setting %s", entry->key);
        const char *nearest = dot ? config_nearest(dot + 1, settings) : NULL;

        if (nearest && strcmp(nearest, dot + 1) != 0)
            return error_advice(error, "Do you mean %.*s.%s?", (int)(dot - entry->key), entry->key,
                                nearest);
        return error_advice(error, "Settings are domains, and NAME.SETTING for a NAME in domains.");
    }
    return NULL;
}

struct error *launch_read(const char *path, struct launch *launch)
{
    *launch = (struct launch){0};
    TRY(config_add_file(&launch->source, path));
    TRY(read_names(launch, path));
    for (size_t i = 0; i < launch->count; i++)
        TRY(read_domain(launch, &launch->domains[i]));
    for (size_t i = 0; i < launch->count; i++)
        TRY(read_dependencies(launch, i));
    return refuse_unknown(launch);
}

void launch_free(struct launch *launch)
{
    for (size_t i = 0; i < launch->count; i++) {
        domain_config_free(&launch->domains[i].config);
        free(launch->domains[i].name);
        free(launch->domains[i].file);
        free(launch->domains[i].after);
        free(launch->domains[i].devices);
    }
    free(launch->domains);
    config_free(&launch->source);
    *launch = (struct launch){0};
}
