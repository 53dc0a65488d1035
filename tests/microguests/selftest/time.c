// SPDX-License-Identifier: Apache-2.0
// The PV clock, the wall clock and the timers of a vcpu. A timer's event sets "fired".

#include "apic.h"
#include "selftest.h"

#define MILLISECOND 1000000ul
#define APIC_TIMER_VECTOR 0x70
#define YEAR_2020 1577836800ul
#define YEAR_2100 4102444800ul

static volatile uint32_t fired, apic_fired;

static void on_timer(evtchn_port_t port)
{
    (void)port;
    fired++;
}

static void on_apic_timer(void)
{
    apic_fired++;
    apic_write(APIC_EOI, 0);
}

void check_time(void)
{
    struct vcpu_runstate_info before, after;
    uint64_t last = xen_time(), begin = last, now = last, wall;
    bool backwards = false;

    for (unsigned int i = 0; i < 20000; i++) {
        now = xen_time();
        backwards |= now < last;
        last = now;
    }
    check(!backwards, "time does not go back");
    check(now > begin, "time goes on");
    wall = (uint64_t)shared_info.wc_sec_hi << 32 | shared_info.wc_sec;
    wall += now / (1000 * MILLISECOND);
    check(wall > YEAR_2020 && wall < YEAR_2100, "the wall clock is of this century");
    check_equal(
        hypercall(__HYPERVISOR_vcpu_op, VCPUOP_get_runstate_info, 0, (unsigned long)&before, 0, 0),
        0, "VCPUOP_get_runstate_info");
    check_equal(before.state, RUNSTATE_running, "the vcpu is running");
    for (unsigned int i = 0; i < 1000; i++) {
        cpuid(0, 0);
    }
    hypercall(__HYPERVISOR_vcpu_op, VCPUOP_get_runstate_info, 0, (unsigned long)&after, 0, 0);
    check(after.time[RUNSTATE_running] > before.time[RUNSTATE_running], "its running time grows");
}

// Sleeps, interrupts on, until @flag is set; the machine's watch over this is the caller's.
static uint64_t sleep_until(volatile uint32_t *flag)
{
    while (!*flag) {
        wait_for_interrupt();
    }
    return xen_time();
}

static void check_singleshot(void)
{
    struct vcpu_set_singleshot_timer request = {.timeout_abs_ns = xen_time() + 5 * MILLISECOND};
    uint64_t woken;

    fired = 0;
    check_equal(hypercall(__HYPERVISOR_vcpu_op, VCPUOP_set_singleshot_timer, 0,
                          (unsigned long)&request, 0, 0),
                0, "VCPUOP_set_singleshot_timer");
    if (!check(wait_until(&fired, 1000), "the single-shot timer fires")) {
        return;
    }
    check(xen_time() >= request.timeout_abs_ns, "but not too soon");
    fired = 0;
    request.timeout_abs_ns = xen_time() + 5 * MILLISECOND;
    hypercall(__HYPERVISOR_vcpu_op, VCPUOP_set_singleshot_timer, 0, (unsigned long)&request, 0, 0);
    woken = sleep_until(&fired);
    check(woken >= request.timeout_abs_ns, "HLT ends by the timer");
    // 4.20 no longer refuses such a time: it takes no notice of the flag.
    fired = 0;
    request.timeout_abs_ns = xen_time() - MILLISECOND;
    request.flags = VCPU_SSHOTTMR_future;
    check_equal(hypercall(__HYPERVISOR_vcpu_op, VCPUOP_set_singleshot_timer, 0,
                          (unsigned long)&request, 0, 0),
                0, "a single-shot time in the past is accepted");
    check(wait_until(&fired, 100), "and fires at once");
}

static void check_set_timer(void)
{
    uint64_t when = xen_time() + 3 * MILLISECOND;

    fired = 0;
    check_equal(hypercall(__HYPERVISOR_set_timer_op, when, 0, 0, 0, 0), 0, "set_timer_op");
    check(wait_until(&fired, 1000), "set_timer_op's timer fires");
    fired = 0;
    hypercall(__HYPERVISOR_set_timer_op, xen_time() + 5 * MILLISECOND, 0, 0, 0, 0);
    hypercall(__HYPERVISOR_set_timer_op, 0, 0, 0, 0, 0);
    check(!wait_until(&fired, 20), "a timer that was stopped does not fire");
}

static void check_periodic(void)
{
    struct vcpu_set_periodic_timer request = {.period_ns = 5 * MILLISECOND};

    fired = 0;
    if (!check_equal(hypercall(__HYPERVISOR_vcpu_op, VCPUOP_set_periodic_timer, 0,
                               (unsigned long)&request, 0, 0),
                     0, "VCPUOP_set_periodic_timer")) {
        return;
    }
    wait_until(&fired, 1000);
    fired = 0;
    check(wait_until(&fired, 1000), "the periodic timer fires again");
    check_equal(hypercall(__HYPERVISOR_vcpu_op, VCPUOP_stop_periodic_timer, 0, 0, 0, 0), 0,
                "VCPUOP_stop_periodic_timer");
}

static void check_apic_timer(void)
{
    uint32_t first, second;

    interrupt_set_handler(APIC_TIMER_VECTOR, on_apic_timer);
    apic_enable();
    apic_write(APIC_TIMER_DIVIDE, 0xb); // by 1
    apic_write(APIC_TIMER, APIC_TIMER_VECTOR);
    apic_write(APIC_TIMER_INITIAL, 10000000);
    first = apic_read(APIC_TIMER_CURRENT);
    second = apic_read(APIC_TIMER_CURRENT);
    check(first > second && second > 0, "the APIC timer counts down");
    apic_write(APIC_TIMER_INITIAL, 300000);
    check(wait_until(&apic_fired, 1000), "the APIC timer fires");
    check_equal(apic_read(APIC_TIMER_CURRENT), 0, "and stays at 0");
    apic_write(APIC_TIMER, 1u << 16); // masked
}

void check_timers(void)
{
    long port = event_bind_virq(VIRQ_TIMER, 0);

    if (!check(port > 0, "VIRQ_TIMER can be bound")) {
        return;
    }
    check_equal(event_bind_virq(VIRQ_TIMER, 0), -XEN_EEXIST, "and not bound twice: EEXIST");
    event_set_handler((evtchn_port_t)port, on_timer);
    check_singleshot();
    check_set_timer();
    check_periodic();
    check_apic_timer();
    event_close((evtchn_port_t)port);
}
