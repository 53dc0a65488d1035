// SPDX-License-Identifier: Apache-2.0
//
// The console ring: two byte queues with free-running indices. The order of accesses is that of the
// interface: data before the producer's index, the consumer's index after the data.
#include <toolstack/console_ring.h>

#include <stdint.h>
#include <xen/xen.h>
#include <xen/io/console.h>

size_t console_ring_take(struct xencons_interface *ring, char *bytes, size_t size)
{
    uint32_t consumer = __atomic_load_n(&ring->out_cons, __ATOMIC_RELAXED);
    uint32_t producer = __atomic_load_n(&ring->out_prod, __ATOMIC_ACQUIRE);
    uint32_t filled = producer - consumer;

    if (filled > sizeof(ring->out)) {
        __atomic_store_n(&ring->out_cons, producer, __ATOMIC_RELEASE);
        return 0;
    }
    if (filled < size)
        size = filled;
    for (size_t i = 0; i < size; i++)
        bytes[i] = ring->out[MASK_XENCONS_IDX(consumer + i, ring->out)];
    __atomic_store_n(&ring->out_cons, consumer + (uint32_t)size, __ATOMIC_RELEASE);
    return size;
}

size_t console_ring_room(const struct xencons_interface *ring)
{
    uint32_t consumer = __atomic_load_n(&ring->in_cons, __ATOMIC_ACQUIRE);
    uint32_t producer = __atomic_load_n(&ring->in_prod, __ATOMIC_RELAXED);
    uint32_t filled = producer - consumer;

    return filled > sizeof(ring->in) ? 0 : sizeof(ring->in) - filled;
}

size_t console_ring_give(struct xencons_interface *ring, const char *bytes, size_t size)
{
    uint32_t producer = __atomic_load_n(&ring->in_prod, __ATOMIC_RELAXED);
    size_t room = console_ring_room(ring);

    if (room < size)
        size = room;
    for (size_t i = 0; i < size; i++)
        ring->in[MASK_XENCONS_IDX(producer + i, ring->in)] = bytes[i];
    __atomic_store_n(&ring->in_prod, producer + (uint32_t)size, __ATOMIC_RELEASE);
    return size;
}
