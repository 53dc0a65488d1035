// SPDX-License-Identifier: Apache-2.0
// The ring's producer index is written here only, after the text; the consumer index by the daemon.
// A spinlock of one word keeps vcpus apart. A reader that stands still costs MAX_YIELDS yields,
// then text.

#include "console.h"

#include "cpu.h"
#include "xen.h"

#include <xen/io/console.h>

#define MAX_YIELDS 200000u

static struct xencons_interface *ring;
static evtchn_port_t port;
static uint32_t lock;

static bool parameter(uint32_t index, uint64_t *value)
{
    struct xen_hvm_param request = {.domid = DOMID_SELF, .index = index};

    if (hypercall2(__HYPERVISOR_hvm_op, HVMOP_get_param, &request)) {
        return false;
    }
    *value = request.value;
    return true;
}

bool console_start(void)
{
    uint64_t frame, channel;

    if (!parameter(HVM_PARAM_CONSOLE_PFN, &frame) ||
        !parameter(HVM_PARAM_CONSOLE_EVTCHN, &channel) || !frame || !channel) {
        return false;
    }
    port = (evtchn_port_t)channel;
    ring = (struct xencons_interface *)(frame * PAGE_SIZE);
    return true;
}

static bool wait_for_room(void)
{
    for (unsigned int i = 0; i < MAX_YIELDS; i++) {
        if (ring->out_prod - __atomic_load_n(&ring->out_cons, __ATOMIC_ACQUIRE) <
            sizeof(ring->out)) {
            return true;
        }
        event_send(port);
        hypercall(__HYPERVISOR_sched_op, SCHEDOP_yield, 0, 0, 0, 0);
    }
    return false;
}

bool console_write(const char *text, size_t length)
{
    if (!ring) {
        return false;
    }
    while (__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE)) {
        pause();
    }
    for (size_t i = 0; i < length && wait_for_room(); i++) {
        ring->out[MASK_XENCONS_IDX(ring->out_prod, ring->out)] = text[i];
        __atomic_store_n(&ring->out_prod, ring->out_prod + 1, __ATOMIC_RELEASE);
    }
    __atomic_store_n(&lock, 0, __ATOMIC_RELEASE);
    event_send(port);
    return true;
}
