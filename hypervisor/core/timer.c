// SPDX-License-Identifier: Apache-2.0
// One-shot timers: for each CPU a binary heap of pointers, earliest first, from index 1; a timer
// knows its place in it, so it can be moved or removed in logarithmic time.
// Locking: a queue's lock guards its heap and the timers in it. Which queue a timer belongs to
// (timer.cpu) is guarded by that queue's lock too: whoever wants it locks, then looks again.
// timer_migrate holds both locks, that of the lower CPU number first. reserve_lock, outer to the
// queue locks, guards the count of reserved places; every queue has room for all of them, so that
// setting a timer cannot fail. Queues shrink, too, so that nothing stays of many vcpus that are
// gone.

#include <bulkhead/console.h>
#include <bulkhead/cpu.h>
#include <bulkhead/heap.h>
#include <bulkhead/string.h>
#include <bulkhead/timer.h>
#include <xen/errno.h>

#define MINIMUM_CAPACITY 64u

static struct spinlock reserve_lock = SPINLOCK_INIT;
static unsigned int reserved, capacity; // places; the arrays have one more for index 0
static struct timer **fresh[MAX_CPUS];  // new arrays while they are exchanged; under reserve_lock

ns_t now(void)
{
    return arch_now();
}

static void place(struct timer_queue *queue, unsigned int index, struct timer *t)
{
    queue->heap[index] = t;
    t->heap_index = index;
}

// Lets t, which shall be at or above index, rise to its place.
static void sift_up(struct timer_queue *queue, unsigned int index, struct timer *t)
{
    while (index > 1 && queue->heap[index / 2]->expires > t->expires) {
        place(queue, index, queue->heap[index / 2]);
        index /= 2;
    }
    place(queue, index, t);
}

static void sift_down(struct timer_queue *queue, unsigned int index, struct timer *t)
{
    while (2 * index <= queue->count) {
        unsigned int child = 2 * index;

        if (child < queue->count && queue->heap[child + 1]->expires < queue->heap[child]->expires) {
            child++;
        }
        if (queue->heap[child]->expires >= t->expires) {
            break;
        }
        place(queue, index, queue->heap[child]);
        index = child;
    }
    place(queue, index, t);
}

static void insert(struct timer_queue *queue, struct timer *t)
{
    CHECK(queue->count < queue->capacity);
    sift_up(queue, ++queue->count, t);
}

static void take_out(struct timer_queue *queue, struct timer *t)
{
    unsigned int index = t->heap_index;
    struct timer *last;

    if (!index) {
        return;
    }
    last = queue->heap[queue->count--];
    t->heap_index = 0;
    if (last == t) {
        return;
    }
    if (index > 1 && queue->heap[index / 2]->expires > last->expires) {
        sift_up(queue, index, last);
    } else {
        sift_down(queue, index, last);
    }
}

static ns_t earliest(const struct timer_queue *queue)
{
    return queue->count ? queue->heap[1]->expires : TIMER_NONE;
}

// Locks the queue that t belongs to.
static struct timer_queue *lock_queue(const struct timer *t)
{
    for (;;) {
        unsigned int cpu = __atomic_load_n(&t->cpu, __ATOMIC_RELAXED);
        struct timer_queue *queue = &cpus[cpu]->timers;

        spin_lock(&queue->lock);
        if (t->cpu == cpu) {
            return queue;
        }
        spin_unlock(&queue->lock);
    }
}

// The queue of `cpu`, locked, has a new first timer perhaps: makes its interrupt come in time.
static void note_earliest(struct timer_queue *queue, unsigned int cpu)
{
    ns_t deadline = earliest(queue);

    if (deadline >= queue->programmed) {
        return; // an interrupt that comes too early is harmless
    }
    if (cpu == this_cpu()->id) {
        queue->programmed = deadline;
        arch_timer_program(deadline);
    } else {
        cpu_raise_work(cpu, CPU_WORK_TIMER);
    }
}

void timer_init(struct timer *t, unsigned int cpu, void (*fire)(void *data), void *data)
{
    *t = (struct timer){.expires = TIMER_NONE, .fire = fire, .data = data, .cpu = cpu};
}

int timer_queue_init(struct timer_queue *queue)
{
    int error = 0;

    spin_lock_init(&queue->lock);
    queue->count = 0;
    queue->programmed = TIMER_NONE;
    queue->running = NULL;
    spin_lock(&reserve_lock);
    if (capacity) {
        queue->heap = heap_alloc_array(capacity + 1, sizeof(queue->heap[0]));
        error = queue->heap ? 0 : -XEN_ENOMEM;
    }
    queue->capacity = queue->heap ? capacity : 0;
    spin_unlock(&reserve_lock);
    return error;
}

