// SPDX-License-Identifier: Apache-2.0
// Options for the command line's test, and the section's borders that the linker script gives in
// the hypervisor: here one array.

#include <bulkhead/cmdline.h>
#include <xen/errno.h>

#include "options.h"

struct seen seen;

static int parse_number(const char *value)
{
    if (cmdline_parse_size(value, &seen.size)) {
        return -XEN_EINVAL;
    }
    return 0;
}

static int parse_flag(const char *value)
{
    return cmdline_parse_bool(value, &seen.flag);
}

static int parse_text(const char *value)
{
    size_t i;

    for (i = 0; value[i] && i < sizeof(seen.text) - 1; i++) {
        seen.text[i] = value[i];
    }
    seen.text[i] = 0;
    return 0;
}

const struct cmdline_option cmdline_options_start[] = {
    {.name = "size", .parse = parse_number},
    {.name = "flag", .parse = parse_flag},
    {.name = "text", .parse = parse_text},
    {.name = "runtime-only", .runtime = parse_flag},
};

__asm__(".globl cmdline_options_end\n.set cmdline_options_end, cmdline_options_start + 4 * 32");
_Static_assert(sizeof(cmdline_options_start) == 4 * 32, "the end is given in bytes above");
