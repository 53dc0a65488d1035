// SPDX-License-Identifier: Apache-2.0
// Event channels with FIFO delivery, against a guest that consumes its queues as the ABI's design
// document describes, and against guests that break the rules.

#include "world.h"

#include <stdlib.h>
#include <string.h>

#include <bulkhead/heap.h>
#include "event_internal.h"

#define A 1
#define B 2
#define VCPUS 3u
#define CONTROL_GFN 16u // control blocks of the vcpus
#define WORDS_GFN 24u   // pages of event words
#define WORDS (PAGE_SIZE / sizeof(event_word_t))
#define PENDING (1u << EVTCHN_FIFO_PENDING)
#define MASKED (1u << EVTCHN_FIFO_MASKED)
#define LINKED (1u << EVTCHN_FIFO_LINKED)
#define BUSY (1u << EVTCHN_FIFO_BUSY)

static struct domain *a, *b;
// Where the guest is in each of its queues.
static evtchn_port_t heads[VCPUS][EVTCHN_FIFO_MAX_QUEUES];

static struct evtchn_fifo_control_block *control_of(unsigned int vcpu)
{
    return (void *)((char *)world_page(a, CONTROL_GFN + vcpu) + 64 * vcpu);
}

static event_word_t *word_at(evtchn_port_t port)
{
    return (event_word_t *)world_page(a, WORDS_GFN + port / WORDS) + port % WORDS;
}

static int64_t init_control(unsigned int vcpu, uint64_t gfn, uint32_t offset)
{
    struct evtchn_init_control op = {.control_gfn = gfn, .offset = offset, .vcpu = vcpu};
    int64_t result = world_event_op(a->vcpus[0], EVTCHNOP_init_control, &op, sizeof(op));

    if (!result) {
        assert_int_equal(op.link_bits, EVTCHN_FIFO_LINK_BITS);
    }
    return result;
}

// The guest fills the words with MASKED before it adds the page.
static int64_t expand(uint64_t gfn)
{
    struct evtchn_expand_array op = {.array_gfn = gfn};

    return world_event_op(a->vcpus[0], EVTCHNOP_expand_array, &op, sizeof(op));
}

static int64_t set_priority(evtchn_port_t port, uint32_t priority)
{
    struct evtchn_set_priority op = {.port = port, .priority = priority};

    return world_event_op(a->vcpus[0], EVTCHNOP_set_priority, &op, sizeof(op));
}

static void bind_vcpu(evtchn_port_t port, uint32_t vcpu)
{
    struct evtchn_bind_vcpu op = {.port = port, .vcpu = vcpu};

    assert_int_equal(world_event_op(a->vcpus[0], EVTCHNOP_bind_vcpu, &op, sizeof(op)), 0);
}

static int create_domains(void **state)
{
    (void)state;
    world_begin();
    a = world_create(A, &(struct world_config){.vcpus = VCPUS});
    b = world_create(B, &(struct world_config){0});
    memset(heads, 0, sizeof(heads));
    return 0;
}

static int create_fifo(void **state)
{
    create_domains(state);
    for (unsigned int vcpu = 0; vcpu < VCPUS; vcpu++) {
        assert_int_equal(init_control(vcpu, CONTROL_GFN + vcpu, 64 * vcpu), 0);
    }
    assert_int_equal(expand(WORDS_GFN), 0);
    return 0;
}

static int destroy_domains(void **state)
{
    (void)state;
    sim_heap_fail_at(0);
    world_destroy(b);
    world_destroy(a);
    return world_end();
}

// A pair of ports between b and a; returns a's.
static evtchn_port_t connect(evtchn_port_t *from_b)
{
    evtchn_port_t port = world_alloc_unbound(a, B);

    *from_b = world_bind(b, A, port);
    return port;
}

