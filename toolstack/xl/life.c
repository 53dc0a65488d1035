// SPDX-License-Identifier: Apache-2.0
//
// What is asked of running domains in a word: pause, unpause, rename, shutdown, reboot. Waiting for
// domains to end is done by xenstore's special watch @releaseDomain, which fires when one shuts
// down.
#include "xl.h"

#include <toolstack/memory.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct error *only_argument(struct xl *xl, int argc, char **argv, unsigned int *domid)
{
    while (xl_option(xl, argc, argv, "h", NULL) >= 0)
        ;
    TRY(xl_expect_arguments(xl, argc, 1, 1));
    return xl_domain(xl, argv[optind], domid);
}

COMMAND(pause)
{
    unsigned int domid;

    TRY(only_argument(xl, argc, argv, &domid));
    return domain_pause(&xl->toolstack, domid);
}

COMMAND(unpause)
{
    unsigned int domid;

    TRY(only_argument(xl, argc, argv, &domid));
    return domain_unpause(&xl->toolstack, domid);
}

COMMAND(rename)
{
    unsigned int domid;

    while (xl_option(xl, argc, argv, "h", NULL) >= 0)
        ;
    TRY(xl_expect_arguments(xl, argc, 2, 2));
    TRY(xl_domain(xl, argv[optind], &domid));
    return domain_rename(&xl->toolstack, domid, argv[optind + 1]);
}

// Whether a domain has shut down, is going, or is gone.
static bool has_ended(struct xl *xl, unsigned int domid)
{
    domain_info info;
    struct error *error = domain_get_info(&xl->toolstack, domid, &info);

    if (error) {
        error_ignore(error);
        return true;
    }
    return info.flags & (XEN_DOMINF_shutdown | XEN_DOMINF_dying);
}

static struct error *wait_for_end(struct xl *xl, const unsigned int *domids, size_t count)
{
    struct store *store = xl->toolstack.store;
    size_t ended = 0;

    TRY(store_watch(store, "end", "@releaseDomain"));
    while (ended < count) {
        struct pollfd descriptor = {.fd = store_descriptor(store), .events = POLLIN};
        const char *token;
        char *event;

        if (has_ended(xl, domids[ended])) {
            ended++;
            continue;
        }
        if (poll(&descriptor, 1, -1) < 0 && errno != EINTR)
            return error_errno(ERROR_SYSTEM, errno, "cannot wait");
        while ((event = store_next_event(store, &token)) != NULL)
            free(event);
    }
    store_unwatch(store, "end", "@releaseDomain");
    return NULL;
}

// Collects the domains that are meant: the named one, or all but domain 0.
static struct error *collect(struct xl *xl, const char *word, unsigned int **domids, size_t *count)
{
    domain_info *list;
    size_t number;

    if (word) {
        *domids = memory_zeroed(sizeof(**domids));
        *count = 1;
        struct error *error = xl_domain(xl, word, *domids);

        if (error)
            free(*domids);
        return error;
    }
    TRY(domain_list(&xl->toolstack, &list, &number));
    *domids = memory_zeroed(number * sizeof(**domids));
    *count = 0;
    for (size_t i = 0; i < number; i++)
        if (list[i].domain != 0)
            (*domids)[(*count)++] = list[i].domain;
    free(list);
    return NULL;
}

static struct error *request(struct xl *xl, int argc, char **argv, const char *what)
{
    static const struct option longs[] = {{"all", no_argument, NULL, 'a'},
                                          {"wait", no_argument, NULL, 'w'},
                                          {"help", no_argument, NULL, 'h'},
                                          END_OF_OPTIONS};
    bool all = false;
    bool wait = false;
    unsigned int *domids;
    size_t count;
    int option;

    // -F, an ACPI event where there is no driver, concerns domains with a device model.
    while ((option = xl_option(xl, argc, argv, "hawF", longs)) >= 0) {
        all |= option == 'a';
        wait |= option == 'w';
    }
    TRY(xl_expect_arguments(xl, argc, all ? 0 : 1, all ? 0 : 1));
    TRY(toolstack_open(&xl->toolstack));
    TRY(collect(xl, all ? NULL : argv[optind], &domids, &count));
    struct error *error = NULL;

    for (size_t i = 0; i < count && !error; i++) {
        printf("%s domain %u\n", strcmp(what, "reboot") ? "Shutting down" : "Rebooting", domids[i]);
        error = domain_request_shutdown(&xl->toolstack, domids[i], what);
    }
    fflush(stdout);
    if (!error && wait)
        error = wait_for_end(xl, domids, count);
    free(domids);
    return error;
}

COMMAND(shutdown)
{
    return request(xl, argc, argv, "poweroff");
}

COMMAND(reboot)
{
    return request(xl, argc, argv, "reboot");
}
