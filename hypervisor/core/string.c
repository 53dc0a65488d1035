// SPDX-License-Identifier: Apache-2.0
// String functions of the C library. The functions on blocks of memory that matter for speed
// (memcpy, memmove, memset) are the port's. No state.

#include <bulkhead/string.h>

int memcmp(const void *a, const void *b, size_t n)
{
    const unsigned char *p = a, *q = b;

    for (size_t i = 0; i < n; i++) {
        if (p[i] != q[i]) {
            return p[i] < q[i] ? -1 : 1;
        }
    }
    return 0;
}

void *memchr(const void *s, int c, size_t n)
{
    const unsigned char *p = s;

    for (size_t i = 0; i < n; i++) {
        if (p[i] == (unsigned char)c) {
            return (void *)(uintptr_t)&p[i];
        }
    }
    return NULL;
}

size_t strlen(const char *s)
{
    size_t n = 0;

    while (s[n]) {
        n++;
    }
    return n;
}

size_t strnlen(const char *s, size_t max)
{
    size_t n = 0;

    while (n < max && s[n]) {
        n++;
    }
    return n;
}

int strcmp(const char *a, const char *b)
{
    return strncmp(a, b, SIZE_MAX);
}

int strncmp(const char *a, const char *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char p = (unsigned char)a[i], q = (unsigned char)b[i];

        if (p != q) {
            return p < q ? -1 : 1;
        }
        if (!p) {
            break;
        }
    }
    return 0;
}

char *strchr(const char *s, int c)
{
    for (;; s++) {
        if (*s == (char)c) {
            return (char *)(uintptr_t)s;
        }
        if (!*s) {
            return NULL;
        }
    }
}

size_t string_copy(char *to, const char *from, size_t size)
{
    size_t length = strlen(from);

    if (size) {
        size_t n = MIN(length, size - 1);

        memcpy(to, from, n);
        to[n] = 0;
    }
    return length;
}

static unsigned int digit_value(char c)
{
    if (c >= '0' && c <= '9') {
        return (unsigned int)(c - '0');
    }
    if (c >= 'a' && c <= 'z') {
        return (unsigned int)(c - 'a') + 10;
    }
    if (c >= 'A' && c <= 'Z') {
        return (unsigned int)(c - 'A') + 10;
    }
    return UINT32_MAX;
}

uint64_t string_to_number(const char *s, const char **end, unsigned int base)
{
    uint64_t value = 0;

    if ((base == 0 || base == 16) && s[0] == '0' && (s[1] == 'x' || s[1] == 'X') &&
        digit_value(s[2]) < 16) {
        base = 16;
        s += 2;
    } else if (base == 0) {
        base = 10;
    }
    for (; digit_value(*s) < base; s++) {
        if (__builtin_mul_overflow(value, (uint64_t)base, &value) ||
            __builtin_add_overflow(value, (uint64_t)digit_value(*s), &value)) {
            value = UINT64_MAX; // too large for its type: as large as can be
            while (digit_value(*s) < base) {
                s++;
            }
            break;
        }
    }
    if (end) {
        *end = s;
    }
    return value;
}
