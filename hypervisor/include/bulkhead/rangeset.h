// SPDX-License-Identifier: Apache-2.0
// Sets of numbers kept as sorted, disjoint, inclusive ranges (permissions for I/O memory, ports,
// interrupts). Has its own lock.
#ifndef BULKHEAD_RANGESET_H
#define BULKHEAD_RANGESET_H

#include <bulkhead/types.h>

struct rangeset *rangeset_create(void); // NULL: no memory
void rangeset_free(struct rangeset *set);
int rangeset_add(struct rangeset *set, uint64_t first, uint64_t last);    // 0 or -ENOMEM
int rangeset_remove(struct rangeset *set, uint64_t first, uint64_t last); // 0 or -ENOMEM
bool rangeset_contains(struct rangeset *set, uint64_t first, uint64_t last);
bool rangeset_overlaps(struct rangeset *set, uint64_t first, uint64_t last);
// Calls fn for each range in order with the lock held, until it returns non-zero, which is
// returned.
int rangeset_for_each(struct rangeset *set, int (*fn)(uint64_t first, uint64_t last, void *data),
                      void *data);

#endif
