// SPDX-License-Identifier: Apache-2.0
//
// Domains as the store knows them: whoever is connected, owns nodes or is named in permissions. A
// chained hash by id. A domain is remembered until the hypervisor says that it is gone; then its
// nodes are deleted and its id is taken out of all permissions, so that whoever gets the id next
// starts with nothing. Memory of every kind that is held for a domain is charged here.
#ifndef XENSTORED_DOMAIN_H
#define XENSTORED_DOMAIN_H

#include "store.h"

#define NO_TARGET 0x10000u

struct domain {
    struct domain *next;
    struct store *store;
    unsigned id;
    unsigned target; /* whose permissions it has too, or NO_TARGET */
    bool privileged;
    bool introduced;
    bool shut_down; /* and told about */
    uint32_t features;
    struct quotas quotas;
    struct account owned;
    unsigned watches;
    unsigned transactions;
    long memory; /* without owned.bytes */
    struct ring *ring;
};

/* The domain, made when it was not known; NULL without memory. */
struct domain *domain_get(struct store *store, unsigned domid);

/* The domain, or NULL when it is not known. */
struct domain *domain_find(struct store *store, unsigned domid);

/* What the domain may do with a node of these permissions (ACCESS_...). */
unsigned domain_access(const struct domain *domain, const struct permissions *permissions);

/* Whether VALUE of that kind would be more than the domain may have. */
static inline bool domain_exceeds(const struct domain *domain, enum quota kind, long long value)
{
    return !domain->privileged && quota_exceeded(&domain->quotas, kind, value);
}

/* Whether MORE bytes would be more memory than the domain may have. */
static inline bool domain_lacks_memory(const struct domain *domain, size_t more)
{
    return domain_exceeds(domain, QUOTA_MEMORY,
                          (long long)domain->memory + domain->owned.bytes + (long long)more);
}

/* Connects a domain. 0, ENOENT (no such domain), EINVAL (no page or port of it) or ENOMEM. */
int domain_introduce(struct store *store, unsigned domid, uint64_t frame, unsigned remote_port);

/* Disconnects a domain and says so to who watches. 0, or ENOENT when it was not connected. */
int domain_release(struct store *store, unsigned domid);

void domains_destroy(struct store *store);

#endif
