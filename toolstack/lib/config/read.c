// SPDX-License-Identifier: Apache-2.0
//
// Typed reading of a parsed configuration, and the warnings about what nobody has read. Nearness of
// words is the number of letters to change, swap, add or leave out.
#include <toolstack/config.h>
#include <toolstack/memory.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *const kind_words[] = {
    [CONFIG_NUMBER] = "a number", [CONFIG_STRING] = "a string", [CONFIG_LIST] = "a list"};

static struct error *wrong_kind(const char *key, const struct config_value *value,
                                const char *wanted)
{
    return config_error(&value->place, ERROR_VALUE, "%s must be %s, and this is %s", key, wanted,
                        kind_words[value->kind]);
}

struct error *config_string(struct config *config, const char *key, const char **result)
{
    const struct config_value *value = config_find(config, key);

    if (!value)
        return NULL;
    if (value->kind != CONFIG_STRING)
        return wrong_kind(key, value, "a string in quotes");
    *result = value->text;
    return NULL;
}

struct error *config_number(struct config *config, const char *key, uint64_t low, uint64_t high,
                            uint64_t *result)
{
    const struct config_value *value = config_find(config, key);
    char *end;

    if (!value)
        return NULL;
    if (value->kind == CONFIG_LIST)
        return wrong_kind(key, value, "a number");
    errno = 0;
    unsigned long long number = strtoull(value->text, &end, 0);

    if (end == value->text || *end || errno)
        return config_error(&value->place, ERROR_VALUE, "%s must be a number, and \"%s\" is none",
                            key, value->text);
    if (number < low || number > high)
        return config_error(&value->place, ERROR_VALUE, "%s must be from %llu to %llu, not %llu",
                            key, (unsigned long long)low, (unsigned long long)high, number);
    *result = number;
    return NULL;
}

struct error *config_boolean(struct config *config, const char *key, bool *result)
{
    static const char *const yes[] = {"1", "yes", "true", "True", "on"};
    static const char *const no[] = {"0", "no", "false", "False", "off"};
    const struct config_value *value = config_find(config, key);

    if (!value)
        return NULL;
    if (value->kind == CONFIG_LIST)
        return wrong_kind(key, value, "0 or 1");
    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
        if (!strcmp(value->text, yes[i]) || !strcmp(value->text, no[i])) {
            *result = !strcmp(value->text, yes[i]);
            return NULL;
        }
    }
    return config_error(&value->place, ERROR_VALUE, "%s must be 0 or 1, not \"%s\"", key,
                        value->text);
}

enum { WORD_MAX = 40 };

static unsigned int least(unsigned int a, unsigned int b)
{
    return a < b ? a : b;
}

// How many letters to change, swap, add or leave out to make one word of the other.
static unsigned int distance(const char *a, const char *b)
{
    unsigned int rows[3][WORD_MAX + 1];
    size_t length = strlen(b);

    if (strlen(a) > WORD_MAX || length > WORD_MAX)
        return WORD_MAX;
    unsigned int *before = rows[0];
    unsigned int *last = rows[1];
    unsigned int *row = rows[2];

    for (unsigned int j = 0; j <= length; j++)
        last[j] = j;
    for (unsigned int i = 1; i <= strlen(a); i++) {
        row[0] = i;
        for (unsigned int j = 1; j <= length; j++) {
            row[j] = least(least(row[j - 1], last[j]) + 1, last[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = least(row[j], before[j - 2] + 1);
        }
        unsigned int *oldest = before;

        before = last;
        last = row;
        row = oldest;
    }
    return last[length];
}

const char *config_nearest(const char *word, const char *const *known)
{
    const char *nearest = NULL;
    // A third of the letters may be wrong.
    unsigned int best = (unsigned int)strlen(word) / 3 + 1;

    for (; *known; known++) {
        unsigned int far = distance(word, *known);

        if (far <= best && far < strlen(word)) {
            best = far ? far - 1 : 0;
            nearest = *known;
        }
    }
    return nearest;
}

static bool is_known(const char *key)
{
    for (const char *const *known = config_known_keys; *known; known++)
        if (!strcmp(*known, key))
            return true;
    return false;
}

void config_warn_unused(const struct config *config, FILE *stream)
{
    for (size_t i = 0; i < config->count; i++) {
        const struct config_entry *entry = &config->entries[i];

        if (entry->used)
            continue;
        fprintf(stream, "%s:%u:%u: warning: ", entry->place.source, entry->place.line,
                entry->place.column);
        if (is_known(entry->key)) {
            fprintf(stream, "%s has no effect on this kind of domain\n", entry->key);
            continue;
        }
        const char *nearest = config_nearest(entry->key, config_known_keys);

        fprintf(stream, "there is no setting %s", entry->key);
        if (nearest)
            fprintf(stream, "; do you mean %s?", nearest);
        putc('\n', stream);
    }
}
