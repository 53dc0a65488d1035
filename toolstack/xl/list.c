// SPDX-License-Identifier: Apache-2.0
//
// The listings of domains: list, vcpu-list, uptime, domid, domname. Formats are the established
// ones, to the column; --json prints the same facts as an array of objects.
#include "xl.h"

#include <toolstack/host.h>
#include <toolstack/memory.h>

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xen/sched.h>

struct list_options {
    bool verbose;
    bool context;
    bool pool;
    bool numa;
    bool json;
};

static void state_letters(const domain_info *info, char letters[7])
{
    int reason = domain_shutdown_reason(info);

    letters[0] = info->flags & XEN_DOMINF_running ? 'r' : '-';
    letters[1] = info->flags & XEN_DOMINF_blocked ? 'b' : '-';
    letters[2] = info->flags & XEN_DOMINF_paused ? 'p' : '-';
    letters[3] = reason >= 0 ? 's' : '-';
    letters[4] = reason == SHUTDOWN_crash ? 'c' : '-';
    letters[5] = info->flags & XEN_DOMINF_dying ? 'd' : '-';
    letters[6] = '\0';
}

static unsigned long memory_mebibytes(const domain_info *info)
{
    return (unsigned long)((info->tot_pages + info->outstanding_pages) >> (20 - PAGE_SHIFT));
}

static char *pool_name(struct xl *xl, uint32_t id)
{
    struct error *error = toolstack_open_store(&xl->toolstack);

    if (error) {
        error_ignore(error);
        return memory_format("Pool-%u", id);
    }
    char *name = store_read(xl->toolstack.store, "/local/pool/%u/name", id);

    return name ? name : memory_format("Pool-%u", id);
}

static struct json_object *list_json(struct xl *xl, const domain_info *info)
{
    struct json_object *line = json_object_new_object();
    char *name = xl_name(xl, info->domain);
    char *pool = pool_name(xl, info->cpupool);
    char uuid[UUID_TEXT_SIZE];
    char letters[7];
    int reason = domain_shutdown_reason(info);

    uuid_format(info->handle, uuid);
    state_letters(info, letters);
    json_object_object_add(line, "name", json_object_new_string(name));
    json_object_object_add(line, "domid", json_object_new_int(info->domain));
    json_object_object_add(line, "uuid", json_object_new_string(uuid));
    json_object_object_add(line, "memory_kib", json_object_new_int64((int64_t)info->tot_pages * 4));
    json_object_object_add(line, "vcpus", json_object_new_int((int)info->nr_online_vcpus));
    json_object_object_add(line, "state", json_object_new_string(letters));
    json_object_object_add(line, "shutdown_reason",
                           reason < 0 ? NULL
                                      : json_object_new_string(domain_shutdown_word(reason)));
    json_object_object_add(line, "cpu_time_ns", json_object_new_int64((int64_t)info->cpu_time));
    json_object_object_add(line, "cpupool", json_object_new_string(pool));
    free(pool);
    free(name);
    return line;
}

static void list_header(const struct list_options *options)
{
    fputs("Name                                        ID   Mem VCPUs\tState\tTime(s)", stdout);
    if (options->verbose)
        fputs("   UUID                            Reason-Code\tSecurity Label", stdout);
    else if (options->context)
        fputs("   Security Label", stdout);
    if (options->pool)
        fputs("         Cpupool", stdout);
    if (options->numa)
        fputs(" NODE Affinity", stdout);
    putchar('\n');
}

static void list_line(struct xl *xl, const struct list_options *options, const domain_info *info)
{
    char *name = xl_name(xl, info->domain);
    char letters[7];

    state_letters(info, letters);
    printf("%-40s %5u %5lu %5u     %s  %8.1f", name, info->domain, memory_mebibytes(info),
           info->nr_online_vcpus, letters, (double)info->cpu_time / 1e9);
    free(name);
    if (options->verbose) {
        char uuid[UUID_TEXT_SIZE];
        int reason = domain_shutdown_reason(info);

        uuid_format(info->handle, uuid);
        printf(" %s", uuid);
        if (reason >= 0)
            printf(" %8x", (unsigned int)reason);
        else
            printf(" %8s", "-");
    }
    // Security labels belong to a policy that is not loaded.
    if (options->verbose || options->context)
        printf(" %16s", "-");
    if (options->pool) {
        char *pool = pool_name(xl, info->cpupool);

        printf("%16s", pool);
        free(pool);
    }
    if (options->numa)
        fputs(" all", stdout);
    putchar('\n');
}

