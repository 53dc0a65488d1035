// SPDX-License-Identifier: Apache-2.0
//
// The event loop: descriptors to watch and what to call when they can be read. Watches of xenstore
// and ends of processes arrive as descriptors, too. Callbacks may add and remove descriptors.
#ifndef TOOLSTACK_LOOP_H
#define TOOLSTACK_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <toolstack/error.h>

typedef void loop_callback(void *context);

struct loop_source {
    int descriptor;
    loop_callback *callback;
    void *context;
};

// All zeroes is an empty loop.
struct loop {
    struct loop_source *sources;
    size_t count;
};

void loop_add(struct loop *loop, int descriptor, loop_callback *callback, void *context);
void loop_remove(struct loop *loop, int descriptor);
void loop_free(struct loop *loop);

// Waits until a descriptor can be read or the time is over (milliseconds; negative: for ever), and
// calls what is due.
struct error *loop_wait(struct loop *loop, long milliseconds) MUST_CHECK;

// Milliseconds of a clock that only goes forward.
int64_t loop_now(void);

#endif
