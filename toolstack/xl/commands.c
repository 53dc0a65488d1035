// SPDX-License-Identifier: Apache-2.0
//
// The table of commands, and help, which shows it. Whoever adds a command adds its line here, with
// what it takes and what its options mean.
#include "xl.h"

#include <stdio.h>
#include <string.h>

const struct command commands[] = {
#define X(name, function, arguments, summary, options)                                             \
    {name, command_##function, arguments, summary, options},
#include "commands.def"
#undef X
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
