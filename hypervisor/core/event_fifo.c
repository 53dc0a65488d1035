// SPDX-License-Identifier: Apache-2.0
// Delivery by the FIFO ABI: one word per port in pages of the guest, linked into a queue per vcpu
// and priority whose head is in the vcpu's control block.
//
// Data: the guest's pages are referenced and mapped while the FIFO exists. For each queue we
// remember the tail, that is the port linked last: if its word is still marked LINKED when the next
// event comes, that is appended to it; if not, the guest has consumed it, the queue is empty and
// its head is written. The guest may write anything into the words at any time: ports read from
// them are never followed, retries are bounded, and a guest that breaks the rules loses its own
// events.
// Locking: a queue's lock covers its tail and the head in the control block. channel.fifo_queue
// names the queue whose tail the port may be; it changes only under the lock of the queue that it
// names before the change. Event array and control blocks grow under the domain's event lock.

#include <bulkhead/arch/domain.h>
#include <bulkhead/heap.h>
#include <bulkhead/mapping.h>
#include <bulkhead/page.h>
#include "event_internal.h"

#define WORDS_PER_PAGE (PAGE_SIZE / sizeof(event_word_t))
#define MAX_WORD_PAGES (EVTCHN_FIFO_NR_CHANNELS / WORDS_PER_PAGE)
#define WORD_PENDING (1u << EVTCHN_FIFO_PENDING)
#define WORD_MASKED (1u << EVTCHN_FIFO_MASKED)
#define WORD_LINKED (1u << EVTCHN_FIFO_LINKED)
#define WORD_BUSY (1u << EVTCHN_FIFO_BUSY)
#define WORD_LINK ((uint32_t)EVTCHN_FIFO_LINK_MASK)

// A correct guest changes a word at most a few times while we want to; then BUSY stops it.
#define LINK_TRIES 8u
// Someone else must have moved the event to another queue, and the guest consumed it, each time.
#define QUEUE_TRIES 16u

struct event_fifo {
    event_word_t *words[MAX_WORD_PAGES];
    struct page *pages[MAX_WORD_PAGES];
    uint32_t page_count;
};

struct event_fifo_queue {
    struct spinlock lock;
    evtchn_port_t tail; // 0: none
};

struct event_fifo_vcpu {
    struct evtchn_fifo_control_block *control; // NULL until the guest registers it
    struct page *page;
    struct event_fifo_queue queues[EVTCHN_FIFO_MAX_QUEUES];
};

static event_word_t *word_of(const struct domain *d, evtchn_port_t port)
{
    event_word_t *page =
        __atomic_load_n(&d->events.fifo->words[port / WORDS_PER_PAGE], __ATOMIC_SEQ_CST);

    return page ? page + port % WORDS_PER_PAGE : NULL;
}

static struct event_fifo_queue *queue_at(const struct domain *d, uint32_t number)
{
    struct vcpu *v = domain_vcpu(d, number / EVTCHN_FIFO_MAX_QUEUES);

    return &v->events.fifo->queues[number % EVTCHN_FIFO_MAX_QUEUES];
}

