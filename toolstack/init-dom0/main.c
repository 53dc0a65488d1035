// SPDX-License-Identifier: Apache-2.0
//
// xen-init-dom0: writes into an empty xenstore what is known of domain 0 and of the processor
// pools. It is run once, after xenstored was started; running it again does no harm.
#include <toolstack/domain.h>
#include <toolstack/host.h>
#include <toolstack/memory.h>

#include <stdio.h>
#include <stdlib.h>

struct facts {
    domain_info info;
    struct cpu_pool *pools;
    size_t pool_count;
};

static struct error *write_number(struct store *store, uint64_t number, const char *path)
{
    char text[32];

    snprintf(text, sizeof(text), "%lu", number);
    return store_write(store, text, "/local/domain/0/%s", path);
}

static struct error *write_facts(struct store *store, void *context)
{
    const struct facts *facts = context;
    const unsigned int shift = PAGE_SHIFT - 10;

    TRY(store_write(store, "Domain-0", "/local/domain/0/name"));
    TRY(store_write(store, "0", "/local/domain/0/domid"));
    TRY(write_number(store, facts->info.tot_pages << shift, "memory/target"));
    // A domain 0 without a limit has all of a word for it.
    uint64_t most =
        facts->info.max_pages < UINT32_MAX ? facts->info.max_pages : facts->info.tot_pages;

    TRY(write_number(store, most << shift, "memory/static-max"));
    for (unsigned int vcpu = 0; vcpu <= facts->info.max_vcpu_id && vcpu < 4096; vcpu++)
        TRY(store_write(store, "online", "/local/domain/0/cpu/%u/availability", vcpu));
    for (size_t i = 0; i < facts->pool_count; i++)
        TRY(store_write(store, facts->pools[i].name, "/local/pool/%u/name", facts->pools[i].id));
    return NULL;
}

static struct error *run(struct toolstack *toolstack)
{
    struct facts facts = {.pools = NULL};

    TRY(toolstack_open(toolstack));
    TRY(domain_get_info(toolstack, 0, &facts.info));
    TRY(host_list_pools(toolstack, &facts.pools, &facts.pool_count));
    struct error *error = store_transaction(toolstack->store, write_facts, &facts);

    host_free_pools(facts.pools, facts.pool_count);
    return error;
}

int main(void)
{
    struct toolstack toolstack = {0};
    struct error *error = run(&toolstack);

    toolstack_close(&toolstack);
    if (!error)
        return 0;
    error_print(error, stderr, "xen-init-dom0: ");
    error_free(error);
    return 1;
}
