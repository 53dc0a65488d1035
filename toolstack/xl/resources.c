// SPDX-License-Identifier: Apache-2.0
//
// What a running domain has of memory and processors, and signals to it: mem-set, mem-max,
// vcpu-set, sysrq, trigger. Targets go to the guest through xenstore; limits to the hypervisor.
#include "xl.h"

#include <toolstack/host.h>
#include <toolstack/memory.h>

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Beyond its target a domain has its tables and special pages.
#define MEMORY_SLACK_KIB 1024

static struct error *set_limit(struct xl *xl, unsigned int domid, uint64_t kibibytes)
{
    struct xen_domctl operation = {.cmd = XEN_DOMCTL_max_mem, .domain = (domid_t)domid};

    operation.u.max_mem.max_memkb = kibibytes + MEMORY_SLACK_KIB;
    int result = hypervisor_domctl(xl->toolstack.hypervisor, &operation);

    if (result >= 0)
        return NULL;
    return error_in_domain(error_errno(ERROR_HYPERVISOR, result, "cannot set its memory limit"),
                           NULL, (int)domid);
}

static struct error *memory_arguments(struct xl *xl, int argc, char **argv, unsigned int *domid,
                                      uint64_t *kibibytes)
{
    while (xl_option(xl, argc, argv, "h", NULL) >= 0)
        ;
    TRY(xl_expect_arguments(xl, argc, 2, 2));
    TRY(toolstack_open(&xl->toolstack));
    TRY(xl_domain(xl, argv[optind], domid));
    return xl_parse_memory(argv[optind + 1], kibibytes);
}

COMMAND(mem_set)
{
    unsigned int domid;
    uint64_t kibibytes;
    char number[32];

    TRY(memory_arguments(xl, argc, argv, &domid, &kibibytes));
    long most =
        store_read_number(xl->toolstack.store, -1, "/local/domain/%u/memory/static-max", domid);

    if (most >= 0 && kibibytes > (uint64_t)most)
        return error_advice(
            error_in_domain(error_new(ERROR_VALUE, "it cannot have more than %ld MiB", most >> 10),
                            argv[optind], (int)domid),
            "xl mem-max raises that limit.");
    // The limit goes up before the guest asks for more, and down with the target.
    TRY(set_limit(xl, domid, kibibytes));
    snprintf(number, sizeof(number), "%lu", kibibytes);
    return store_write(xl->toolstack.store, number, "/local/domain/%u/memory/target", domid);
}

COMMAND(mem_max)
{
    unsigned int domid;
    uint64_t kibibytes;
    char number[32];

    TRY(memory_arguments(xl, argc, argv, &domid, &kibibytes));
    long target =
        store_read_number(xl->toolstack.store, 0, "/local/domain/%u/memory/target", domid);

    if (kibibytes < (uint64_t)target)
        return error_advice(
            error_in_domain(error_new(ERROR_VALUE, "it is to have %ld MiB now", target >> 10),
                            argv[optind], (int)domid),
            "Shrink it first, with xl mem-set.");
    TRY(set_limit(xl, domid, kibibytes));
    snprintf(number, sizeof(number), "%lu", kibibytes);
    return store_write(xl->toolstack.store, number, "/local/domain/%u/memory/static-max", domid);
}

struct vcpu_request {
    unsigned int domid;
    unsigned int count;
    unsigned int most;
};

static struct error *write_vcpus(struct store *store, void *context)
{
    const struct vcpu_request *request = context;

    for (unsigned int vcpu = 0; vcpu < request->most; vcpu++)
        TRY(store_write(store, vcpu < request->count ? "online" : "offline",
                        "/local/domain/%u/cpu/%u/availability", request->domid, vcpu));
    return NULL;
}

COMMAND(vcpu_set)
{
    static const struct option longs[] = {
        {"ignore-host", no_argument, NULL, 'i'}, {"help", no_argument, NULL, 'h'}, END_OF_OPTIONS};
    struct xen_sysctl_physinfo physical = {0};
    struct vcpu_request request = {0};
    bool ignore_host = xl->force;
    domain_info info;
    char *end;
    int option;

    while ((option = xl_option(xl, argc, argv, "hi", longs)) >= 0)
        ignore_host |= option == 'i';
    TRY(xl_expect_arguments(xl, argc, 2, 2));
    TRY(toolstack_open(&xl->toolstack));
    TRY(xl_domain(xl, argv[optind], &request.domid));
    TRY(domain_get_info(&xl->toolstack, request.domid, &info));
    TRY(host_get_physical(&xl->toolstack, &physical));
    request.count = (unsigned int)strtoul(argv[optind + 1], &end, 10);
    request.most = info.max_vcpu_id + 1;
    if (!isdigit((unsigned char)argv[optind + 1][0]) || *end || !request.count ||
        request.count > request.most)
        return error_in_domain(error_new(ERROR_VALUE, "it can have from 1 to %u vcpus, not %s",
                                         request.most, argv[optind + 1]),
                               argv[optind], (int)request.domid);
    if (request.count > physical.nr_cpus && !ignore_host)
        return error_advice(
            error_new(ERROR_VALUE, "the machine has only %u processors", physical.nr_cpus),
            "-i overrides this.");
    return store_transaction(xl->toolstack.store, write_vcpus, &request);
}

COMMAND(sysrq)
{
    unsigned int domid;

    while (xl_option(xl, argc, argv, "h", NULL) >= 0)
        ;
    TRY(xl_expect_arguments(xl, argc, 2, 2));
    if (strlen(argv[optind + 1]) != 1)
        return xl_misused(xl, "sysrq sends one letter");
    TRY(toolstack_open(&xl->toolstack));
    TRY(xl_domain(xl, argv[optind], &domid));
    return store_write(xl->toolstack.store, argv[optind + 1], "/local/domain/%u/control/sysrq",
                       domid);
}

COMMAND(trigger)
{
    static const struct {
        const char *word;
        uint32_t trigger;
    } triggers[] = {
        {"nmi", XEN_DOMCTL_SENDTRIGGER_NMI},     {"reset", XEN_DOMCTL_SENDTRIGGER_RESET},
        {"init", XEN_DOMCTL_SENDTRIGGER_INIT},   {"power", XEN_DOMCTL_SENDTRIGGER_POWER},
        {"sleep", XEN_DOMCTL_SENDTRIGGER_SLEEP},
    };
    struct xen_domctl operation = {.cmd = XEN_DOMCTL_sendtrigger};
    unsigned int domid;

    while (xl_option(xl, argc, argv, "h", NULL) >= 0)
        ;
    TRY(xl_expect_arguments(xl, argc, 2, 3));
    for (size_t i = 0; i < sizeof(triggers) / sizeof(triggers[0]); i++)
        if (!strcmp(triggers[i].word, argv[optind + 1]))
            operation.u.sendtrigger.trigger = triggers[i].trigger;
    if (strcmp(argv[optind + 1], "nmi") && !operation.u.sendtrigger.trigger)
        return xl_misused(xl, "there is no trigger %s", argv[optind + 1]);
    if (optind + 2 < argc)
        operation.u.sendtrigger.vcpu = (uint32_t)strtoul(argv[optind + 2], NULL, 10);
    TRY(xl_domain(xl, argv[optind], &domid));
    operation.domain = (domid_t)domid;
    int result = hypervisor_domctl(xl->toolstack.hypervisor, &operation);

    if (result >= 0)
        return NULL;
    return error_in_domain(
        error_errno(ERROR_HYPERVISOR, result, "cannot send %s to it", argv[optind + 1]),
        argv[optind], (int)domid);
}
