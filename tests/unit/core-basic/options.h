// SPDX-License-Identifier: Apache-2.0
// What the test options were given.
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

struct seen {
    uint64_t size;
    bool flag;
    char text[512];
};

extern struct seen seen;

#endif
