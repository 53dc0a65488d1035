// SPDX-License-Identifier: Apache-2.0
// A range of addresses of its own, with nothing behind its pages unless it is put there: what runs
// over the end of a page faults and does not reach the program's data.
#ifndef HOSTILE_WINDOW_H
#define HOSTILE_WINDOW_H

#include <stdint.h>

#define WINDOW (1ul << 39)
#define WINDOW_PAGES 512u

#define WINDOW_WRITABLE 2ul
#define WINDOW_USER 4ul

// Shows the page at physical @address at page @index of the window; every vcpu sees it.
void window_map(unsigned int index, uint64_t address, uint64_t flags);

static inline uint64_t window_address(unsigned int index)
{
    return WINDOW + index * 4096ul;
}

#endif
