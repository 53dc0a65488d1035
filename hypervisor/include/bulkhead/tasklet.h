// SPDX-License-Identifier: Apache-2.0
// Deferred work: a function that runs once in cpu_loop of a chosen CPU, no lock held.
#ifndef BULKHEAD_TASKLET_H
#define BULKHEAD_TASKLET_H

#include <bulkhead/list.h>

struct tasklet {
    struct list link;
    void (*run)(void *data);
    void *data;
    bool queued;
};

void tasklet_init(struct tasklet *t, void (*run)(void *data), void *data);
// Queues it on the given CPU unless it is queued already. Any context, interrupt handlers included.
void tasklet_schedule(struct tasklet *t, unsigned int cpu);
void tasklets_run(void); // from cpu_loop

#endif