// The guest's side: takes one event off a queue, or returns 0.
static evtchn_port_t take_from(unsigned int vcpu, unsigned int priority)
{
    struct evtchn_fifo_control_block *control = control_of(vcpu);
    evtchn_port_t port = heads[vcpu][priority];
    event_word_t *word, old;

    if (!port) {
        port = __atomic_load_n(&control->head[priority], __ATOMIC_SEQ_CST);
    }
    word = word_at(port);
    // Unlink it and learn what comes next.
    old =
        __atomic_fetch_and(word, ~(LINKED | (event_word_t)EVTCHN_FIFO_LINK_MASK), __ATOMIC_SEQ_CST);
    heads[vcpu][priority] = old & EVTCHN_FIFO_LINK_MASK;
    if (!heads[vcpu][priority]) {
        __atomic_fetch_and(&control->ready, ~(1u << priority), __ATOMIC_SEQ_CST);
    }
    return port;
}

// Handles the next event of a vcpu by priority; 0: none is left. The real thing takes `ready` by
// an exchange and works on its own copy; for one thread this comes to the same.
static evtchn_port_t handle_one(unsigned int vcpu)
{
    uint32_t ready = __atomic_load_n(&control_of(vcpu)->ready, __ATOMIC_SEQ_CST);
    evtchn_port_t port;

    a->vcpus[vcpu]->info->evtchn_upcall_pending = 0;
    while (ready) {
        unsigned int priority = (unsigned int)__builtin_ctz(ready);

        port = take_from(vcpu, priority);
        if ((*word_at(port) & (PENDING | MASKED)) == PENDING) {
            __atomic_fetch_and(word_at(port), ~PENDING, __ATOMIC_SEQ_CST);
            return port;
        }
        ready = __atomic_load_n(&control_of(vcpu)->ready, __ATOMIC_SEQ_CST);
    }
    return 0;
}

static void test_first_event(void **state)
{
    evtchn_port_t pb, pa = connect(&pb);

    (void)state;
    assert_int_equal(world_send(b->vcpus[0], pb), 0);
    assert_int_equal(*word_at(pa), PENDING | LINKED);
    assert_int_equal(control_of(0)->head[EVTCHN_FIFO_PRIORITY_DEFAULT], pa);
    assert_int_equal(control_of(0)->ready, 1u << EVTCHN_FIFO_PRIORITY_DEFAULT);
    assert_int_equal(a->vcpus[0]->info->evtchn_upcall_pending, 1);
    assert_true(event_port_pending(a, pa));
    assert_int_equal(a->shared_info->evtchn_pending[0], 0);
    assert_int_equal(handle_one(0), pa);
    assert_int_equal(handle_one(0), 0);
    assert_int_equal(*word_at(pa), 0);
}

static void test_queue_keeps_order(void **state)
{
    evtchn_port_t pa[10], pb[10];

    (void)state;
    for (unsigned int i = 0; i < ARRAY_SIZE(pa); i++) {
        pa[i] = connect(&pb[i]);
    }
    for (unsigned int round = 0; round < 5; round++) {
        for (unsigned int i = 0; i < ARRAY_SIZE(pa); i++) {
            world_send(b->vcpus[0], pb[(i * 7) % 10]);
            world_send(b->vcpus[0], pb[(i * 7) % 10]); // again: no change
        }
        for (unsigned int i = 0; i < ARRAY_SIZE(pa); i++) {
            assert_int_equal(handle_one(0), pa[(i * 7) % 10]);
        }
        assert_int_equal(handle_one(0), 0);
    }
}