// Appends port to the event whose word is given. False if that is not linked any more.
static bool link_to(event_word_t *tail, evtchn_port_t port)
{
    event_word_t old = __atomic_load_n(tail, __ATOMIC_RELAXED);

    for (unsigned int tries = 0; tries < 2 * LINK_TRIES; tries++) {
        if (tries == LINK_TRIES) {
            old = __atomic_or_fetch(tail, WORD_BUSY, __ATOMIC_SEQ_CST);
        }
        if (!(old & WORD_LINKED)) {
            break;
        }
        if (__atomic_compare_exchange_n(tail, &old, (old & ~(WORD_LINK | WORD_BUSY)) | port, false,
                                        __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) {
            return true;
        }
    }
    __atomic_fetch_and(tail, ~WORD_BUSY, __ATOMIC_SEQ_CST);
    return false;
}

// Puts port, which is marked LINKED, at the end of the queue whose lock is held.
static void append(struct domain *d, struct vcpu *v, unsigned int priority, evtchn_port_t port)
{
    struct event_fifo_queue *queue = &v->events.fifo->queues[priority];
    struct evtchn_fifo_control_block *control = v->events.fifo->control;
    uint32_t bit = 1u << priority;

    if (!queue->tail || !link_to(word_of(d, queue->tail), port)) {
        __atomic_store_n(&control->head[priority], port, __ATOMIC_RELEASE);
    }
    queue->tail = port;
    if (!(__atomic_fetch_or(&control->ready, bit, __ATOMIC_SEQ_CST) & bit)) {
        event_vcpu_mark_pending(v);
    }
}

// Links a pending, unmasked event into the queue it belongs to, unless it is in one.
static void enqueue(struct domain *d, struct event_channel *ch, event_word_t *word)
{
    struct vcpu *v = domain_vcpu(d, __atomic_load_n(&ch->vcpu, __ATOMIC_RELAXED));
    unsigned int priority = __atomic_load_n(&ch->priority, __ATOMIC_RELAXED);
    uint16_t wanted = (uint16_t)(v->id * EVTCHN_FIFO_MAX_QUEUES + priority);

    if (!__atomic_load_n(&v->events.fifo->control, __ATOMIC_ACQUIRE)) {
        return; // stays pending; the guest finds it when it unmasks the port
    }
    for (unsigned int tries = 0; tries < QUEUE_TRIES; tries++) {
        uint16_t last = __atomic_load_n(&ch->fifo_queue, __ATOMIC_RELAXED);
        struct event_fifo_queue *queue = queue_at(d, last);

        spin_lock(&queue->lock);
        if (__atomic_load_n(&ch->fifo_queue, __ATOMIC_RELAXED) != last) {
            spin_unlock(&queue->lock);
            continue;
        }
        // Before LINKED is set again: later it would look as if it were still in that queue.
        if (queue->tail == ch->port && !(__atomic_load_n(word, __ATOMIC_RELAXED) & WORD_LINKED)) {
            queue->tail = 0;
        }
        if (__atomic_fetch_or(word, WORD_LINKED, __ATOMIC_SEQ_CST) & WORD_LINKED) {
            spin_unlock(&queue->lock);
            return;
        }
        if (last != wanted) {
            __atomic_store_n(&ch->fifo_queue, wanted, __ATOMIC_RELAXED);
            spin_unlock(&queue->lock);
            queue = queue_at(d, wanted);
            spin_lock(&queue->lock);
        }
        append(d, v, priority, ch->port);
        spin_unlock(&queue->lock);
        return;
    }
}

bool event_fifo_set_pending(struct domain *d, struct event_channel *ch)
{
    event_word_t *word = word_of(d, ch->port);
    event_word_t old;

    if (unlikely(!word)) {
        // The guest has yet to add the page. Whoever adds it looks for parked events afterwards.
        __atomic_store_n(&ch->parked, 1, __ATOMIC_SEQ_CST);
        word = word_of(d, ch->port);
        if (!word || !__atomic_exchange_n(&ch->parked, 0, __ATOMIC_SEQ_CST)) {
            return false;
        }
    }
    old = __atomic_fetch_or(word, WORD_PENDING, __ATOMIC_SEQ_CST);
    if (!(old & (WORD_MASKED | WORD_LINKED))) {
        enqueue(d, ch, word);
    }
    return !(old & WORD_PENDING);
}

void event_fifo_clear_pending(struct domain *d, struct event_channel *ch)
{
    event_word_t *word = word_of(d, ch->port);

    __atomic_store_n(&ch->parked, 0, __ATOMIC_SEQ_CST);
    if (word) {
        __atomic_fetch_and(word, ~WORD_PENDING, __ATOMIC_SEQ_CST);
    }
}

bool event_fifo_is_pending(struct domain *d, const struct event_channel *ch)
{
    event_word_t *word = word_of(d, ch->port);

    return word ? __atomic_load_n(word, __ATOMIC_SEQ_CST) & WORD_PENDING
                : __atomic_load_n(&ch->parked, __ATOMIC_SEQ_CST) != 0;
}

void event_fifo_unmask(struct domain *d, struct event_channel *ch)
{
    event_word_t *word = word_of(d, ch->port);
    event_word_t old;

    if (!word) {
        return;
    }
    old = __atomic_fetch_and(word, ~WORD_MASKED, __ATOMIC_SEQ_CST);
    if ((old & (WORD_PENDING | WORD_LINKED)) == WORD_PENDING) {
        enqueue(d, ch, word);
    }
}

bool event_fifo_is_busy(struct domain *d, evtchn_port_t port)
{
    event_word_t *word = word_of(d, port);

    return word && (__atomic_load_n(word, __ATOMIC_SEQ_CST) & WORD_LINKED);
}

int event_fifo_vcpu_init(struct vcpu *v)
{
    if (!v->events.fifo) {
        v->events.fifo = heap_new(struct event_fifo_vcpu);
    }
    return v->events.fifo ? 0 : -XEN_ENOMEM;
}

static struct page *get_own_page(struct domain *d, gfn_t gfn)
{
    enum p2m_type type;
    struct page *page = p2m_get_page(d, gfn, true, &type);

    if (page && type != P2M_RAM) {
        p2m_put_page(page);
        page = NULL;
    }
    return page;
}

static int register_control(struct vcpu *v, gfn_t gfn, uint32_t offset)
{
    struct page *page = get_own_page(v->domain, gfn);
    uint8_t *mapped;

    if (!page) {
        return -XEN_EINVAL;
    }
    mapped = map_frame_lasting(page_to_mfn(page));
    if (!mapped) {
        p2m_put_page(page);
        return -XEN_ENOMEM;
    }
    v->events.fifo->page = page;
    __atomic_store_n(&v->events.fifo->control, (void *)(mapped + offset), __ATOMIC_RELEASE);
    return 0;
}

// The first control block: leaves the 2-level ABI. Nobody sees the FIFO before all of it is there.
static int create(struct vcpu *first, gfn_t gfn, uint32_t offset)
{
    struct domain *d = first->domain;
    struct event_fifo *fifo = heap_new(struct event_fifo);
    struct vcpu *v;
    unsigned int i;
    int error = fifo ? 0 : -XEN_ENOMEM;

    for_each_vcpu (v, d, i) {
        if (!error) {
            error = event_fifo_vcpu_init(v);
        }
    }
    if (!error) {
        error = register_control(first, gfn, offset);
    }
    if (error) {
        event_fifo_destroy(d);
        heap_free(fifo);
        return error;
    }
    __atomic_store_n(&d->events.fifo, fifo, __ATOMIC_SEQ_CST);
    // What is pending by the 2-level ABI waits until the guest adds the words.
    for (evtchn_port_t port = 1; port < MIN(d->events.allocated, EVTCHN_2L_NR_CHANNELS); port++) {
        struct event_channel *ch = event_channel_at(d, port);

        if (ch->state > EVENT_RESERVED && event_2level_is_pending(d, port)) {
            __atomic_store_n(&ch->parked, 1, __ATOMIC_SEQ_CST);
        }
    }
    return 0;
}

int event_fifo_init_control(struct domain *d, struct evtchn_init_control *control)
{
    struct vcpu *v = domain_vcpu(d, control->vcpu);
    gfn_t gfn = GFN(control->control_gfn);
    int error;

    if (!v) {
        return -XEN_ENOENT;
    }
    if (control->offset > PAGE_SIZE - sizeof(struct evtchn_fifo_control_block) ||
        control->offset % sizeof(uint64_t)) {
        return -XEN_EINVAL;
    }
    control->link_bits = EVTCHN_FIFO_LINK_BITS;
    spin_lock(&d->events.lock);
    if (d->is_dying || (d->events.fifo && v->events.fifo->control)) {
        error = -XEN_EINVAL;
    } else if (d->events.fifo) {
        error = register_control(v, gfn, control->offset);
    } else {
        error = create(v, gfn, control->offset);
    }
    spin_unlock(&d->events.lock);
    return error;
}

static int add_words(struct domain *d, gfn_t gfn)
{
    struct event_fifo *fifo = d->events.fifo;
    struct page *page;
    event_word_t *words;

    if (fifo->page_count >= MAX_WORD_PAGES) {
        return -XEN_ENOSPC;
    }
    page = get_own_page(d, gfn);
    if (!page) {
        return -XEN_EINVAL;
    }
    words = map_frame_lasting(page_to_mfn(page));
    if (!words) {
        p2m_put_page(page);
        return -XEN_ENOMEM;
    }
    fifo->pages[fifo->page_count] = page;
    __atomic_store_n(&fifo->words[fifo->page_count], words, __ATOMIC_SEQ_CST);
    fifo->page_count++;
    return 0;
}

static void deliver_parked(struct domain *d, uint32_t words_page)
{
    for (uint32_t i = 0; i < WORDS_PER_PAGE; i++) {
        struct event_channel *ch = event_channel_at(d, words_page * WORDS_PER_PAGE + i);

        if (ch && __atomic_exchange_n(&ch->parked, 0, __ATOMIC_SEQ_CST)) {
            event_deliver(d, ch);
        }
    }
}

int event_fifo_expand_array(struct domain *d, gfn_t gfn)
{
    int error;

    spin_lock(&d->events.lock);
    if (!d->events.fifo) {
        error = -XEN_EOPNOTSUPP;
    } else if (d->is_dying) {
        error = -XEN_EINVAL;
    } else {
        error = add_words(d, gfn);
    }
    if (!error) {
        deliver_parked(d, d->events.fifo->page_count - 1);
    }
    spin_unlock(&d->events.lock);
    return error;
}

void event_fifo_destroy(struct domain *d)
{
    struct event_fifo *fifo = d->events.fifo;
    struct vcpu *v;
    unsigned int i;

    d->events.fifo = NULL;
    for_each_vcpu (v, d, i) {
        struct event_fifo_vcpu *fv = v->events.fifo;

        if (fv && fv->control) {
            unmap_frame_lasting((void *)((uintptr_t)fv->control & PAGE_MASK));
            p2m_put_page(fv->page);
        }
        heap_free(fv);
        v->events.fifo = NULL;
    }
    for (i = 0; fifo && i < fifo->page_count; i++) {
        unmap_frame_lasting(fifo->words[i]);
        p2m_put_page(fifo->pages[i]);
    }
    heap_free(fifo);
}
