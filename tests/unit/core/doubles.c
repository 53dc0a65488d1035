// SPDX-License-Identifier: Apache-2.0
// What stands in for the part of the hypervisor that these tests leave out, the console. Set
// SHOW_LOG to see its messages.

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <bulkhead/console.h>

void console_serve_input(void)
{
}

void log_message(enum log_level level, const char *format, ...)
{
    char text[512];
    va_list args;

    (void)level;
    va_start(args, format);
    format_string_args(text, sizeof(text), format, args);
    va_end(args);
    if (getenv("SHOW_LOG")) {
        fprintf(stderr, "(XEN) %s\n", text);
    }
}

void panic(const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    format_string_args(text, sizeof(text), format, args);
    va_end(args);
    fprintf(stderr, "panic: %s\n", text);
    abort();
}
