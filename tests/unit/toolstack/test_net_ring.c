// SPDX-License-Identifier: Apache-2.0
//
// Emptying the ring of a dead network backend, against a frontend and a backend that behave as
// Linux's: numbers from a stack of free ones, packets of several slots with information between
// them, answers in another order than requests. Wherever the backend dies, exactly what is open is
// answered.
#include "check.h"

#include "devices/net_ring.h"

#include <stdio.h>

enum { OPEN_MAX = 60 };

static union {
    struct netif_tx_sring ring;
    char bytes[4096];
} page;

static struct {
    uint16_t free_numbers[NET_RING_SLOTS];
    unsigned int free_count;
    bool open[NET_RING_SLOTS]; // as the frontend sees it
    grant_ref_t refs[NET_RING_SLOTS];
    uint32_t seen; // answers that the frontend has taken
    // What the backend has taken and not answered: numbers, and how many slots each has.
    uint16_t taken[NET_RING_SLOTS];
    unsigned int slots[NET_RING_SLOTS];
    unsigned int taken_count;
} world;

static bool is_granted(void *context, grant_ref_t ref)
{
    (void)context;
    for (size_t i = 0; i < NET_RING_SLOTS; i++)
        if (world.open[i] && world.refs[i] == ref)
            return true;
    return false;
}

static void begin(uint32_t position)
{
    memset(&page, 0, sizeof(page));
    memset(&world, 0, sizeof(world));
    page.ring.req_prod = page.ring.rsp_prod = world.seen = position;
    for (uint16_t i = 0; i < NET_RING_SLOTS; i++)
        world.free_numbers[world.free_count++] = (uint16_t)(NET_RING_SLOTS - 1 - i);
}

static void request(uint16_t flags, unsigned int slots)
{
    static grant_ref_t next_ref = 1000;
    uint16_t number = world.free_numbers[--world.free_count];

    assert_false(world.open[number]);
    world.open[number] = true;
    world.refs[number] = next_ref++;
    page.ring.ring[page.ring.req_prod++ % NET_RING_SLOTS].req = (netif_tx_request_t){
        .gref = world.refs[number], .flags = flags, .id = number, .size = 1000};
    world.taken[world.taken_count] = number;
    world.slots[world.taken_count++] = slots;
}

// A packet, perhaps with information after its first slot and more slots.
static void send_packet(void)
{
    bool large = rand() % 3 == 0;
    unsigned int more = large ? (unsigned int)rand() % 3 : 0;

    request((uint16_t)((large ? NETTXF_extra_info : 0) | (more ? NETTXF_more_data : 0)),
            large ? 2 : 1);
    if (large) {
        struct netif_extra_info extra = {.type = XEN_NETIF_EXTRA_TYPE_GSO};

        extra.u.gso.size = 1448;
        extra.u.gso.type = XEN_NETIF_GSO_TYPE_TCPV4;
        memcpy(&page.ring.ring[page.ring.req_prod++ % NET_RING_SLOTS], &extra, sizeof(extra));
    }
    for (; more; more--)
        request(more > 1 ? NETTXF_more_data : 0, 1);
}

// Answers one of the first that are open.
static void answer(unsigned int disorder)
{
    unsigned int which =
        (unsigned int)rand() % (disorder < world.taken_count ? disorder : world.taken_count);
    uint16_t number = world.taken[which];

    page.ring.ring[page.ring.rsp_prod % NET_RING_SLOTS].rsp =
        (netif_tx_response_t){.id = number, .status = NETIF_RSP_OKAY};
    if (world.slots[which] == 2)
        page.ring.ring[(page.ring.rsp_prod + 1) % NET_RING_SLOTS].rsp.status = NETIF_RSP_NULL;
    page.ring.rsp_prod += world.slots[which];
    world.taken_count--;
    memmove(&world.taken[which], &world.taken[which + 1],
            (world.taken_count - which) * sizeof(world.taken[0]));
    memmove(&world.slots[which], &world.slots[which + 1],
            (world.taken_count - which) * sizeof(world.slots[0]));
}

// The frontend takes its answers; false when one is to nothing that is open.
static bool take_answers(void)
{
    for (; world.seen != page.ring.rsp_prod; world.seen++) {
        const netif_tx_response_t *answer = &page.ring.ring[world.seen % NET_RING_SLOTS].rsp;

        if (answer->status == NETIF_RSP_NULL)
            continue;
        if (answer->id >= NET_RING_SLOTS || !world.open[answer->id])
            return false;
        world.open[answer->id] = false;
        world.free_numbers[world.free_count++] = answer->id;
    }
    page.ring.rsp_event = world.seen + 1;
    return true;
}

static void run_until_death(unsigned int steps, unsigned int disorder)
{
    for (unsigned int i = 0; i < steps; i++) {
        if (rand() % 2 && world.taken_count < OPEN_MAX &&
            page.ring.req_prod - page.ring.rsp_prod < NET_RING_SLOTS - 8)
            send_packet();
        else if (world.taken_count)
            answer(disorder);
        assert_true(take_answers());
    }
}

// The guest goes on sending, until the ring is full at most.
static void go_on(unsigned int packets)
{
    while (packets-- && page.ring.req_prod - world.seen < NET_RING_SLOTS - 8)
        send_packet();
}

static void answer_open(unsigned int round)
{
    uint32_t open = page.ring.req_prod - page.ring.rsp_prod;

    assert_int_equal(net_ring_answer_open(&page.ring, is_granted, NULL), open);
    assert_int_equal(page.ring.req_prod, page.ring.rsp_prod);
    world.taken_count = 0;
    // It may take them now, or when there are more.
    if (round % 2 && !take_answers())
        fail_msg("round %u: answered what was not open", round);
}

// Once when the backend has died, and once before the next one comes.
static void answers_exactly_what_is_open(void **state)
{
    static const uint32_t begins[] = {0, 1000, 0xffffff00u};

    (void)state;
    srand(1);
    for (unsigned int round = 0; round < 6000; round++) {
        begin(begins[round % 3]);
        run_until_death((unsigned int)rand() % 2000, 1 + (unsigned int)rand() % 8);
        go_on((unsigned int)rand() % 8);
        answer_open(round);
        go_on(round % 4 ? (unsigned int)rand() % 30 : 300);
        answer_open(round);
        if (!take_answers())
            fail_msg("round %u: answered what was not open", round);
        if (world.free_count != NET_RING_SLOTS)
            fail_msg("round %u: left %u open", round, NET_RING_SLOTS - world.free_count);
    }
}

static void believes_nothing(void **state)
{
    (void)state;
    srand(2);
    for (unsigned int round = 0; round < 20000; round++) {
        char before[sizeof(page)];

        for (size_t i = 0; i < sizeof(page); i++)
            page.bytes[i] = (char)rand();
        if (round % 2)
            page.ring.req_prod = page.ring.rsp_prod + (uint32_t)rand() % 300;
        memcpy(before, &page, sizeof(page));
        int result = net_ring_answer_open(&page.ring, is_granted, NULL);

        assert_in_range(result + 1, 0, NET_RING_SLOTS + 1);
        if (result < 0)
            assert_memory_equal(before, &page, sizeof(page));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_exactly_what_is_open),
        cmocka_unit_test(believes_nothing),
    };

    return cmocka_run_group_tests_name("net_ring", tests, NULL, NULL);
}
