// SPDX-License-Identifier: Apache-2.0
//
// Scheduling: sched-credit2, cpupool-list, vcpu-pin. What is asked is checked in full before the
// first change is made.
#include "xl.h"

#include <toolstack/host.h>
#include <toolstack/memory.h>

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct credit2_options {
    const char *domain;
    const char *pool;
    long weight; // -1: leave
    long cap;
    long rate_limit;
    bool of_pool; // -s: the pool's parameters instead of a domain's
    bool json;
};

static struct error *parse_number(const char *text, long low, long high, long *number)
{
    char *end;

    *number = strtol(text, &end, 10);
    if (end == text || *end || *number < low || *number > high)
        return error_new(ERROR_VALUE, "\"%s\" is no number from %ld to %ld", text, low, high);
    return NULL;
}

static struct error *credit2_of_domain(struct xl *xl, const struct credit2_options *options)
{
    struct xen_domctl_sched_credit2 parameters = {0};
    unsigned int domid;

    TRY(xl_domain(xl, options->domain, &domid));
    TRY(domain_get_credit2(&xl->toolstack, domid, &parameters));
    if (options->weight >= 0 || options->cap >= 0) {
        if (options->weight >= 0)
            parameters.weight = (uint16_t)options->weight;
        if (options->cap >= 0)
            parameters.cap = (uint16_t)options->cap;
        return domain_set_credit2(&xl->toolstack, domid, &parameters);
    }
    char *name = xl_name(xl, domid);

    puts("Name                                ID Weight  Cap");
    printf("%-33s %4u %6u %4u\n", name, domid, parameters.weight, parameters.cap);
    free(name);
    return NULL;
}

static struct error *credit2_line(struct xl *xl, const domain_info *info, struct json_object *array)
{
    struct xen_domctl_sched_credit2 parameters = {0};

    TRY(domain_get_credit2(&xl->toolstack, info->domain, &parameters));
    char *name = xl_name(xl, info->domain);

    if (array) {
        struct json_object *line = json_object_new_object();

        json_object_object_add(line, "name", json_object_new_string(name));
        json_object_object_add(line, "domid", json_object_new_int(info->domain));
        json_object_object_add(line, "weight", json_object_new_int(parameters.weight));
        json_object_object_add(line, "cap", json_object_new_int(parameters.cap));
        json_object_array_add(array, line);
    } else {
        printf("%-33s %4u %6u %4u\n", name, info->domain, parameters.weight, parameters.cap);
    }
    free(name);
    return NULL;
}

static struct error *credit2_of_pool(struct xl *xl, const struct credit2_options *options,
                                     const struct cpu_pool *pool, const domain_info *list,
                                     size_t count, struct json_object *array)
{
    uint32_t limit = options->rate_limit >= 0 ? (uint32_t)options->rate_limit : 0;

    TRY(host_credit2_rate_limit(&xl->toolstack, pool->id, options->rate_limit >= 0, &limit));
    if (options->rate_limit >= 0)
        return NULL;
    if (!array)
        printf("Cpupool %s: ratelimit=%uus\n", pool->name, limit);
    if (options->of_pool)
        return NULL;
    if (!array)
        puts("Name                                ID Weight  Cap");
    for (size_t i = 0; i < count; i++)
        if (list[i].cpupool == pool->id)
            TRY(credit2_line(xl, &list[i], array));
    return NULL;
}

static struct error *credit2_of_all(struct xl *xl, const struct credit2_options *options)
{
    struct json_object *array = options->json ? json_object_new_array() : NULL;
    struct cpu_pool *pools = NULL;
    domain_info *list = NULL;
    size_t pool_count = 0;
    size_t count = 0;
    bool any = false;
    struct error *error = host_list_pools(&xl->toolstack, &pools, &pool_count);

    if (!error)
        error = domain_list(&xl->toolstack, &list, &count);
    for (size_t i = 0; i < pool_count && !error; i++) {
        if (pools[i].scheduler != XEN_SCHEDULER_CREDIT2 ||
            (options->pool && strcmp(options->pool, pools[i].name) != 0))
            continue;
        any = true;
        error = credit2_of_pool(xl, options, &pools[i], list, count, array);
    }
    if (!error && !any)
        error = error_new(ERROR_VALUE, "%s is no processor pool under credit2",
                          options->pool ? options->pool : "this machine's");
    if (array && !error)
        xl_print_json(array);
    else
        json_object_put(array);
    free(list);
    host_free_pools(pools, pool_count);
    return error;
}

COMMAND(sched_credit2)
{
    static const struct option longs[] = {
        {"domain", required_argument, NULL, 'd'},
        {"weight", required_argument, NULL, 'w'},
        {"cap", required_argument, NULL, 'c'},
        {"schedparam", no_argument, NULL, 's'},
        {"ratelimit_us", required_argument, NULL, 'r'},
        {"cpupool", required_argument, NULL, 'p'},
        {"help", no_argument, NULL, 'h'},
        JSON_OPTION,
        END_OF_OPTIONS,
    };
    struct credit2_options options = {.weight = -1, .cap = -1, .rate_limit = -1};
    int option;

    while ((option = xl_option(xl, argc, argv, "hd:w:c:p:r:s", longs)) >= 0) {
        if (option == 'd')
            options.domain = optarg;
        else if (option == 'p')
            options.pool = optarg;
        else if (option == 'w')
            TRY(parse_number(optarg, 1, 65535, &options.weight));
        else if (option == 'c')
            TRY(parse_number(optarg, 0, 65535, &options.cap));
        else if (option == 'r')
            TRY(parse_number(optarg, 0, XEN_SYSCTL_SCHED_RATELIMIT_MAX, &options.rate_limit));
        options.of_pool |= option == 's';
        options.json |= option == OPTION_JSON;
    }
    TRY(xl_expect_arguments(xl, argc, 0, 0));
    if (!options.domain && (options.weight >= 0 || options.cap >= 0))
        return xl_misused(xl, "a weight or a cap is for the domain that -d names");
    if (options.domain && (options.of_pool || options.pool || options.rate_limit >= 0))
        return xl_misused(xl, "-d goes with neither -p, -s nor -r");
    if (options.rate_limit >= 0 && !options.of_pool)
        return xl_misused(xl, "-r needs -s");
    return options.domain ? credit2_of_domain(xl, &options) : credit2_of_all(xl, &options);
}

