// SPDX-License-Identifier: Apache-2.0
// The window's tables hang on one entry of the top table, which all vcpus share and entry.S leaves
// empty. Only entries that were not present are written: nothing has to be flushed.

#include "window.h"

#include "hostile.h"

#define PRESENT 1ul

static uint64_t pointers[512] __attribute__((aligned(4096)));
static uint64_t directory[512] __attribute__((aligned(4096)));
static uint64_t pages[WINDOW_PAGES] __attribute__((aligned(4096)));

void window_map(unsigned int index, uint64_t address, uint64_t flags)
{
    const uint64_t all = PRESENT | WINDOW_WRITABLE | WINDOW_USER;
    uint64_t *top;

    __asm__ volatile("movq %%cr3, %0" : "=r"(top));
    pages[index] = address | PRESENT | flags;
    directory[0] = (uint64_t)pages | all;
    pointers[0] = (uint64_t)directory | all;
    top[WINDOW >> 39] = (uint64_t)pointers | all;
}
