// SPDX-License-Identifier: Apache-2.0
//
// Writes the manual pages of xl from the table of its commands: without an argument that of xl,
// with the name of a command that of the command. Runs on the machine that builds.
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct entry {
    const char *name;
    const char *arguments;
    const char *summary;
    const char *options;
};

static const struct entry entries[] = {
#define X(name, function, arguments, summary, options) {name, arguments, summary, options},
#include "../commands.def"
#undef X
};

static const size_t entry_count = sizeof(entries) / sizeof(entries[0]);

// roff takes a hyphen for a place to break and a dot at the start of a line for a request.
static void print_text(const char *text)
{
    for (bool start = true; *text; text++) {
        if (*text == '-')
            fputs("\\-", stdout);
        else if (*text == '\\')
            fputs("\\\\", stdout);
        else if (start && (*text == '.' || *text == '\''))
            printf("\\&%c", *text);
        else
            putchar(*text);
        start = *text == '\n';
    }
}

static void print_summary(const struct entry *entry)
{
    print_text(entry->summary);
    puts(".");
}

// The options as xl help shows them, in their columns.
static void print_options(const struct entry *entry)
{
    puts(".nf");
    print_text(entry->options);
    puts(".fi");
}

static void print_status(void)
{
    puts(".SH EXIT STATUS\n0 when it worked, 1 when it failed, 2 when it was called wrongly.\n"
         "The last word of an error, in brackets, is a code that does not change.");
}

static void print_all(void)
{
    puts(
        ".TH XL 1\n.SH NAME\nxl \\- manage domains\n.SH SYNOPSIS\n"
        ".B xl\n[\\-vfN] command [arguments]\n.SH DESCRIPTION\n"
        "xl starts, shows, changes and ends domains.\n"
        "A domain is meant by its name or its number.\n"
        "Each command has a page of its own: xl\\-create(1) and so on.\n"
        ".SH OPTIONS\n.TP\n.B \\-v\nSay more.\n.TP\n.B \\-f\nDo it in spite of objections that can "
        "be overridden.\n.TP\n.B \\-N\nOnly show what would be done.\n.SH COMMANDS");
    for (size_t i = 0; i < entry_count; i++) {
        fputs(".SS ", stdout);
        print_text(entries[i].name);
        putchar(' ');
        print_text(entries[i].arguments);
        putchar('\n');
        print_summary(&entries[i]);
        if (entries[i].options) {
            puts(".PP");
            print_options(&entries[i]);
        }
    }
    print_status();
    puts(".SH FILES\n.TP\n.I /var/lib/xen/domain\\-UUID.json\nThe configuration of a running "
         "domain.\n.TP\n.I /var/log/xen/xl\\-NAME.log\nWhat the process that looks after a domain "
         "has done.");
}

static void print_one(const struct entry *entry)
{
    fputs(".TH \"XL\\-", stdout);
    print_text(entry->name);
    fputs("\" 1\n.SH NAME\nxl\\-", stdout);
    print_text(entry->name);
    fputs(" \\- ", stdout);
    print_text(entry->summary);
    fputs("\n.SH SYNOPSIS\n.B xl ", stdout);
    print_text(entry->name);
    putchar('\n');
    print_text(entry->arguments);
    puts("\n.SH DESCRIPTION");
    print_summary(entry);
    if (entry->options) {
        puts(".SH OPTIONS");
        print_options(entry);
    }
    print_status();
    puts(".SH SEE ALSO\nxl(1)");
}

int main(int argc, char **argv)
{
    if (argc == 1) {
        print_all();
        return 0;
    }
    for (size_t i = 0; i < entry_count; i++) {
        if (!strcmp(entries[i].name, argv[1])) {
            print_one(&entries[i]);
            return 0;
        }
    }
    fprintf(stderr, "make_manual: there is no command %s\n", argv[1]);
    return 1;
}
