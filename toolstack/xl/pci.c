// SPDX-License-Identifier: Apache-2.0
//
// PCI functions in domains' hands: pci-list, -attach, -detach, and what could be given,
// pci-assignable-list, -add, -remove. A running domain is paused while its bus changes, and finds
// out when it looks at the bus again.
#include "xl.h"

#include <toolstack/domain_config.h>
#include <toolstack/memory.h>
#include <toolstack/pci.h>

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct error *parse(struct xl *xl, const char *text, struct pci_function *function)
{
    if (pci_parse(text, function))
        return NULL;
    return xl_misused(xl, "\"%s\" is no PCI function; write it as in 0000:03:00.0", text);
}

// A domain's kept configuration, which says what functions it has.
static struct error *load(struct xl *xl, const char *word, unsigned int *domid,
                          struct domain_config *config)
{
    domain_info info;

    *config = (struct domain_config){0};
    TRY(xl_domain(xl, word, domid));
    TRY(domain_get_info(&xl->toolstack, *domid, &info));
    TRY(error_in_domain(domain_config_load(info.handle, config), NULL, (int)*domid));
    for (size_t i = 0; i < config->function_count; i++)
        if (config->functions[i].by_place)
            TRY(pci_identify(&xl->toolstack, &config->functions[i]));
    return NULL;
}

static bool read_json_option(struct xl *xl, int argc, char **argv)
{
    static const struct option longs[] = {
        {"help", no_argument, NULL, 'h'}, JSON_OPTION, END_OF_OPTIONS};
    bool json = false;
    int option;

    while ((option = xl_option(xl, argc, argv, "h", longs)) >= 0)
        json |= option == OPTION_JSON;
    return json;
}

static void print_functions(const struct pci_function *functions, size_t count, bool json,
                            bool numbered)
{
    struct json_object *array = json ? json_object_new_array() : NULL;

    if (numbered && !json && count)
        puts("Vdev Device");
    for (size_t i = 0; i < count; i++) {
        char text[PCI_TEXT_SIZE];

        pci_format(&functions[i], text);
        if (json)
            json_object_array_add(array, json_object_new_string(text));
        else if (numbered)
            // Device 0 of the domain's bus is the host bridge.
            printf("%02zx.0 %s\n", i + 1, text);
        else
            puts(text);
    }
    if (json)
        xl_print_json(array);
}

COMMAND(pci_list)
{
    struct domain_config config;
    unsigned int domid;
    bool json = read_json_option(xl, argc, argv);

    TRY(xl_expect_arguments(xl, argc, 1, 1));
    struct error *error = load(xl, argv[optind], &domid, &config);

    if (!error)
        print_functions(config.functions, config.function_count, json, true);
    domain_config_free(&config);
    return error;
}

COMMAND(pci_assignable_list)
{
    struct pci_function *functions;
    size_t count;
    bool json = read_json_option(xl, argc, argv);

    TRY(xl_expect_arguments(xl, argc, 0, 0));
    TRY(pci_list_assignable(&xl->toolstack, &functions, &count));
    print_functions(functions, count, json, false);
    free(functions);
    return NULL;
}

static struct error *for_each(struct xl *xl, int argc, char **argv,
                              struct error *(*change)(const struct pci_function *function))
{
    while (xl_option(xl, argc, argv, "hr", NULL) >= 0)
        ;
    TRY(xl_expect_arguments(xl, argc, 1, -1));
    for (; optind < argc; optind++) {
        struct pci_function function;

        TRY(parse(xl, argv[optind], &function));
        // cppcheck-suppress returnDanglingLifetime; an error does not refer to the function
        TRY(change(&function));
    }
    return NULL;
}

COMMAND(pci_assignable_add)
{
    return for_each(xl, argc, argv, pci_make_assignable);
}

COMMAND(pci_assignable_remove)
{
    return for_each(xl, argc, argv, pci_make_ordinary);
}

// Assigns or deassigns with the domain stopped.
static struct error *
while_paused(struct xl *xl, unsigned int domid, const struct pci_function *function,
             struct error *(*change)(struct toolstack *toolstack, unsigned int domid,
                                     const struct pci_function *function))
{
    TRY(domain_pause(&xl->toolstack, domid));
    struct error *error = change(&xl->toolstack, domid, function);

    return error_first(error, domain_unpause(&xl->toolstack, domid));
}

static size_t find(const struct domain_config *config, const struct pci_function *function)
{
    size_t i = 0;

    while (i < config->function_count && !pci_is_same(&config->functions[i], function))
        i++;
    return i;
}

COMMAND(pci_attach)
{
    struct domain_config config = {0};
    struct pci_function function;
    unsigned int domid;

    while (xl_option(xl, argc, argv, "h", NULL) >= 0)
        ;
    TRY(xl_expect_arguments(xl, argc, 2, 2));
    TRY(parse(xl, argv[optind + 1], &function));
    TRY(pci_check_support(&xl->toolstack));
    struct error *error = load(xl, argv[optind], &domid, &config);

    if (!error && !config.function_count)
        error = error_advice(
            error_in_domain(error_new(ERROR_STATE, "it was started without a PCI bus"),
                            argv[optind], (int)domid),
            "Only domains that began with a function (pci = [ ... ]) can be given more.");
    if (!error)
        error = while_paused(xl, domid, &function, pci_assign);
    if (!error) {
        config.functions =
            memory_resized(config.functions, config.function_count + 1, sizeof(*config.functions));
        config.functions[config.function_count++] = function;
        error = domain_config_save(&config);
    }
    domain_config_free(&config);
    return error;
}

COMMAND(pci_detach)
{
    struct domain_config config = {0};
    struct pci_function function;
    unsigned int domid;

    while (xl_option(xl, argc, argv, "hf", NULL) >= 0)
        ;
    TRY(xl_expect_arguments(xl, argc, 2, 2));
    TRY(parse(xl, argv[optind + 1], &function));
    struct error *error = load(xl, argv[optind], &domid, &config);
    size_t place = error ? 0 : find(&config, &function);

    if (!error && place == config.function_count)
        error = error_in_domain(
            error_new(ERROR_NO_DEVICE, "it has no PCI function %s", argv[optind + 1]), argv[optind],
            (int)domid);
    if (!error)
        error = while_paused(xl, domid, &function, pci_deassign);
    if (!error) {
        memmove(&config.functions[place], &config.functions[place + 1],
                (config.function_count - place - 1) * sizeof(*config.functions));
        config.function_count--;
        error = domain_config_save(&config);
    }
    domain_config_free(&config);
    return error;
}
