// SPDX-License-Identifier: Apache-2.0
// vcpu 0 interrupts vcpu 1, which sleeps, and waits for its answer, an interrupt too: by x2APIC and
// by event channels. vcpu 1 is started once and stays. Both vcpus share the flag "answered".

#include "apic.h"
#include "bench.h"

#define CALL_VECTOR 0x61
#define ANSWER_VECTOR 0x62
#define WAIT_MILLISECONDS 200

static bool started;
static volatile uint32_t answered, x2apic_entered;
static long call_port, answer_port;

static const char *start_second_vcpu(void)
{
    if (!started) {
        apic_enable();
        if (vcpus_start() == 0) {
            return "no second vcpu came up after INIT and SIPI";
        }
        started = true;
    }
    return NULL;
}

static uint64_t sample_call(void (*call)(void))
{
    uint64_t start;
    bool in_time;

    answered = 0;
    start = rdtsc();
    call();
    in_time = wait_until(&answered, WAIT_MILLISECONDS);
    return in_time ? rdtsc() - start : sample_failed("vcpu 1 has not answered");
}

static void on_answer(void)
{
    answered = 1;
    x2apic_write(APIC_EOI, 0);
}

static void on_call(void)
{
    x2apic_write(APIC_EOI, 0);
    x2apic_write(APIC_ICR_LOW, (uint64_t)vcpu_data[0].apic_id << 32 | ICR_ASSERT | ANSWER_VECTOR);
}

static void enter_x2apic(void)
{
    apic_enable_x2apic();
    this_vcpu()->apic_id = apic_own_id();
    x2apic_entered = 1;
}

static void call_by_apic(void)
{
    x2apic_write(APIC_ICR_LOW, (uint64_t)vcpu_data[1].apic_id << 32 | ICR_ASSERT | CALL_VECTOR);
}

static void on_wakeup(evtchn_port_t port)
{
    (void)port;
}

static const char *bind_ports(event_handler *on_call_event, event_handler *on_answer_event)
{
    call_port = event_bind_ipi(1);
    if (call_port < 0) {
        return hypercall_failed("EVTCHNOP_bind_ipi to vcpu 1", call_port);
    }
    answer_port = event_bind_ipi(0);
    if (answer_port < 0) {
        event_close((evtchn_port_t)call_port);
        return hypercall_failed("EVTCHNOP_bind_ipi", answer_port);
    }
    event_set_handler((evtchn_port_t)call_port, on_call_event);
    event_set_handler((evtchn_port_t)answer_port, on_answer_event);
    return NULL;
}

static void close_ports(void)
{
    event_close((evtchn_port_t)call_port);
    event_close((evtchn_port_t)answer_port);
}

static void on_answer_event(evtchn_port_t port)
{
    (void)port;
    answered = 1;
}

static void on_call_event(evtchn_port_t port)
{
    (void)port;
    event_send((evtchn_port_t)answer_port);
}

static void call_by_event(void)
{
    event_send((evtchn_port_t)call_port);
}

static const char *prepare_event(void)
{
    const char *reason = start_second_vcpu();

    return reason ? reason : bind_ports(on_call_event, on_answer_event);
}

static uint64_t sample_event(void)
{
    return sample_call(call_by_event);
}

// vcpu 1 changes its APIC's mode itself: an event wakes it for that.
static const char *prepare_apic(void)
{
    const char *reason = start_second_vcpu();

    if (reason) {
        return reason;
    }
    if (!(cpuid(1, 0).ecx & 1u << 21)) {
        return "CPUID offers no x2APIC";
    }
    reason = bind_ports(on_wakeup, on_wakeup);
    if (reason) {
        return reason;
    }
    interrupt_set_handler(CALL_VECTOR, on_call);
    interrupt_set_handler(ANSWER_VECTOR, on_answer);
    enter_x2apic();
    x2apic_entered = 0;
    vcpu_give_work(1, enter_x2apic);
    call_by_event();
    if (!wait_until(&x2apic_entered, WAIT_MILLISECONDS)) {
        close_ports();
        return "vcpu 1 did not enter x2APIC mode";
    }
    return NULL;
}

static uint64_t sample_apic(void)
{
    return sample_call(call_by_apic);
}

static const struct benchmark benchmarks[] = {
    {"event_to_vcpu_and_back", prepare_event, sample_event, close_ports},
    {"x2apic_ipi_to_vcpu_and_back", prepare_apic, sample_apic, close_ports},
};

const struct benchmark_group smp_benchmarks = {benchmarks, ARRAY_SIZE(benchmarks)};