static void test_priorities(void **state)
{
    evtchn_port_t pb[3], pa[3];

    (void)state;
    for (unsigned int i = 0; i < 3; i++) {
        pa[i] = connect(&pb[i]);
    }
    assert_int_equal(set_priority(pa[2], EVTCHN_FIFO_PRIORITY_MAX), 0);
    assert_int_equal(set_priority(pa[0], EVTCHN_FIFO_PRIORITY_MIN), 0);
    assert_int_equal(set_priority(pa[0], EVTCHN_FIFO_PRIORITY_MIN + 1), -XEN_EINVAL);
    assert_int_equal(set_priority(500, 0), -XEN_EINVAL);
    for (unsigned int i = 0; i < 3; i++) {
        world_send(b->vcpus[0], pb[i]);
    }
    assert_int_equal(handle_one(0), pa[2]);
    assert_int_equal(handle_one(0), pa[1]);
    assert_int_equal(handle_one(0), pa[0]);
    // A port that is used again has the default.
    world_close(a->vcpus[0], pa[2]);
    assert_int_equal(connect(&pb[2]), pa[2]);
    world_send(b->vcpus[0], pb[2]);
    assert_int_equal(control_of(0)->ready, 1u << EVTCHN_FIFO_PRIORITY_DEFAULT);
}

static void test_mask(void **state)
{
    evtchn_port_t pb, pa = connect(&pb);
    struct evtchn_unmask op = {.port = pa};

    (void)state;
    *word_at(pa) = MASKED;
    world_send(b->vcpus[0], pb);
    assert_int_equal(*word_at(pa), MASKED | PENDING);
    assert_int_equal(control_of(0)->ready, 0);
    assert_int_equal(world_event_op(a->vcpus[0], EVTCHNOP_unmask, &op, sizeof(op)), 0);
    assert_int_equal(handle_one(0), pa);
    assert_int_equal(world_event_op(a->vcpus[0], EVTCHNOP_unmask, &op, sizeof(op)), 0);
    assert_int_equal(*word_at(pa), 0);
}

// The tail of one queue goes to another and both go on: neither loses anything.
static void test_tail_moves_to_another_queue(void **state)
{
    evtchn_port_t pb[4], pa[4];

    (void)state;
    for (unsigned int i = 0; i < 4; i++) {
        pa[i] = connect(&pb[i]);
    }
    world_send(b->vcpus[0], pb[0]);
    world_send(b->vcpus[0], pb[1]);
    bind_vcpu(pa[1], 1);
    world_send(b->vcpus[0], pb[2]); // still behind pa[1] in the queue of vcpu 0
    assert_int_equal(handle_one(0), pa[0]);
    assert_int_equal(handle_one(0), pa[1]);
    world_send(b->vcpus[0], pb[1]); // now vcpu 1
    assert_int_equal(handle_one(0), pa[2]);
    world_send(b->vcpus[0], pb[3]); // vcpu 0's queue is empty
    world_send(b->vcpus[0], pb[2]);
    assert_int_equal(handle_one(1), pa[1]);
    assert_int_equal(handle_one(0), pa[3]);
    assert_int_equal(handle_one(0), pa[2]);
    assert_int_equal(handle_one(0) + handle_one(1), 0);
    // The same by priority: pa[2], the tail, is consumed and goes up.
    set_priority(pa[2], 1);
    world_send(b->vcpus[0], pb[2]);
    world_send(b->vcpus[0], pb[3]);
    assert_int_equal(handle_one(0), pa[2]);
    assert_int_equal(handle_one(0), pa[3]);
    assert_int_equal(handle_one(0), 0);
}

static void test_closed_port_is_not_reused_while_linked(void **state)
{
    evtchn_port_t pb, pa = connect(&pb), other;

    (void)state;
    world_send(b->vcpus[0], pb);
    assert_int_equal(world_close(a->vcpus[0], pa), 0);
    assert_int_equal(*word_at(pa), LINKED);
    other = world_alloc_unbound(a, B);
    assert_true(other != pa);
    assert_int_equal(handle_one(0), 0); // finds it not pending
    assert_int_equal(world_alloc_unbound(a, B), pa);
}

