// SPDX-License-Identifier: Apache-2.0
// Several processors at once: threads that send, consume, bind and close, grant, map and copy, for
// a fixed time each, and then what must hold whatever happened in which order.

#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "grants.h"

#include <bulkhead/page.h>
#include "event_internal.h"

#define A 1
#define B 2
#define SECONDS 2
#define THREADS 6u

static struct domain *a, *b;
static bool stop;

// One thread: a CPU, the vcpu that runs there, and a page of its domain for arguments.
struct worker {
    pthread_t thread;
    void (*work)(struct worker *w);
    struct vcpu *vcpu;
    unsigned int cpu, seed;
    uint64_t argument_gfn;
    uint64_t done;
};

static void *run_worker(void *data)
{
    struct worker *w = data;

    sim_cpu_enter(w->cpu, w->vcpu);
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        w->work(w);
        w->done++;
    }
    return NULL;
}

static unsigned int random_below(struct worker *w, unsigned int n)
{
    return (unsigned int)rand_r(&w->seed) % n;
}

static void run(struct worker *workers, unsigned int count)
{
    struct timespec duration = {.tv_sec = SECONDS};

    stop = false;
    sim_set_threaded(true);
    for (unsigned int i = 0; i < count; i++) {
        workers[i].cpu = 1 + i;
        workers[i].seed = i;
        workers[i].argument_gfn = 40 + i;
        assert_int_equal(pthread_create(&workers[i].thread, NULL, run_worker, &workers[i]), 0);
    }
    nanosleep(&duration, NULL);
    __atomic_store_n(&stop, true, __ATOMIC_SEQ_CST);
    for (unsigned int i = 0; i < count; i++) {
        pthread_join(workers[i].thread, NULL);
        assert_true(workers[i].done > 0);
    }
    sim_set_threaded(false);
}

static int64_t event_op(struct worker *w, unsigned int command, void *arg, size_t size)
{
    struct hypercall call = {.arg = {command, w->argument_gfn << PAGE_SHIFT}};
    void *page = world_page(w->vcpu->domain, w->argument_gfn);
    int64_t result;

    memcpy(page, arg, size);
    result = do_event_channel_op(&call);
    memcpy(arg, page, size);
    this_cpu()->work = 0;
    return result;
}

static int64_t grant_op(struct worker *w, unsigned int command, void *ops, size_t size,
                        unsigned int count)
{
    struct hypercall call = {.arg = {command, w->argument_gfn << PAGE_SHIFT, count}};
    void *page = world_page(w->vcpu->domain, w->argument_gfn);
    int64_t result;

    memcpy(page, ops, size * count);
    result = do_grant_table_op(&call);
    memcpy(ops, page, size * count);
    this_cpu()->work = 0;
    return result;
}

static int create_domains(void **state)
{
    (void)state;
    world_begin();
    a = world_create(A, &(struct world_config){.vcpus = 4, .grant_version = 2});
    b = world_create(B, &(struct world_config){.vcpus = 4});
    return 0;
}

static int destroy_domains(void **state)
{
    (void)state;
    world_destroy(b);
    world_destroy(a);
    return world_end();
}

#define PORTS 16u
#define CONTROL_GFN 16u
#define WORDS_GFN 24u

static evtchn_port_t from_b[PORTS + 1];
static uint64_t sent[PORTS + 1], seen[PORTS + 1];
static evtchn_port_t heads[4][EVTCHN_FIFO_MAX_QUEUES];

static void connect_ports(void)
{
    memset(sent, 0, sizeof(sent));
    memset(seen, 0, sizeof(seen));
    memset(heads, 0, sizeof(heads));
    for (evtchn_port_t port = 1; port <= PORTS; port++) {
        assert_int_equal(world_alloc_unbound(a, B), port);
        from_b[port] = world_bind(b, A, port);
    }
}

static void send_one(struct worker *w)
{
    evtchn_port_t port = 1 + random_below(w, PORTS);
    struct evtchn_send op = {.port = from_b[port]};

    __atomic_fetch_add(&sent[port], 1, __ATOMIC_SEQ_CST);
    assert_int_equal(event_op(w, EVTCHNOP_send, &op, sizeof(op)), 0);
}

