// SPDX-License-Identifier: Apache-2.0
//
// Making, completing and printing errors. An error owns all its strings. Nothing here fails: memory
// that runs out ends the program.
#include <toolstack/error.h>
#include <toolstack/memory.h>

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static struct error *make(enum error_code code, const char *format, va_list arguments)
{
    struct error *error = memory_zeroed(sizeof(*error));

    error->code = code;
    error->domid = -1;
    error->message = memory_vformat(format, arguments);
    return error;
}

struct error *error_new(enum error_code code, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    struct error *error = make(code, format, arguments);
    va_end(arguments);
    return error;
}

struct error *error_errno(enum error_code code, int number, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    struct error *error = make(code, format, arguments);
    va_end(arguments);
    char *whole = memory_format("%s: %s", error->message, strerror(abs(number)));
    free(error->message);
    error->message = whole;
    return error;
}

struct error *error_in_domain(struct error *error, const char *name, int domid)
{
    if (!error)
        return NULL;
    if (name && !error->domain)
        error->domain = memory_copy_text(name);
    if (error->domid < 0)
        error->domid = domid;
    return error;
}

static void complete(char **field, const char *format, va_list arguments)
{
    if (!*field)
        *field = memory_vformat(format, arguments);
}

struct error *error_in_device(struct error *error, const char *format, ...)
{
    if (!error)
        return NULL;
    va_list arguments;

    va_start(arguments, format);
    complete(&error->device, format, arguments);
    va_end(arguments);
    return error;
}

struct error *error_advice(struct error *error, const char *format, ...)
{
    if (!error)
        return NULL;
    va_list arguments;

    va_start(arguments, format);
    complete(&error->advice, format, arguments);
    va_end(arguments);
    return error;
}

const char *error_word(enum error_code code)
{
    static const char *const words[] = {
#define X(name, word) [ERROR_##name] = word,
        ERROR_CODES(X)
#undef X
    };

    return words[code];
}

void error_print(const struct error *error, FILE *stream, const char *prefix)
{
    fputs(prefix, stream);
    if (error->domain && error->domid >= 0)
        fprintf(stream, "%s (domain %d)", error->domain, error->domid);
    else if (error->domain)
        fputs(error->domain, stream);
    else if (error->domid >= 0)
        fprintf(stream, "domain %d", error->domid);
    if (error->device)
        fprintf(stream, "%s%s", error->domain || error->domid >= 0 ? ", " : "", error->device);
    if (error->domain || error->domid >= 0 || error->device)
        fputs(": ", stream);
    fprintf(stream, "%s [%s]\n", error->message, error_word(error->code));
    if (error->advice)
        fprintf(stream, "%s%s\n", prefix, error->advice);
}

void error_free(struct error *error)
{
    if (!error)
        return;
    free(error->domain);
    free(error->device);
    free(error->message);
    free(error->advice);
    free(error);
}

void error_ignore(struct error *error)
{
    error_free(error);
}

struct error *error_first(struct error *first, struct error *second)
{
    if (!first)
        return second;
    error_free(second);
    return first;
}
