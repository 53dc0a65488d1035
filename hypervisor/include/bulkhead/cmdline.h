// SPDX-License-Identifier: Apache-2.0
// The hypervisor's command line. Each option is declared beside the code that uses it, in one
// linker section, with its documentation; hypfs lists the runtime ones.
#ifndef BULKHEAD_CMDLINE_H
#define BULKHEAD_CMDLINE_H

#include <bulkhead/types.h>

struct cmdline_option {
    const char *name;
    // value: what follows '=', or "" ; for "no-NAME" the value is "no". Returns 0, or -EINVAL,
    // whereupon a warning names the option and its value.
    int (*parse)(const char *value);
    // Set at run time through hypfs, or NULL. Returns 0 or -errno.
    int (*runtime)(const char *value);
    // Current value as text, for hypfs; may be NULL.
    const char *(*show)(void);
};

#define CMDLINE_OPTION(ident, ...)                                                                 \
    static const struct cmdline_option cmdline_option_##ident                                      \
        __attribute__((used, section(".data.rel.ro.cmdline"), aligned(8))) = {__VA_ARGS__}

// Parses the whole line; unknown options are warned about. The text is kept for hypfs and xl info.
void cmdline_parse(const char *line);
extern char cmdline_text[1024];
int cmdline_parse_bool(const char *value, bool *out);     // 0 or -EINVAL
int cmdline_parse_size(const char *value, uint64_t *out); // bytes; suffixes B K M G T; default K
// Iterates over the options, for hypfs; NULL at the end.
const struct cmdline_option *cmdline_option_at(size_t index);

#endif
