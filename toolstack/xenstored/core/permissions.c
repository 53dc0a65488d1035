// SPDX-License-Identifier: Apache-2.0
//
// Permission lists (permissions.h): a fixed number of hash chains. The chains stay short because
// equal lists are one; a domain that makes many different lists pays for each by a node that it
// owns, so its quota of nodes bounds them.

#include "permissions.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint32_t hash_entries(const struct permission *entries, size_t count)
{
    uint32_t hash = 2166136261u;

    for (size_t i = 0; i < count; i++) {
        hash = (hash ^ entries[i].domid) * 16777619u;
        hash = (hash ^ entries[i].access) * 16777619u;
    }
    return hash ^ (hash >> 15);
}

static void link_list(struct permission_table *table, struct permissions *list)
{
    struct permissions **bucket = &table->bucket[list->hash % PERMISSIONS_BUCKETS];

    list->next = *bucket;
    *bucket = list;
}

static void unlink_list(struct permission_table *table, struct permissions *list)
{
    struct permissions **link = &table->bucket[list->hash % PERMISSIONS_BUCKETS];

    while (*link != list) {
        link = &(*link)->next;
    }
    *link = list->next;
}

struct permissions *permissions_intern(struct permission_table *table,
                                       const struct permission *entries, size_t count)
{
    uint32_t hash = hash_entries(entries, count);
    size_t size = count * sizeof(*entries);
    struct permissions *list;

    for (list = table->bucket[hash % PERMISSIONS_BUCKETS]; list; list = list->next) {
        if (list->hash == hash && list->count == count && memcmp(list->entry, entries, size) == 0) {
            return permissions_get(list);
        }
    }
    list = malloc(sizeof(*list) + size);
    if (!list) {
        return NULL;
    }
    list->references = 1;
    list->hash = hash;
    list->count = (uint32_t)count;
    memcpy(list->entry, entries, size);
    link_list(table, list);
    return list;
}

struct permissions *permissions_with_owner(struct permission_table *table,
                                           const struct permissions *list, unsigned owner)
{
    struct permission copy[PERMISSIONS_MOST];

    memcpy(copy, list->entry, list->count * sizeof(copy[0]));
    copy[0].domid = (uint16_t)owner;
    return permissions_intern(table, copy, list->count);
}

struct permissions *permissions_get(struct permissions *list)
{
    list->references++;
    return list;
}

void permissions_put(struct permission_table *table, struct permissions *list)
{
    if (list && --list->references == 0) {
        unlink_list(table, list);
        free(list);
    }
}

unsigned permissions_access(const struct permissions *list, unsigned domid)
{
    if (list->entry[0].domid == domid) {
        return ACCESS_ALL;
    }
    for (uint32_t i = 1; i < list->count; i++) {
        if (list->entry[i].domid == domid) {
            return list->entry[i].access;
        }
    }
    return list->entry[0].access;
}

/* Returns whether the list named the domain. */
static bool forget_in_list(struct permissions *list, unsigned domid)
{
    uint32_t kept = 1;
    bool named = list->entry[0].domid == domid;

    if (named) {
        list->entry[0].domid = 0;
        list->entry[0].access = 0;
    }
    for (uint32_t i = 1; i < list->count; i++) {
        if (list->entry[i].domid != domid) {
            list->entry[kept++] = list->entry[i];
        }
    }
    named = named || kept != list->count;
    list->count = kept;
    return named;
}

void permissions_forget(struct permission_table *table, unsigned domid)
{
    struct permissions *moved = NULL;

    for (unsigned i = 0; i < PERMISSIONS_BUCKETS; i++) {
        struct permissions **link = &table->bucket[i];

        while (*link) {
            struct permissions *list = *link;

            if (forget_in_list(list, domid)) {
                *link = list->next;
                list->next = moved;
                moved = list;
            } else {
                link = &list->next;
            }
        }
    }
    while (moved) {
        struct permissions *list = moved;

        moved = list->next;
        list->hash = hash_entries(list->entry, list->count);
        link_list(table, list);
    }
}

static int parse_one(struct permission *entry, const char *text)
{
    static const char letters[] = "nrwb";
    const char *letter = *text ? strchr(letters, *text) : NULL;
    char *end;
    unsigned long domid;

    if (!letter || text[1] < '0' || text[1] > '9') {
        return -1;
    }
    domid = strtoul(text + 1, &end, 10);
    if (*end || domid > 0xffff) {
        return -1;
    }
    entry->domid = (uint16_t)domid;
    entry->access = (uint16_t)(letter - letters);
    return 0;
}

int permissions_parse(struct permission *entries, size_t most, const char *text, size_t length)
{
    size_t count = 0;

    if (length == 0 || text[length - 1] != '\0') {
        return -1;
    }
    for (size_t at = 0; at < length; at += strlen(text + at) + 1) {
        if (count == most || parse_one(&entries[count], text + at) != 0) {
            return -1;
        }
        count++;
    }
    return (int)count;
}

size_t permissions_format(const struct permissions *list, char *out, size_t size)
{
    size_t needed = 0;

    for (uint32_t i = 0; i < list->count; i++) {
        char text[8];
        size_t length =
            1 + (size_t)snprintf(text, sizeof(text), "%c%u", "nrwb"[list->entry[i].access & 3u],
                                 (unsigned)list -> entry[i].domid);

        if (needed + length <= size) {
            memcpy(out + needed, text, length);
        }
        needed += length;
    }
    return needed;
}
