// SPDX-License-Identifier: Apache-2.0
/*
 * The loader's only error vocabulary: a function that can fail returns false and leaves one plain
 * English sentence for the person at the console in struct load_error.
 */
#ifndef DOM0_LOADER_REPORT_H
#define DOM0_LOADER_REPORT_H

#include <stdbool.h>

#define LOAD_MESSAGE_SIZE 200

struct load_error {
    char message[LOAD_MESSAGE_SIZE]; /* always terminated once load_fail has run */
};

/*
 * Writes the sentence into @error and returns false, so that a check can end with
 * `return load_fail(...)`. @format knows %s, %lu, %lx and %%; a longer sentence is cut at the
 * buffer's end.
 */
bool load_fail(struct load_error *error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