// The domains that the words name, or all when there are none.
static struct error *chosen_domains(struct xl *xl, int count, char **words, domain_info **list,
                                    size_t *number)
{
    struct error *error = NULL;

    if (!count) {
        TRY(domain_list(&xl->toolstack, list, number));
        xl_learn_names(xl, *list, *number);
        return NULL;
    }
    *list = memory_zeroed((size_t)count * sizeof(**list));
    *number = (size_t)count;
    for (int i = 0; i < count && !error; i++) {
        unsigned int domid;

        error = xl_domain(xl, words[i], &domid);
        if (!error)
            error = domain_get_info(&xl->toolstack, domid, &(*list)[i]);
    }
    if (error)
        free(*list);
    return error;
}

static struct error *list_print(struct xl *xl, const struct list_options *options, int count,
                                char **words)
{
    domain_info *list;
    size_t number;

    TRY(chosen_domains(xl, count, words, &list, &number));
    if (options->json) {
        struct json_object *array = json_object_new_array();

        for (size_t i = 0; i < number; i++)
            json_object_array_add(array, list_json(xl, &list[i]));
        xl_print_json(array);
    } else {
        list_header(options);
        for (size_t i = 0; i < number; i++)
            list_line(xl, options, &list[i]);
    }
    free(list);
    return NULL;
}

COMMAND(list)
{
    static const struct option longs[] = {
        {"long", no_argument, NULL, 'l'},
        {"help", no_argument, NULL, 'h'},
        {"verbose", no_argument, NULL, 'v'},
        {"context", no_argument, NULL, 'Z'},
        {"cpupool", no_argument, NULL, 'c'},
        {"numa", no_argument, NULL, 'n'},
        JSON_OPTION,
        END_OF_OPTIONS,
    };
    struct list_options options = {0};
    int option;

    while ((option = xl_option(xl, argc, argv, "lvhZcn", longs)) >= 0) {
        options.json |= option == 'l' || option == OPTION_JSON;
        options.verbose |= option == 'v';
        options.context |= option == 'Z';
        options.pool |= option == 'c';
        options.numa |= option == 'n';
    }
    return list_print(xl, &options, argc - optind, argv + optind);
}

static void vcpu_text(const char *name, const domain_info *info, unsigned int vcpu,
                      const struct vcpu_info_line *line)
{
    char *hard = cpu_set_format(&line->hard, line->hard.count);
    char *soft = cpu_set_format(&line->soft, line->soft.count);

    printf("%-32s %5u %5u", name, info->domain, vcpu);
    if (line->info.online)
        printf("%5u   %c%c-", line->info.cpu, line->info.running ? 'r' : '-',
               line->info.blocked ? 'b' : '-');
    else
        printf("%5c   --p", '-');
    printf(" %9.1f  %s / %s\n", (double)line->info.cpu_time / 1e9, hard, soft);
    free(hard);
    free(soft);
}

static struct json_object *vcpu_json(const char *name, const domain_info *info, unsigned int vcpu,
                                     const struct vcpu_info_line *line)
{
    struct json_object *object = json_object_new_object();
    char *hard = cpu_set_format(&line->hard, line->hard.count);
    char *soft = cpu_set_format(&line->soft, line->soft.count);

    json_object_object_add(object, "name", json_object_new_string(name));
    json_object_object_add(object, "domid", json_object_new_int(info->domain));
    json_object_object_add(object, "vcpu", json_object_new_int((int)vcpu));
    json_object_object_add(object, "online", json_object_new_boolean(line->info.online));
    json_object_object_add(object, "cpu", json_object_new_int((int)line->info.cpu));
    json_object_object_add(object, "running", json_object_new_boolean(line->info.running));
    json_object_object_add(object, "blocked", json_object_new_boolean(line->info.blocked));
    json_object_object_add(object, "cpu_time_ns",
                           json_object_new_int64((int64_t)line->info.cpu_time));
    json_object_object_add(object, "hard_affinity", json_object_new_string(hard));
    json_object_object_add(object, "soft_affinity", json_object_new_string(soft));
    free(hard);
    free(soft);
    return object;
}

// The vcpus of one domain, to the array or, when it is NULL, to the output.
static struct error *vcpus_of(struct xl *xl, const domain_info *info, struct json_object *array)
{
    char *name = xl_name(xl, info->domain);
    struct error *error = NULL;