static void test_events_before_their_words(void **state)
{
    evtchn_port_t pb[2], pa[2];

    (void)state;
    // One pending by the 2-level ABI when the FIFO begins, one sent before its word is there.
    pa[0] = connect(&pb[0]);
    pa[1] = connect(&pb[1]);
    memset(a->shared_info->evtchn_pending, 0, sizeof(a->shared_info->evtchn_pending));
    world_send(b->vcpus[0], pb[0]);
    for (unsigned int vcpu = 0; vcpu < VCPUS; vcpu++) {
        assert_int_equal(init_control(vcpu, CONTROL_GFN + vcpu, 64 * vcpu), 0);
    }
    assert_true(event_port_pending(a, pa[0]));
    world_send(b->vcpus[0], pb[1]);
    assert_int_equal(control_of(0)->ready, 0);
    assert_int_equal(expand(WORDS_GFN), 0);
    assert_int_equal(handle_one(0), pa[0]);
    assert_int_equal(handle_one(0), pa[1]);
    assert_int_equal(handle_one(0), 0);
}

static void test_vcpu_without_control_block(void **state)
{
    evtchn_port_t pb, pa;
    struct evtchn_unmask op;

    (void)state;
    assert_int_equal(init_control(0, CONTROL_GFN, 0), 0);
    assert_int_equal(expand(WORDS_GFN), 0);
    pa = connect(&pb);
    handle_one(0);
    bind_vcpu(pa, 1);
    world_send(b->vcpus[0], pb);
    assert_int_equal(*word_at(pa), PENDING);
    assert_int_equal(init_control(1, CONTROL_GFN + 1, 64), 0);
    op.port = pa;
    *word_at(pa) |= MASKED;
    assert_int_equal(world_event_op(a->vcpus[0], EVTCHNOP_unmask, &op, sizeof(op)), 0);
    assert_int_equal(handle_one(1), pa);
}

static void test_bad_registrations(void **state)
{
    struct p2m_entry shared = {.mfn = heap_mfn(a->shared_info)};

    (void)state;
    assert_int_equal(expand(WORDS_GFN), -XEN_EOPNOTSUPP);
    assert_int_equal(init_control(0, CONTROL_GFN, 1), -XEN_EINVAL);
    assert_int_equal(init_control(0, CONTROL_GFN, PAGE_SIZE - 64), -XEN_EINVAL);
    assert_int_equal(init_control(0, CONTROL_GFN, UINT32_MAX - 7), -XEN_EINVAL);
    assert_int_equal(init_control(0, FREE_GFN, 0), -XEN_EINVAL);
    assert_int_equal(init_control(0, ~0UL, 0), -XEN_EINVAL);
    assert_int_equal(init_control(VCPUS, CONTROL_GFN, 0), -XEN_ENOENT);
    // Not the domain's own memory: the hypervisor's page may go away before the FIFO does.
    assert_int_equal(p2m_set(a, GFN(FREE_GFN), shared.mfn, 0, P2M_SHARED), 0);
    assert_int_equal(init_control(0, FREE_GFN, 0), -XEN_EINVAL);
    assert_null(a->events.fifo);
    assert_int_equal(world_alloc_unbound(a, B), 1); // still 2-level and working
    assert_int_equal(init_control(0, CONTROL_GFN, PAGE_SIZE - 72), 0);
    assert_int_equal(init_control(0, CONTROL_GFN, 0), -XEN_EINVAL);
    assert_int_equal(expand(FREE_GFN), -XEN_EINVAL);
    assert_int_equal(expand(1UL << 40), -XEN_EINVAL);
}

