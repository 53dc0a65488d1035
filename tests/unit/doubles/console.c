// SPDX-License-Identifier: Apache-2.0
// The console, the debug keys and the wait for a lock, for tests of drivers as host programs.
// Messages are kept for the test to look at, and go to standard error when VERBOSE is set. One
// thread.
#include "console.h"

#include <bulkhead/console.h>
#include <bulkhead/debug_key.h>
#include <bulkhead/spinlock.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char fake_log[65536];

void log_message(enum log_level level, const char *format, ...)
{
    char line[512];
    size_t used = strlen(fake_log);
    va_list args;

    (void)level;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    snprintf(fake_log + used, sizeof(fake_log) - used, "%s\n", line);
    if (getenv("VERBOSE")) {
        fprintf(stderr, "%s\n", line);
    }
}

int format_string(char *buffer, size_t size, const char *format, ...)
{
    va_list args;
    int length;

    va_start(args, format);
    length = vsnprintf(buffer, size, format, args);
    va_end(args);
    return length;
}

void panic(const char *format, ...)
{
    (void)format;
    abort();
}

void debug_key_register(char key, const char *description, void (*fn)(void))
{
    (void)key;
    (void)description;
    (void)fn;
}

void arch_spin_wait(void)
{
    abort(); // one thread: a lock that is taken stays taken
}
