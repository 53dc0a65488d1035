// SPDX-License-Identifier: Apache-2.0
/*
 * Composes the loader's error sentence: a few printf conversions into a fixed buffer, since the
 * loader has no C library. No locking: the loader runs on one vcpu. Overlong text is cut.
 */
#include "report.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

struct writer {
    char *text;
    size_t length;
};

static void put_char(struct writer *writer, char c)
{
    if (writer->length < LOAD_MESSAGE_SIZE - 1) {
        writer->text[writer->length++] = c;
    }
}

static void put_string(struct writer *writer, const char *string)
{
    while (*string != '\0') {
        put_char(writer, *string++);
    }
}

static void put_number(struct writer *writer, uint64_t value, unsigned base)
{
    char digits[20]; /* 2^64 - 1 has 20 decimal digits */
    size_t count = 0;

    do {
        digits[count++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value != 0);
    while (count > 0) {
        put_char(writer, digits[--count]);
    }
}

bool load_fail(struct load_error *error, const char *format, ...)
{
    struct writer writer = {.text = error->message, .length = 0};
    va_list arguments;

    va_start(arguments, format);
    for (const char *c = format; *c != '\0'; c++) {
        if (*c != '%') {
            put_char(&writer, *c);
        } else if (c[1] == 's') {
            put_string(&writer, va_arg(arguments, const char *));
            c++;
        } else if (c[1] == 'l' && c[2] == 'u') {
            put_number(&writer, va_arg(arguments, unsigned long), 10);
            c += 2;
        } else if (c[1] == 'l' && c[2] == 'x') {
            put_number(&writer, va_arg(arguments, unsigned long), 16);
            c += 2;
        } else if (c[1] == '%') {
            put_char(&writer, '%');
            c++;
        }
    }
    va_end(arguments);
    writer.text[writer.length] = '\0';
    return false;
}
