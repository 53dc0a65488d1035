// SPDX-License-Identifier: Apache-2.0
// Text formatting: %d %i %u %x %X %p %s %c %% with the flags '-', '0', '+' and '#', width and
// precision (also '*'), and the sizes hh h l ll z j t. No state, no locking, no allocation. An
// unknown conversion is put out as it stands, so that a wrong format shows. Output that does not
// fit is counted and dropped.

#include <bulkhead/console.h>
#include <bulkhead/format.h>
#include <bulkhead/string.h>

struct output {
    char *buffer;
    size_t size, length;
};

struct conversion {
    bool left, zero, plus, alternative;
    unsigned int width;
    int precision;     // -1: none
    unsigned int size; // of an integer argument, bytes
};

#define MAX_WIDTH 4096u

static void put(struct output *out, char c)
{
    if (out->length < out->size) {
        out->buffer[out->length] = c;
    }
    out->length++;
}

static void put_padding(struct output *out, size_t width, size_t used, char c)
{
    for (; used < width; used++) {
        put(out, c);
    }
}

static void put_text(struct output *out, const struct conversion *c, const char *text)
{
    size_t length;

    text = text ? text : "(null)";
    length = c->precision >= 0 ? strnlen(text, (size_t)c->precision) : strlen(text);
    if (!c->left) {
        put_padding(out, c->width, length, ' ');
    }
    for (size_t i = 0; i < length; i++) {
        put(out, text[i]);
    }
    if (c->left) {
        put_padding(out, c->width, length, ' ');
    }
}

// prefix: sign or "0x", put before zero padding.
static void put_number(struct output *out, const struct conversion *c, uint64_t value,
                       unsigned int base, bool upper, const char *prefix)
{
    const char *digits = upper ? "0123456789ABCDEF" : "0123456789abcdef";
    char text[24];
    size_t count = 0, zeroes, total;

    do {
        text[count++] = digits[value % base];
        value /= base;
    } while (value);
    zeroes = c->precision > (int)count ? (size_t)c->precision - count : 0;
    total = strlen(prefix) + zeroes + count;
    if (c->zero && !c->left && c->precision < 0 && c->width > total) {
        zeroes = c->width - total;
        total = c->width;
    }
    if (!c->left) {
        put_padding(out, c->width, total, ' ');
    }
    while (*prefix) {
        put(out, *prefix++);
    }
    put_padding(out, zeroes, 0, '0');
    while (count) {
        put(out, text[--count]);
    }
    if (c->left) {
        put_padding(out, c->width, total, ' ');
    }
}

static unsigned int parse_count(const char **format, va_list *args, bool *negative)
{
    unsigned int n = 0;

    if (**format == '*') {
        int value = va_arg(*args, int);

        (*format)++;
        *negative = value < 0;
        return MIN(value < 0 ? 0u - (unsigned int)value : (unsigned int)value, MAX_WIDTH);
    }
    for (; **format >= '0' && **format <= '9'; (*format)++) {
        n = MIN(n * 10 + (unsigned int)(**format - '0'), MAX_WIDTH);
    }
    return n;
}

static unsigned int parse_size(const char **format)
{
    char c = **format;

    if (c == 'z' || c == 'j' || c == 't') {
        (*format)++;
        return sizeof(long);
    }
    if (c == 'l' || c == 'h') {
        bool twice = (*format)[1] == c;

        *format += twice ? 2 : 1;
        if (c == 'l') {
            return sizeof(long);
        }
        return twice ? 1 : 2;
    }
    return sizeof(int);
}

static struct conversion parse_conversion(const char **format, va_list *args)
{
    struct conversion c = {.precision = -1};
    bool negative = false;

    for (;; (*format)++) {
        if (**format == '-') {
            c.left = true;
        } else if (**format == '0') {
            c.zero = true;
        } else if (**format == '+') {
            c.plus = true;
        } else if (**format == '#') {
            c.alternative = true;
        } else {
            break;
        }
    }
    c.width = parse_count(format, args, &negative);
    c.left |= negative;
    if (**format == '.') {
        (*format)++;
        negative = false;
        c.precision = (int)parse_count(format, args, &negative);
        if (negative) {
            c.precision = -1;
        }
    }
    c.size = parse_size(format);
    return c;
}

static uint64_t take_unsigned(const struct conversion *c, va_list *args)
{
    if (c->size == sizeof(long)) {
        return va_arg(*args, unsigned long);
    }
    if (c->size == 2) {
        return (uint16_t)va_arg(*args, unsigned int);
    }
    if (c->size == 1) {
        return (uint8_t)va_arg(*args, unsigned int);
    }
    return va_arg(*args, unsigned int);
}

static int64_t take_signed(const struct conversion *c, va_list *args)
{
    if (c->size == sizeof(long)) {
        return va_arg(*args, long);
    }
    if (c->size == 2) {
        return (int16_t)va_arg(*args, int);
    }
    if (c->size == 1) {
        return (int8_t)va_arg(*args, int);
    }
    return va_arg(*args, int);
}

static void convert(struct output *out, struct conversion *c, char kind, va_list *args)
{
    char character[2] = {0};
    int64_t number;

    switch (kind) {
    case 'd':
    case 'i':
        number = take_signed(c, args);
        put_number(out, c, number < 0 ? 0 - (uint64_t)number : (uint64_t)number, 10, false,
                   number < 0 ? "-"
                   : c->plus  ? "+"
                              : "");
        break;
    case 'u':
        put_number(out, c, take_unsigned(c, args), 10, false, "");
        break;
    case 'x':
    case 'X':
        put_number(out, c, take_unsigned(c, args), 16, kind == 'X', c->alternative ? "0x" : "");
        break;
    case 'p':
        put_number(out, c, (uintptr_t)va_arg(*args, void *), 16, false, "0x");
        break;
    case 's':
        put_text(out, c, va_arg(*args, const char *));
        break;
    case 'c':
        character[0] = (char)va_arg(*args, int);
        c->precision = 1;
        put_text(out, c, character);
        break;
    case '%':
        put(out, '%');
        break;
    default:
        put(out, '%');
        put(out, kind);
        break;
    }
}

int format_string_args(char *buffer, size_t size, const char *format, va_list args)
{
    struct output out = {buffer, size, 0};
    va_list list; // a copy, whose address may be taken whatever va_list is

    va_copy(list, args);
    while (*format) {
        if (*format != '%') {
            put(&out, *format++);
            continue;
        }
        format++;
        struct conversion c = parse_conversion(&format, &list);

        if (!*format) {
            put(&out, '%');
            break;
        }
        convert(&out, &c, *format++, &list);
    }
    va_end(list);
    if (size) {
        buffer[MIN(out.length, size - 1)] = 0;
    }
    return (int)out.length;
}

int format_string(char *buffer, size_t size, const char *format, ...)
{
    va_list args;
    int length;

    va_start(args, format);
    length = format_string_args(buffer, size, format, args);
    va_end(args);
    return length;
}
