// SPDX-License-Identifier: Apache-2.0
//
// xl create: reads the configuration, makes the domain, and leaves a process behind that waits for
// the domain's end and does what on_poweroff, on_reboot, on_crash and on_watchdog say. That process
// is xl again, without a terminal, its output in a log for each domain.
#include "xl.h"

#include <toolstack/create.h>
#include <toolstack/domain_config.h>
#include <toolstack/memory.h>

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOG_FOLDER "/var/log/xen"
#define SETTINGS_FILE "/etc/xen/xl.conf"

struct create_options {
    const char *file;
    bool console;
    bool no_watch; // -e
    bool foreground;
    bool dry_run;
    bool paused;
    bool quiet;
};

// Reads the file and the settings on the command line, which come last and win.
static struct error *read_config(const struct create_options *options, int count, char **settings,
                                 struct domain_config *result)
{
    struct config config = {0};
    struct error *error = config_add_file(&config, options->file);

    for (int i = 0; i < count && !error; i++) {
        char *source = memory_format("setting %d of the command line", i + 1);

        error = config_add_text(&config, source, settings[i], strlen(settings[i]));
        free(source);
    }
    if (!error)
        error = domain_config_read(&config, result);
    if (!error)
        error = domain_config_apply_defaults(result, SETTINGS_FILE);
    if (!error && !options->quiet)
        config_warn_unused(&config, stderr);
    config_free(&config);
    return error;
}

bool xl_into_background(struct xl *xl, const char *name)
{
    // Connections do not survive a fork; both processes open their own.
    toolstack_close(&xl->toolstack);
    fflush(NULL);
    pid_t pid = fork();

    if (pid != 0)
        return false;
    char *path = memory_format(LOG_FOLDER "/xl-%s.log", name);
    int null = open("/dev/null", O_RDWR);
    int log = open(path, O_WRONLY | O_CREAT | O_APPEND, 0644);

    free(path);
    setsid();
    dup2(null, 0);
    dup2(log >= 0 ? log : null, 1);
    dup2(log >= 0 ? log : null, 2);
    if (null > 2)
        close(null);
    if (log > 2)
        close(log);
    setlinebuf(stdout);
    return true;
}

static void parse_create_option(int option, struct create_options *options)
{
    switch (option) {
    case 'f':
        options->file = optarg;
        break;
    case 'c':
        options->console = true;
        break;
    case 'e':
        options->no_watch = true;
        break;
    case 'F':
        options->foreground = true;
        break;
    case 'n':
        options->dry_run = true;
        break;
    case 'p':
        options->paused = true;
        break;
    case 'q':
        options->quiet = true;
        break;
    default:
        // -d, -V and -A concern messages and displays that there are none of.
        break;
    }
}

// Lets the domain run and looks after it as the options say.
static struct error *run_domain(struct xl *xl, const struct create_options *options,
                                struct domain_config *config, unsigned int domid)
{
    // Who waits in the foreground has no terminal left for the console.
    bool console = options->console && !options->foreground;
    bool watching =
        !options->no_watch && (options->foreground || xl_into_background(xl, config->name));

    // With its console, the domain runs when that is joined, so that nothing is missed.
    if (watching)
        return watch_domain(xl, config, domid, !options->paused && !console);
    if (console)
        return console_attach(xl, domid, "pv", 0, CONSOLE_ESCAPE, !options->paused);
    return options->no_watch && !options->paused ? domain_unpause(&xl->toolstack, domid) : NULL;
}

COMMAND(create)
{
    static const struct option longs[] = {
        {"defconfig", required_argument, NULL, 'f'},
        {"dryrun", no_argument, NULL, 'n'},
        {"quiet", no_argument, NULL, 'q'},
        {"vncviewer", no_argument, NULL, 'V'},
        {"vncviewer-autopass", no_argument, NULL, 'A'},
        {"ignore-global-affinity-masks", no_argument, NULL, 'i'},
        {"help", no_argument, NULL, 'h'},
        END_OF_OPTIONS,
    };
    struct create_options options = {.dry_run = xl->dry_run};
    struct domain_config config = {0};
    unsigned int domid;
    int option;

    while ((option = xl_option(xl, argc, argv, "hf:cdeFnpqVA", longs)) >= 0)
        parse_create_option(option, &options);
    // A first argument without '=' is the file.
    if (!options.file && optind < argc && !strchr(argv[optind], '='))
        options.file = argv[optind++];
    if (!options.file)
        return xl_misused(xl, "create needs a configuration file");
    if (!options.quiet)
        fprintf(stderr, "Parsing config from %s\n", options.file);
    struct error *error = read_config(&options, argc - optind, argv + optind, &config);

    if (!error && options.dry_run) {
        xl_print_json(domain_config_to_json(&config));
    } else if (!error) {
        error = domain_create(&xl->toolstack, &config, &domid);
        if (!error)
            error = run_domain(xl, &options, &config, domid);
    }
    domain_config_free(&config);
    return error;
}

COMMAND(config_update)
{
    struct create_options options = {0};
    struct domain_config config = {0};
    struct domain_config kept = {0};
    unsigned int domid;
    domain_info info;

    while (xl_option(xl, argc, argv, "h", NULL) >= 0)
        ;
    TRY(xl_expect_arguments(xl, argc, 2, -1));
    TRY(xl_domain(xl, argv[optind], &domid));
    TRY(domain_get_info(&xl->toolstack, domid, &info));
    options.file = argv[optind + 1];
    struct error *error = domain_config_load(info.handle, &kept);

    if (!error)
        error = read_config(&options, argc - optind - 2, argv + optind + 2, &config);
    if (!error) {
        // The domain stays who it is.
        memcpy(config.uuid, info.handle, sizeof(config.uuid));
        error = domain_config_save(&config);
    }
    domain_config_free(&config);
    domain_config_free(&kept);
    return error;
}

COMMAND(destroy)
{
    unsigned int domid;

    while (xl_option(xl, argc, argv, "hf", NULL) >= 0)
        ;
    TRY(xl_expect_arguments(xl, argc, 1, 1));
    TRY(xl_domain(xl, argv[optind], &domid));
    return domain_destroy(&xl->toolstack, domid);
}
