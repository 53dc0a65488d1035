// SPDX-License-Identifier: Apache-2.0
//
// The established configuration syntax: assignments "key = value" (or +=), one a line or separated
// by semicolons; a value is a number, a string in single or double quotes, or a list in brackets,
// which may go over lines and hold lists; # begins a comment. Every value knows where it stands, so
// that whatever is wrong with it can be said with file, line and column.
#ifndef TOOLSTACK_CONFIG_H
#define TOOLSTACK_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <toolstack/error.h>

struct config_place {
    const char *source; // a file's name, or what stands for one; lives as long as the config
    unsigned int line;  // both count from 1
    unsigned int column;
};

enum config_kind { CONFIG_NUMBER, CONFIG_STRING, CONFIG_LIST };

struct config_value {
    enum config_kind kind;
    struct config_place place;
    char *text; // of strings and numbers
    struct config_value *items;
    size_t count;
};

struct config_entry {
    char *key;
    struct config_place place;
    struct config_value value;
    bool used; // whether a getter has asked for it
};

struct config {
    struct config_entry *entries;
    size_t count;
    char **sources;
    size_t source_count;
};

#define CONFIG_SIZE_MAX (1u << 20)

// Adds the assignments of a text to a config, which may be all zeroes; a key that an earlier call
// has set is replaced. After an error the config holds what came before the error.
struct error *config_add_text(struct config *config, const char *source, const char *text,
                              size_t length) MUST_CHECK;

// The same for a file; "-" is the standard input.
struct error *config_add_file(struct config *config, const char *path) MUST_CHECK;

void config_free(struct config *config);

// The value of a key, NULL when it is not set. The key counts as used.
const struct config_value *config_find(struct config *config, const char *key);

// An error about a value, beginning with "file:line:column: ".
struct error *config_error(const struct config_place *place, enum error_code code,
                           const char *format, ...) PRINTF_LIKE(3, 4) MUST_CHECK;

// These leave *result alone when the key is not set. Strings stay the config's.
struct error *config_string(struct config *config, const char *key, const char **result) MUST_CHECK;
struct error *config_number(struct config *config, const char *key, uint64_t low, uint64_t high,
                            uint64_t *result) MUST_CHECK;
struct error *config_boolean(struct config *config, const char *key, bool *result) MUST_CHECK;

// Warns of every entry that no getter has asked for: whether the key is unknown (with the nearest
// of the known keys) or known and without effect here.
void config_warn_unused(const struct config *config, FILE *stream);

// The known key nearest to a word, or NULL when none is near. known is ended by NULL.
const char *config_nearest(const char *word, const char *const *known);

// Every key of the established format.
extern const char *const config_known_keys[];

#endif