static void pool_line(const struct cpu_pool *pool, bool cpus)
{
    unsigned int count = 0;

    printf("%-19s", pool->name);
    for (unsigned int cpu = 0; cpu < pool->cpus.count; cpu++) {
        if (!cpu_set_has(&pool->cpus, cpu))
            continue;
        if (cpus)
            printf("%s%u", count ? "," : "", cpu);
        count++;
    }
    if (!cpus)
        printf("%3u%10s       y       %4u", count, host_scheduler_word(pool->scheduler),
               pool->domains);
    putchar('\n');
}

static struct json_object *pool_json(const struct cpu_pool *pool)
{
    struct json_object *object = json_object_new_object();
    struct json_object *cpus = json_object_new_array();

    for (unsigned int cpu = 0; cpu < pool->cpus.count; cpu++)
        if (cpu_set_has(&pool->cpus, cpu))
            json_object_array_add(cpus, json_object_new_int((int)cpu));
    json_object_object_add(object, "name", json_object_new_string(pool->name));
    json_object_object_add(object, "id", json_object_new_int((int)pool->id));
    json_object_object_add(object, "cpus", cpus);
    json_object_object_add(object, "scheduler",
                           json_object_new_string(host_scheduler_word(pool->scheduler)));
    json_object_object_add(object, "domains", json_object_new_int((int)pool->domains));
    return object;
}

COMMAND(cpupool_list)
{
    static const struct option longs[] = {{"cpus", no_argument, NULL, 'c'},
                                          {"help", no_argument, NULL, 'h'},
                                          JSON_OPTION,
                                          END_OF_OPTIONS};
    struct cpu_pool *pools;
    size_t count;
    uint32_t only = 0;
    bool cpus = false;
    bool json = false;
    int option;

    while ((option = xl_option(xl, argc, argv, "hc", longs)) >= 0) {
        cpus |= option == 'c';
        json |= option == OPTION_JSON;
    }
    TRY(xl_expect_arguments(xl, argc, 0, 1));
    if (optind < argc)
        TRY(host_find_pool(&xl->toolstack, argv[optind], &only));
    TRY(host_list_pools(&xl->toolstack, &pools, &count));
    struct json_object *array = json ? json_object_new_array() : NULL;

    if (!json)
        puts(cpus ? "Name               CPU list"
                  : "Name               CPUs   Sched     Active   Domain count");
    for (size_t i = 0; i < count; i++) {
        if (optind < argc && pools[i].id != only)
            continue;
        if (json)
            json_object_array_add(array, pool_json(&pools[i]));
        else
            pool_line(&pools[i], cpus);
    }
    if (json)
        xl_print_json(array);
    host_free_pools(pools, count);
    return NULL;
}

struct pinning {
    struct cpu_set hard;
    struct cpu_set soft;
    bool with_hard;
    bool with_soft;
    bool force;
};

static struct error *pin(struct xl *xl, unsigned int domid, const char *which,
                         const struct pinning *pinning)
{
    domain_info info;
    long first = 0;

    TRY(domain_get_info(&xl->toolstack, domid, &info));
    long last = (long)info.max_vcpu_id;

    if (strcmp(which, "all") != 0) {
        TRY(parse_number(which, 0, last, &first));
        last = first;
    }
    for (long vcpu = first; vcpu <= last; vcpu++)
        TRY(domain_set_affinity(&xl->toolstack, domid, (unsigned int)vcpu,
                                pinning->with_hard ? &pinning->hard : NULL,
                                pinning->with_soft ? &pinning->soft : NULL, pinning->force));
    return NULL;
}

COMMAND(vcpu_pin)
{
    static const struct option longs[] = {
        {"force", no_argument, NULL, 'f'},
        {"ignore-global-affinity-masks", no_argument, NULL, 'i'},
        {"help", no_argument, NULL, 'h'},
        END_OF_OPTIONS,
    };
    struct pinning pinning = {0};
    unsigned int domid;
    unsigned int cpus;
    int option;

    while ((option = xl_option(xl, argc, argv, "hf", longs)) >= 0)
        pinning.force |= option == 'f';
    TRY(xl_expect_arguments(xl, argc, 3, 4));
    TRY(xl_domain(xl, argv[optind], &domid));
    TRY(host_cpu_limit(&xl->toolstack, &cpus));
    cpu_set_make(&pinning.hard, cpus);
    cpu_set_make(&pinning.soft, cpus);
    const char *hard = argv[optind + 2];
    const char *soft = optind + 3 < argc ? argv[optind + 3] : "-";
    struct error *error = NULL;

    pinning.with_hard = strcmp(hard, "-") != 0;
    pinning.with_soft = strcmp(soft, "-") != 0;
    if (pinning.with_hard)
        error = cpu_set_parse(&pinning.hard, hard);
    if (!error && pinning.with_soft)
        error = cpu_set_parse(&pinning.soft, soft);
    if (!error && (pinning.with_hard || pinning.with_soft))
        error = pin(xl, domid, argv[optind + 1], &pinning);
    cpu_set_free(&pinning.hard);
    cpu_set_free(&pinning.soft);
    return error;
}
