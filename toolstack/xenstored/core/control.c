// SPDX-License-Identifier: Apache-2.0
//
// Control commands (request.h), for people: each answers with text. A table of names; the help is
// made from it. They run at once and keep nothing.

#include "request.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Adds a line's worth of text, without its terminator; what does not fit is left out. */
static void __attribute__((format(printf, 2, 3)))
say(struct request *request, const char *format, ...)
{
    char text[256];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    (void)reply_add(request, text, strlen(text));
}

static int control_check(struct request *request)
{
    const char *wrong = xenstore_check(request->store);

    say(request, "%s", wrong ? wrong : "OK");
    return 0;
}

static int control_log(struct request *request)
{
    const char *how = request->arguments > 1 ? request->argument[1] : "";

    if (strcmp(how, "on") != 0 && strcmp(how, "off") != 0) {
        return EINVAL;
    }
    request->store->trace = strcmp(how, "on") == 0;
    say(request, "OK");
    return 0;
}

static int control_logfile(struct request *request)
{
    const struct host *host = request->store->host;
    int error = request->arguments > 1 ? host->log_to(host->context, request->argument[1]) : EINVAL;

    if (error == 0) {
        say(request, "OK");
    }
    return error;
}

static int control_print(struct request *request)
{
    const struct host *host = request->store->host;

    if (request->arguments < 2) {
        return EINVAL;
    }
    host->log(host->context, request->argument[1]);
    say(request, "OK");
    return 0;
}

static int control_memreport(struct request *request)
{
    const struct store *store = request->store;
    unsigned connections = 0;
    unsigned transactions = 0;

    for (const struct connection *c = store->connections; c; c = c->next) {
        connections++;
    }
    for (const struct transaction *t = store->oldest_transaction; t; t = t->next) {
        transactions++;
    }
    say(request, "nodes of the store: %zu bytes\n", store->owned_bytes);
    say(request, "nodes of all trees: %zu bytes\n", nodes_alive());
    say(request, "connections: %u, transactions: %u, watched paths: %zu\n", connections,
        transactions, store->watch_points);
    for (unsigned i = 0; i < DOMAIN_BUCKETS; i++) {
        for (const struct domain *d = store->domains[i]; d; d = d->next) {
            say(request,
                "domain %u: %ld nodes, %ld bytes, %u watches, %u transactions, other %ld\n", d->id,
                d->owned.nodes, d->owned.bytes, d->watches, d->transactions, d->memory);
        }
    }
    return 0;
}

static int show_domain(struct request *request, const char *text)
{
    const struct domain *domain;
    unsigned long long domid;

    domain =
        parse_number(text, 0xffff, &domid) ? domain_find(request->store, (unsigned)domid) : NULL;
    if (!domain) {
        return ENOENT;
    }
    say(request, "Domain %u uses:\n", domain->id);
    say(request, "%-18s %10ld of %u\n", quota_name(QUOTA_NODES), domain->owned.nodes,
        domain->quotas.limit[QUOTA_NODES]);
    say(request, "%-18s %10u of %u\n", quota_name(QUOTA_WATCHES), domain->watches,
        domain->quotas.limit[QUOTA_WATCHES]);
    say(request, "%-18s %10u of %u\n", quota_name(QUOTA_TRANSACTIONS), domain->transactions,
        domain->quotas.limit[QUOTA_TRANSACTIONS]);
    say(request, "%-18s %10ld of %u\n", quota_name(QUOTA_MEMORY),
        domain->memory + domain->owned.bytes, domain->quotas.limit[QUOTA_MEMORY]);
    return 0;
}

static int control_quota(struct request *request)
{
    struct quotas *quotas = &request->store->quotas;
    unsigned long long value;
    enum quota kind;

    if (request->arguments == 2) {
        return show_domain(request, request->argument[1]);
    }
    if (request->arguments == 4 && strcmp(request->argument[1], "set") == 0) {
        kind = quota_by_name(request->argument[2]);
        if (kind == QUOTA_COUNT || !parse_number(request->argument[3], UINT32_MAX, &value)) {
            return EINVAL;
        }
        quotas->limit[kind] = (unsigned)value;
        for (unsigned i = 0; i < DOMAIN_BUCKETS; i++) {
            for (struct domain *domain = request->store->domains[i]; domain;
                 domain = domain->next) {
                domain->quotas.limit[kind] = (unsigned)value;
            }
        }
        say(request, "OK");
        return 0;
    }
    if (request->arguments != 1) {
        return EINVAL;
    }
    for (unsigned i = 0; i < QUOTA_COUNT; i++) {
        say(request, "%-18s %10u\n", quota_name((enum quota)i), quotas->limit[i]);
    }
    return 0;
}

static int control_help(struct request *request);

static const struct {
    const char *name;
    const char *arguments;
    int (*serve)(struct request *request);
} commands[] = {
    {"check", "", control_check},
    {"help", "", control_help},
    {"log", " on|off", control_log},
    {"logfile", " <file>", control_logfile},
    {"memreport", "", control_memreport},
    {"print", " <text>", control_print},
    {"quota", " [<domid>|set <name> <value>]", control_quota},
};

static int control_help(struct request *request)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        say(request, "%s%s\n", commands[i].name, commands[i].arguments);
    }
    return 0;
}

int request_control(struct request *request)
{
    int error = EINVAL;

    if (!request_arguments(request, 1, ARGUMENTS_MOST)) {
        return EINVAL;
    }
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(request->argument[0], commands[i].name) == 0) {
            error = commands[i].serve(request);
        }
    }
    /* Clients print it as a string. */
    if (error == 0 && reply_add(request, "", 1) != 0) {
        request->reply[XENSTORE_PAYLOAD_MAX - 1] = '\0';
    }
    return error;
}
