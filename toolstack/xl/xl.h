// SPDX-License-Identifier: Apache-2.0
//
// What the commands of xl share. A command is a function that gets its own arguments (argv[0] is
// its name) and returns an error or NULL; main() prints the error and makes it the exit status. The
// table in commands.c says what there is and what the help shows.
#ifndef XL_XL_H
#define XL_XL_H

#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <toolstack/domain.h>
#include <toolstack/error.h>

struct json_object;

struct xl {
    struct toolstack toolstack;
    const struct command *command;
    int verbose;  // -v, may be repeated
    bool force;   // -f
    bool dry_run; // -N
    int status;   // exit status of a command that returned no error
    // What xl_learn_names has found out.
    domain_info *known;
    char **known_names;
    size_t known_count;
};

struct command {
    const char *name;
    struct error *(*run)(struct xl *xl, int argc, char **argv);
    const char *arguments; // as the usage line shows them
    const char *summary;   // one sentence without a period
    const char *options;   // a line for each option, or NULL
};

extern const struct command commands[];
extern const size_t command_count;

const struct command *command_find(const char *name);
void command_usage(const struct command *command, bool to_error);

// Reads the next option of a command as getopt_long does; -1 at the end. --help prints the usage
// and ends the program; an option that is not known prints the usage and ends it with status 2.
int xl_option(struct xl *xl, int argc, char **argv, const char *shorts, const struct option *longs);

// An error about how the command was called, after its usage was printed.
struct error *xl_misused(struct xl *xl, const char *format, ...) PRINTF_LIKE(2, 3) MUST_CHECK;

// Checks that between low and high arguments (high < 0: any number) are left after the options.
struct error *xl_expect_arguments(struct xl *xl, int argc, int low, int high) MUST_CHECK;

// The domain named by a word of the command line, which must exist.
struct error *xl_domain(struct xl *xl, const char *word, unsigned int *domid) MUST_CHECK;

// Asks for the names of all of a list at once, for xl_name; for commands that end soon.
void xl_learn_names(struct xl *xl, const domain_info *list, size_t count);

// The name of a domain, or "(null)"; the caller frees it.
char *xl_name(struct xl *xl, unsigned int domid);

// Prints a JSON value and frees it.
void xl_print_json(struct json_object *value);

// A size like 512, 512m, 2g, 1048576k, in KiB; plain numbers count in MiB.
struct error *xl_parse_memory(const char *text, uint64_t *kibibytes) MUST_CHECK;

struct domain_config;

// Stays with a domain until it has ended and does what its configuration says then; config may be
// replaced on the way.
struct error *watch_domain(struct xl *xl, struct domain_config *config, unsigned int domid,
                           bool unpause) MUST_CHECK;

// Detaches from the terminal, with the output going to a log of this name. Returns true in the
// process that stays in the background; connections are closed in both.
bool xl_into_background(struct xl *xl, const char *name);

// Joins the terminal with a console of a domain until the escape character is typed or the domain
// is gone; unpauses the domain, if so told, when the two are connected.
struct error *console_attach(struct xl *xl, unsigned int domid, const char *type,
                             unsigned int number, int escape, bool unpause) MUST_CHECK;
#define CONSOLE_ESCAPE 0x1d // ctrl-]

// Writes a domain's memory to a file.
struct error *dump_core(struct xl *xl, unsigned int domid, const char *path) MUST_CHECK;

#define OPTION_JSON 1000
#define JSON_OPTION                                                                                \
    {                                                                                              \
        "json", no_argument, NULL, OPTION_JSON                                                     \
    }
#define END_OF_OPTIONS                                                                             \
    {                                                                                              \
        NULL, 0, NULL, 0                                                                           \
    }

#define COMMAND(name) struct error *command_##name(struct xl *xl, int argc, char **argv)
#define X(name, function, arguments, summary, options) COMMAND(function);
#include "commands.def"
#undef X

#endif
