// SPDX-License-Identifier: Apache-2.0
//
// The event loop over poll(). A turn works on a copy of the sources, and looks each one up again
// before it calls it, because an earlier callback may have removed it.
#include <toolstack/loop.h>
#include <toolstack/memory.h>

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <time.h>

void loop_add(struct loop *loop, int descriptor, loop_callback *callback, void *context)
{
    loop->sources = memory_resized(loop->sources, loop->count + 1, sizeof(*loop->sources));
    loop->sources[loop->count++] = (struct loop_source){descriptor, POLLIN, callback, context};
}

void loop_wait_for(struct loop *loop, int descriptor, short events)
{
    for (size_t i = 0; i < loop->count; i++)
        if (loop->sources[i].descriptor == descriptor)
            loop->sources[i].events = events;
}

void loop_remove(struct loop *loop, int descriptor)
{
    for (size_t i = 0; i < loop->count; i++) {
        if (loop->sources[i].descriptor == descriptor) {
            loop->sources[i] = loop->sources[--loop->count];
            return;
        }
    }
}

void loop_free(struct loop *loop)
{
    free(loop->sources);
    *loop = (struct loop){0};
}

static void call(const struct loop *loop, int descriptor)
{
    for (size_t i = 0; i < loop->count; i++) {
        if (loop->sources[i].descriptor == descriptor) {
            loop->sources[i].callback(loop->sources[i].context);
            return;
        }
    }
}

struct error *loop_wait(struct loop *loop, long milliseconds)
{
    size_t count = loop->count;
    struct pollfd *descriptors = memory_zeroed(count * sizeof(*descriptors));
    struct error *error = NULL;

    for (size_t i = 0; i < count; i++)
        descriptors[i] =
            (struct pollfd){.fd = loop->sources[i].descriptor, .events = loop->sources[i].events};
    if (poll(descriptors, count, milliseconds > 1000000 ? 1000000 : (int)milliseconds) < 0) {
        if (errno != EINTR)
            error = error_errno(ERROR_SYSTEM, errno, "cannot wait");
    } else {
        for (size_t i = 0; i < count; i++)
            if (descriptors[i].revents)
                call(loop, descriptors[i].fd);
    }
    free(descriptors);
    return error;
}

int64_t loop_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
