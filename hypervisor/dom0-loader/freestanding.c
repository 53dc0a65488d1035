// SPDX-License-Identifier: Apache-2.0
/*
 * The few C library functions that gcc and libzstd call. Block copies use the string instructions,
 * eight bytes at a time: fast on hardware, and one instruction a step where instructions are
 * counted. There is no heap: libzstd works in a static context and would only allocate if told to
 * use a dictionary or its streaming interface, so malloc has nothing to give.
 */
#include "freestanding.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Called by code that was compiled with -fstack-protector. */
_Noreturn void __stack_chk_fail(void);

static void copy_forward(void *destination, const void *source, size_t size)
{
    size_t words = size / sizeof(uint64_t);
    size_t rest = size % sizeof(uint64_t);

    __asm__ volatile("rep movsq\n\tmov %3, %2\n\trep movsb"
                     : "+D"(destination), "+S"(source), "+c"(words)
                     : "r"(rest)
                     : "memory");
}

/* From the last byte to the first; the direction flag is clear again afterwards. */
static void copy_backward(void *destination, const void *source, size_t size)
{
    uint8_t *to = (uint8_t *)destination + size - 1;
    const uint8_t *from = (const uint8_t *)source + size - 1;
    size_t rest = size % sizeof(uint64_t);
    size_t words = size / sizeof(uint64_t);

    __asm__ volatile("std\n\trep movsb\n\t"
                     "sub $7, %0\n\tsub $7, %1\n\t"
                     "mov %3, %2\n\trep movsq\n\tcld"
                     : "+D"(to), "+S"(from), "+c"(rest)
                     : "r"(words)
                     : "memory", "cc");
}

void *memcpy(void *restrict destination, const void *restrict source, size_t size)
{
    copy_forward(destination, source, size);
    return destination;
}

void *memmove(void *destination, const void *source, size_t size)
{
    if ((uintptr_t)destination - (uintptr_t)source >= size) {
        copy_forward(destination, source, size);
    } else {
        copy_backward(destination, source, size);
    }
    return destination;
}

void *memset(void *destination, int value, size_t size)
{
    void *position = destination;
    uint64_t pattern = (uint8_t)value * 0x0101010101010101ul;
    size_t words = size / sizeof(uint64_t);
    size_t rest = size % sizeof(uint64_t);

    __asm__ volatile("rep stosq\n\tmov %3, %1\n\trep stosb"
                     : "+D"(position), "+c"(words)
                     : "a"(pattern), "r"(rest)
                     : "memory");
    return destination;
}

int memcmp(const void *left, const void *right, size_t size)
{
    const uint8_t *a = left;
    const uint8_t *b = right;

    for (size_t i = 0; i < size; i++) {
        if (a[i] != b[i]) {
            return a[i] - b[i];
        }
    }
    return 0;
}

void *malloc(size_t size)
{
    (void)size;
    return NULL;
}

void *calloc(size_t count, size_t size)
{
    (void)count;
    (void)size;
    return NULL;
}

void free(void *pointer)
{
    (void)pointer;
}

void __stack_chk_fail(void)
{
    loader_give_up("The domain 0 loader is broken: its stack was overrun.");
}
