// SPDX-License-Identifier: Apache-2.0
//
// Marks of what is not finished: a file below /run/xen, named by a domain's UUID and locked by the
// program that makes the domain or ends it. If that program is killed the lock goes with it, and
// whoever next makes a domain clears away what the mark is about.
#ifndef LIB_MARKS_H
#define LIB_MARKS_H

#include <stdbool.h>
#include <stdint.h>
#include <toolstack/error.h>

#ifndef RUN_FOLDER // tests have their own
#define RUN_FOLDER "/run/xen"
#endif

struct toolstack;

struct mark {
    char *path;
    int descriptor; // -1: not held
};

// Opens a file, made if it is not there, and locks it (operation as of flock). The caller closes
// it.
struct error *file_lock(const char *path, int operation, int *descriptor) MUST_CHECK;

// Marks a domain. When another program holds the mark, waits for it or, if not told to wait, fails.
// mark_end is called in any case.
struct error *mark_begin(struct mark *mark, const uint8_t uuid[16], bool wait) MUST_CHECK;

// Writes down which domain it is about.
void mark_note(const struct mark *mark, unsigned int domid);

void mark_end(struct mark *mark);

// Clears away what marks that nobody holds are about.
void marks_clear(struct toolstack *toolstack);

#endif
