// SPDX-License-Identifier: Apache-2.0
//
// bulkheadd: reads its options and the launch configuration, goes to the background, and looks
// after the domains until it is told to end; the domains go on without it, and are adopted by its
// next start. A lock keeps a second one from running. bulkheadd status shows what it knows.
#include "bulkheadd.h"

#include <toolstack/memory.h>

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define LAUNCH_FILE "/etc/bulkhead/launch.conf"
#define LOG_FILE "/var/log/xen/bulkheadd.log"
#define LOCK_FILE "/run/xen/bulkheadd.lock"

struct options {
    const char *file;
    const char *pid_file;
    bool foreground;
    bool check;
    bool status;
    bool watch;
};

static volatile sig_atomic_t end_wanted;

static void on_signal(int number)
{
    (void)number;
    end_wanted = 1;
}

static void handle_signals(void)
{
    const struct sigaction end = {.sa_handler = on_signal};

    sigaction(SIGTERM, &end, NULL);
    sigaction(SIGINT, &end, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static struct error *take_lock(void)
{
    mkdir("/run/xen", 0755);
    int lock = open(LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (lock >= 0 && flock(lock, LOCK_EX | LOCK_NB) == 0)
        return NULL;
    if (lock >= 0 && errno == EWOULDBLOCK)
        return error_advice(error_new(ERROR_STATE, "bulkheadd runs already"),
                            "bulkheadd status shows what it does.");
    return error_errno(ERROR_SYSTEM, errno, "cannot lock " LOCK_FILE);
}

// Output goes to the log from here on.
static struct error *into_background(void)
{
    if (daemon(0, 0) != 0)
        return error_errno(ERROR_SYSTEM, errno, "cannot go to the background");
    int log = open(LOG_FILE, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);

    if (log >= 0) {
        dup2(log, 1);
        dup2(log, 2);
    }
    return NULL;
}

static struct error *write_pid(const char *path)
{
    FILE *file = path ? fopen(path, "w") : NULL;

    if (!path)
        return NULL;
    if (!file || fprintf(file, "%ld\n", (long)getpid()) < 0 || fclose(file) != 0)
        return error_errno(ERROR_SYSTEM, errno, "cannot write %s", path);
    return NULL;
}

static void store_fired(void *context)
{
    struct supervisor *supervisor = context;
    const char *token;
    char *event;

    while ((event = store_next_event(supervisor->toolstack.store, &token)) != NULL)
        free(event);
}

static struct error *supervise(struct supervisor *supervisor)
{
    struct store *store;

    TRY(toolstack_open(&supervisor->toolstack));
    store = supervisor->toolstack.store;
    TRY(find_devices(&supervisor->toolstack, &supervisor->launch));
    TRY(supervise_begin(supervisor));
    TRY(store_watch(store, "end", "@releaseDomain"));
    loop_add(&supervisor->loop, store_descriptor(store), store_fired, supervisor);
    while (!end_wanted) {
        long milliseconds = supervise_look(supervisor);

        fflush(stdout);
        TRY(loop_wait(&supervisor->loop, milliseconds));
    }
    return NULL;
}

static bool read_options(int argc, char **argv, struct options *options)
{
    static const struct option longs[] = {
        {"config", required_argument, NULL, 'c'},   {"foreground", no_argument, NULL, 'i'},
        {"check", no_argument, NULL, 'n'},          {"watch", no_argument, NULL, 'w'},
        {"pid-file", required_argument, NULL, 'p'}, {NULL, 0, NULL, 0},
    };
    int option;

    options->file = LAUNCH_FILE;
    while ((option = getopt_long(argc, argv, "c:inp:w", longs, NULL)) >= 0) {
        if (option == '?')
            return false;
        options->foreground |= option == 'i';
        options->check |= option == 'n';
        options->watch |= option == 'w';
        if (option == 'c')
            options->file = optarg;
        if (option == 'p')
            options->pid_file = optarg;
    }
    options->status = optind < argc && !strcmp(argv[optind], "status");
    return optind + options->status == argc && (!options->watch || options->status);
}

static struct error *run(const struct options *options)
{
    struct supervisor supervisor = {.count = 0};

    if (options->status)
        return show_status(options->watch);
    struct error *error = launch_read(options->file, &supervisor.launch);

    if (!error && options->check) {
        printf("%s: %zu domains, no mistake\n", options->file, supervisor.launch.count);
    } else if (!error) {
        // What is told before this reaches the person who started it.
        error = options->foreground ? NULL : into_background();
        if (!error)
            error = take_lock();
        if (!error)
            error = write_pid(options->pid_file);
        if (!error)
            error = supervise(&supervisor);
        supervise_end(&supervisor);
        loop_free(&supervisor.loop);
        toolstack_close(&supervisor.toolstack);
    }
    launch_free(&supervisor.launch);
    return error;
}

int main(int argc, char **argv)
{
    struct options options = {.file = NULL};

    if (!read_options(argc, argv, &options)) {
        fputs("Usage: bulkheadd [-i | --foreground] [-c FILE | --config=FILE] [-p FILE | "
              "--pid-file=FILE]\n"
              "       bulkheadd -n | --check [-c FILE | --config=FILE]\n"
              "       bulkheadd status [-w | --watch]\n",
              stderr);
        return 2;
    }
    handle_signals();
    struct error *error = run(&options);

    if (!error)
        return 0;
    error_print(error, stderr, "bulkheadd: ");
    error_free(error);
    return 1;
}
