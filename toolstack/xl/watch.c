// SPDX-License-Identifier: Apache-2.0
//
// The process that stays with a domain. It sleeps on xenstore's @releaseDomain until its domain has
// shut down, does what the configuration says, and ends with the domain or goes on with its
// successor. When someone else destroys the domain it ends quietly.
#include "xl.h"

#include <toolstack/create.h>
#include <toolstack/domain_config.h>
#include <toolstack/loop.h>
#include <toolstack/memory.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <xen/sched.h>

// A domain that ends sooner than this after its start is not restarted at once for ever.
#ifndef RESTART_SECONDS // tests have no time
#define RESTART_SECONDS 5
#endif
#ifndef DUMP_FOLDER
#define DUMP_FOLDER "/var/lib/xen/dump"
#endif

static void drain(void *context)
{
    struct store *store = context;
    const char *token;
    char *event;

    while ((event = store_next_event(store, &token)) != NULL)
        free(event);
}

// Waits until the domain has shut down (its reason) or is gone (-1).
static struct error *wait_for_shutdown(struct xl *xl, unsigned int domid, int *reason)
{
    struct store *store = xl->toolstack.store;
    struct loop loop = {0};
    struct error *error = store_watch(store, "end", "@releaseDomain");

    *reason = -1;
    loop_add(&loop, store_descriptor(store), drain, store);
    while (!error) {
        domain_info info;
        struct error *gone = domain_get_info(&xl->toolstack, domid, &info);

        if (gone || info.flags & XEN_DOMINF_dying) {
            error_ignore(gone);
            break;
        }
        *reason = domain_shutdown_reason(&info);
        if (*reason >= 0)
            break;
        error = loop_wait(&loop, -1);
    }
    store_unwatch(store, "end", "@releaseDomain");
    loop_free(&loop);
    return error;
}

static enum end_action action_for(const struct domain_config *config, int reason)
{
    switch (reason) {
    case SHUTDOWN_poweroff:
        return config->on_poweroff;
    case SHUTDOWN_reboot:
    case SHUTDOWN_soft_reset:
        return config->on_reboot;
    case SHUTDOWN_watchdog:
        return config->on_watchdog;
    case SHUTDOWN_crash:
        return config->on_crash;
    default:
        return END_PRESERVE;
    }
}

// What a running domain has become since it was started counts for the next start.
static void refresh_config(struct xl *xl, struct domain_config *config, unsigned int domid)
{
    struct domain_config kept = {0};
    struct error *error = domain_config_load(config->uuid, &kept);
    char *name = domain_name(&xl->toolstack, domid);

    if (error) {
        error_ignore(error);
        domain_config_free(&kept);
    } else {
        domain_config_free(config);
        *config = kept;
    }
    if (name) {
        free(config->name);
        config->name = name;
    }
}

// One that ended soon after its start stays as it is for a while, so that a person can look at it,
// change its configuration or destroy it. Returns whether it is still there.
static bool wait_before_restart(struct xl *xl, unsigned int domid, time_t started)
{
    struct timespec pause = {.tv_sec = RESTART_SECONDS};
    domain_info info;

    if (time(NULL) - started >= RESTART_SECONDS)
        return true;
    printf("The domain ended soon after its start; waiting %d seconds.\n", RESTART_SECONDS);
    nanosleep(&pause, NULL);
    struct error *gone = domain_get_info(&xl->toolstack, domid, &info);

    error_ignore(gone);
    return !gone && !(info.flags & XEN_DOMINF_dying);
}

static struct error *restart(struct xl *xl, struct domain_config *config, unsigned int *domid,
                             bool set_aside)
{
    refresh_config(xl, config, *domid);
    if (set_aside)
        TRY(domain_set_aside(&xl->toolstack, *domid));
    else
        TRY(domain_destroy(&xl->toolstack, *domid));
    TRY(domain_create(&xl->toolstack, config, domid));
    return domain_unpause(&xl->toolstack, *domid);
}

// Ends or restarts; *again tells whether there is a domain to go on with.
static struct error *act(struct xl *xl, struct domain_config *config, unsigned int *domid,
                         enum end_action action, time_t started, bool *again)
{
    *again = false;
    if (action == END_COREDUMP_DESTROY || action == END_COREDUMP_RESTART) {
        char *path = memory_format(DUMP_FOLDER "/%s-%u.core", config->name, *domid);
        struct error *error = dump_core(xl, *domid, path);

        // A dump that fails does not keep the domain from what is to follow.
        if (error) {
            error_print(error, stderr, "");
            error_free(error);
        }
        free(path);
    }
    switch (action) {
    case END_DESTROY:
    case END_COREDUMP_DESTROY:
        return domain_destroy(&xl->toolstack, *domid);
    case END_PRESERVE:
        return NULL;
    default:
        *again = wait_before_restart(xl, *domid, started);
        if (*again)
            return restart(xl, config, domid, action == END_RENAME_RESTART);
        printf("Domain %u has been destroyed.\n", *domid);
        return NULL;
    }
}

struct error *watch_domain(struct xl *xl, struct domain_config *config, unsigned int domid,
                           bool unpause)
{
    bool again = true;

    TRY(toolstack_open(&xl->toolstack));
    if (unpause)
        TRY(domain_unpause(&xl->toolstack, domid));
    while (again) {
        time_t started = time(NULL);
        int reason;

        printf("Waiting for domain %s (domid %u) to die\n", config->name, domid);
        TRY(wait_for_shutdown(xl, domid, &reason));
        if (reason < 0) {
            printf("Domain %u has been destroyed.\n", domid);
            return NULL;
        }
        enum end_action action = action_for(config, reason);

        printf("Domain %u has shut down, reason: %s; action: %s\n", domid,
               domain_shutdown_word(reason), end_action_word(action));
        TRY(act(xl, config, &domid, action, started, &again));
    }
    return NULL;
}
