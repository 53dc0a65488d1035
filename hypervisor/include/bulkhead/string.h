// SPDX-License-Identifier: Apache-2.0
// The C library's memory and string functions that the hypervisor supplies for itself.
#ifndef BULKHEAD_STRING_H
#define BULKHEAD_STRING_H

#include <bulkhead/types.h>

void *memcpy(void *to, const void *from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);
void *memchr(const void *s, int c, size_t n);
size_t strlen(const char *s);
size_t strnlen(const char *s, size_t max);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);
char *strchr(const char *s, int c);

// Copies as much as fits and always terminates; returns strlen(from).
size_t string_copy(char *to, const char *from, size_t size);
// Parses an unsigned number (0x, 0, decimal); *end is set to the first unused character.
uint64_t string_to_number(const char *s, const char **end, unsigned int base);

#endif