// The handler of a port looks what there is to do; anything sent later gives a new event.
static void handle(evtchn_port_t port)
{
    uint64_t now_sent = __atomic_load_n(&sent[port], __ATOMIC_SEQ_CST);
    uint64_t old = __atomic_load_n(&seen[port], __ATOMIC_SEQ_CST);

    while (old < now_sent && !__atomic_compare_exchange_n(&seen[port], &old, now_sent, false,
                                                          __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
    }
}

static void assert_all_seen(void)
{
    for (evtchn_port_t port = 1; port <= PORTS; port++) {
        assert_true(sent[port] > 0);
        assert_true(seen[port] == sent[port]);
    }
}

static event_word_t *word_at(evtchn_port_t port)
{
    return (event_word_t *)world_page(a, WORDS_GFN) + port;
}

// Linux's way to consume a queue: `ready` is taken by an exchange and worked off as a copy.
static uint32_t consume_queue(unsigned int vcpu, unsigned int priority, uint32_t ready)
{
    struct evtchn_fifo_control_block *control = world_page(a, CONTROL_GFN + vcpu);
    evtchn_port_t *head = &heads[vcpu][priority];
    event_word_t *word, old;
    evtchn_port_t port;

    if (*head == 0) {
        *head = __atomic_load_n(&control->head[priority], __ATOMIC_SEQ_CST);
    }
    port = *head;
    word = word_at(port);
    old = __atomic_load_n(word, __ATOMIC_SEQ_CST);
    while (!__atomic_compare_exchange_n(
        word, &old, old & ~((1u << EVTCHN_FIFO_LINKED) | (event_word_t)EVTCHN_FIFO_LINK_MASK),
        false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
    }
    *head = old & EVTCHN_FIFO_LINK_MASK;
    if (*head == 0) {
        ready &= ~(1u << priority);
    }
    old = __atomic_load_n(word, __ATOMIC_SEQ_CST);
    if ((old & (1u << EVTCHN_FIFO_PENDING)) && !(old & (1u << EVTCHN_FIFO_MASKED))) {
        __atomic_fetch_and(word, ~(1u << EVTCHN_FIFO_PENDING), __ATOMIC_SEQ_CST);
        handle(port);
    }
    return ready;
}

static void consume_fifo(struct vcpu *v)
{
    struct evtchn_fifo_control_block *control = world_page(a, CONTROL_GFN + v->id);
    uint32_t ready;

    if (!__atomic_exchange_n(&v->info->evtchn_upcall_pending, 0, __ATOMIC_SEQ_CST)) {
        return;
    }
    ready = __atomic_exchange_n(&control->ready, 0, __ATOMIC_SEQ_CST);
    while (ready) {
        ready = consume_queue(v->id, (unsigned int)__builtin_ctz(ready), ready);
        ready |= __atomic_exchange_n(&control->ready, 0, __ATOMIC_SEQ_CST);
    }
}

static void consume_fifo_work(struct worker *w)
{
    consume_fifo(w->vcpu);
}

// Moves ports between vcpus and priorities, and masks and unmasks them.
static void disturb(struct worker *w)
{
    evtchn_port_t port = 1 + random_below(w, PORTS);
    struct evtchn_bind_vcpu bind = {.port = port, .vcpu = random_below(w, 2)};
    struct evtchn_set_priority priority = {.port = port, .priority = random_below(w, 16)};
    struct evtchn_unmask unmask = {.port = port};

    switch (random_below(w, 3)) {
    case 0:
        assert_int_equal(event_op(w, EVTCHNOP_bind_vcpu, &bind, sizeof(bind)), 0);
        break;
    case 1:
        event_op(w, EVTCHNOP_set_priority, &priority, sizeof(priority));
        break;
    default:
        if (a->events.fifo) {
            __atomic_fetch_or(word_at(port), 1u << EVTCHN_FIFO_MASKED, __ATOMIC_SEQ_CST);
        } else {
            __atomic_fetch_or(&a->shared_info->evtchn_mask[0], 1UL << port, __ATOMIC_SEQ_CST);
        }
        assert_int_equal(event_op(w, EVTCHNOP_unmask, &unmask, sizeof(unmask)), 0);
    }
}

static void test_fifo_loses_nothing(void **state)
{
    struct worker workers[] = {
        {.work = send_one, .vcpu = b->vcpus[0]},
        {.work = send_one, .vcpu = b->vcpus[1]},
        {.work = consume_fifo_work, .vcpu = a->vcpus[0]},
        {.work = consume_fifo_work, .vcpu = a->vcpus[1]},
        {.work = disturb, .vcpu = a->vcpus[2]},
    };
    struct evtchn_expand_array array = {.array_gfn = WORDS_GFN};

    (void)state;
    for (unsigned int vcpu = 0; vcpu < 2; vcpu++) {
        struct evtchn_init_control op = {.control_gfn = CONTROL_GFN + vcpu, .vcpu = vcpu};

        assert_int_equal(world_event_op(a->vcpus[0], EVTCHNOP_init_control, &op, sizeof(op)), 0);
    }
    assert_int_equal(world_event_op(a->vcpus[0], EVTCHNOP_expand_array, &array, sizeof(array)), 0);
    connect_ports();
    run(workers, ARRAY_SIZE(workers));
    consume_fifo(a->vcpus[0]);
    consume_fifo(a->vcpus[1]);
    assert_all_seen();
}

static void consume_2level(struct vcpu *v)
{
    xen_ulong_t selector, pending;

    if (!__atomic_exchange_n(&v->info->evtchn_upcall_pending, 0, __ATOMIC_SEQ_CST)) {
        return;
    }
    selector = __atomic_exchange_n(&v->info->evtchn_pending_sel, 0, __ATOMIC_SEQ_CST);
    while (selector) {
        unsigned int word = (unsigned int)__builtin_ctzl(selector);

        selector &= selector - 1;
        pending = __atomic_load_n(&a->shared_info->evtchn_pending[word], __ATOMIC_SEQ_CST) &
                  ~__atomic_load_n(&a->shared_info->evtchn_mask[word], __ATOMIC_SEQ_CST);
        while (pending) {
            unsigned int bit = (unsigned int)__builtin_ctzl(pending);

            pending &= pending - 1;
            __atomic_fetch_and(&a->shared_info->evtchn_pending[word], ~(1UL << bit),
                               __ATOMIC_SEQ_CST);
            handle(word * 64 + bit);
        }
    }
}

static void consume_2level_work(struct worker *w)
{
    consume_2level(w->vcpu);
}

static void test_2level_loses_nothing(void **state)
{
    struct worker workers[] = {
        {.work = send_one, .vcpu = b->vcpus[0]},
        {.work = send_one, .vcpu = b->vcpus[1]},
        {.work = consume_2level_work, .vcpu = a->vcpus[0]},
        {.work = consume_2level_work, .vcpu = a->vcpus[1]},
        {.work = disturb, .vcpu = a->vcpus[2]},
    };

    (void)state;
    connect_ports();
    run(workers, ARRAY_SIZE(workers));
    consume_2level(a->vcpus[0]);
    consume_2level(a->vcpus[1]);
    assert_all_seen();
}

// Both domains open, connect, close and reset at random.
static void rebind(struct worker *w)
{
    domid_t other = w->vcpu->domain->id == A ? B : A;
    evtchn_port_t port = 1 + random_below(w, 30);
    struct evtchn_alloc_unbound alloc = {.dom = DOMID_SELF, .remote_dom = other};
    struct evtchn_bind_interdomain bind = {.remote_dom = other, .remote_port = port};
    struct evtchn_close close = {.port = port};
    struct evtchn_send send = {.port = port};
    struct evtchn_reset reset = {.dom = DOMID_SELF};

    switch (random_below(w, 64)) {
    case 0:
        event_op(w, EVTCHNOP_reset, &reset, sizeof(reset));
        break;
    case 1 ... 12:
        event_op(w, EVTCHNOP_alloc_unbound, &alloc, sizeof(alloc));
        break;
    case 13 ... 32:
        event_op(w, EVTCHNOP_bind_interdomain, &bind, sizeof(bind));
        break;
    case 33 ... 44:
        event_op(w, EVTCHNOP_close, &close, sizeof(close));
        break;
    default:
        event_op(w, EVTCHNOP_send, &send, sizeof(send));
    }
}

static void assert_pairs_are_symmetric(struct domain *d)
{
    unsigned int active = 0;

    for (evtchn_port_t port = 1; port < d->events.allocated; port++) {
        struct event_channel *ch = event_channel_at(d, port), *peer;

        active += ch->state > EVENT_RESERVED;
        if (ch->state == EVENT_INTERDOMAIN) {
            peer = event_channel_at(ch->peer, ch->peer_port);
            assert_int_equal(peer->state, EVENT_INTERDOMAIN);
            assert_ptr_equal(peer->peer, d);
            assert_int_equal(peer->peer_port, port);
        }
    }
    assert_int_equal(active, d->events.active);
}

static void test_binding_and_closing(void **state)
{
    struct worker workers[] = {
        {.work = rebind, .vcpu = a->vcpus[0]},
        {.work = rebind, .vcpu = a->vcpus[1]},
        {.work = rebind, .vcpu = b->vcpus[0]},
        {.work = rebind, .vcpu = b->vcpus[1]},
    };

    (void)state;
    run(workers, ARRAY_SIZE(workers));
    assert_pairs_are_symmetric(a);
    assert_pairs_are_symmetric(b);
}

#define REFS 8u
#define FIRST_REF 8u
#define GRANTED_GFN 50u

// Grants a page, takes it back when it is not in use, and makes sure that nobody writes any more.
static void grant_and_revoke(struct worker *w)
{
    grant_ref_t ref = FIRST_REF + random_below(w, REFS);
    uint64_t *page = world_page(a, GRANTED_GFN + ref - FIRST_REF);

    if (!grants_end(a, ref)) {
        return;
    }
    for (unsigned int i = 0; i < 64; i++) {
        __atomic_store_n(&page[i], w->done, __ATOMIC_SEQ_CST);
    }
    for (unsigned int i = 0; i < 64; i++) {
        assert_true(__atomic_load_n(&page[i], __ATOMIC_SEQ_CST) == w->done);
    }
    grants_give(a, ref, B, GRANTED_GFN + ref - FIRST_REF, random_below(w, 4) ? 0 : GTF_readonly);
}

static void copy_to_and_from(struct worker *w)
{
    struct gnttab_copy ops[4];

    for (unsigned int i = 0; i < ARRAY_SIZE(ops); i++) {
        struct gnttab_copy_ptr own = {.u.gmfn = 30 + w->cpu, .domid = DOMID_SELF};
        struct gnttab_copy_ptr theirs = {.u.ref = FIRST_REF + random_below(w, REFS), .domid = A};
        bool to = random_below(w, 2);

        ops[i] = (struct gnttab_copy){.source = to ? own : theirs,
                                      .dest = to ? theirs : own,
                                      .len = PAGE_SIZE,
                                      .flags = to ? GNTCOPY_dest_gref : GNTCOPY_source_gref};
    }
    assert_int_equal(grant_op(w, GNTTABOP_copy, ops, sizeof(*ops), ARRAY_SIZE(ops)), 0);
}

static void map_write_unmap(struct worker *w)
{
    uint64_t gfn = FREE_GFN + 16 * w->cpu;
    struct gnttab_map_grant_ref map = {.host_addr = gfn << PAGE_SHIFT,
                                       .flags = GNTMAP_host_map,
                                       .ref = FIRST_REF + random_below(w, REFS),
                                       .dom = A};
    struct gnttab_unmap_grant_ref unmap = {.host_addr = map.host_addr};

    assert_int_equal(grant_op(w, GNTTABOP_map_grant_ref, &map, sizeof(map), 1), 0);
    if (map.status != GNTST_okay) {
        return;
    }
    memset(world_page(b, gfn), (int)w->done, 512);
    unmap.handle = map.handle;
    assert_int_equal(grant_op(w, GNTTABOP_unmap_grant_ref, &unmap, sizeof(unmap), 1), 0);
    assert_int_equal(unmap.status, GNTST_okay);
}

static void test_revoked_grants_are_not_written(void **state)
{
    struct worker workers[] = {
        {.work = grant_and_revoke, .vcpu = a->vcpus[0]},
        {.work = copy_to_and_from, .vcpu = b->vcpus[0]},
        {.work = copy_to_and_from, .vcpu = b->vcpus[1]},
        {.work = map_write_unmap, .vcpu = b->vcpus[2]},
        {.work = map_write_unmap, .vcpu = b->vcpus[3]},
    };

    (void)state;
    grants_frame(a, 0, false);
    run(workers, ARRAY_SIZE(workers));
    for (grant_ref_t ref = FIRST_REF; ref < FIRST_REF + REFS; ref++) {
        assert_int_equal(grants_v1(a, ref)->flags & (GTF_reading | GTF_writing), 0);
        assert_int_equal(mfn_to_page(p2m_lookup(a, GFN(GRANTED_GFN + ref - FIRST_REF)).mfn)->count,
                         1);
    }
}

static void change_version(struct worker *w)
{
    struct gnttab_set_version op = {.version = 1 + random_below(w, 2)};
    int64_t result = grant_op(w, GNTTABOP_set_version, &op, sizeof(op), 1);

    assert_true(result == 0 || result == -XEN_EBUSY);
}

// Reserved entries stay usable through changes of version, and are unmarked in the end.
static void map_reserved(struct worker *w)
{
    uint64_t gfn = FREE_GFN + 16 * w->cpu;
    struct gnttab_map_grant_ref map = {
        .host_addr = gfn << PAGE_SHIFT, .flags = GNTMAP_host_map, .ref = 1, .dom = A};
    struct gnttab_unmap_grant_ref unmap = {.host_addr = map.host_addr};

    assert_int_equal(grant_op(w, GNTTABOP_map_grant_ref, &map, sizeof(map), 1), 0);
    assert_int_equal(map.status, GNTST_okay);
    unmap.handle = map.handle;
    assert_int_equal(grant_op(w, GNTTABOP_unmap_grant_ref, &unmap, sizeof(unmap), 1), 0);
    assert_int_equal(unmap.status, GNTST_okay);
}

static void test_reserved_entries_survive_changes_of_version(void **state)
{
    struct worker workers[] = {
        {.work = change_version, .vcpu = a->vcpus[0]},
        {.work = map_reserved, .vcpu = b->vcpus[0]},
        {.work = map_reserved, .vcpu = b->vcpus[1]},
        {.work = copy_to_and_from, .vcpu = b->vcpus[2]},
    };

    (void)state;
    assert_int_equal(grant_table_seed(a, 1, B, GFN(20)), 0);
    run(workers, ARRAY_SIZE(workers));
    assert_int_equal(grants_set_version(a, 1), 0);
    assert_int_equal(grants_v1(a, 1)->flags, GTF_permit_access);
}

// The same handles from two vcpus: each mapping is undone once.
static grant_handle_t shared_handles[64];

static void unmap_shared(struct worker *w)
{
    unsigned int i = random_below(w, ARRAY_SIZE(shared_handles));
    struct gnttab_unmap_grant_ref unmap = {.host_addr = (FREE_GFN + i) << PAGE_SHIFT};
    struct gnttab_map_grant_ref map = {.host_addr = unmap.host_addr,
                                       .flags = GNTMAP_host_map,
                                       .ref = FIRST_REF + i % REFS,
                                       .dom = A};

    unmap.handle = __atomic_load_n(&shared_handles[i], __ATOMIC_SEQ_CST);
    assert_int_equal(grant_op(w, GNTTABOP_unmap_grant_ref, &unmap, sizeof(unmap), 1), 0);
    if (unmap.status == GNTST_okay) {
        assert_int_equal(grant_op(w, GNTTABOP_map_grant_ref, &map, sizeof(map), 1), 0);
        assert_int_equal(map.status, GNTST_okay);
        __atomic_store_n(&shared_handles[i], map.handle, __ATOMIC_SEQ_CST);
    }
}

static void test_handles_shared_by_vcpus(void **state)
{
    struct worker workers[] = {
        {.work = unmap_shared, .vcpu = b->vcpus[0]},
        {.work = unmap_shared, .vcpu = b->vcpus[1]},
        {.work = unmap_shared, .vcpu = b->vcpus[2]},
    };

    (void)state;
    for (grant_ref_t i = 0; i < REFS; i++) {
        grants_give(a, FIRST_REF + i, B, GRANTED_GFN + i, 0);
    }
    for (unsigned int i = 0; i < ARRAY_SIZE(shared_handles); i++) {
        assert_int_equal(grants_map(b, A, FIRST_REF + i % REFS, FREE_GFN + i, GNTMAP_host_map,
                                    &shared_handles[i]),
                         GNTST_okay);
    }
    run(workers, ARRAY_SIZE(workers));
    for (unsigned int i = 0; i < REFS; i++) {
        assert_int_equal(mfn_to_page(p2m_lookup(a, GFN(GRANTED_GFN + i)).mfn)->count,
                         2 + ARRAY_SIZE(shared_handles) / REFS);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, create_domains, destroy_domains)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_fifo_loses_nothing),
        TEST(test_2level_loses_nothing),
        TEST(test_binding_and_closing),
        TEST(test_revoked_grants_are_not_written),
        TEST(test_reserved_entries_survive_changes_of_version),
        TEST(test_handles_shared_by_vcpus),
    };

    // A failure in a thread has nowhere to return to.
    setenv("CMOCKA_TEST_ABORT", "1", 1);
    return cmocka_run_group_tests_name("stress", tests, world_start, NULL);
}