static void test_array_up_to_its_limit(void **state)
{
    struct evtchn_alloc_unbound op = {.dom = DOMID_SELF, .remote_dom = B};
    evtchn_port_t port = 0;

    (void)state;
    // One page may serve as often as the guest likes: its own loss.
    for (unsigned int i = 1; i < EVTCHN_FIFO_NR_CHANNELS / WORDS; i++) {
        assert_int_equal(expand(WORDS_GFN + 1), 0);
    }
    assert_int_equal(expand(WORDS_GFN + 1), -XEN_ENOSPC);
    for (unsigned int i = 1; i < EVTCHN_FIFO_NR_CHANNELS; i++) {
        assert_int_equal(event_alloc_unbound(a, B, &port), 0);
        assert_int_equal(port, i);
    }
    assert_int_equal(world_event_op(a->vcpus[0], EVTCHNOP_alloc_unbound, &op, sizeof(op)),
                     -XEN_ENOSPC);
    assert_int_equal(world_close(a->vcpus[0], 100000), 0);
    assert_int_equal(world_alloc_unbound(a, B), 100000);
}

// What is linked stands in the guest's memory: a search ends however many ports it says are.
static void test_search_among_linked_ports_ends(void **state)
{
    event_word_t *words = world_page(a, WORDS_GFN);
    evtchn_port_t port = 0;

    (void)state;
    for (unsigned int i = 0; i < WORDS; i++) {
        words[i] = LINKED;
    }
    for (unsigned int i = 1; i < EVTCHN_FIFO_NR_CHANNELS / WORDS; i++) {
        assert_int_equal(expand(WORDS_GFN), 0);
    }
    assert_int_equal(event_alloc_unbound(a, B, &port), -XEN_ENOSPC);
    assert_in_range(a->events.allocated, 1025, 2048);
    words[5] = 0;
    assert_int_equal(world_alloc_unbound(a, B), 5);
}

static void test_reset_goes_back_to_2level(void **state)
{
    struct evtchn_reset reset = {.dom = DOMID_SELF};
    evtchn_port_t pb, pa = connect(&pb);

    (void)state;
    world_send(b->vcpus[0], pb);
    assert_int_equal(world_event_op(a->vcpus[0], EVTCHNOP_reset, &reset, sizeof(reset)), 0);
    assert_null(a->events.fifo);
    assert_int_equal(world_close(b->vcpus[0], pb), 0);
    pa = connect(&pb);
    world_send(b->vcpus[0], pb);
    assert_true(a->shared_info->evtchn_pending[0] >> pa & 1);
    memset(world_page(a, CONTROL_GFN), 0, PAGE_SIZE);
    memset(world_page(a, WORDS_GFN), 0, PAGE_SIZE);
    memset(heads, 0, sizeof(heads));
    assert_int_equal(init_control(0, CONTROL_GFN, 0), 0);
    assert_int_equal(expand(WORDS_GFN), 0);
    assert_int_equal(handle_one(0), pa); // was pending
}

// Every step of going over to the FIFO with memory out: nothing changes, and it works afterwards.
static void test_out_of_memory(void **state)
{
    evtchn_port_t pb, pa = connect(&pb);

    (void)state;
    for (uint64_t step = 1;; step++) {
        sim_heap_fail_at(step);
        if (init_control(0, CONTROL_GFN, 0) == 0) {
            assert_false(sim_heap_failed());
            break;
        }
        assert_true(sim_heap_failed());
        assert_null(a->events.fifo);
    }
    sim_heap_fail_at(1);
    assert_int_equal(expand(WORDS_GFN), -XEN_ENOMEM);
    assert_int_equal(expand(WORDS_GFN), 0);
    world_send(b->vcpus[0], pb);
    assert_int_equal(handle_one(0), pa);
}

