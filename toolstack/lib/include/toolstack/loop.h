// SPDX-License-Identifier: Apache-2.0
//
// The event loop: descriptors to watch and what to call when something can be done with them.
// Watches of xenstore and ends of processes arrive as descriptors, too. Callbacks may add and
// remove descriptors.
#ifndef TOOLSTACK_LOOP_H
#define TOOLSTACK_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <toolstack/error.h>

typedef void loop_callback(void *context);

struct loop_source {
    int descriptor;
    short events;
    loop_callback *callback;
    void *context;
};

// All zeroes is an empty loop.
struct loop {
    struct loop_source *sources;
    size_t count;
};

// The callback is called when the descriptor can be read.
void loop_add(struct loop *loop, int descriptor, loop_callback *callback, void *context);
// Changes what is waited for: POLLIN, POLLOUT, both or 0.
void loop_wait_for(struct loop *loop, int descriptor, short events);
void loop_remove(struct loop *loop, int descriptor);
void loop_free(struct loop *loop);

// Waits until there is something to do or the time is over (milliseconds; negative: for ever), and
// calls what is due.
struct error *loop_wait(struct loop *loop, long milliseconds) MUST_CHECK;

// Milliseconds of a clock that only goes forward.
int64_t loop_now(void);

#endif
