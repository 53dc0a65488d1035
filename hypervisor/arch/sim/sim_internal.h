// SPDX-License-Identifier: Apache-2.0
// What the files of the simulated machine share.
#ifndef SIM_INTERNAL_H
#define SIM_INTERNAL_H

#include <bulkhead/types.h>

struct domain;

void sim_memory_start(uint64_t frames);
// A broken rule of the simulated machine: says which and aborts.
__attribute__((noreturn)) void sim_die(const char *format, ...) PRINTF_LIKE(1, 2);
// Whether the allocation that begins now is the one that was asked to fail.
bool sim_heap_must_fail(void);
int sim_p2m_create(struct domain *d);
void sim_p2m_free(struct domain *d);

#endif
