// SPDX-License-Identifier: Apache-2.0
//
// The table of commands, and help, which shows it. Whoever adds a command adds its line here, with
// what it takes and what its options mean.
#include "xl.h"

#include <stdio.h>
#include <string.h>

#define JSON_HELP "--json          Print the same as JSON\n"

const struct command commands[] = {
    {"create", command_create, "<ConfigFile> [options] [key=value]...", "Start a domain",
     "-f, --defconfig=FILE   Use this configuration file\n"
     "-c                     Join its console\n"
     "-e                     Do not wait in the background for its end\n"
     "-F                     Wait for its end in the foreground\n"
     "-n, --dryrun           Only print the configuration, as JSON\n"
     "-p                     Leave it paused\n"
     "-q, --quiet            No messages but errors\n"},
    {"config-update", command_config_update, "<Domain> <ConfigFile> [key=value]...",
     "Set the configuration that a domain's next start uses", NULL},
    {"destroy", command_destroy, "<Domain>", "End a domain at once", NULL},
    {"console", command_console, "[options] <Domain>", "Join a domain's console",
     "-t <type>       pv or serial\n"
     "-n <number>     The console's number\n"
     "-e <escape>     The character that leaves it, ^] without this option\n"},
    {"dump-core", command_dump_core, "<Domain> <File>", "Write a domain's memory to a file", NULL},
    {"list", command_list, "[options] [Domain]...", "List domains",
     "-l, --long      All details, as JSON\n"
     "-v, --verbose   With UUIDs and the reason of a shutdown\n"
     "-Z, --context   With security labels\n"
     "-c, --cpupool   With the processor pool\n"
     "-n, --numa      With the nodes that a domain prefers\n" JSON_HELP},
    {"vcpu-list", command_vcpu_list, "[options] [Domain]...", "List virtual processors", JSON_HELP},
    {"uptime", command_uptime, "[options] [Domain]...", "Show how long domains have been running",
     "-s, --short     Without the header\n" JSON_HELP},
    {"domid", command_domid, "<DomainName>", "Show the id of a domain", NULL},
    {"domname", command_domname, "<DomainId>", "Show the name of a domain", NULL},
    {"info", command_info, "[options] [Name]", "Show what the machine and the hypervisor are",
     JSON_HELP},
    {"dmesg", command_dmesg, "[-c]", "Show the hypervisor's log",
     "-c, --clear     Empty it afterwards\n"},
    {"debug-keys", command_debug_keys, "<Keys>", "Send keys to the hypervisor", NULL},
    {"pause", command_pause, "<Domain>", "Stop a domain's processors", NULL},
    {"unpause", command_unpause, "<Domain>", "Let a paused domain run", NULL},
    {"rename", command_rename, "<Domain> <NewDomainName>", "Give a domain another name", NULL},
    {"shutdown", command_shutdown, "[options] <-a|Domain>", "Ask a domain to shut down",
     "-a, --all       Every domain but this one\n"
     "-w, --wait      Return when it has happened\n"},
    {"reboot", command_reboot, "[options] <-a|Domain>", "Ask a domain to restart",
     "-a, --all       Every domain but this one\n"
     "-w, --wait      Return when the old one has ended\n"},
    {"sched-credit2", command_sched_credit2, "[options]", "Show or set credit2's parameters",
     "-d, --domain=DOMAIN        Of this domain\n"
     "-w, --weight=WEIGHT        Set its weight\n"
     "-c, --cap=CAP              Set its cap, in percent of a processor\n"
     "-p, --cpupool=POOL         Only of this pool\n"
     "-s, --schedparam           Of the pool instead of its domains\n"
     "-r, --ratelimit_us=LIMIT   Set the pool's rate limit, with -s\n" JSON_HELP},
    {"cpupool-list", command_cpupool_list, "[options] [Pool]", "List processor pools",
     "-c, --cpus      With the processors of each\n" JSON_HELP},
    {"vcpu-pin", command_vcpu_pin, "[options] <Domain> <VCPU|all> <Hard|-|all> [<Soft|-|all>]",
     "Say on which processors a vcpu may run",
     "-f, --force     Undo a pinning by the guest's own kernel\n"},
    {"help", command_help, "[Command]", "Show what there is, or how a command is used", NULL},
};
const size_t command_count = sizeof(commands) / sizeof(commands[0]);

const struct command *command_find(const char *name)
{
    for (size_t i = 0; i < command_count; i++)
        if (!strcmp(commands[i].name, name))
            return &commands[i];
    return NULL;
}

void command_usage(const struct command *command, bool to_error)
{
    FILE *stream = to_error ? stderr : stdout;

    fprintf(stream, "Usage: xl [-vfN] %s %s\n\n%s.\n", command->name, command->arguments,
            command->summary);
    if (command->options)
        fprintf(stream, "\nOptions:\n\n%s", command->options);
}

COMMAND(help)
{
    while (xl_option(xl, argc, argv, "h", NULL) >= 0)
        ;
    TRY(xl_expect_arguments(xl, argc, 0, 1));
    if (optind < argc) {
        const struct command *command = command_find(argv[optind]);

        if (!command)
            return error_new(ERROR_USAGE, "there is no command %s", argv[optind]);
        command_usage(command, false);
        return NULL;
    }
    puts("Usage: xl [-vfN] <command> [arguments]\n");
    for (size_t i = 0; i < command_count; i++)
        printf(" %-22s %s\n", commands[i].name, commands[i].summary);
    return NULL;
}
