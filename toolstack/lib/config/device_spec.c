// SPDX-License-Identifier: Apache-2.0
//
// Disks and network interfaces as a configuration writes them: words separated by commas, most of
// them key=value. struct words walks over a copy of the text. A disk may also begin with up to four
// words without keys: target, format, vdev, access.
#include <toolstack/domain_config.h>
#include <toolstack/memory.h>

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { MAJOR_XVD = 202, MAJOR_SD = 8, MAJOR_IDE0 = 3, MAJOR_IDE1 = 22 };

static char *skip_blanks(char *text)
{
    while (isspace((unsigned char)*text))
        text++;
    return text;
}

static void cut_blanks(char *text)
{
    size_t length = strlen(text);

    while (length && isspace((unsigned char)text[length - 1]))
        text[--length] = '\0';
}

// Takes the next word off *rest and splits it at '='; *value is NULL when there is none. False at
// the end.
static bool next_word(char **rest, char **key, char **value)
{
    if (!*rest)
        return false;
    *key = skip_blanks(*rest);
    char *comma = strchr(*key, ',');

    *rest = comma ? comma + 1 : NULL;
    if (comma)
        *comma = '\0';
    cut_blanks(*key);
    *value = strchr(*key, '=');
    if (*value) {
        *(*value)++ = '\0';
        cut_blanks(*key);
        *value = skip_blanks(*value);
    }
    return true;
}

static void set(char **field, const char *value)
{
    free(*field);
    *field = memory_copy_text(value);
}

// Reads a decimal number at *text and moves it past; false when there is none or it is too large.
static bool read_number(const char **text, unsigned int limit, unsigned int *number)
{
    unsigned long value = 0;

    if (!isdigit((unsigned char)**text))
        return false;
    while (isdigit((unsigned char)**text) && value <= limit)
        value = value * 10 + (unsigned long)(*(*text)++ - '0');
    *number = (unsigned int)value;
    return value <= limit;
}

// The number of disk n of a bus; the first disks have classic numbers, later ones extended ones.
static unsigned int bus_number(unsigned int major, unsigned int disk, unsigned int partition)
{
    if (major == MAJOR_XVD && (disk >= 16 || partition >= 16))
        return 1u << 28 | disk << 8 | partition;
    if (major == MAJOR_IDE0)
        return (disk < 2 ? MAJOR_IDE0 : MAJOR_IDE1) << 8 | (disk & 1) << 6 | partition;
    return major << 8 | disk << 4 | partition;
}

bool disk_number(const char *vdev, unsigned int *number)
{
    static const struct {
        const char *prefix;
        unsigned int major;
        unsigned int disks;
        unsigned int partitions;
    } buses[] = {
        {"xvd", MAJOR_XVD, 1u << 20, 256}, {"hd", MAJOR_IDE0, 4, 64}, {"sd", MAJOR_SD, 16, 16}};

    if (isdigit((unsigned char)*vdev))
        return read_number(&vdev, 1u << 30, number) && !*vdev;
    for (size_t i = 0; i < sizeof(buses) / sizeof(buses[0]); i++) {
        size_t length = strlen(buses[i].prefix);
        const char *at = vdev + length;
        unsigned int disk = 0;
        unsigned int partition = 0;

        if (strncmp(vdev, buses[i].prefix, length) != 0)
            continue;
        if (!islower((unsigned char)*at))
            return false;
        // Letters count like a number without a zero: z is 25, aa is 26.
        for (; islower((unsigned char)*at) && disk < buses[i].disks; at++)
            disk = (disk + (at > vdev + length)) * 26 + (unsigned int)(*at - 'a');
        if (*at && !read_number(&at, buses[i].partitions - 1, &partition))
            return false;
        if (*at || disk >= buses[i].disks)
            return false;
        *number = bus_number(buses[i].major, disk, partition);
        return true;
    }
    return false;
}

static const char *const disk_keys[] = {
    "format",  "vdev",      "access",  "target",     "backend", "backendtype",    "script",
    "devtype", "removable", "discard", "no-discard", "cdrom",   "direct-io-safe", NULL};

static struct error *set_access(const char *value, const struct config_place *place,
                                struct disk_config *disk)
{
    if (!strcmp(value, "r") || !strcmp(value, "ro"))
        disk->readonly = true;
    else if (strcmp(value, "w") && strcmp(value, "rw"))
        return config_error(place, ERROR_VALUE, "a disk's access is r, ro, w or rw, not \"%s\"",
                            value);
    return NULL;
}

