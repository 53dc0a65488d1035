// SPDX-License-Identifier: Apache-2.0
//
// xenconsoled: reads its options, goes to the background, and serves the consoles of all domains in
// one event loop. Domains come and go by xenstore's special watches; then the hypervisor's list of
// domains is compared with the consoles that there are.
#include "xenconsoled.h"

#include <toolstack/device.h>

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static volatile sig_atomic_t reopen_wanted;
static volatile sig_atomic_t end_wanted;

static void on_signal(int number)
{
    if (number == SIGHUP)
        reopen_wanted = 1;
    else
        end_wanted = 1;
}

static struct console *find_console(const struct daemon *daemon, unsigned int domid)
{
    for (size_t i = 0; i < daemon->count; i++)
        if (console_domid(daemon->consoles[i]) == domid)
            return daemon->consoles[i];
    return NULL;
}

static bool is_listed(const domain_info *list, size_t count, unsigned int domid)
{
    for (size_t i = 0; i < count; i++)
        if (list[i].domain == domid)
            return !(list[i].flags & XEN_DOMINF_dying);
    return false;
}

static void try_console(struct daemon *daemon, unsigned int domid)
{
    struct console *console = console_make(daemon, domid);

    if (!console) {
        waiting_begin(daemon, domid);
        return;
    }
    waiting_end(daemon, domid);
    daemon->consoles =
        memory_resized(daemon->consoles, daemon->count + 1, sizeof(*daemon->consoles));
    daemon->consoles[daemon->count++] = console;
}

// Makes consoles for new domains and ends those of domains that are gone.
static void compare_domains(struct daemon *daemon)
{
    domain_info *list = NULL;
    size_t count = 0;
    struct error *error = domain_list(&daemon->toolstack, &list, &count);

    if (error) {
        error_print(error, stderr, "xenconsoled: ");
        error_free(error);
        return;
    }
    for (size_t i = 0; i < daemon->count;) {
        if (is_listed(list, count, console_domid(daemon->consoles[i]))) {
            i++;
        } else {
            console_free(daemon->consoles[i]);
            daemon->consoles[i] = daemon->consoles[--daemon->count];
        }
    }
    // From the end, for what ends leaves its place to the last.
    for (size_t i = daemon->waiting_count; i-- > 0;)
        if (!is_listed(list, count, daemon->waiting[i]))
            waiting_end(daemon, daemon->waiting[i]);
    for (size_t i = 0; i < count; i++)
        if (list[i].domain != daemon->own && !(list[i].flags & XEN_DOMINF_dying) &&
            !find_console(daemon, list[i].domain))
            try_console(daemon, list[i].domain);
    free(list);
}

static void watch_fired(void *context)
{
    struct daemon *daemon = context;
    const char *token;
    char *event;

    while ((event = store_next_event(daemon->toolstack.store, &token)) != NULL)
        free(event);
    compare_domains(daemon);
}

static void event_fired(void *context)
{
    struct daemon *daemon = context;
    int port = xenevtchn_pending(daemon->events);

    if (port < 0)
        return;
    if (port == daemon->hypervisor_port) {
        hypervisor_log_read(daemon);
        xenevtchn_unmask(daemon->events, (evtchn_port_t)port);
        return;
    }
    for (size_t i = 0; i < daemon->count; i++)
        if (console_event(daemon->consoles[i], (uint32_t)port))
            return;
}

static struct error *open_all(struct daemon *daemon)
{
    TRY(toolstack_open(&daemon->toolstack));
    daemon->own = device_own_domain(&daemon->toolstack);
    daemon->events = xenevtchn_open(NULL, 0);
    if (!daemon->events)
        return error_errno(ERROR_SYSTEM, errno, "cannot open the event channel device");
    daemon->grants = xengnttab_open(NULL, 0);
    if (!daemon->grants)
        return error_errno(ERROR_SYSTEM, errno, "cannot open the grant device");
    mkdir(daemon->settings.log_folder, 0755);
    hypervisor_log_begin(daemon);
    loop_add(&daemon->loop, xenevtchn_fd(daemon->events), event_fired, daemon);
    loop_add(&daemon->loop, store_descriptor(daemon->toolstack.store), watch_fired, daemon);
    TRY(store_watch(daemon->toolstack.store, "begin", "@introduceDomain"));
    return store_watch(daemon->toolstack.store, "end", "@releaseDomain");
}

