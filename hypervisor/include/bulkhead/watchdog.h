// SPDX-License-Identifier: Apache-2.0
// The watchdog timers that a domain may set for itself (SCHEDOP_watchdog).
#ifndef BULKHEAD_WATCHDOG_H
#define BULKHEAD_WATCHDOG_H

#include <bulkhead/types.h>

struct domain;

// id 0: takes a free watchdog and returns its id, from 1. Otherwise sets that one anew, or gives
// it up if timeout is 0. timeout in seconds. 0 or the id; -XEN_EINVAL: no such id or no timeout;
// -XEN_ENOSPC: all are taken; -XEN_ENOMEM.
int watchdog_set(struct domain *d, uint32_t id, uint32_t timeout);
void watchdog_destroy(struct domain *d); // with the domain's last reference

#endif
