// SPDX-License-Identifier: Apache-2.0
//
// Writes the manual page of xl from the table of its commands. Runs on the machine that builds.
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

int main(void)
{
    puts(
        ".TH XL 1\n.SH NAME\nxl \\- manage domains\n.SH SYNOPSIS\n"
        ".B xl\n[\\-vfN] command [arguments]\n.SH DESCRIPTION\n"
        "xl starts, shows, changes and ends domains.\n"
        "A domain is meant by its name or its number.\n"
        ".SH OPTIONS\n.TP\n.B \\-v\nSay more.\n.TP\n.B \\-f\nDo it in spite of objections that can "
        "be overridden.\n.TP\n.B \\-N\nOnly show what would be done.\n.SH COMMANDS");
    for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++) {
        fputs(".SS ", stdout);
        print_text(entries[i].name);
        putchar(' ');
        print_text(entries[i].arguments);
        putchar('\n');
        print_text(entries[i].summary);
        puts(".");
        if (entries[i].options) {
            puts(".PP\n.nf");
            print_text(entries[i].options);
            puts(".fi");
        }
    }
    puts(".SH EXIT STATUS\n0 when it worked, 1 when it failed, 2 when it was called wrongly.\n"
         "The last word of an error, in brackets, is a code that does not change.\n"
         ".SH FILES\n.TP\n.I /var/lib/xen/domain\\-UUID.json\nThe configuration of a running "
         "domain.\n.TP\n.I /var/log/xen/xl\\-NAME.log\nWhat the process that looks after a domain "
         "has done.");
    return 0;
}
