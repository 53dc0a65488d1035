// SPDX-License-Identifier: Apache-2.0
//
// Which packets are open. A slot is written first with a request, then with an answer, of which
// only the first four bytes differ: so the numbers of the last requests are all there, and those of
// the last answers. A frontend uses a number again only after it has taken the answer. So a number
// is not in use if its last answer stands behind its last request, or has not been taken yet.
// Otherwise, if the request's slot has no answer, it is open as long as its page is granted. What
// is left are requests among the answers. If one of them is open, every answer of its number
// belongs to the request before the one that it is paired with from the end; an answer behind that
// one excludes it. The others are chosen until the sum is what the ring's counters say, those first
// whose last answer is farthest away: a number comes back behind all that is open, and an answer
// comes early by less. struct scan is what is found out about a copy of the page.
#include "net_ring.h"

#include <stdlib.h>
#include <string.h>

// Slots that a frontend may have begun to fill again without having said so.
enum { BEGUN_MAX = 32, NONE = -1 };

enum verdict { VERDICT_IDLE, VERDICT_OPEN, VERDICT_UNDECIDED };

// The last request and the last answer of a number; positions count from scan.begin.
struct number {
    int request; // NONE
    int answer;
    unsigned int slots; // with the information that follows the request
    grant_ref_t ref;    // unless it has been overwritten
    enum verdict verdict;
};

struct scan {
    const union netif_tx_sring_entry *slots; // of the copy
    uint32_t begin;                          // the first slot that is known
    int taken;                               // answers before this position have been seen
    int answered;                            // the end of the answers
    int known;                               // the end of the requests
    // The request and the answer of the same number before those at each position.
    int request_before[NET_RING_SLOTS];
    int answer_before[NET_RING_SLOTS];
    struct number numbers[NET_RING_SLOTS];
};

static const union netif_tx_sring_entry *slot_at(const struct scan *scan, int position)
{
    return &scan->slots[(scan->begin + (uint32_t)position) % NET_RING_SLOTS];
}

// One that was never written.
static bool is_new(const struct scan *scan, int position)
{
    const netif_tx_request_t *request = &slot_at(scan, position)->req;

    return !request->offset && !request->flags && !request->id && !request->size;
}

// What an answer overwrites is the reference; the rest of a request is as it was.
static bool is_followed(const struct scan *scan, int position)
{
    return slot_at(scan, position)->req.flags & NETTXF_extra_info;
}

// False when there is a number that no frontend uses.
static bool note_requests(struct scan *scan)
{
    // The slot before says whether the first one is a request of its own.
    int position = is_followed(scan, -1) ? 1 : 0;

    while (position < scan->known) {
        const netif_tx_request_t *request = &slot_at(scan, position)->req;
        int slots = is_followed(scan, position) && position + 1 < scan->known ? 2 : 1;

        if (request->id >= NET_RING_SLOTS)
            return false;
        if (!is_new(scan, position)) {
            struct number *number = &scan->numbers[request->id];

            scan->request_before[position] = number->request;
            number->request = position;
            number->slots = (unsigned int)slots;
            number->ref = request->gref;
        }
        position += slots;
    }
    return true;
}

static bool note_answers(struct scan *scan)
{
    for (int position = 0; position < scan->answered; position++) {
        const netif_tx_response_t *answer = &slot_at(scan, position)->rsp;

        if (answer->status == NETIF_RSP_NULL || is_new(scan, position))
            continue;
        if (answer->id >= NET_RING_SLOTS)
            return false;
        scan->answer_before[position] = scan->numbers[answer->id].answer;
        scan->numbers[answer->id].answer = position;
    }
    return true;
}

// Goes back over the number's requests and answers, paired as if the last answer were to the last
// request but one.
static enum verdict judge_history(const struct scan *scan, const struct number *number)
{
    int request = number->request;
    int answer = number->answer;

    while (request != NONE && answer != NONE) {
        if (answer >= request)
            return VERDICT_IDLE;
        request = scan->request_before[request];
        answer = scan->answer_before[answer];
    }
    // A request that is left over was answered before what is known, or not at all.
    return request > scan->known / 2 ? VERDICT_OPEN : VERDICT_UNDECIDED;
}

