// SPDX-License-Identifier: Apache-2.0
//
// The log (log.h): one optional stream, opened for appending and written a line at a time.

#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <syslog.h>
#include <time.h>

static FILE *file;
static bool system_log;

int log_to_file(const char *path)
{
    FILE *opened = fopen(path, "ae");

    if (!opened) {
        return errno;
    }
    setvbuf(opened, NULL, _IOLBF, 0);
    if (file) {
        fclose(file);
    }
    file = opened;
    return 0;
}

void log_to_system(void)
{
    openlog("xenstored", LOG_PID, LOG_DAEMON);
    system_log = true;
}

void log_line(const char *format, ...)
{
    va_list arguments;
    char text[512];
    char stamp[32] = "";
    struct timespec now;
    struct tm parts;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (!file && system_log) {
        syslog(LOG_INFO, "%s", text);
        return;
    }
    clock_gettime(CLOCK_REALTIME, &now);
    if (localtime_r(&now.tv_sec, &parts)) {
        strftime(stamp, sizeof(stamp), "%Y-%m-%d %H:%M:%S", &parts);
    }
    fprintf(file ? file : stderr, "%s xenstored: %s\n", stamp, text);
}