static long next_wait(struct daemon *daemon)
{
    int64_t now = loop_now();
    long least = -1;

    for (size_t i = 0; i < daemon->count; i++) {
        long wait = console_wait(daemon->consoles[i], now);

        if (wait >= 0 && (least < 0 || wait < least))
            least = wait;
    }
    return least;
}

static void reopen_logs(struct daemon *daemon)
{
    reopen_wanted = 0;
    for (size_t i = 0; i < daemon->count; i++)
        console_reopen_log(daemon->consoles[i]);
    log_reopen(&daemon->hypervisor_log);
}

static struct error *serve(struct daemon *daemon)
{
    compare_domains(daemon);
    while (!end_wanted) {
        TRY(loop_wait(&daemon->loop, next_wait(daemon)));
        if (reopen_wanted)
            reopen_logs(daemon);
    }
    return NULL;
}

static void handle_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};

    sigaction(SIGHUP, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static void choose(const char *word, bool *guests, bool *hypervisor)
{
    *guests |= !strcmp(word, "guest") || !strcmp(word, "all");
    *hypervisor |= !strcmp(word, "hv") || !strcmp(word, "all");
}

static bool read_options(int argc, char **argv, struct settings *settings)
{
    static const struct option longs[] = {
        {"help", no_argument, NULL, 'h'},
        {"interactive", no_argument, NULL, 'i'},
        {"verbose", no_argument, NULL, 'v'},
        {"log", required_argument, NULL, 'l'},
        {"log-dir", required_argument, NULL, 'd'},
        {"log-size", required_argument, NULL, 's'},
        {"log-count", required_argument, NULL, 'c'},
        {"pid-file", required_argument, NULL, 'p'},
        {"timestamp", required_argument, NULL, 't'},
        {"overflow-data", required_argument, NULL, 'o'},
        {NULL, 0, NULL, 0},
    };
    int option;

    while ((option = getopt_long(argc, argv, "hivt:o:", longs, NULL)) >= 0) {
        if (option == 'h' || option == '?')
            return false;
        settings->foreground |= option == 'i';
        if (option == 'l')
            choose(optarg, &settings->log_guests, &settings->log_hypervisor);
        else if (option == 't')
            choose(optarg, &settings->stamp_guests, &settings->stamp_hypervisor);
        else if (option == 'd')
            settings->log_folder = optarg;
        else if (option == 's')
            settings->log_size = strtoull(optarg, NULL, 10);
        else if (option == 'c')
            settings->log_count = (unsigned int)strtoul(optarg, NULL, 10);
        else if (option == 'p')
            settings->pid_file = optarg;
        else if (option == 'o')
            settings->keep_old = !strcmp(optarg, "keep");
    }
    return optind == argc;
}

static bool write_pid(const char *path)
{
    FILE *file = fopen(path, "w");

    if (!file)
        return false;
    fprintf(file, "%ld\n", (long)getpid());
    return fclose(file) == 0;
}

int main(int argc, char **argv)
{
    static struct daemon process;

    process.settings = (struct settings){
        .log_folder = "/var/log/xen/console", .log_size = 10 << 20, .log_count = 3};
    if (!read_options(argc, argv, &process.settings)) {
        fputs("Usage: xenconsoled [-i] [--log=none|guest|hv|all] [--log-dir=DIR]\n"
              "    [--log-size=BYTES] [--log-count=N] [--timestamp=none|guest|hv|all]\n"
              "    [--overflow-data=discard|keep] [--pid-file=FILE]\n",
              stderr);
        return 2;
    }
    if (!process.settings.foreground && daemon(0, 0) != 0)
        return 1;
    handle_signals();
    struct error *error = open_all(&process);

    if (!error && process.settings.pid_file && !write_pid(process.settings.pid_file))
        error = error_errno(ERROR_SYSTEM, errno, "cannot write %s", process.settings.pid_file);
    if (!error)
        error = serve(&process);
    for (size_t i = 0; i < process.count; i++)
        console_free(process.consoles[i]);
    if (!error)
        return 0;
    error_print(error, stderr, "xenconsoled: ");
    error_free(error);
    return 1;
}