static enum verdict judge(const struct scan *scan, const struct number *number,
                          net_ring_granted *granted, void *context)
{
    if (number->request == NONE || number->answer >= number->request ||
        (number->answer != NONE && number->answer >= scan->taken))
        return VERDICT_IDLE;
    if (number->request < scan->answered)
        return judge_history(scan, number);
    return granted(context, number->ref) ? VERDICT_OPEN : VERDICT_IDLE;
}

// The undecided number that is most likely open and has no more slots than are left.
static struct number *farthest(struct scan *scan, unsigned int left)
{
    struct number *best = NULL;

    for (size_t i = 0; i < NET_RING_SLOTS; i++) {
        struct number *number = &scan->numbers[i];

        if (number->verdict == VERDICT_UNDECIDED && number->slots <= left &&
            (!best || number->request - number->answer > best->request - best->answer))
            best = number;
    }
    return best;
}

static bool find_open(struct scan *scan, net_ring_granted *granted, void *context)
{
    unsigned int left = (unsigned int)(scan->known - scan->answered);
    struct number *number;

    for (size_t i = 0; i < NET_RING_SLOTS; i++) {
        number = &scan->numbers[i];
        number->verdict = judge(scan, number, granted, context);
        if (number->verdict != VERDICT_OPEN)
            continue;
        if (number->slots > left)
            return false;
        left -= number->slots;
    }
    while ((number = farthest(scan, left)) != NULL) {
        number->verdict = VERDICT_OPEN;
        left -= number->slots;
    }
    return true;
}

static void write_answers(struct netif_tx_sring *ring, const struct scan *scan)
{
    uint32_t position = scan->begin + (uint32_t)scan->answered;
    const uint32_t end = scan->begin + (uint32_t)scan->known;

    for (uint16_t i = 0; i < NET_RING_SLOTS; i++) {
        if (scan->numbers[i].verdict != VERDICT_OPEN)
            continue;
        ring->ring[position++ % NET_RING_SLOTS].rsp =
            (netif_tx_response_t){.id = i, .status = NETIF_RSP_DROPPED};
    }
    // The slots of what followed the requests count as well.
    for (; position != end; position++)
        ring->ring[position % NET_RING_SLOTS].rsp = (netif_tx_response_t){.status = NETIF_RSP_NULL};
    __atomic_store_n(&ring->rsp_prod, end, __ATOMIC_RELEASE);
}

static void begin_scan(struct scan *scan, const union netif_tx_sring_entry *slots, uint32_t end,
                       uint32_t answered, uint32_t taken)
{
    uint32_t open = end - answered;

    scan->slots = slots;
    // It cannot have begun with slots that are open.
    scan->known = open > NET_RING_SLOTS - BEGUN_MAX ? (int)open : NET_RING_SLOTS - BEGUN_MAX;
    scan->begin = end - (uint32_t)scan->known;
    scan->answered = (int)(answered - scan->begin);
    scan->taken = (int)(taken - scan->begin);
    for (size_t i = 0; i < NET_RING_SLOTS; i++) {
        scan->numbers[i] = (struct number){.request = NONE, .answer = NONE};
        scan->request_before[i] = scan->answer_before[i] = NONE;
    }
}

int net_ring_answer_open(struct netif_tx_sring *ring, net_ring_granted *granted, void *context)
{
    uint32_t end = __atomic_load_n(&ring->req_prod, __ATOMIC_ACQUIRE);
    uint32_t answered = __atomic_load_n(&ring->rsp_prod, __ATOMIC_ACQUIRE);
    // A frontend that has taken everything waits for the next answer.
    uint32_t taken = __atomic_load_n(&ring->rsp_event, __ATOMIC_RELAXED) - 1;
    uint32_t open = end - answered;
    bool done = false;

    if (!open)
        return 0;
    if (open > NET_RING_SLOTS)
        return -1;
    union netif_tx_sring_entry *copy = malloc(NET_RING_SLOTS * sizeof(*copy));
    struct scan *scan = malloc(sizeof(*scan));

    if (copy && scan) {
        memcpy(copy, ring->ring, NET_RING_SLOTS * sizeof(*copy));
        begin_scan(scan, copy, end, answered, taken);
        done = note_requests(scan) && note_answers(scan) && find_open(scan, granted, context);
    }
    if (done)
        write_answers(ring, scan);
    free(scan);
    free(copy);
    return done ? (int)open : -1;
}
