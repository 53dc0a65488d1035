// SPDX-License-Identifier: Apache-2.0
// Grants pages to its partners and revokes them at once, maps, unmaps, copies and keeps what they
// grant, and raises events with them; a partner may be one of the same kind, and may die at any
// time. References 8 to 71 are used in the order of random numbers; handles are remembered in a
// table whose slot is also the frame in the hole where the page is mapped.

#include "hostile.h"

#define FIRST_REFERENCE 8u
#define REFERENCES 64u
#define NO_HANDLE (~0u)

static grant_entry_v1_t table[PAGE_SIZE / sizeof(grant_entry_v1_t)] __attribute__((aligned(4096)));
static grant_handle_t handles[HOLE_PAGES];
static uint64_t mapped, unmapped, copied, revoked, connected;

static long grant_op(unsigned int operation, void *argument, unsigned int count)
{
    return hypercall(__HYPERVISOR_grant_table_op, operation, (unsigned long)argument, count, 0, 0);
}

static grant_ref_t random_reference(void)
{
    return random_once_in(32) ? (grant_ref_t)random_number()
                              : FIRST_REFERENCE + (grant_ref_t)random_below(REFERENCES);
}

static uint64_t hole_address(unsigned long slot)
{
    return (HOLE_GFN + slot) * PAGE_SIZE;
}

static void grant(void)
{
    grant_entry_v1_t *entry = &table[FIRST_REFERENCE + random_below(REFERENCES)];
    uint16_t flags = __atomic_load_n(&entry->flags, __ATOMIC_SEQ_CST);

    if (flags & (GTF_reading | GTF_writing)) {
        return;
    }
    // Revoked only if nobody has begun to use it meanwhile.
    if (flags && !__atomic_compare_exchange_n(&entry->flags, &flags, 0, false, __ATOMIC_SEQ_CST,
                                              __ATOMIC_SEQ_CST)) {
        return;
    }
    revoked++;
    entry->frame = (uint32_t)arena_gfn((unsigned int)random64());
    entry->domid = random_partner();
    __atomic_store_n(&entry->flags,
                     GTF_permit_access | (uint16_t)(random_once_in(4) ? GTF_readonly : 0),
                     __ATOMIC_SEQ_CST);
}

static void map(void)
{
    unsigned long slot = random_below(HOLE_PAGES);
    struct gnttab_map_grant_ref request = {
        .host_addr = hole_address(slot),
        .flags = GNTMAP_host_map | (random_once_in(4) ? GNTMAP_readonly : 0u),
        .ref = random_reference(),
        .dom = random_partner(),
    };
    volatile uint64_t *word = (volatile uint64_t *)(hole_address(slot) + 8 * random_below(512));

    if (handles[slot] != NO_HANDLE || grant_op(GNTTABOP_map_grant_ref, &request, 1) ||
        request.status != GNTST_okay) {
        return;
    }
    handles[slot] = request.handle;
    mapped++;
    if (!(request.flags & GNTMAP_readonly)) {
        *word = random64();
    }
    (void)*word;
}

static void unmap(void)
{
    unsigned long slot = random_below(HOLE_PAGES);
    struct gnttab_unmap_grant_ref request = {
        .host_addr = hole_address(random_once_in(32) ? random_below(HOLE_PAGES) : slot),
        .handle = random_once_in(32) ? (grant_handle_t)random_number() : handles[slot],
    };

    if (handles[slot] == NO_HANDLE || grant_op(GNTTABOP_unmap_grant_ref, &request, 1) ||
        request.status != GNTST_okay) {
        return;
    }
    unmapped++;
    for (unsigned long i = 0; i < HOLE_PAGES; i++) {
        if (handles[i] == request.handle) {
            handles[i] = NO_HANDLE;
        }
    }
}

static void copy(void)
{
    struct gnttab_copy requests[4] = {0};

    for (unsigned int i = 0; i < ARRAY_SIZE(requests); i++) {
        struct gnttab_copy *request = &requests[i];
        bool from = random_once_in(2);

        request->flags = from ? GNTCOPY_source_gref : GNTCOPY_dest_gref;
        request->source.domid = from ? random_partner() : DOMID_SELF;
        request->dest.domid = from ? DOMID_SELF : random_partner();
        if (from) {
            request->source.u.ref = random_reference();
            request->dest.u.gmfn = arena_gfn((unsigned int)random64());
        } else {
            request->dest.u.ref = random_reference();
            request->source.u.gmfn = arena_gfn((unsigned int)random64());
        }
        request->source.offset = (uint16_t)random_below(PAGE_SIZE / 2);
        request->dest.offset = (uint16_t)random_below(PAGE_SIZE / 2);
        request->len = (uint16_t)random_below(PAGE_SIZE / 2 + 16);
    }
    if (grant_op(GNTTABOP_copy, requests, ARRAY_SIZE(requests)) == 0) {
        for (unsigned int i = 0; i < ARRAY_SIZE(requests); i++) {
            copied += requests[i].status == GNTST_okay;
        }
    }
}

static void signal_partner(void)
{
    union {
        struct evtchn_alloc_unbound unbound;
        struct evtchn_bind_interdomain bind;
    } request = {.unbound = {.dom = DOMID_SELF, .remote_dom = random_partner()}};
    evtchn_port_t port = 3 + (evtchn_port_t)random_below(60);

    switch (random_below(8)) {
    case 0:
        hypercall2(__HYPERVISOR_event_channel_op, EVTCHNOP_alloc_unbound, &request);
        break;
    case 1:
        event_close(port);
        break;
    case 2:
    case 3:
        request.bind.remote_dom = random_partner();
        request.bind.remote_port = port;
        connected +=
            hypercall2(__HYPERVISOR_event_channel_op, EVTCHNOP_bind_interdomain, &request) == 0;
        break;
    default:
        event_send(port);
    }
}

void abuse_grants(void)
{
    uint64_t step;

    for (unsigned int i = 0; i < HOLE_PAGES; i++) {
        handles[i] = NO_HANDLE;
    }
    if (xen_add_to_physmap(XENMAPSPACE_grant_table, 0, table)) {
        say("hostile: there is no grant table");
        return;
    }
    for (step = 0; !finished(step); step++) {
        static void (*const actions[])(void) = {grant, grant, map,           map,
                                                unmap, copy,  signal_partner};

        actions[random_below(ARRAY_SIZE(actions))]();
        if (step % 4096 == 4095) {
            say("hostile: %lu mapped, %lu unmapped, %lu copied, %lu granted, %lu connected", mapped,
                unmapped, copied, revoked, connected);
            hypercall(__HYPERVISOR_sched_op, SCHEDOP_yield, 0, 0, 0, 0);
        }
    }
}
