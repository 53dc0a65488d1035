// SPDX-License-Identifier: Apache-2.0
//
// Watches (watch.h). The hash table of points doubles when it is full; when it cannot, chains get
// longer and nothing fails. A point lives as long as it has watches or points below it. Removing a
// subtree fires what watches inside it: that walks the watch points below, not the nodes.

#include "watch.h"
#include "connection.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS_FIRST 64
/* An event with the longest path must fit into a message. */
#define TOKEN_LONGEST (XENSTORE_PAYLOAD_MAX - PATH_LONGEST - 2)

struct watch_point {
    struct watch_point *next_hashed;
    struct watch_point *above;
    struct watch_point *below; /* the first of those below */
    struct watch_point *beside;
    struct watch_point **link; /* what points here among its siblings */
    struct watch *watches;
    uint32_t hash;
    uint32_t name_length;
    char name[];
};

static uint32_t hash_name(const struct watch_point *above, struct component name)
{
    uint32_t hash = (uint32_t)((uintptr_t)above >> 4) * 2654435761u;

    for (size_t i = 0; i < name.length; i++) {
        hash = (hash ^ (unsigned char)name.name[i]) * 16777619u;
    }
    return hash ^ (hash >> 16);
}

static struct watch_point *point_below(const struct store *store, const struct watch_point *above,
                                       struct component name)
{
    uint32_t hash = hash_name(above, name);
    struct watch_point *point = store->watch_table[hash % store->watch_buckets];

    while (point &&
           (point->hash != hash || point->above != above || point->name_length != name.length ||
            memcmp(point->name, name.name, name.length) != 0)) {
        point = point->next_hashed;
    }
    return point;
}

static void grow(struct store *store)
{
    size_t buckets = store->watch_buckets * 2;
    struct watch_point **table = calloc(buckets, sizeof(*table));

    if (!table) {
        return;
    }
    for (size_t i = 0; i < store->watch_buckets; i++) {
        while (store->watch_table[i]) {
            struct watch_point *point = store->watch_table[i];

            store->watch_table[i] = point->next_hashed;
            point->next_hashed = table[point->hash % buckets];
            table[point->hash % buckets] = point;
        }
    }
    free(store->watch_table);
    store->watch_table = table;
    store->watch_buckets = buckets;
}

static struct watch_point *point_create(struct store *store, struct watch_point *above,
                                        struct component name)
{
    struct watch_point *point = calloc(1, sizeof(*point) + name.length);
    struct watch_point **bucket;

    if (!point) {
        return NULL;
    }
    if (store->watch_points >= store->watch_buckets) {
        grow(store);
    }
    point->above = above;
    point->hash = hash_name(above, name);
    point->name_length = (uint32_t)name.length;
    memcpy(point->name, name.name, name.length);
    if (above) {
        point->beside = above->below;
        point->link = &above->below;
        above->below = point;
        if (point->beside) {
            point->beside->link = &point->beside;
        }
    }
    bucket = &store->watch_table[point->hash % store->watch_buckets];
    point->next_hashed = *bucket;
    *bucket = point;
    store->watch_points++;
    return point;
}

/* Frees a point and those above it that nobody needs any more. */
static void point_release(struct store *store, struct watch_point *point)
{
    while (point->above && point != store->watch_root && !point->watches && !point->below) {
        struct watch_point *above = point->above;
        struct watch_point **link = &store->watch_table[point->hash % store->watch_buckets];

        while (*link != point) {
            link = &(*link)->next_hashed;
        }
        *link = point->next_hashed;
        *point->link = point->beside;
        if (point->beside) {
            point->beside->link = point->link;
        }
        free(point);
        store->watch_points--;
        point = above;
    }
}

/* Ordinary paths begin at the root; special ones begin one point lower, with their "@". */
static struct watch_point *first_point(const struct store *store, const char *path)
{
    return path_is_special(path) ? store->watch_root->above : store->watch_root;
}

static struct watch_point *point_find(const struct store *store, const char *path)
{
    struct watch_point *point = first_point(store, path);
    struct component name;

    while (point && path_next(&path, &name)) {
        point = point_below(store, point, name);
    }
    return point;
}

static struct watch_point *point_make(struct store *store, const char *path)
{
    struct watch_point *point = first_point(store, path);
    struct component name;

    while (path_next(&path, &name)) {
        struct watch_point *below = point_below(store, point, name);

        if (!below) {
            below = point_create(store, point, name);
        }
        if (!below) {
            point_release(store, point);
            return NULL;
        }
        point = below;
    }
    return point;
}

bool watches_create(struct store *store)
{
    struct watch_point *top;

    store->watch_buckets = BUCKETS_FIRST;
    store->watch_table = calloc(BUCKETS_FIRST, sizeof(*store->watch_table));
    top = store->watch_table ? point_create(store, NULL, (struct component){"", 0}) : NULL;
    store->watch_root = top ? point_create(store, top, (struct component){"/", 1}) : NULL;
    if (!store->watch_root) {
        free(top);
        free(store->watch_table);
    }
    return store->watch_root;
}

void watches_destroy(struct store *store)
{
    free(store->watch_root->above);
    free(store->watch_root);
    free(store->watch_table);
}

