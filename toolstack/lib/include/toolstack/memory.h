// SPDX-License-Identifier: Apache-2.0
//
// Memory and text. The functions here never return NULL: when the few bytes they ask for are not
// there, the program says so and ends. What a file or a guest's size decides (a kernel image, say)
// is not allocated here.
#ifndef TOOLSTACK_MEMORY_H
#define TOOLSTACK_MEMORY_H

#include <stdarg.h>
#include <stddef.h>

void *memory_zeroed(size_t size);

// Room for count elements of size bytes, keeping what block held; block may be NULL.
void *memory_resized(void *block, size_t count, size_t size);

char *memory_copy_text(const char *text);

// As memory_copy_text, but NULL stays NULL.
char *memory_copy_optional(const char *text);

char *memory_format(const char *format, ...) __attribute__((format(printf, 1, 2)));
char *memory_vformat(const char *format, va_list arguments) __attribute__((format(printf, 1, 0)));

// Text that grows; all zeroes is an empty one.
struct text {
    char *bytes; // ends in a NUL when not NULL
    size_t length;
    size_t capacity;
};

void text_add(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_add_bytes(struct text *text, const char *bytes, size_t length);

// Gives the text to the caller, who frees it, and empties the struct. Never NULL.
char *text_take(struct text *text);

void text_free(struct text *text);

#endif
