// SPDX-License-Identifier: Apache-2.0
//
// The xenstored program: options, then the parts in order (hypervisor, socket, store, domain 0's
// ring, background, loop). Everything is in memory; a server that ends forgets the store, so it
// ends only when it is told to. Errors before it serves are sentences and exit status 1; wrong
// options are status 2.

#include "../core/quota.h"
#include "daemon.h"
#include "hypervisor.h"
#include "log.h"
#include "loop.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define SOCKET_PATH "/run/xenstored/socket"
#define XENFS_PATH "/proc/xen"

struct options {
    const char *socket;
    const char *xenfs;
    const char *pid_file;
    bool foreground;
    bool no_domains;
    struct quotas quotas;
};

static const char usage_text[] =
    "Usage: xenstored [OPTION...]\n"
    "  -F, --pid-file FILE          write the process id there\n"
    "  -N, --no-fork                stay in the foreground\n"
    "  -T, --trace-file FILE        log there\n"
    "  -Q, --quota NAME=NUMBER      what a domain may have of NAME; 0: no limit (see below)\n"
    "  -E, --entry-nb NUMBER        the same as --quota nodes=NUMBER\n"
    "  -S, --entry-size NUMBER      ... node-size\n"
    "  -W, --watch-nb NUMBER        ... watches\n"
    "  -t, --transaction NUMBER     ... transactions\n"
    "  -A, --perm-nb NUMBER         ... permissions\n"
    "  -M, --path-max NUMBER        ... path-length\n"
    "      --socket PATH            listen there (" SOCKET_PATH ")\n"
    "      --xenfs FOLDER           where xenfs is mounted (" XENFS_PATH ")\n"
    "      --no-domains             serve the socket only, without a hypervisor\n"
    "  -H, --help                   this text\n";

enum { OPTION_SOCKET = 256, OPTION_XENFS, OPTION_NO_DOMAINS };

static const struct option long_options[] = {
    {"pid-file", required_argument, NULL, 'F'},
    {"no-fork", no_argument, NULL, 'N'},
    {"trace-file", required_argument, NULL, 'T'},
    {"quota", required_argument, NULL, 'Q'},
    {"entry-nb", required_argument, NULL, 'E'},
    {"entry-size", required_argument, NULL, 'S'},
    {"watch-nb", required_argument, NULL, 'W'},
    {"transaction", required_argument, NULL, 't'},
    {"perm-nb", required_argument, NULL, 'A'},
    {"path-max", required_argument, NULL, 'M'},
    {"socket", required_argument, NULL, OPTION_SOCKET},
    {"xenfs", required_argument, NULL, OPTION_XENFS},
    {"no-domains", no_argument, NULL, OPTION_NO_DOMAINS},
    {"help", no_argument, NULL, 'H'},
    {NULL, 0, NULL, 0},
};

static void usage(FILE *stream)
{
    fputs(usage_text, stream);
    fputs("Quotas and their defaults:", stream);
    for (unsigned kind = 0; kind < QUOTA_COUNT; kind++) {
        fprintf(stream, "%s %s=%u", kind % 4 ? "" : "\n ", quota_name((enum quota)kind),
                quota_defaults.limit[kind]);
    }
    fputs("\n", stream);
}

static void refuse(const char *what, const char *text)
{
    fprintf(stderr, "xenstored: %s: %s\n", what, text);
    exit(2);
}

static void set_quota(struct options *options, const char *name, const char *number)
{
    enum quota kind = quota_by_name(name);
    char *end;
    unsigned long value = strtoul(number, &end, 10);

    if (kind == QUOTA_COUNT) {
        refuse("there is no such quota", name);
    }
    if (*number < '0' || *number > '9' || *end || value > UINT32_MAX) {
        refuse("not a number", number);
    }
    options->quotas.limit[kind] = (unsigned)value;
}

static void parse_quota(struct options *options, char *text)
{
    char *equals = strchr(text, '=');

    if (!equals) {
        refuse("a quota is NAME=NUMBER", text);
    }
    *equals = '\0';
    set_quota(options, text, equals + 1);
}

/* The quota that a letter of its own sets, or NULL. */
static const char *quota_of_letter(int letter)
{
    switch (letter) {
    case 'E':
        return "nodes";
    case 'S':
        return "node-size";
    case 'W':
        return "watches";
    case 't':
        return "transactions";
    case 'A':
        return "permissions";
    case 'M':
        return "path-length";
    default:
        return NULL;
    }
}

static void parse_option(struct options *options, int letter)
{
    switch (letter) {
    case 'F':
        options->pid_file = optarg;
        break;
    case 'N':
        options->foreground = true;
        break;
    case 'T':
        if (log_to_file(optarg) != 0) {
            refuse("cannot write to", optarg);
        }
        break;
    case 'Q':
        parse_quota(options, optarg);
        break;
    case OPTION_SOCKET:
        options->socket = optarg;
        break;
    case OPTION_XENFS:
        options->xenfs = optarg;
        break;
    case OPTION_NO_DOMAINS:
        options->no_domains = true;
        break;
    case 'H':
        usage(stdout);
        exit(0);
    default:
        if (!quota_of_letter(letter)) {
            usage(stderr);
            exit(2);
        }
        set_quota(options, quota_of_letter(letter), optarg);
    }
}

static void parse_options(struct options *options, int argc, char **argv)
{
    int letter;

    while ((letter = getopt_long(argc, argv, "F:NT:Q:E:S:W:t:A:M:H", long_options, NULL)) != -1) {
        parse_option(options, letter);
    }
    if (optind < argc) {
        refuse("what is this?", argv[optind]);
    }
}

/* As many clients as the system allows. */
static void raise_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static bool connect_own_domain(const char *xenfs, struct store *store)
{
    struct xenstore_domain_interface *ring;
    unsigned port;

    if (!hypervisor_own_ring(xenfs, &ring, &port)) {
        return false;
    }
    if (xenstore_introduce_local(store, 0, ring, port) != 0) {
        log_line("no memory for this domain's connection");
        return false;
    }
    return true;
}

static int serve(const struct options *options, int listener)
{
    struct loop *loop = loop_create(listener, !options->no_domains);
    struct store *store = loop ? xenstore_create(loop_host(loop)) : NULL;

    if (!store) {
        log_line("no memory");
        return 1;
    }
    *xenstore_quotas(store) = options->quotas;
    loop_attach(loop, store);
    if ((!options->no_domains && !connect_own_domain(options->xenfs, store)) ||
        !daemon_ready(options->pid_file)) {
        return 1;
    }
    loop_run(loop);
    loop_destroy(loop);
    return 0;
}

int main(int argc, char **argv)
{
    struct options options = {.socket = SOCKET_PATH, .xenfs = XENFS_PATH, .quotas = quota_defaults};
    int listener;
    int status;

    parse_options(&options, argc, argv);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    raise_descriptors();
    if (!options.foreground && !daemon_background()) {
        return 1;
    }
    if (!options.no_domains && !hypervisor_open()) {
        return 1;
    }
    listener = daemon_listen(options.socket);
    if (listener < 0) {
        return 1;
    }
    status = serve(&options, listener);
    unlink(options.socket);
    if (options.pid_file) {
        unlink(options.pid_file);
    }
    return status;
}