// Whatever is in the words and control blocks, sending ends and the hypervisor stays inside them.
static void test_random_words(void **state)
{
    evtchn_port_t pa[40], pb[40];

    (void)state;
    srand(3);
    for (unsigned int i = 0; i < ARRAY_SIZE(pa); i++) {
        pa[i] = connect(&pb[i]);
    }
    for (unsigned int round = 0; round < 20000; round++) {
        unsigned int i = (unsigned int)rand() % ARRAY_SIZE(pa);

        *word_at(pa[(unsigned int)rand() % ARRAY_SIZE(pa)]) = (uint32_t)rand() << 1;
        control_of((unsigned int)rand() % VCPUS)->ready = (uint32_t)rand();
        control_of((unsigned int)rand() % VCPUS)->head[rand() % 16] = (uint32_t)rand();
        assert_int_equal(world_send(b->vcpus[0], pb[i]), 0);
        if (rand() % 8 == 0) {
            bind_vcpu(pa[i], (uint32_t)rand() % VCPUS);
            set_priority(pa[i], (uint32_t)rand() % 16);
        }
    }
}

#define PORTS 24u

// What the random test below knows of one port.
static struct {
    evtchn_port_t from_b;
    bool sent, masked;
} ports[PORTS + 1];

static void random_step(void)
{
    evtchn_port_t port = 1 + (evtchn_port_t)rand() % PORTS;
    struct evtchn_unmask op = {.port = port};
    unsigned int vcpu;

    switch (rand() % 8) {
    case 0:
        bind_vcpu(port, (uint32_t)rand() % VCPUS);
        break;
    case 1:
        assert_int_equal(set_priority(port, (uint32_t)rand() % 16), 0);
        break;
    case 2:
        __atomic_fetch_or(word_at(port), MASKED, __ATOMIC_SEQ_CST);
        ports[port].masked = true;
        break;
    case 3:
        assert_int_equal(world_event_op(a->vcpus[0], EVTCHNOP_unmask, &op, sizeof(op)), 0);
        ports[port].masked = false;
        break;
    case 4:
    case 5:
        assert_int_equal(world_send(b->vcpus[0], ports[port].from_b), 0);
        ports[port].sent = true;
        break;
    default:
        vcpu = (unsigned int)rand() % VCPUS;
        port = handle_one(vcpu);
        if (port) {
            assert_true(ports[port].sent && !ports[port].masked);
            ports[port].sent = false;
        }
    }
}

// No event is lost and none comes twice, whatever is moved, masked and consumed in between.
static void test_random_steps_lose_nothing(void **state)
{
    evtchn_port_t port;

    (void)state;
    srand(4);
    memset(ports, 0, sizeof(ports));
    for (port = 1; port <= PORTS; port++) {
        assert_int_equal(connect(&ports[port].from_b), port);
    }
    for (unsigned int round = 0; round < 2000; round++) {
        for (unsigned int step = 0; step < 100; step++) {
            random_step();
        }
        for (unsigned int vcpu = 0; vcpu < VCPUS; vcpu++) {
            while ((port = handle_one(vcpu)) != 0) {
                assert_true(ports[port].sent && !ports[port].masked);
                ports[port].sent = false;
            }
        }
        for (port = 1; port <= PORTS; port++) {
            assert_true(!ports[port].sent || ports[port].masked);
            assert_int_equal(*word_at(port),
                             (ports[port].masked ? MASKED : 0) | (ports[port].sent ? PENDING : 0));
        }
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, create_fifo, destroy_domains)
#define TEST_FROM_START(name) cmocka_unit_test_setup_teardown(name, create_domains, destroy_domains)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_first_event),
        TEST(test_queue_keeps_order),
        TEST(test_priorities),
        TEST(test_mask),
        TEST(test_tail_moves_to_another_queue),
        TEST(test_closed_port_is_not_reused_while_linked),
        TEST_FROM_START(test_events_before_their_words),
        TEST_FROM_START(test_vcpu_without_control_block),
        TEST_FROM_START(test_bad_registrations),
        TEST(test_array_up_to_its_limit),
        TEST(test_search_among_linked_ports_ends),
        TEST(test_reset_goes_back_to_2level),
        TEST_FROM_START(test_out_of_memory),
        TEST(test_random_words),
        TEST(test_random_steps_lose_nothing),
    };

    return cmocka_run_group_tests_name("event FIFO", tests, world_start, NULL);
}
