// SPDX-License-Identifier: Apache-2.0
//
// The children of a node: sorted by the length of their names, then by bytes, so that numbers come
// in their order; cut into chunks of at most CHUNK_MOST. A chunk is counted and may be shared by
// several versions of the node, so a snapshot's version of a directory of a thousand children costs
// a change one chunk, not the whole list. One chunk needs no array of chunks. Errors: memory only,
// and then nothing has changed to a reader.
#ifndef XENSTORED_CHILDREN_H
#define XENSTORED_CHILDREN_H

#include "path.h"

#define CHUNK_MOST 32

struct node;
struct permission_table;

struct chunk {
    uint32_t references;
    uint16_t count;
    uint16_t capacity;
    struct node *child[];
};

struct children {
    uint32_t count;
    uint32_t chunks;
    union {
        struct chunk *one;   /* when there is at most one chunk */
        struct chunk **many; /* exactly as many as there are */
    };
};

/* A place in a list of children; begin with {list, 0, 0}. */
struct children_place {
    const struct children *list;
    uint32_t chunk;
    uint32_t at;
};

/* The next child, or NULL at the end. */
struct node *children_next(struct children_place *place);

struct node *children_find(const struct children *list, struct component name);

/* Where the pointer to an existing child is, in a chunk that only LIST has; NULL without memory. */
struct node **children_own(struct children *list, struct component name);

/* Adds a child whose name is not there yet; takes over the reference. 0 or ENOMEM. */
int children_insert(struct children *list, struct node *child);

/* Takes an existing child off; the reference goes to the caller. NULL without memory. */
struct node *children_take(struct children *list, struct component name);

/* Makes TO, which is uninitialized, share all chunks of FROM. 0 or ENOMEM. */
int children_share(struct children *to, const struct children *from);

/* Drops all chunks. */
void children_release(struct permission_table *table, struct children *list);

/* Bytes of all chunks and arrays that exist. */
size_t children_alive(void);

#endif
