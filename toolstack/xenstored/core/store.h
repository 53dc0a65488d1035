// SPDX-License-Identifier: Apache-2.0
//
// The state of the server, for its own parts. A view is a tree together with what each domain owns
// in it: the main view is what everybody sees, and counts in the domains themselves; a transaction
// has a view of its own, whose accounts are differences to be added when it is committed.
// Changes are values (struct change): the same kind is applied at once, logged in a transaction,
// applied again when it commits, and at last turned into watch events.
#ifndef XENSTORED_STORE_H
#define XENSTORED_STORE_H

#include "node.h"
#include "quota.h"
#include "xenstore.h"

#include <errno.h>

#define DOMAIN_BUCKETS 512
#define SCRATCH_SIZE 16384
#define MESSAGE_LONGEST (sizeof(struct xsd_sockmsg) + XENSTORE_PAYLOAD_MAX)

/* What one domain owns: in the main view all of it, in another view the difference. */
struct account {
    struct account *next;
    unsigned domid;
    long nodes;
    long bytes;
};

struct view {
    struct store *store;
    struct node *root;
    struct account *accounts; /* not used by the main view */
};

enum change_kind { CHANGE_WRITE, CHANGE_MKDIR, CHANGE_REMOVE, CHANGE_PERMISSIONS };

/*
 * One change of the tree. The first part says what to do. The second is filled in by tree_apply()
 * and holds references until change_release(): what watches need to know about it.
 */
struct change {
    struct change *next;
    enum change_kind kind;
    const char *path;
    const char *value;
    size_t length;
    struct permissions *permissions;

    bool happened;               /* false: there was nothing to do, and no event */
    struct permissions *seen[2]; /* whoever may read by one of these is told */
    struct node *removed;        /* the subtree that is gone */
};

struct special {
    const char *name;
    struct permissions *permissions;
};

enum { SPECIAL_INTRODUCE, SPECIAL_RELEASE, SPECIAL_COUNT };

struct store {
    const struct host *host;
    struct view main;
    struct permission_table permissions;
    struct special special[SPECIAL_COUNT];
    struct domain *domains[DOMAIN_BUCKETS];
    struct quotas quotas; /* of new domains */
    struct connection *connections;
    struct connection *dirty; /* with something to send */
    struct transaction *oldest_transaction;
    struct transaction **last_transaction;
    struct watch_point *watch_root;
    struct watch_point **watch_table;
    size_t watch_buckets;
    size_t watch_points;
    uint64_t generation;
    uint32_t next_transaction;
    size_t owned_bytes; /* of the nodes of the main view */
    bool trace;
    char scratch[SCRATCH_SIZE];   /* a turn's input */
    char output[MESSAGE_LONGEST]; /* the reply that is being made */
    char path[PATH_SIZE];         /* the path of the request */
    char argument[XENSTORE_PAYLOAD_MAX + 1];
};

#endif
