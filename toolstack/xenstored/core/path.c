// SPDX-License-Identifier: Apache-2.0
//
// Paths: checks and iteration (path.h). A table of allowed characters, filled by the compiler, is
// the only data. Errors: an invalid path is length 0, and says nothing about why, as the protocol
// has one error for all of them.

#include "path.h"

#include <stdio.h>
#include <string.h>

static const bool allowed[256] = {
    ['a' ... 'z'] = true, ['0' ... '9'] = true, ['A' ... 'Z'] = true, ['-'] = true,
    ['/'] = true,         ['_'] = true,         ['@'] = true,
};

size_t path_home(char *out, unsigned domid)
{
    return (size_t)snprintf(out, PATH_HOME_SIZE, "/local/domain/%u", domid & 0xffff);
}

bool path_is_special(const char *path)
{
    return path[0] == '@';
}

size_t path_resolve(char *out, const char *text, unsigned domid)
{
    size_t length = 0;
    bool relative = text[0] != '/' && text[0] != '@';
    size_t longest = relative ? XENSTORE_REL_PATH_MAX : PATH_LONGEST;

    if (relative) {
        length = path_home(out, domid);
        out[length++] = '/';
        longest += length;
    }
    for (const char *c = text; *c; c++) {
        if (length == longest || !allowed[(unsigned char)*c] ||
            (*c == '/' && length > 0 && out[length - 1] == '/')) {
            return 0;
        }
        out[length++] = *c;
    }
    if (length == 0 || text[0] == '\0' || (length > 1 && out[length - 1] == '/')) {
        return 0;
    }
    out[length] = '\0';
    return length;
}

bool path_next(const char **rest, struct component *component)
{
    const char *name = *rest;
    const char *end;

    if (*name == '/') {
        name++;
    }
    if (*name == '\0') {
        return false;
    }
    end = strchrnul(name, '/');
    component->name = name;
    component->length = (size_t)(end - name);
    *rest = end;
    return true;
}

unsigned path_depth(const char *rest)
{
    struct component component;
    unsigned depth = 0;

    while (path_next(&rest, &component)) {
        depth++;
    }
    return depth;
}

size_t path_parent_length(const char *path)
{
    return (size_t)(strrchr(path, '/') - path);
}
