// SPDX-License-Identifier: Apache-2.0
//
// xl: reads the options that stand before the command, finds the command and runs it. Exit status:
// 0 when it worked, 1 when it failed, 2 when it was called wrongly.
#include "xl.h"

#include <toolstack/memory.h>

#include <ctype.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int xl_option(struct xl *xl, int argc, char **argv, const char *shorts, const struct option *longs)
{
    static const struct option none[] = {{"help", no_argument, NULL, 'h'}, END_OF_OPTIONS};
    int option = getopt_long(argc, argv, shorts, longs ? longs : none, NULL);

    if (option == 'h') {
        command_usage(xl->command, false);
        exit(0);
    }
    if (option == '?') {
        command_usage(xl->command, true);
        exit(2);
    }
    return option;
}

struct error *xl_misused(struct xl *xl, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    char *message = memory_vformat(format, arguments);
    va_end(arguments);
    command_usage(xl->command, true);
    struct error *error = error_new(ERROR_USAGE, "%s", message);
    free(message);
    return error;
}

struct error *xl_expect_arguments(struct xl *xl, int argc, int low, int high)
{
    int count = argc - optind;

    if (count < low)
        return xl_misused(xl, "%s needs %d argument%s more", xl->command->name, low - count,
                          low - count == 1 ? "" : "s");
    if (high >= 0 && count > high)
        return xl_misused(xl, "%s takes no more than %d argument%s", xl->command->name, high,
                          high == 1 ? "" : "s");
    return NULL;
}

struct error *xl_domain(struct xl *xl, const char *word, unsigned int *domid)
{
    return domain_find(&xl->toolstack, word, true, domid);
}

void xl_learn_names(struct xl *xl, const domain_info *list, size_t count)
{
    xl->known = memory_resized(NULL, count, sizeof(*list));
    memcpy(xl->known, list, count * sizeof(*list));
    xl->known_names = domain_names(&xl->toolstack, list, count);
    xl->known_count = count;
}

static void forget_names(struct xl *xl)
{
    for (size_t i = 0; i < xl->known_count; i++)
        free(xl->known_names[i]);
    free(xl->known_names);
    free(xl->known);
}

char *xl_name(struct xl *xl, unsigned int domid)
{
    char *name = NULL;
    size_t i = 0;

    while (i < xl->known_count && xl->known[i].domain != domid)
        i++;
    if (i < xl->known_count)
        name = memory_copy_optional(xl->known_names[i]);
    else
        name = domain_name(&xl->toolstack, domid);
    return name ? name : memory_copy_text("(null)");
}

void xl_print_json(struct json_object *value)
{
    puts(json_object_to_json_string_ext(value, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
                                                   JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(value);
}

struct error *xl_parse_memory(const char *text, uint64_t *kibibytes)
{
    static const char units[] = "bkmgt";
    char *end;
    unsigned long long number = strtoull(text, &end, 10);
    const char *unit = *end ? strchr(units, tolower((unsigned char)*end)) : units + 2;

    if (!isdigit((unsigned char)*text) || !unit || (*end && end[1] && strcasecmp(end + 1, "b")) ||
        number >> 40)
        return error_advice(error_new(ERROR_VALUE, "\"%s\" is no amount of memory", text),
                            "Write a number of MiB, or one with k, m, g or t after it.");
    if (unit == units)
        *kibibytes = number >> 10;
    else
        *kibibytes = (uint64_t)number << (10 * (unit - units - 1));
    return NULL;
}

static const struct command *read_globals(struct xl *xl, int argc, char **argv)
{
    int option;

    // The plus sign: stop at the command, whose options are its own.
    while ((option = getopt(argc, argv, "+vftTN")) >= 0) {
        switch (option) {
        case 'v':
            xl->verbose++;
            break;
        case 'f':
            xl->force = true;
            break;
        case 'N':
            xl->dry_run = true;
            break;
        case 't':
        case 'T':
            // Ways of showing progress and time that nothing here prints.
            break;
        default:
            return NULL;
        }
    }
    return optind < argc ? command_find(argv[optind]) : command_find("help");
}

int main(int argc, char **argv)
{
    struct xl xl = {0};

    xl.command = read_globals(&xl, argc, argv);
    if (!xl.command) {
        fprintf(stderr, "xl: there is no command %s; xl help shows what there is\n",
                optind < argc ? argv[optind] : "");
        return 2;
    }
    int first = optind < argc ? optind : argc - 1;

    // 0 and not 1: the commands' own options may stand anywhere among their arguments again.
    optind = 0;
    struct error *error = xl.command->run(&xl, argc - first, argv + first);
    toolstack_close(&xl.toolstack);
    forget_names(&xl);
    if (fflush(stdout) != 0)
        error = error_first(error, error_new(ERROR_SYSTEM, "cannot write the output"));
    if (!error)
        return xl.status;
    int status = error->code == ERROR_USAGE ? 2 : 1;

    error_print(error, stderr, "xl: ");
    error_free(error);
    return status;
}