static void replace_array(struct timer_queue *queue, struct timer **array, unsigned int size)
{
    struct timer **old;

    spin_lock(&queue->lock);
    old = queue->heap;
    if (queue->count) {
        memcpy(array, old, (queue->count + 1) * sizeof(array[0]));
    }
    queue->heap = array;
    queue->capacity = size;
    spin_unlock(&queue->lock);
    heap_free(old);
}

// Gives every queue room for `size` timers, at least as many as are reserved; reserve_lock held.
static int resize(unsigned int size)
{
    unsigned int cpu;

    for (cpu = 0; cpu < MAX_CPUS; cpu++) {
        fresh[cpu] = cpus[cpu] ? heap_alloc_array(size + 1, sizeof(fresh[0][0])) : NULL;
        if (cpus[cpu] && !fresh[cpu]) {
            while (cpu--) {
                heap_free(fresh[cpu]);
            }
            return -XEN_ENOMEM;
        }
    }
    for (cpu = 0; cpu < MAX_CPUS; cpu++) {
        if (fresh[cpu]) {
            replace_array(&cpus[cpu]->timers, fresh[cpu], size);
        }
    }
    capacity = size;
    return 0;
}

int timer_reserve(unsigned int count)
{
    int error = 0;

    spin_lock(&reserve_lock);
    if (count > UINT32_MAX / 4 - reserved) {
        error = -XEN_ENOMEM;
    } else if (reserved + count > capacity) {
        error = resize(MAX(2 * (reserved + count), MINIMUM_CAPACITY));
    }
    if (!error) {
        reserved += count;
    }
    spin_unlock(&reserve_lock);
    return error;
}

void timer_unreserve(unsigned int count)
{
    spin_lock(&reserve_lock);
    CHECK(count <= reserved);
    reserved -= count;
    if (capacity > MINIMUM_CAPACITY && reserved < capacity / 4) {
        (void)resize(MAX(2 * reserved, MINIMUM_CAPACITY)); // without memory, all stays as it is
    }
    spin_unlock(&reserve_lock);
}

void timer_set(struct timer *t, ns_t expires)
{
    struct timer_queue *queue = lock_queue(t);

    take_out(queue, t);
    t->expires = expires;
    if (expires != TIMER_NONE) {
        insert(queue, t);
        note_earliest(queue, t->cpu);
    }
    spin_unlock(&queue->lock);
}

void timer_stop(struct timer *t)
{
    struct timer_queue *queue = lock_queue(t);

    take_out(queue, t);
    spin_unlock(&queue->lock);
}

void timer_kill(struct timer *t)
{
    for (;;) {
        struct timer_queue *queue = lock_queue(t);
        bool running = queue->running == t;

        take_out(queue, t);
        spin_unlock(&queue->lock);
        if (!running) {
            return;
        }
        arch_spin_wait();
    }
}

void timer_migrate(struct timer *t, unsigned int cpu)
{
    for (;;) {
        unsigned int from = __atomic_load_n(&t->cpu, __ATOMIC_RELAXED);
        struct timer_queue *first = &cpus[MIN(from, cpu)]->timers;
        struct timer_queue *second = &cpus[MAX(from, cpu)]->timers;
        bool moved = false;

        if (from == cpu) {
            return;
        }
        spin_lock(&first->lock);
        spin_lock(&second->lock);
        if (t->cpu == from) {
            bool queued = t->heap_index != 0;

            take_out(&cpus[from]->timers, t);
            __atomic_store_n(&t->cpu, cpu, __ATOMIC_RELAXED);
            if (queued) {
                insert(&cpus[cpu]->timers, t);
                note_earliest(&cpus[cpu]->timers, cpu);
            }
            moved = true;
        }
        spin_unlock(&second->lock);
        spin_unlock(&first->lock);
        if (moved) {
            return;
        }
    }
}

void timers_run(void)
{
    struct timer_queue *queue = &this_cpu()->timers;
    ns_t limit = now();
    unsigned int rounds;

    spin_lock(&queue->lock);
    // Callbacks may set timers that are due at once: those wait for the next call.
    rounds = queue->count;
    while (rounds-- && earliest(queue) <= limit) {
        struct timer *t = queue->heap[1];

        take_out(queue, t);
        queue->running = t;
        spin_unlock(&queue->lock);
        t->fire(t->data);
        spin_lock(&queue->lock);
        queue->running = NULL;
    }
    queue->programmed = earliest(queue);
    arch_timer_program(queue->programmed);
    spin_unlock(&queue->lock);
}
