// SPDX-License-Identifier: Apache-2.0
// Sets of numbers as a sorted array of disjoint inclusive ranges that do not touch each other.
//
// Data: an array that doubles when it is full. Adding and removing splice it: the ranges that the
// change concerns are found by binary search and replaced by at most two others.
// Locking: one lock a set; memory is allocated with it held (the heap is innermost).
// Errors: room is made before anything changes, so -ENOMEM leaves the set as it was.

#include <bulkhead/errno.h>
#include <bulkhead/heap.h>
#include <bulkhead/rangeset.h>
#include <bulkhead/spinlock.h>
#include <bulkhead/string.h>

#define FIRST_CAPACITY 8u

struct range {
    uint64_t first, last;
};

struct rangeset {
    struct spinlock lock;
    struct range *ranges;
    size_t count, capacity;
};

struct rangeset *rangeset_create(void)
{
    struct rangeset *set = heap_new(struct rangeset);

    if (set) {
        spin_lock_init(&set->lock);
    }
    return set;
}

void rangeset_free(struct rangeset *set)
{
    if (set) {
        heap_free(set->ranges);
        heap_free(set);
    }
}

// Index of the first range that ends at or after number; count if there is none.
static size_t find(const struct rangeset *set, uint64_t number)
{
    size_t low = 0, high = set->count;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (set->ranges[middle].last < number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

// Makes room for one more range.
static int reserve(struct rangeset *set)
{
    size_t capacity = set->capacity ? 2 * set->capacity : FIRST_CAPACITY;
    struct range *larger;

    if (set->count < set->capacity) {
        return 0;
    }
    larger = heap_alloc_array(capacity, sizeof(*larger));
    if (!larger) {
        return -XEN_ENOMEM;
    }
    if (set->count) {
        memcpy(larger, set->ranges, set->count * sizeof(*larger));
    }
    heap_free(set->ranges);
    set->ranges = larger;
    set->capacity = capacity;
    return 0;
}

// Replaces ranges [from, to) by `count` others, for which there is room.
static void splice(struct rangeset *set, size_t from, size_t to, const struct range *others,
                   size_t count)
{
    memmove(&set->ranges[from + count], &set->ranges[to], (set->count - to) * sizeof(*others));
    memcpy(&set->ranges[from], others, count * sizeof(*others));
    set->count = set->count - (to - from) + count;
}

int rangeset_add(struct rangeset *set, uint64_t first, uint64_t last)
{
    struct range range = {first, last};
    size_t from, to;
    int error;

    if (first > last) {
        return -XEN_EINVAL;
    }
    spin_lock(&set->lock);
    error = reserve(set);
    if (!error) {
        // All that overlap or touch become one.
        from = find(set, first ? first - 1 : 0);
        to = from;
        while (to < set->count && (last == UINT64_MAX || set->ranges[to].first <= last + 1)) {
            range.first = MIN(range.first, set->ranges[to].first);
            range.last = MAX(range.last, set->ranges[to].last);
            to++;
        }
        splice(set, from, to, &range, 1);
    }
    spin_unlock(&set->lock);
    return error;
}

int rangeset_remove(struct rangeset *set, uint64_t first, uint64_t last)
{
    struct range rest[2];
    size_t from, to, count = 0;
    int error;

    if (first > last) {
        return -XEN_EINVAL;
    }
    spin_lock(&set->lock);
    error = reserve(set);
    if (!error) {
        from = find(set, first);
        to = from;
        while (to < set->count && set->ranges[to].first <= last) {
            to++;
        }
        if (to > from && set->ranges[from].first < first) {
            rest[count++] = (struct range){set->ranges[from].first, first - 1};
        }
        if (to > from && set->ranges[to - 1].last > last) {
            rest[count++] = (struct range){last + 1, set->ranges[to - 1].last};
        }
        splice(set, from, to, rest, count);
    }
    spin_unlock(&set->lock);
    return error;
}

bool rangeset_contains(struct rangeset *set, uint64_t first, uint64_t last)
{
    bool contained;
    size_t i;

    spin_lock(&set->lock);
    i = find(set, first);
    contained = first <= last && i < set->count && set->ranges[i].first <= first &&
                set->ranges[i].last >= last;
    spin_unlock(&set->lock);
    return contained;
}

bool rangeset_overlaps(struct rangeset *set, uint64_t first, uint64_t last)
{
    bool overlaps;
    size_t i;

    spin_lock(&set->lock);
    i = find(set, first);
    overlaps = first <= last && i < set->count && set->ranges[i].first <= last;
    spin_unlock(&set->lock);
    return overlaps;
}

int rangeset_for_each(struct rangeset *set, int (*fn)(uint64_t first, uint64_t last, void *data),
                      void *data)
{
    int result = 0;

    spin_lock(&set->lock);
    for (size_t i = 0; i < set->count && !result; i++) {
        result = fn(set->ranges[i].first, set->ranges[i].last, data);
    }
    spin_unlock(&set->lock);
    return result;
}
