// SPDX-License-Identifier: Apache-2.0
//
// Processor pools: cpupool-create, -destroy, -rename, -cpu-add, -cpu-remove, -migrate, -numa-split.
// Names are kept in xenstore below /local/pool. A pool that cannot be made complete is destroyed
// again.
#include "xl.h"

#include <toolstack/config.h>
#include <toolstack/host.h>
#include <toolstack/memory.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct error *operate(struct xl *xl, uint32_t command, uint32_t pool, uint32_t cpu,
                             unsigned int domid)
{
    struct xen_sysctl_cpupool_op operation = {
        .op = command, .cpupool_id = pool, .cpu = cpu, .domid = domid};

    return host_pool_operation(&xl->toolstack, &operation);
}

static struct error *scheduler_number(const char *word, uint32_t *number)
{
    for (uint32_t i = XEN_SCHEDULER_CREDIT; i <= XEN_SCHEDULER_NULL; i++) {
        if (!strcmp(word, host_scheduler_word(i))) {
            *number = i;
            return NULL;
        }
    }
    return error_advice(error_new(ERROR_VALUE, "there is no scheduler %s", word),
                        "There are credit, credit2, rtds, arinc653 and null.");
}

// The processors as a configuration lists them: a list of numbers or strings, or one string.
static struct error *read_cpus(struct config *config, struct cpu_set *cpus)
{
    const struct config_value *value = config_find(config, "cpus");
    struct text text = {0};

    if (!value)
        return error_advice(error_new(ERROR_VALUE, "cpus is not set"),
                            "Say which free processors the pool gets: cpus = \"2-3\".");
    for (size_t i = 0; i < value->count; i++)
        if (value->items[i].text)
            text_add(&text, "%s%s", text.length ? "," : "", value->items[i].text);
    struct error *error = cpu_set_parse(
        cpus, value->kind == CONFIG_LIST ? (text.bytes ? text.bytes : "none") : value->text);

    text_free(&text);
    return error;
}

static struct error *add_cpus(struct xl *xl, uint32_t pool, const struct cpu_set *cpus,
                              uint32_t command)
{
    for (unsigned int cpu = 0; cpu < cpus->count; cpu++)
        if (cpu_set_has(cpus, cpu))
            TRY(operate(xl, command, pool, cpu, 0));
    return NULL;
}

static struct error *check_name(struct xl *xl, const char *name)
{
    struct cpu_pool *pools;
    bool taken = false;
    size_t count;

    TRY(host_list_pools(&xl->toolstack, &pools, &count));
    for (size_t i = 0; i < count; i++)
        taken |= !strcmp(pools[i].name, name);
    host_free_pools(pools, count);
    return taken ? error_new(ERROR_NAME_TAKEN, "another pool is called %s", name) : NULL;
}

static struct error *set_name(struct xl *xl, uint32_t pool, const char *name)
{
    TRY(check_name(xl, name));
    return store_write(xl->toolstack.store, name, "/local/pool/%u/name", pool);
}

// A pool of free processors.
static struct error *make_pool(struct xl *xl, const char *name, uint32_t scheduler,
                               const struct cpu_set *cpus)
{
    struct xen_sysctl_cpupool_op operation = {.op = XEN_SYSCTL_CPUPOOL_OP_CREATE,
                                              .cpupool_id = XEN_SYSCTL_CPUPOOL_PAR_ANY,
                                              .sched_id = scheduler};

    TRY(check_name(xl, name));
    TRY(host_pool_operation(&xl->toolstack, &operation));
    struct error *error = add_cpus(xl, operation.cpupool_id, cpus, XEN_SYSCTL_CPUPOOL_OP_ADDCPU);

    if (!error)
        error = set_name(xl, operation.cpupool_id, name);
    if (error) {
        error_ignore(add_cpus(xl, operation.cpupool_id, cpus, XEN_SYSCTL_CPUPOOL_OP_RMCPU));
        error_ignore(operate(xl, XEN_SYSCTL_CPUPOOL_OP_DESTROY, operation.cpupool_id, 0, 0));
    }
    return error;
}

static struct error *make_configured(struct xl *xl, struct config *config)
{
    const char *name = NULL;
    const char *word = NULL;
    struct cpu_set cpus;
    uint32_t scheduler;
    unsigned int limit;

    TRY(config_string(config, "name", &name));
    TRY(config_string(config, "sched", &word));
    if (!name)
        return error_advice(error_new(ERROR_VALUE, "name is not set"),
                            "Give the pool a name: name = \"pool\".");
    TRY(host_get_scheduler(&xl->toolstack, &scheduler));
    if (word)
        TRY(scheduler_number(word, &scheduler));
    TRY(host_cpu_limit(&xl->toolstack, &limit));
    cpu_set_make(&cpus, limit);
    struct error *error = read_cpus(config, &cpus);

    if (!error)
        error = make_pool(xl, name, scheduler, &cpus);
    cpu_set_free(&cpus);
    return error;
}

COMMAND(cpupool_create)
{
    static const struct option longs[] = {{"defconfig", required_argument, NULL, 'f'},
                                          {"help", no_argument, NULL, 'h'},
                                          END_OF_OPTIONS};
    const char *file = NULL;
    struct config config = {0};
    struct error *error = NULL;
    int option;

    while ((option = xl_option(xl, argc, argv, "hf:", longs)) >= 0)
        if (option == 'f')
            file = optarg;
    if (!file && optind < argc && !strchr(argv[optind], '='))
        file = argv[optind++];
    if (!file && optind == argc)
        return xl_misused(xl, "cpupool-create needs a file or settings");
    if (file)
        error = config_add_file(&config, file);
    for (; optind < argc && !error; optind++)
        error = config_add_text(&config, "command line", argv[optind], strlen(argv[optind]));
    if (!error)
        error = toolstack_open(&xl->toolstack);
    if (!error)
        error = make_configured(xl, &config);
    if (!error)
        config_warn_unused(&config, stderr);
    config_free(&config);
    return error;
}

