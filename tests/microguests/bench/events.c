// SPDX-License-Identifier: Apache-2.0
// An event channel of type IPI from vcpu 0 to itself: from before the hypercall until the handler
// has begun, and until the hypercall has returned. The handler leaves the time at which it began.

#include "bench.h"

#define WAIT_LOOPS 1000000

static long port = -1;
static volatile uint64_t handler_time;

// Reading the time may cost an exit.
static void on_event_timed(evtchn_port_t arrived)
{
    (void)arrived;
    handler_time = rdtsc();
}

static void on_event(evtchn_port_t arrived)
{
    (void)arrived;
    handler_time = 1;
}

static const char *prepare_handler(event_handler *handler)
{
    port = event_bind_ipi(0);
    if (port < 0) {
        return hypercall_failed("EVTCHNOP_bind_ipi", port);
    }
    event_set_handler((evtchn_port_t)port, handler);
    return NULL;
}

static const char *prepare(void)
{
    return prepare_handler(on_event);
}

static const char *prepare_timed(void)
{
    return prepare_handler(on_event_timed);
}

static void finish(void)
{
    event_set_handler((evtchn_port_t)port, NULL);
    event_close((evtchn_port_t)port);
}

// Sends, waits for the handler; returns the time before, 0 when no upcall came, and *@returned, the
// time when the hypercall had returned if the handler had run by then, else 0.
static uint64_t send_and_wait(uint64_t *returned)
{
    uint64_t start;
    long rc;

    handler_time = 0;
    start = rdtsc();
    rc = event_send((evtchn_port_t)port);
    *returned = handler_time ? rdtsc() : 0;
    if (rc) {
        sample_failed(hypercall_failed("EVTCHNOP_send", rc));
        return 0;
    }
    for (unsigned int i = 0; !handler_time && i < WAIT_LOOPS; i++) {
        pause();
    }
    if (!handler_time) {
        sample_failed("no upcall has arrived");
        return 0;
    }
    return start;
}

static uint64_t sample_until_handler(void)
{
    uint64_t returned, start = send_and_wait(&returned);

    return start ? handler_time - start : FAILED;
}

static uint64_t sample_round(void)
{
    uint64_t returned, start = send_and_wait(&returned);

    if (!start) {
        return FAILED;
    }
    return returned ? returned - start : sample_failed("the upcall came after the hypercall");
}

static const struct benchmark benchmarks[] = {
    {"event_self_until_handler", prepare_timed, sample_until_handler, finish},
    {"event_self", prepare, sample_round, finish},
};

const struct benchmark_group event_benchmarks = {benchmarks, ARRAY_SIZE(benchmarks)};