    for (unsigned int vcpu = 0; vcpu <= info->max_vcpu_id && !error; vcpu++) {
        struct vcpu_info_line line;

        if (info->max_vcpu_id == XEN_INVALID_MAX_VCPU_ID)
            break;
        error = domain_get_vcpu(&xl->toolstack, info->domain, vcpu, &line);
        if (error)
            break;
        if (array)
            json_object_array_add(array, vcpu_json(name, info, vcpu, &line));
        else
            vcpu_text(name, info, vcpu, &line);
        cpu_set_free(&line.hard);
        cpu_set_free(&line.soft);
    }
    free(name);
    return error;
}

COMMAND(vcpu_list)
{
    static const struct option longs[] = {
        {"help", no_argument, NULL, 'h'}, JSON_OPTION, END_OF_OPTIONS};
    struct json_object *array = NULL;
    struct error *error = NULL;
    domain_info *list;
    size_t count;
    bool json = false;
    int option;

    while ((option = xl_option(xl, argc, argv, "h", longs)) >= 0)
        json |= option == OPTION_JSON;
    TRY(chosen_domains(xl, argc - optind, argv + optind, &list, &count));
    if (json)
        array = json_object_new_array();
    else
        puts("Name                                ID  VCPU   CPU State   Time(s)"
             " Affinity (Hard / Soft)");
    for (size_t i = 0; i < count && !error; i++)
        error = vcpus_of(xl, &list[i], array);
    if (json)
        xl_print_json(array);
    free(list);
    return error;
}

static void uptime_line(struct xl *xl, unsigned int domid, bool brief)
{
    char *name = xl_name(xl, domid);
    long seconds = domain_uptime(&xl->toolstack, domid);
    long days = seconds / 86400;

    if (brief)
        printf(" %s up", name);
    else
        printf("%-33s %4u", name, domid);
    if (days)
        printf(" %ld day%s,", days, days == 1 ? "" : "s");
    printf(" %2ld:%02ld:%02ld\n", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    free(name);
}

COMMAND(uptime)
{
    static const struct option longs[] = {{"short", no_argument, NULL, 's'},
                                          {"help", no_argument, NULL, 'h'},
                                          JSON_OPTION,
                                          END_OF_OPTIONS};
    struct json_object *array = json_object_new_array();
    domain_info *list;
    size_t count;
    bool brief = false;
    bool json = false;
    int option;

    while ((option = xl_option(xl, argc, argv, "hs", longs)) >= 0) {
        brief |= option == 's';
        json |= option == OPTION_JSON;
    }
    struct error *error = toolstack_open_store(&xl->toolstack);
    if (!error)
        error = chosen_domains(xl, argc - optind, argv + optind, &list, &count);
    if (error) {
        json_object_put(array);
        return error;
    }
    if (!brief && !json)
        puts("Name                                ID Uptime");
    for (size_t i = 0; i < count; i++) {
        if (!json) {
            uptime_line(xl, list[i].domain, brief);
            continue;
        }
        struct json_object *line = json_object_new_object();
        char *name = xl_name(xl, list[i].domain);

        json_object_object_add(line, "name", json_object_new_string(name));
        json_object_object_add(line, "domid", json_object_new_int(list[i].domain));
        json_object_object_add(
            line, "uptime_seconds",
            json_object_new_int64(domain_uptime(&xl->toolstack, list[i].domain)));
        json_object_array_add(array, line);
        free(name);
    }
    if (json)
        xl_print_json(array);
    else
        json_object_put(array);
    free(list);
    return NULL;
}

COMMAND(domid)
{
    unsigned int domid;

    while (xl_option(xl, argc, argv, "h", NULL) >= 0)
        ;
    TRY(xl_expect_arguments(xl, argc, 1, 1));
    TRY(toolstack_open(&xl->toolstack));
    if (!domain_find_name(&xl->toolstack, argv[optind], &domid))
        return error_new(ERROR_NO_DOMAIN, "no domain is called %s", argv[optind]);
    printf("%u\n", domid);
    return NULL;
}

COMMAND(domname)
{
    unsigned int domid;

    while (xl_option(xl, argc, argv, "h", NULL) >= 0)
        ;
    TRY(xl_expect_arguments(xl, argc, 1, 1));
    TRY(xl_domain(xl, argv[optind], &domid));
    char *name = xl_name(xl, domid);

    puts(name);
    free(name);
    return NULL;
}
