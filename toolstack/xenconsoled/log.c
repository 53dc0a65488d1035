// SPDX-License-Identifier: Apache-2.0
//
// Logs. A log that cannot be written is given up until it is opened anew; it never holds up a
// console. Time stamps stand at the beginning of lines, so output is written line by line then.
#include "xenconsoled.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static void open_file(struct log *log)
{
    struct stat status;

    log->descriptor = open(log->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    log->size =
        log->descriptor >= 0 && fstat(log->descriptor, &status) == 0 ? (uint64_t)status.st_size : 0;
    log->at_line_start = true;
    if (log->descriptor < 0)
        fprintf(stderr, "xenconsoled: cannot write %s\n", log->path);
}

void log_open(struct log *log, const struct settings *settings, char *path, bool stamps)
{
    *log = (struct log){.settings = settings, .path = path, .stamps = stamps};
    open_file(log);
}

void log_reopen(struct log *log)
{
    if (!log->path)
        return;
    if (log->descriptor >= 0)
        close(log->descriptor);
    open_file(log);
}

void log_close(struct log *log)
{
    if (log->path && log->descriptor >= 0)
        close(log->descriptor);
    free(log->path);
    *log = (struct log){.descriptor = -1};
}

static void turn_over(struct log *log)
{
    for (unsigned int i = log->settings->log_count; i > 0; i--) {
        char *from = i > 1 ? memory_format("%s.%u", log->path, i - 1) : memory_copy_text(log->path);
        char *to = memory_format("%s.%u", log->path, i);

        rename(from, to);
        free(from);
        free(to);
    }
    log_reopen(log);
}

static void write_file(struct log *log, const char *bytes, size_t size)
{
    if (write(log->descriptor, bytes, size) != (ssize_t)size) {
        close(log->descriptor);
        log->descriptor = -1;
        fprintf(stderr, "xenconsoled: %s is given up: it cannot be written\n", log->path);
        return;
    }
    log->size += size;
}

static void write_stamp(struct log *log)
{
    char stamp[32];
    struct tm parts;
    time_t now = time(NULL);

    localtime_r(&now, &parts);
    size_t size = strftime(stamp, sizeof(stamp), "[%Y-%m-%d %H:%M:%S] ", &parts);

    write_file(log, stamp, size);
}

void log_write(struct log *log, const char *bytes, size_t size)
{
    while (size && log->path && log->descriptor >= 0) {
        const char *end = log->stamps ? memchr(bytes, '\n', size) : NULL;
        size_t length = end ? (size_t)(end - bytes) + 1 : size;

        if (log->stamps && log->at_line_start)
            write_stamp(log);
        if (log->descriptor >= 0)
            write_file(log, bytes, length);
        log->at_line_start = end != NULL;
        bytes += length;
        size -= length;
    }
    if (log->path && log->descriptor >= 0 && log->settings->log_size &&
        log->size >= log->settings->log_size)
        turn_over(log);
}
