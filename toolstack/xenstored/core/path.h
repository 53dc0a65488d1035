// SPDX-License-Identifier: Apache-2.0
//
// Paths of the store. A canonical path is "/" or "/a/b/c": one slash before each component, none at
// the end, only the characters that the protocol allows, at most PATH_LONGEST bytes. Special paths
// begin with "@" and name events, not nodes. Nothing here allocates; all loops are bounded by the
// length of the text.
#ifndef XENSTORED_PATH_H
#define XENSTORED_PATH_H

#include <errno.h> /* before xs_wire.h, which makes its table of errors then */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <xen/io/xs_wire.h>

#define PATH_LONGEST XENSTORE_ABS_PATH_MAX
#define PATH_SIZE (PATH_LONGEST + 1)
/* The longest prefix of relative paths, with its slash: "/local/domain/65535/". */
#define PATH_HOME_SIZE 24

struct component {
    const char *name;
    size_t length;
};

/*
 * Writes the canonical form of TEXT, a terminated string, into OUT (PATH_SIZE bytes). A relative
 * path is taken below the home of domain DOMID. Special paths are kept as they are. Returns the
 * length, or 0 when TEXT is no valid path.
 */
size_t path_resolve(char *out, const char *text, unsigned domid);

/* Writes "/local/domain/DOMID" into OUT (PATH_HOME_SIZE bytes); returns its length. */
size_t path_home(char *out, unsigned domid);

bool path_is_special(const char *path);

/*
 * Takes the next component off *REST, a canonical path or what is left of one. Returns false at
 * the end. For "/" there is none.
 */
bool path_next(const char **rest, struct component *component);

/* The number of components of what is left of a canonical path. */
unsigned path_depth(const char *rest);

/* The length of the path of the parent of a canonical path other than "/": 0 for "/a". */
size_t path_parent_length(const char *path);

#endif
