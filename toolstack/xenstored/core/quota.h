// SPDX-License-Identifier: Apache-2.0
//
// Quotas: one number of each kind for each domain. A new domain gets the store's defaults; a
// privileged client may change either. 0 means no limit. Privileged domains are not limited by
// them, only by what a connection may have waiting (connection.h). The table of names is constant.
#ifndef XENSTORED_QUOTA_H
#define XENSTORED_QUOTA_H

#include <stdbool.h>

enum quota {
    QUOTA_NODES,             /* nodes that a domain owns */
    QUOTA_WATCHES,           /* watches that it has registered */
    QUOTA_TRANSACTIONS,      /* transactions that it has open */
    QUOTA_TRANSACTION_NODES, /* paths read or changed in one transaction */
    QUOTA_OUTSTANDING,       /* replies that wait for it to take them */
    QUOTA_EVENTS,            /* watch events that wait for it */
    QUOTA_MEMORY,            /* bytes of its nodes, watches, transactions, replies and events */
    QUOTA_NODE_SIZE,         /* bytes of one value */
    QUOTA_PERMISSIONS,       /* entries of one node's permission list */
    QUOTA_PATH_LENGTH,       /* bytes of a path */
    QUOTA_PATH_DEPTH,        /* components of a path */
    QUOTA_COUNT
};

struct quotas {
    unsigned limit[QUOTA_COUNT];
};

extern const struct quotas quota_defaults;

const char *quota_name(enum quota kind);

/* The quota of that name, or of its other name in Xen 4.20's options; QUOTA_COUNT when none. */
enum quota quota_by_name(const char *name);

static inline bool quota_exceeded(const struct quotas *quotas, enum quota kind, long long value)
{
    return quotas->limit[kind] != 0 && value > (long long)quotas->limit[kind];
}

#endif
