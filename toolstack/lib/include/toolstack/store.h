// SPDX-License-Identifier: Apache-2.0
//
// Xenstore with paths made by format strings. A struct store is one connection, used by one thread.
// Inside store_transaction all functions work in the transaction.
#ifndef TOOLSTACK_STORE_H
#define TOOLSTACK_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <toolstack/error.h>

struct store;

struct error *store_open(struct store **result) MUST_CHECK;
void store_close(struct store *store);

// The value of a node, which the caller frees; NULL when it is not there or cannot be read.
char *store_read(struct store *store, const char *format, ...) PRINTF_LIKE(2, 3);

// The value as a number, or the fallback when it is missing or no number.
long store_read_number(struct store *store, long fallback, const char *format, ...)
    PRINTF_LIKE(3, 4);

// The values of count nodes with one conversation: values[i] as store_read gives them, each to be
// freed. false, and nothing read, when the daemon has no socket here or does not answer as it
// should: then they are to be read one by one. Needs no struct store.
bool store_read_many(char *const paths[], char *values[], size_t count) MUST_CHECK;

// The names of a node's children; *count is 0 and the result NULL when there are none. The caller
// frees the result with one free().
char **store_list(struct store *store, size_t *count, const char *format, ...) PRINTF_LIKE(3, 4);

struct error *store_write(struct store *store, const char *value, const char *format, ...)
    PRINTF_LIKE(3, 4) MUST_CHECK;

// Removes a node and all below it; a node that is not there is no error.
struct error *store_remove(struct store *store, const char *format, ...)
    PRINTF_LIKE(2, 3) MUST_CHECK;

// The same, and the node above it goes, too, when it is empty then.
struct error *store_remove_with_parent(struct store *store, const char *path) MUST_CHECK;

// Who may do what with a node: owner may do everything, reader may read (no one else when -1), and
// write if it is a writer, too.
struct store_access {
    int owner;
    int reader;
    bool writer; // the reader
};

// Writes a node and sets who may use it.
struct error *store_write_for(struct store *store, struct store_access access, const char *value,
                              const char *format, ...) PRINTF_LIKE(4, 5) MUST_CHECK;

// Sets who may use a node that is there, and everything below it; nodes that vanish meanwhile are
// left out.
struct error *store_set_access_below(struct store *store, struct store_access access,
                                     const char *path) MUST_CHECK;

// Runs body in a transaction, again when another client has interfered (EAGAIN). What body has
// written is dropped when it returns an error.
typedef struct error *store_body(struct store *store, void *context);
struct error *store_transaction(struct store *store, store_body *body, void *context) MUST_CHECK;

// Gives a domain that has been introduced a quota of its own: "watches", "nodes", "memory" (bytes).
// false when the daemon refuses; one of Xen 4.20 does not know this request.
bool store_set_quota(unsigned int domid, const char *name, unsigned int value);

// Tells xenstored of a domain's ring, and of its end.
struct error *store_introduce(struct store *store, unsigned int domid, unsigned long frame,
                              unsigned int port) MUST_CHECK;
struct error *store_release(struct store *store, unsigned int domid) MUST_CHECK;

// Watches: the descriptor becomes readable when one has fired.
struct error *store_watch(struct store *store, const char *token, const char *format, ...)
    PRINTF_LIKE(3, 4) MUST_CHECK;
void store_unwatch(struct store *store, const char *token, const char *format, ...)
    PRINTF_LIKE(3, 4);
int store_descriptor(struct store *store);

// The next fired watch, if any: its path, which the caller frees, and its token in the same block.
char *store_next_event(struct store *store, const char **token);

#endif
