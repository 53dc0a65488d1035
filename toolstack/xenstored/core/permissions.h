// SPDX-License-Identifier: Apache-2.0
//
// Permission lists of nodes. A list is immutable, counted and kept once in a table, so that the
// thousands of nodes of one domain share a few lists, and comparing two lists is comparing two
// pointers. The exception is the death of a domain: permissions_forget() takes its id out of every
// list at once, in place, so that a later domain with the same id inherits nothing; lists that
// become equal that way stay apart. Errors: only memory, which is NULL.
#ifndef XENSTORED_PERMISSIONS_H
#define XENSTORED_PERMISSIONS_H

#include <stddef.h>
#include <stdint.h>

#define ACCESS_READ 1u
#define ACCESS_WRITE 2u
#define ACCESS_OWNER 4u
#define ACCESS_ALL (ACCESS_READ | ACCESS_WRITE | ACCESS_OWNER)

/* More entries than one request can hold. */
#define PERMISSIONS_MOST 1366
#define PERMISSIONS_BUCKETS 256

/* The first of a list names the owner and what all others may do. */
struct permission {
    uint16_t domid;
    uint16_t access;
};

struct permissions {
    struct permissions *next;
    uint32_t references;
    uint32_t hash;
    uint32_t count;
    struct permission entry[];
};

struct permission_table {
    struct permissions *bucket[PERMISSIONS_BUCKETS];
};

/* The list with these entries (COUNT at least 1), with one reference for the caller; NULL without
 * memory. */
struct permissions *permissions_intern(struct permission_table *table,
                                       const struct permission *entries, size_t count);

/* LIST with another owner, as a list of its own; a reference for the caller, or NULL. */
struct permissions *permissions_with_owner(struct permission_table *table,
                                           const struct permissions *list, unsigned owner);

struct permissions *permissions_get(struct permissions *list);
void permissions_put(struct permission_table *table, struct permissions *list);

/* What domain DOMID may do by itself. */
unsigned permissions_access(const struct permissions *list, unsigned domid);

/* Removes DOMID from every list; what it owned is owned by domain 0, and closed to others. */
void permissions_forget(struct permission_table *table, unsigned domid);

/*
 * Reads up to MOST entries from COUNT strings that lie one after the other in TEXT (each
 * terminated). Returns how many, or -1 when one is malformed.
 */
int permissions_parse(struct permission *entries, size_t most, const char *text, size_t length);

/* Writes the list's strings, each terminated; returns the bytes needed, writes at most SIZE. */
size_t permissions_format(const struct permissions *list, char *out, size_t size);

#endif
