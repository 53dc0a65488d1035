// SPDX-License-Identifier: Apache-2.0
//
// Allocation that ends the program instead of failing, and growing text.
#include <toolstack/memory.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *checked(void *block)
{
    if (!block) {
        fputs("out of memory\n", stderr);
        exit(1);
    }
    return block;
}

void *memory_zeroed(size_t size)
{
    return checked(calloc(1, size ? size : 1));
}

void *memory_resized(void *block, size_t count, size_t size)
{
    size_t bytes;

    if (__builtin_mul_overflow(count, size, &bytes))
        return checked(NULL);
    return checked(realloc(block, bytes ? bytes : 1));
}

char *memory_copy_text(const char *text)
{
    return checked(strdup(text));
}

char *memory_copy_optional(const char *text)
{
    return text ? memory_copy_text(text) : NULL;
}

char *memory_vformat(const char *format, va_list arguments)
{
    char *result;

    return checked(vasprintf(&result, format, arguments) < 0 ? NULL : result);
}

char *memory_format(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    char *result = memory_vformat(format, arguments);
    va_end(arguments);
    return result;
}

void text_add_bytes(struct text *text, const char *bytes, size_t length)
{
    if (text->capacity - text->length <= length) {
        text->capacity = (text->length + length + 1) * 2;
        text->bytes = memory_resized(text->bytes, text->capacity, 1);
    }
    memcpy(text->bytes + text->length, bytes, length);
    text->length += length;
    text->bytes[text->length] = '\0';
}

void text_add(struct text *text, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    char *piece = memory_vformat(format, arguments);
    va_end(arguments);
    text_add_bytes(text, piece, strlen(piece));
    free(piece);
}

char *text_take(struct text *text)
{
    char *result = text->bytes ? text->bytes : memory_copy_text("");

    *text = (struct text){0};
    return result;
}

void text_free(struct text *text)
{
    free(text->bytes);
    *text = (struct text){0};
}
