// SPDX-License-Identifier: Apache-2.0
//
// Lists of children (children.h). No chunk is empty. A full chunk is halved when it has to take one
// more; chunks that have become small are not joined, so a list is never worse than an array. A
// child is found by bisection, first of the chunks by their first names, then within one.

#include "children.h"
#include "node.h"

#include <stdlib.h>
#include <string.h>

static size_t alive;

size_t children_alive(void)
{
    return alive;
}

static size_t chunk_bytes(size_t capacity)
{
    return sizeof(struct chunk) + capacity * sizeof(struct node *);
}

/* The chunks as an array, however they are kept. */
static struct chunk **chunks_of(struct children *list)
{
    return list->chunks > 1 ? list->many : &list->one;
}

static struct chunk *chunk_at(const struct children *list, uint32_t index)
{
    return list->chunks > 1 ? list->many[index] : list->one;
}

static int compare(const struct node *node, struct component name)
{
    if (node->name_length != name.length) {
        return node->name_length < name.length ? -1 : 1;
    }
    return memcmp(node->data, name.name, name.length);
}

/* The last chunk whose first child is not behind NAME, or the first chunk. */
static uint32_t find_chunk(const struct children *list, struct component name)
{
    uint32_t low = 0;
    uint32_t high = list->chunks;

    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;

        if (compare(chunk_at(list, middle)->child[0], name) <= 0) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

/* Where in a chunk the child is, or, when *FOUND is false, where it would be. */
static uint32_t find_in_chunk(const struct chunk *chunk, struct component name, bool *found)
{
    uint32_t low = 0;
    uint32_t high = chunk->count;

    *found = false;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = compare(chunk->child[middle], name);

        if (order == 0) {
            *found = true;
            return middle;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct node *children_next(struct children_place *place)
{
    while (place->chunk < place->list->chunks) {
        const struct chunk *chunk = chunk_at(place->list, place->chunk);

        if (place->at < chunk->count) {
            return chunk->child[place->at++];
        }
        place->chunk++;
        place->at = 0;
    }
    return NULL;
}

struct node *children_find(const struct children *list, struct component name)
{
    const struct chunk *chunk;
    bool found;
    uint32_t at;

    if (list->chunks == 0) {
        return NULL;
    }
    chunk = chunk_at(list, find_chunk(list, name));
    at = find_in_chunk(chunk, name, &found);
    return found ? chunk->child[at] : NULL;
}

static struct chunk *chunk_new(size_t capacity)
{
    struct chunk *chunk = malloc(chunk_bytes(capacity));

    if (chunk) {
        chunk->references = 1;
        chunk->count = 0;
        chunk->capacity = (uint16_t)capacity;
        alive += chunk_bytes(capacity);
    }
    return chunk;
}

static void chunk_free(struct chunk *chunk)
{
    alive -= chunk_bytes(chunk->capacity);
    free(chunk);
}

/* Makes the chunk at *SLOT this list's own, with room for at least ROOM more. False: no memory. */
static bool own_chunk(struct chunk **slot, uint32_t room)
{
    struct chunk *chunk = *slot;
    size_t capacity = chunk->count + room;
    struct chunk *copy;

    if (chunk->references == 1 && capacity <= chunk->capacity) {
        return true;
    }
    if (room > 0) {
        capacity += capacity / 2;
        capacity = capacity > CHUNK_MOST ? CHUNK_MOST : capacity;
    }
    copy = chunk_new(capacity);
    if (!copy) {
        return false;
    }
    copy->count = chunk->count;
    memcpy(copy->child, chunk->child, chunk->count * sizeof(copy->child[0]));
    if (chunk->references == 1) {
        chunk_free(chunk);
    } else {
        chunk->references--;
        for (uint32_t i = 0; i < copy->count; i++) {
            node_get(copy->child[i]);
        }
    }
    *slot = copy;
    return true;
}

struct node **children_own(struct children *list, struct component name)
{
    struct chunk **slot = chunks_of(list) + find_chunk(list, name);
    bool found;

    return own_chunk(slot, 0) ? (*slot)->child + find_in_chunk(*slot, name, &found) : NULL;
}

/* Puts a chunk into the array at INDEX. */
static int add_chunk(struct children *list, struct chunk *chunk, uint32_t index)
{
    size_t size = (list->chunks + 1) * sizeof(list->many[0]);
    struct chunk **many;

    if (list->chunks == 0) {
        list->one = chunk;
        list->chunks = 1;
        return 0;
    }
    many = realloc(list->chunks > 1 ? list->many : NULL, size);
    if (!many) {
        return ENOMEM;
    }
    if (list->chunks == 1) {
        many[0] = list->one;
        alive += sizeof(many[0]);
    }
    alive += sizeof(many[0]);
    memmove(many + index + 1, many + index, (list->chunks - index) * sizeof(many[0]));
    many[index] = chunk;
    list->many = many;
    list->chunks++;
    return 0;
}

/* Takes an empty chunk out of the array. */
static void drop_chunk(struct children *list, uint32_t index)
{
    chunk_free(chunk_at(list, index));
    list->chunks--;
    if (list->chunks == 0) {
        return;
    }
    memmove(list->many + index, list->many + index + 1,
            (list->chunks - index) * sizeof(list->many[0]));
    alive -= sizeof(list->many[0]);
    if (list->chunks == 1) {
        struct chunk *last = list->many[0];

        alive -= sizeof(list->many[0]);
        free(list->many);
        list->one = last;
    }
}

/* Moves the second half of a full chunk of this list's own to a new one behind it. */
static int split(struct children *list, uint32_t index)
{
    struct chunk *chunk = chunk_at(list, index);
    uint16_t half = chunk->count / 2;
    struct chunk *other = chunk_new(CHUNK_MOST);

    if (!other) {
        return ENOMEM;
    }
    other->count = chunk->count - half;
    memcpy(other->child, chunk->child + half, other->count * sizeof(other->child[0]));
    if (add_chunk(list, other, index + 1) != 0) {
        chunk_free(other);
        return ENOMEM;
    }
    chunk->count = half;
    return 0;
}

static int insert_first(struct children *list, struct node *child)
{
    struct chunk *chunk = chunk_new(2);

    if (!chunk) {
        return ENOMEM;
    }
    chunk->child[0] = child;
    chunk->count = 1;
    list->count = 1;
    return add_chunk(list, chunk, 0);
}

int children_insert(struct children *list, struct node *child)
{
    struct component name = {child->data, child->name_length};
    struct chunk **slot;
    bool found;
    uint32_t at;

    if (list->chunks == 0) {
        return insert_first(list, child);
    }
    slot = chunks_of(list) + find_chunk(list, name);
    if ((*slot)->count == CHUNK_MOST) {
        if (!own_chunk(slot, 0) || split(list, (uint32_t)(slot - chunks_of(list))) != 0) {
            return ENOMEM;
        }
        slot = chunks_of(list) + find_chunk(list, name);
    }
    if (!own_chunk(slot, 1)) {
        return ENOMEM;
    }
    at = find_in_chunk(*slot, name, &found);
    memmove((*slot)->child + at + 1, (*slot)->child + at,
            ((*slot)->count - at) * sizeof((*slot)->child[0]));
    (*slot)->child[at] = child;
    (*slot)->count++;
    list->count++;
    return 0;
}

struct node *children_take(struct children *list, struct component name)
{
    uint32_t index = find_chunk(list, name);
    struct chunk **slot = chunks_of(list) + index;
    struct node *child;
    bool found;
    uint32_t at;

    if (!own_chunk(slot, 0)) {
        return NULL;
    }
    at = find_in_chunk(*slot, name, &found);
    child = (*slot)->child[at];
    (*slot)->count--;
    memmove((*slot)->child + at, (*slot)->child + at + 1,
            ((*slot)->count - at) * sizeof((*slot)->child[0]));
    if ((*slot)->count == 0) {
        drop_chunk(list, index);
    }
    list->count--;
    return child;
}

int children_share(struct children *to, const struct children *from)
{
    size_t size = from->chunks * sizeof(to->many[0]);

    *to = *from;
    if (from->chunks > 1) {
        to->many = malloc(size);
        if (!to->many) {
            *to = (struct children){0};
            return ENOMEM;
        }
        memcpy(to->many, from->many, size);
        alive += size;
    }
    for (uint32_t i = 0; i < to->chunks; i++) {
        chunk_at(to, i)->references++;
    }
    return 0;
}

void children_release(struct permission_table *table, struct children *list)
{
    for (uint32_t i = 0; i < list->chunks; i++) {
        struct chunk *chunk = chunk_at(list, i);

        if (--chunk->references > 0) {
            continue;
        }
        for (uint32_t at = 0; at < chunk->count; at++) {
            node_put(table, chunk->child[at]);
        }
        chunk_free(chunk);
    }
    if (list->chunks > 1) {
        alive -= list->chunks * sizeof(list->many[0]);
        free(list->many);
    }
    *list = (struct children){0};
}