static struct error *unknown_word(const struct config_place *place, const char *kind,
                                  const char *key, const char *const *known)
{
    const char *nearest = config_nearest(key, known);
    struct error *error =
        config_error(place, ERROR_VALUE, "\"%s\" means nothing for a %s", key, kind);

    return nearest ? error_advice(error, "Do you mean %s?", nearest) : error;
}

static struct error *disk_flag(const char *key, const struct config_place *place,
                               struct disk_config *disk)
{
    if (!strcmp(key, "discard"))
        disk->discard = true;
    else if (!strcmp(key, "no-discard"))
        disk->discard = false;
    else if (!strcmp(key, "removable"))
        disk->removable = true;
    else if (!strcmp(key, "cdrom"))
        disk->removable = disk->readonly = true;
    else if (strcmp(key, "direct-io-safe"))
        return unknown_word(place, "disk", key, disk_keys);
    return NULL;
}

static struct error *disk_word(const char *key, const char *value, const struct config_place *place,
                               struct disk_config *disk)
{
    if (!value)
        return disk_flag(key, place, disk);
    if (!strcmp(key, "format"))
        set(&disk->format, value);
    else if (!strcmp(key, "vdev"))
        set(&disk->vdev, value);
    else if (!strcmp(key, "access"))
        return set_access(value, place, disk);
    else if (!strcmp(key, "backend"))
        set(&disk->backend, value);
    else if (!strcmp(key, "script"))
        set(&disk->script, value);
    else if (!strcmp(key, "devtype"))
        disk->removable = disk->readonly = !strcmp(value, "cdrom");
    else if (!strcmp(key, "backendtype")) {
        if (strcmp(value, "phy") != 0)
            return error_advice(config_error(place, ERROR_UNSUPPORTED,
                                             "disks are served by the kernel (backendtype=phy), "
                                             "not by %s",
                                             value),
                                "Leave backendtype out.");
    } else {
        return unknown_word(place, "disk", key, disk_keys);
    }
    return NULL;
}

// The word at a position without a key.
static struct error *disk_position(unsigned int position, const char *word,
                                   const struct config_place *place, struct disk_config *disk)
{
    static const char *const prefixes[] = {"phy:", "file:", "raw:"};

    if (!*word)
        return NULL;
    switch (position) {
    case 0:
        for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
            if (!strncmp(word, prefixes[i], strlen(prefixes[i])))
                word += strlen(prefixes[i]);
        set(&disk->target, word);
        return NULL;
    case 1:
        set(&disk->format, word);
        return NULL;
    case 2:
        set(&disk->vdev, word);
        return NULL;
    case 3:
        return set_access(word, place, disk);
    default:
        return disk_flag(word, place, disk);
    }
}

static bool is_disk_flag(const char *word)
{
    return !strcmp(word, "discard") || !strcmp(word, "no-discard") || !strcmp(word, "removable") ||
           !strcmp(word, "cdrom") || !strcmp(word, "direct-io-safe");
}

static struct error *check_disk(const struct config_place *place, struct disk_config *disk)
{
    unsigned int number;

    if (!disk->format)
        disk->format = memory_copy_text("raw");
    // The old form gives the virtual disk in the place of the format: "phy:/dev/x,xvda,w".
    if (!disk->vdev || !*disk->vdev)
        return error_advice(config_error(place, ERROR_VALUE, "the disk has no vdev"),
                            "Say which disk it is for the domain: vdev=xvda.");
    if (!disk_number(disk->vdev, &number))
        return error_advice(
            config_error(place, ERROR_VALUE, "\"%s\" is no virtual disk", disk->vdev),
            "They are called xvda, xvdb and so on.");
    if (strcmp(disk->format, "raw") != 0)
        return error_advice(config_error(place, ERROR_UNSUPPORTED,
                                         "disk images of format %s are not supported",
                                         disk->format),
                            "Convert it: qemu-img convert -O raw.");
    if (!disk->target || !*disk->target)
        return error_advice(config_error(place, ERROR_VALUE, "the disk has no target"),
                            "Say where its data is: target=/path.");
    return NULL;
}

struct error *disk_config_parse(const char *text, const struct config_place *place,
                                struct disk_config *disk)
{
    char *copy = memory_copy_text(text);
    char *rest = copy;
    char *key;
    char *value;
    unsigned int position = 0;
    struct error *error = NULL;