static struct error *pool_argument(struct xl *xl, int argc, char **argv, int arguments, int index,
                                   uint32_t *pool)
{
    while (xl_option(xl, argc, argv, "h", NULL) >= 0)
        ;
    TRY(xl_expect_arguments(xl, argc, arguments, arguments));
    TRY(toolstack_open(&xl->toolstack));
    return host_find_pool(&xl->toolstack, argv[optind + index], pool);
}

COMMAND(cpupool_destroy)
{
    struct cpu_pool *pools;
    struct error *error = NULL;
    uint32_t pool;
    size_t count;

    TRY(pool_argument(xl, argc, argv, 1, 0, &pool));
    TRY(host_list_pools(&xl->toolstack, &pools, &count));
    for (size_t i = 0; i < count && !error; i++) {
        if (pools[i].id != pool)
            continue;
        if (pools[i].domains)
            error = error_advice(
                error_new(ERROR_STATE, "the pool still holds %u domains", pools[i].domains),
                "Move them with xl cpupool-migrate first.");
        else
            error = add_cpus(xl, pool, &pools[i].cpus, XEN_SYSCTL_CPUPOOL_OP_RMCPU);
    }
    host_free_pools(pools, count);
    if (error)
        return error;
    TRY(operate(xl, XEN_SYSCTL_CPUPOOL_OP_DESTROY, pool, 0, 0));
    return store_remove(xl->toolstack.store, "/local/pool/%u", pool);
}

COMMAND(cpupool_rename)
{
    uint32_t pool;

    TRY(pool_argument(xl, argc, argv, 2, 0, &pool));
    return set_name(xl, pool, argv[optind + 1]);
}

static struct error *change_cpus(struct xl *xl, int argc, char **argv, uint32_t command)
{
    struct cpu_set cpus;
    unsigned int limit;
    uint32_t pool;

    TRY(pool_argument(xl, argc, argv, 2, 0, &pool));
    TRY(host_cpu_limit(&xl->toolstack, &limit));
    cpu_set_make(&cpus, limit);
    struct error *error = cpu_set_parse(&cpus, argv[optind + 1]);

    if (!error)
        error = add_cpus(xl, pool, &cpus, command);
    cpu_set_free(&cpus);
    return error;
}

COMMAND(cpupool_cpu_add)
{
    return change_cpus(xl, argc, argv, XEN_SYSCTL_CPUPOOL_OP_ADDCPU);
}

COMMAND(cpupool_cpu_remove)
{
    return change_cpus(xl, argc, argv, XEN_SYSCTL_CPUPOOL_OP_RMCPU);
}

COMMAND(cpupool_migrate)
{
    unsigned int domid;
    uint32_t pool;

    TRY(pool_argument(xl, argc, argv, 2, 1, &pool));
    TRY(xl_domain(xl, argv[optind], &domid));
    return operate(xl, XEN_SYSCTL_CPUPOOL_OP_MOVEDOMAIN, pool, 0, domid);
}

// Moves the processors of one node from the first pool into one of the node's own.
static struct error *split_off(struct xl *xl, uint32_t scheduler, const uint32_t *nodes,
                               unsigned int cpus, uint32_t node)
{
    char *name = memory_format("Pool-node%u", node);
    struct cpu_set set;

    cpu_set_make(&set, cpus);
    for (unsigned int cpu = 0; cpu < cpus; cpu++)
        if (nodes[cpu] == node)
            cpu_set_add(&set, cpu);
    struct error *error = add_cpus(xl, 0, &set, XEN_SYSCTL_CPUPOOL_OP_RMCPU);

    if (!error)
        error = make_pool(xl, name, scheduler, &set);
    cpu_set_free(&set);
    free(name);
    return error;
}

static struct error *split(struct xl *xl, const uint32_t *nodes, unsigned int cpus)
{
    struct cpu_pool *pools;
    uint32_t scheduler;
    size_t count;

    TRY(host_list_pools(&xl->toolstack, &pools, &count));
    host_free_pools(pools, count);
    if (count > 1)
        return error_advice(error_new(ERROR_STATE, "there are several pools already"),
                            "Destroy all but the first.");
    TRY(host_get_scheduler(&xl->toolstack, &scheduler));
    TRY(store_write(xl->toolstack.store, "Pool-node0", "/local/pool/0/name"));
    for (unsigned int cpu = 0; cpu < cpus; cpu++) {
        bool first = nodes[cpu] != 0 && nodes[cpu] != XEN_INVALID_NODE_ID;

        for (unsigned int other = 0; other < cpu; other++)
            first &= nodes[other] != nodes[cpu];
        if (first)
            TRY(split_off(xl, scheduler, nodes, cpus, nodes[cpu]));
    }
    return NULL;
}

COMMAND(cpupool_numa_split)
{
    uint32_t *nodes;
    unsigned int cpus;

    while (xl_option(xl, argc, argv, "h", NULL) >= 0)
        ;
    TRY(xl_expect_arguments(xl, argc, 0, 0));
    TRY(toolstack_open(&xl->toolstack));
    TRY(host_get_nodes(&xl->toolstack, &nodes, &cpus));
    struct error *error = split(xl, nodes, cpus);

    free(nodes);
    return error;
}
