// SPDX-License-Identifier: Apache-2.0
// A line is put together in a buffer on the stack and written at once, so that lines of several
// vcpus do not mix. What does not fit is cut off. No locking.

#include "print.h"

#include "console.h"
#include "cpu.h"
#include "guest.h"
#include "xen.h"

#include <stdarg.h>

#define LINE_MAX 250
#define DEBUG_PORT 0xe9

struct line {
    char text[LINE_MAX + 1];
    size_t length;
};

static void put(struct line *line, char c)
{
    if (line->length < LINE_MAX) {
        line->text[line->length++] = c;
    }
}

static void put_number(struct line *line, uint64_t value, unsigned int base)
{
    char digits[20];
    unsigned int count = 0;

    do {
        digits[count++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value);
    while (count) {
        put(line, digits[--count]);
    }
}

static void put_argument(struct line *line, char kind, bool is_long, va_list *arguments)
{
    uint64_t value;

    if (kind == 's') {
        for (const char *s = va_arg(*arguments, const char *); *s; s++) {
            put(line, *s);
        }
        return;
    }
    if (kind == 'c') {
        put(line, (char)va_arg(*arguments, int));
        return;
    }
    if (kind == 'd') {
        int64_t number = is_long ? va_arg(*arguments, long) : va_arg(*arguments, int);

        if (number < 0) {
            put(line, '-');
        }
        put_number(line, number < 0 ? -(uint64_t)number : (uint64_t)number, 10);
        return;
    }
    value = is_long ? va_arg(*arguments, unsigned long) : va_arg(*arguments, unsigned int);
    put_number(line, value, kind == 'x' ? 16 : 10);
}

static void write_line(struct line *line)
{
    if (console_write(line->text, line->length) ||
        (xen_ready && xen_console_write(line->text, line->length) == 0)) {
        return;
    }
    for (size_t i = 0; i < line->length; i++) {
        outb(DEBUG_PORT, (uint8_t)line->text[i]);
    }
}

void say(const char *format, ...)
{
    struct line line = {.length = 0};
    va_list arguments;

    va_start(arguments, format);
    for (; *format; format++) {
        bool is_long = false;

        if (*format != '%') {
            put(&line, *format);
            continue;
        }
        format++;
        if (*format == 'l') {
            is_long = true;
            format++;
        }
        put_argument(&line, *format, is_long, &arguments);
    }
    va_end(arguments);
    line.text[line.length++] = '\n';
    write_line(&line);
}

bool string_equal(const char *a, const char *b)
{
    while (*a && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}

bool list_contains(const char *list, const char *word)
{
    while (*list) {
        const char *w = word;

        while (*w && *list == *w) {
            list++;
            w++;
        }
        if (!*w && (!*list || *list == ':')) {
            return true;
        }
        while (*list && *list++ != ':') {
        }
    }
    return false;
}

const char *command_line_value(const char *name)
{
    static char value[512];
    const char *word = guest_command_line();
    size_t length = 0;

    while (*word) {
        const char *n = name;

        while (*n && *word == *n) {
            word++;
            n++;
        }
        if (!*n && *word == '=') {
            for (word++; *word && *word != ' ' && length < sizeof(value) - 1; word++) {
                value[length++] = *word;
            }
            value[length] = '\0';
            return value;
        }
        while (*word && *word++ != ' ') {
        }
    }
    return NULL;
}

unsigned long command_line_number(const char *name)
{
    const char *value = command_line_value(name);
    unsigned long number = 0;

    for (; value && *value >= '0' && *value <= '9'; value++) {
        number = number * 10 + (unsigned long)(*value - '0');
    }
    return number;
}