    *disk = (struct disk_config){.discard = true};
    while (!error && rest) {
        // A target reaches to the end of the text, whatever it holds.
        char *start = skip_blanks(rest);

        if (!strncmp(start, "target=", 7)) {
            set(&disk->target, start + 7);
            break;
        }
        next_word(&rest, &key, &value);
        if (value || is_disk_flag(key))
            error = disk_word(key, value, place, disk);
        else
            error = disk_position(position++, key, place, disk);
    }
    free(copy);
    // "phy:/dev/x,xvda,w": the old form has no format.
    unsigned int number;

    if (!error && position == 3 && disk->format && disk_number(disk->format, &number)) {
        error = disk->vdev ? set_access(disk->vdev, place, disk) : NULL;
        free(disk->vdev);
        disk->vdev = disk->format;
        disk->format = NULL;
    }
    return error ? error : check_disk(place, disk);
}

void disk_config_free(struct disk_config *disk)
{
    free(disk->target);
    free(disk->vdev);
    free(disk->format);
    free(disk->script);
    free(disk->backend);
    *disk = (struct disk_config){0};
}

void mac_format(const uint8_t mac[6], char text[18])
{
    snprintf(text, 18, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4],
             mac[5]);
}

bool mac_parse(const char *text, uint8_t mac[6])
{
    for (unsigned int i = 0; i < 6; i++) {
        char *end;

        if (!isxdigit((unsigned char)text[0]) || !isxdigit((unsigned char)text[1]))
            return false;
        mac[i] = (uint8_t)strtoul(text, &end, 16);
        if (end != text + 2 || *end != (i < 5 ? ':' : '\0'))
            return false;
        text = end + 1;
    }
    return !(mac[0] & 1);
}

static const char *const nic_keys[] = {"mac",        "bridge", "script", "ip",      "backend",
                                       "vifname",    "rate",   "model",  "type",    "mtu",
                                       "gatewaydev", "devid",  "accel",  "trusted", NULL};

static struct error *nic_number(const char *key, const char *value,
                                const struct config_place *place, unsigned int limit,
                                unsigned int *number)
{
    const char *at = value;

    if (!read_number(&at, limit, number) || *at)
        return config_error(place, ERROR_VALUE, "%s is a number up to %u, not \"%s\"", key, limit,
                            value);
    return NULL;
}

static struct error *nic_word(const char *key, const char *value, const struct config_place *place,
                              struct nic_config *nic)
{
    static const struct {
        const char *key;
        size_t field;
    } texts[] = {
        {"bridge", offsetof(struct nic_config, bridge)},
        {"script", offsetof(struct nic_config, script)},
        {"backend", offsetof(struct nic_config, backend)},
        {"vifname", offsetof(struct nic_config, vifname)},
        {"ip", offsetof(struct nic_config, ip)},
        {"gatewaydev", offsetof(struct nic_config, gatewaydev)},
        {"rate", offsetof(struct nic_config, rate)},
    };

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (!strcmp(key, texts[i].key)) {
            set((char **)((char *)nic + texts[i].field), value);
            return NULL;
        }
    }
    if (!strcmp(key, "mac")) {
        if (mac_parse(value, nic->mac))
            return NULL;
        return error_advice(
            config_error(place, ERROR_VALUE, "\"%s\" is no MAC address of an interface", value),
            "Write six pairs of digits, as in 00:16:3e:12:34:56.");
    }
    if (!strcmp(key, "mtu"))
        return nic_number(key, value, place, 65535, &nic->mtu);
    if (!strcmp(key, "devid"))
        return nic_number(key, value, place, 65535, &nic->devid);
    // They choose what a device model would emulate, of which this kind of domain has none.
    if (!strcmp(key, "model") || !strcmp(key, "accel") || !strcmp(key, "trusted") ||
        (!strcmp(key, "type") && !strcmp(value, "vif")))
        return NULL;
    return unknown_word(place, "network interface", key, nic_keys);
}

struct error *nic_config_parse(const char *text, const struct config_place *place,
                               struct nic_config *nic)
{
    char *copy = memory_copy_text(text);
    char *rest = copy;
    char *key;
    char *value;
    struct error *error = NULL;

    *nic = (struct nic_config){.devid = ~0u};
    while (!error && next_word(&rest, &key, &value)) {
        if (!*key)
            continue;
        error = value ? nic_word(key, value, place, nic)
                      : config_error(place, ERROR_VALUE, "\"%s\" needs a value: %s=...", key, key);
    }
    free(copy);
    return error;
}

void nic_config_free(struct nic_config *nic)
{
    free(nic->bridge);
    free(nic->script);
    free(nic->backend);
    free(nic->vifname);
    free(nic->ip);
    free(nic->gatewaydev);
    free(nic->rate);
    *nic = (struct nic_config){0};
}
