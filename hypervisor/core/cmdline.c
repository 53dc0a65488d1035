// SPDX-License-Identifier: Apache-2.0
// The command line parser. Words are separated by blanks; a word is "name", "name=value",
// "no-name" (value "no"); quotation marks keep blanks together. Options live in a linker
// section and are constant. Runs once at boot; the saved text is constant afterwards. What cannot
// be understood gives a warning, never an end of the start.

#include <bulkhead/cmdline.h>
#include <bulkhead/console.h>
#include <bulkhead/string.h>
#include <xen/errno.h>

extern const struct cmdline_option cmdline_options_start[], cmdline_options_end[];

char cmdline_text[1024];

const struct cmdline_option *cmdline_option_at(size_t index)
{
    size_t bytes = (uintptr_t)cmdline_options_end - (uintptr_t)cmdline_options_start;
    size_t count = bytes / sizeof(cmdline_options_start[0]);

    return index < count ? &cmdline_options_start[index] : NULL;
}

static const struct cmdline_option *find_option(const char *name)
{
    const struct cmdline_option *option;

    for (size_t i = 0; (option = cmdline_option_at(i)) != NULL; i++) {
        if (!strcmp(option->name, name)) {
            return option;
        }
    }
    return NULL;
}

static void parse_word(char *word)
{
    const struct cmdline_option *option;
    const char *value = "";
    char *separator = strchr(word, '=');

    if (separator) {
        *separator = 0;
        value = separator + 1;
    }
    option = find_option(word);
    if (!option && !separator && !strncmp(word, "no-", 3)) {
        option = find_option(word + 3);
        value = "no";
    }
    if (!option) {
        log_warning("Unknown option \"%s\" is ignored.", word);
    } else if (!option->parse) {
        log_warning("Command line option \"%s\" can only be set at run time: ignored.", word);
    } else if (option->parse(value)) {
        log_warning("Command line option \"%s\" cannot have the value \"%s\": ignored.",
                    option->name, value);
    }
}

void cmdline_parse(const char *line)
{
    char word[256];
    size_t length = 0;
    bool quoted = false, cut = false;

    string_copy(cmdline_text, line, sizeof(cmdline_text));
    for (;; line++) {
        bool blank = *line == ' ' || *line == '\t' || *line == '\n' || *line == '\r';

        if (*line == '"') {
            quoted = !quoted;
            continue;
        }
        if (*line && (quoted || !blank)) {
            if (length < sizeof(word) - 1) {
                word[length++] = *line;
            } else {
                cut = true;
            }
            continue;
        }
        word[length] = 0;
        if (cut) {
            log_warning("A command line option is too long: cut after \"%.20s...\".", word);
            cut = false;
        }
        if (length) {
            parse_word(word);
        }
        length = 0;
        if (!*line) {
            return;
        }
    }
}

int cmdline_parse_bool(const char *value, bool *out)
{
    static const char *const yes[] = {"", "yes", "on", "true", "enable", "1"};
    static const char *const no[] = {"no", "off", "false", "disable", "0"};

    for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
        if (!strcmp(value, yes[i])) {
            *out = true;
            return 0;
        }
    }
    for (size_t i = 0; i < ARRAY_SIZE(no); i++) {
        if (!strcmp(value, no[i])) {
            *out = false;
            return 0;
        }
    }
    return -XEN_EINVAL;
}

int cmdline_parse_size(const char *value, uint64_t *out)
{
    static const char suffixes[] = "BKMGT";
    const char *end;
    uint64_t n = string_to_number(value, &end, 0);
    unsigned int shift = 10;

    if (end == value) {
        return -XEN_EINVAL;
    }
    if (*end) {
        const char *suffix = strchr(suffixes, *end >= 'a' ? *end - 'a' + 'A' : *end);

        if (!suffix || end[1]) {
            return -XEN_EINVAL;
        }
        shift = 10 * (unsigned int)(suffix - suffixes);
    }
    if (n > UINT64_MAX >> shift) {
        return -XEN_EINVAL;
    }
    *out = n << shift;
    return 0;
}