static struct watch **find(struct connection *connection, const char *path, const char *token)
{
    struct watch_point *point = point_find(connection->store, path);
    struct watch **link = point ? &point->watches : NULL;

    while (link && *link &&
           ((*link)->connection != connection || strcmp((*link)->token, token) != 0)) {
        link = &(*link)->next_here;
    }
    return link && *link ? link : NULL;
}

int watch_add(struct connection *connection, const char *path, const char *token, int depth,
              unsigned skip)
{
    size_t path_size = strlen(path) + 1;
    size_t size = sizeof(struct watch) + path_size + strlen(token) + 1;
    size_t bytes = size + path_depth(path) * sizeof(struct watch_point) + path_size;
    struct watch *watch;

    if (find(connection, path, token)) {
        return EEXIST;
    }
    if (strlen(token) > TOKEN_LONGEST ||
        domain_exceeds(connection->domain, QUOTA_WATCHES, connection->domain->watches + 1LL) ||
        domain_lacks_memory(connection->domain, bytes)) {
        return E2BIG;
    }
    watch = calloc(1, size);
    if (!watch) {
        return ENOMEM;
    }
    watch->point = point_make(connection->store, path);
    if (!watch->point) {
        free(watch);
        return ENOMEM;
    }
    watch->connection = connection;
    watch->depth = depth;
    watch->skip = skip;
    watch->bytes = bytes;
    watch->path = strcpy(watch->data, path);
    watch->token = strcpy(watch->data + path_size, token);
    watch->next_here = watch->point->watches;
    watch->point->watches = watch;
    watch->next_own = connection->watches;
    connection->watches = watch;
    connection->domain->watches++;
    connection->domain->memory += (long)bytes;
    return 0;
}

int watch_greet(struct connection *connection)
{
    return connection_first_event(connection->watches);
}

static void destroy(struct watch **link_here, struct watch **link_own)
{
    struct watch *watch = *link_own;

    connection_drop_events(watch);
    *link_here = watch->next_here;
    *link_own = watch->next_own;
    watch->connection->domain->watches--;
    watch->connection->domain->memory -= (long)watch->bytes;
    point_release(watch->connection->store, watch->point);
    free(watch);
}

int watch_remove(struct connection *connection, const char *path, const char *token)
{
    struct watch **here = find(connection, path, token);
    struct watch **own = &connection->watches;

    if (!here) {
        return ENOENT;
    }
    while (*own != *here) {
        own = &(*own)->next_own;
    }
    destroy(here, own);
    return 0;
}

void watch_remove_all(struct connection *connection)
{
    while (connection->watches) {
        struct watch *watch = connection->watches;
        struct watch **here = &watch->point->watches;

        while (*here != watch) {
            here = &(*here)->next_here;
        }
        destroy(here, &connection->watches);
    }
}

static bool may_read(const struct domain *domain, const struct permissions *permissions)
{
    return permissions && (domain_access(domain, permissions) & ACCESS_READ);
}

/* Fires the watches of a point for an event DISTANCE components below it. PATH: of the event, or
 * NULL for the watch's own. */
static void fire_point(const struct watch_point *point, struct permissions *const seen[2],
                       const char *path, int distance)
{
    const struct domain *last = NULL;
    bool told = false;

    for (struct watch *watch = point->watches; watch; watch = watch->next_here) {
        const struct domain *domain = watch->connection->domain;

        if (watch->depth != WATCH_ANY_DEPTH && distance > watch->depth) {
            continue;
        }
        if (domain != last) {
            last = domain;
            told = may_read(domain, seen[0]) || may_read(domain, seen[1]);
        }
        if (told) {
            connection_event(watch, path ? path : watch->path);
        }
    }
}

/* Fires what watches nodes of a subtree that is gone. */
static void fire_below(const struct watch_point *point, const struct node *removed)
{
    for (const struct watch_point *below = point->below; below; below = below->beside) {
        const struct node *node =
            node_child(removed, (struct component){below->name, below->name_length});

        if (node) {
            struct permissions *seen[2] = {node->permissions, removed->permissions};

            fire_point(below, seen, NULL, 0);
            fire_below(below, node);
        }
    }
}

void watch_fire(struct store *store, const struct change *change)
{
    const struct watch_point *point = store->watch_root;
    const char *rest = change->path;
    int distance = (int)path_depth(rest);
    struct component name;

    if (!change->happened) {
        return;
    }
    while (point) {
        fire_point(point, change->seen, change->path, distance--);
        if (!path_next(&rest, &name)) {
            break;
        }
        point = point_below(store, point, name);
    }
    if (point && change->removed) {
        fire_below(point, change->removed);
    }
}

void watch_fire_special(struct store *store, unsigned special, unsigned domid)
{
    const struct watch_point *point = point_find(store, store->special[special].name);
    char path[PATH_HOME_SIZE + 16];

    if (!point) {
        return;
    }
    snprintf(path, sizeof(path), "%s/%u", store->special[special].name, domid);
    for (struct watch *watch = point->watches; watch; watch = watch->next_here) {
        if (may_read(watch->connection->domain, store->special[special].permissions)) {
            connection_event(watch, watch->depth > 0 ? path : watch->path);
        }
    }
}
