// SPDX-License-Identifier: Apache-2.0
//
// The names and defaults of quotas (quota.h). The defaults leave a domain with Linux and ten
// devices a tenth full, and let a thousand hostile domains take at most 2.5 GiB together.

#include "quota.h"

#include <string.h>

const struct quotas quota_defaults = {
    .limit =
        {
            [QUOTA_NODES] = 1000,
            [QUOTA_WATCHES] = 128,
            [QUOTA_TRANSACTIONS] = 10,
            [QUOTA_TRANSACTION_NODES] = 1024,
            [QUOTA_OUTSTANDING] = 20,
            [QUOTA_EVENTS] = 512,
            [QUOTA_MEMORY] = 2560 * 1024,
            [QUOTA_NODE_SIZE] = 2048,
            [QUOTA_PERMISSIONS] = 5,
            [QUOTA_PATH_LENGTH] = 3072,
            [QUOTA_PATH_DEPTH] = 64,
        },
};

static const struct {
    const char *name;
    enum quota kind;
} names[] = {
    {"nodes", QUOTA_NODES},
    {"watches", QUOTA_WATCHES},
    {"transactions", QUOTA_TRANSACTIONS},
    {"transaction-nodes", QUOTA_TRANSACTION_NODES},
    {"outstanding", QUOTA_OUTSTANDING},
    {"events", QUOTA_EVENTS},
    {"memory", QUOTA_MEMORY},
    {"node-size", QUOTA_NODE_SIZE},
    {"permissions", QUOTA_PERMISSIONS},
    {"path-length", QUOTA_PATH_LENGTH},
    {"path-depth", QUOTA_PATH_DEPTH},
    {"node-permissions", QUOTA_PERMISSIONS},
    {"path-max", QUOTA_PATH_LENGTH},
};

_Static_assert(sizeof(names) / sizeof(names[0]) >= QUOTA_COUNT, "every quota has a name");

const char *quota_name(enum quota kind)
{
    return names[kind].name;
}

enum quota quota_by_name(const char *name)
{
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(names[i].name, name) == 0) {
            return names[i].kind;
        }
    }
    return QUOTA_COUNT;
}
