// SPDX-License-Identifier: Apache-2.0
//
// The status: written by the daemon into xenstore, a numbered node for each domain in the order of
// the launch configuration, each in one transaction, and
// shown from there by anyone in the control domain who asks. The store keeps it when the daemon
// ends; the table says so then.
#include "bulkheadd.h"

#include <toolstack/memory.h>

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static char *list_functions(const struct domain_config *config)
{
    struct text list = {0};

    for (size_t i = 0; i < config->function_count; i++) {
        char function[PCI_TEXT_SIZE];

        pci_format(&config->functions[i], function);
        text_add(&list, "%s%s", i ? " " : "", function);
    }
    return text_take(&list);
}

static struct error *write_status(struct store *store, void *context)
{
    const struct supervised *domain = context;
    const struct launch_domain *launch = domain->launch;
    size_t number = (size_t)(domain - domain->supervisor->domains);
    const struct {
        const char *key;
        char *value;
    } nodes[] = {
        {"name", memory_copy_text(launch->name)},
        {"phase", memory_copy_text(phase_word(domain->phase))},
        {"since", memory_format("%ld", (long)time(NULL))},
        {"domid", memory_format("%u", domain->domid)},
        {"restarts", memory_format("%lu", domain->restarts)},
        {"policy", memory_copy_text(restart_policy_word(launch->restart))},
        {"outage", memory_format("%ld", domain->outage)},
        {"reason", memory_copy_text(domain->reason ? domain->reason : "")},
        {"devices", list_functions(&launch->config)},
    };
    struct error *error = NULL;

    for (size_t i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++) {
        if (!error)
            error = store_write(store, nodes[i].value, STATUS_PATH "/%zu/%s", number, nodes[i].key);
        free(nodes[i].value);
    }
    return error;
}

void publish(struct supervised *domain)
{
    struct error *error =
        store_transaction(domain->supervisor->toolstack.store, write_status, domain);

    if (error)
        error_print(error, stderr, "bulkheadd: ");
    error_free(error);
}

static char *read_text(struct store *store, size_t number, const char *key)
{
    char *value = store_read(store, STATUS_PATH "/%zu/%s", number, key);

    return value ? value : memory_copy_text("");
}

static void format_time(char *text, size_t size, long seconds)
{
    if (seconds < 0)
        seconds = 0;
    if (seconds >= 86400)
        snprintf(text, size, "%ld d %ld h", seconds / 86400, seconds / 3600 % 24);
    else
        snprintf(text, size, "%ld:%02ld:%02ld", seconds / 3600, seconds / 60 % 60, seconds % 60);
}

static void show_domain(struct store *store, size_t number, const char *name)
{
    char *phase = read_text(store, number, "phase");
    char *devices = read_text(store, number, "devices");
    char *reason = read_text(store, number, "reason");
    long domid = store_read_number(store, 0, STATUS_PATH "/%zu/domid", number);
    long outage = store_read_number(store, -1, STATUS_PATH "/%zu/outage", number);
    long restarts = store_read_number(store, 0, STATUS_PATH "/%zu/restarts", number);
    long since = store_read_number(store, 0, STATUS_PATH "/%zu/since", number);
    char age[32];
    char id[16] = "-";
    char gap[32] = "-";

    format_time(age, sizeof(age), (long)time(NULL) - since);
    if (domid)
        snprintf(id, sizeof(id), "%ld", domid);
    if (outage >= 0)
        snprintf(gap, sizeof(gap), "%.1f s", (double)outage / 1000);
    printf("%-16s %5s  %-9s %11s %9ld %12s  %s\n", name, id, phase, age, restarts, gap,
           *devices ? devices : "-");
    if (*reason)
        printf("%23s last end: %s\n", "", reason);
    free(phase);
    free(devices);
    free(reason);
}

static struct error *show_table(struct store *store)
{
    char *daemon = store_read(store, STATUS_PATH "/pid");
    char *name;

    if (!daemon)
        return error_advice(error_new(ERROR_STATE, "bulkheadd has not run here"),
                            "Start it: bulkheadd, with /etc/bulkhead/launch.conf.");
    if (kill((pid_t)strtol(daemon, NULL, 10), 0) != 0)
        puts("bulkheadd does not run any more; this is what it knew last.");
    free(daemon);
    printf("%-16s %5s  %-9s %11s %9s %12s  %s\n", "NAME", "ID", "STATE", "SINCE", "RESTARTS",
           "LAST OUTAGE", "DEVICES");
    for (size_t i = 0; (name = store_read(store, STATUS_PATH "/%zu/name", i)) != NULL; i++) {
        show_domain(store, i, name);
        free(name);
    }
    return NULL;
}

struct error *show_status(bool refreshing)
{
    struct store *store;
    struct error *error;

    TRY(store_open(&store));
    do {
        if (refreshing)
            fputs("\033[H\033[2J", stdout);
        error = show_table(store);
        fflush(stdout);
    } while (refreshing && !error && poll(NULL, 0, 1000) == 0);
    store_close(store);
    return error;
}
