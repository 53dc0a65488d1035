// SPDX-License-Identifier: Apache-2.0
// What guests call for themselves: sched_op, vcpu_op, set_timer_op, xen_version, console_io.

#include "control.h"

#include <string.h>

#include <bulkhead/sched.h>
#include <bulkhead/string.h>
#include <xen/features.h>
#include <xen/sched.h>
#include <xen/vcpu.h>
#include <xen/version.h>

#define MS 1000000LL

static struct domain *guest;

static int start(void **state)
{
    int error = control_start(state);

    guest = world_create(7, &(struct world_config){.vcpus = 2});
    sim_set_time(1000 * MS);
    return error;
}

static int stop(void **state)
{
    world_destroy(guest);
    return control_stop(state);
}

static int64_t sched_op(uint32_t cmd, void *arg, size_t size)
{
    if (size) {
        memcpy(world_page(guest, BUFFER_GFN), arg, size);
    }
    return control_call(guest->vcpus[0], do_sched_op, cmd, BUFFER_ADDRESS, 0, 0, 0);
}

static int64_t vcpu_op(uint32_t cmd, uint32_t id, void *arg, size_t size)
{
    if (size) {
        memcpy(world_page(guest, BUFFER_GFN), arg, size);
    }
    return control_call(guest->vcpus[0], do_vcpu_op, cmd, id, BUFFER_ADDRESS, 0, 0);
}

// Lets the timers of CPU 0 run as they fall due until time t.
static void run_timers(ns_t t)
{
    sim_set_time(t);
    timers_run();
}

static void blocking(void **state)
{
    struct vcpu *v = guest->vcpus[0];

    (void)state;
    v->info->evtchn_upcall_mask = 1;
    assert_int_equal(sched_op(SCHEDOP_block, NULL, 0), 0);
    assert_int_equal(v->info->evtchn_upcall_mask, 0);
    assert_true(v->pause_flags & VCPU_BLOCKED);
    vcpu_kick(v);
    assert_false(v->pause_flags & VCPU_BLOCKED);
    v->info->evtchn_upcall_pending = 1; // something waits: no blocking
    assert_int_equal(sched_op(SCHEDOP_block, NULL, 0), 0);
    assert_false(v->pause_flags & VCPU_BLOCKED);
    assert_int_equal(sched_op(SCHEDOP_yield, NULL, 0), 0);
    assert_int_equal(sched_op(99, NULL, 0), -XEN_ENOSYS);
}

static void polling(void **state)
{
    struct vcpu *v = guest->vcpus[0];
    struct sched_poll poll = {.nr_ports = 1, .timeout = (uint64_t)(1005 * MS)};
    evtchn_port_t port = world_alloc_unbound(guest, 0);
    evtchn_port_t *ports = (void *)((char *)world_page(guest, BUFFER_GFN) + 512);

    (void)state;
    ports[0] = port;
    set_xen_guest_handle(poll.ports, (evtchn_port_t *)(BUFFER_ADDRESS + 512));
    assert_int_equal(sched_op(SCHEDOP_poll, &poll, sizeof(poll)), 0);
    assert_true(v->pause_flags & VCPU_POLLING);
    run_timers(1004 * MS);
    assert_true(v->pause_flags & VCPU_POLLING);
    run_timers(1006 * MS);
    assert_false(v->pause_flags & VCPU_POLLING);
    // A poll without end is not ended by what was set for the one before.
    poll.timeout = (uint64_t)(1010 * MS);
    assert_int_equal(sched_op(SCHEDOP_poll, &poll, sizeof(poll)), 0);
    assert_true(event_poll_end(v));
    poll.timeout = 0;
    assert_int_equal(sched_op(SCHEDOP_poll, &poll, sizeof(poll)), 0);
    run_timers(1020 * MS);
    assert_true(event_poll_end(v));
    ports[0] = 100000;
    assert_int_equal(sched_op(SCHEDOP_poll, &poll, sizeof(poll)), -XEN_EINVAL);
    poll.nr_ports = 129;
    assert_int_equal(sched_op(SCHEDOP_poll, &poll, sizeof(poll)), -XEN_EINVAL);
    poll.nr_ports = 1;
    set_xen_guest_handle(poll.ports, (evtchn_port_t *)(1UL << 63));
    assert_int_equal(sched_op(SCHEDOP_poll, &poll, sizeof(poll)), -XEN_EFAULT);
    assert_int_equal(guest->events.pollers, 0);
}

static void shutting_down(void **state)
{
    struct sched_shutdown request = {SHUTDOWN_MAX + 1};
    struct sched_remote_shutdown remote = {0, SHUTDOWN_poweroff};

    (void)state;
    assert_int_equal(sched_op(SCHEDOP_shutdown, &request, sizeof(request)), -XEN_EINVAL);
    assert_int_equal(sched_op(SCHEDOP_shutdown_code, &request, sizeof(request)), -XEN_EINVAL);
    assert_int_equal(sched_op(SCHEDOP_remote_shutdown, &remote, sizeof(remote)), -XEN_EPERM);
    remote.domain_id = 99;
    assert_int_equal(sched_op(SCHEDOP_remote_shutdown, &remote, sizeof(remote)), -XEN_ESRCH);
    request.reason = SHUTDOWN_crash;
    assert_int_equal(sched_op(SCHEDOP_shutdown_code, &request, sizeof(request)), 0);
    request.reason = SHUTDOWN_poweroff;
    assert_int_equal(sched_op(SCHEDOP_shutdown_code, &request, sizeof(request)), 0);
    assert_int_equal(sched_op(SCHEDOP_shutdown, &request, sizeof(request)), 0);
    assert_true(guest->is_shut_down);
    assert_int_equal(guest->shutdown_code, SHUTDOWN_crash);
    assert_false(vcpu_runnable(guest->vcpus[0]) || vcpu_runnable(guest->vcpus[1]));
}

static void watchdogs(void **state)
{
    struct sched_watchdog w = {0, 0};

    (void)state;
    assert_int_equal(sched_op(SCHEDOP_watchdog, &w, sizeof(w)), -XEN_EINVAL);
    w.id = 1;
    assert_int_equal(sched_op(SCHEDOP_watchdog, &w, sizeof(w)), -XEN_EINVAL);
    w.id = 3;
    assert_int_equal(sched_op(SCHEDOP_watchdog, &w, sizeof(w)), -XEN_EINVAL);
    w = (struct sched_watchdog){0, 2};
    assert_int_equal(sched_op(SCHEDOP_watchdog, &w, sizeof(w)), 1);
    assert_int_equal(sched_op(SCHEDOP_watchdog, &w, sizeof(w)), 2);
    assert_int_equal(sched_op(SCHEDOP_watchdog, &w, sizeof(w)), -XEN_ENOSPC);
    w = (struct sched_watchdog){1, 0};
    assert_int_equal(sched_op(SCHEDOP_watchdog, &w, sizeof(w)), 0);
    w = (struct sched_watchdog){2, 5};
    assert_int_equal(sched_op(SCHEDOP_watchdog, &w, sizeof(w)), 0);
    run_timers(4000 * MS);
    assert_false(guest->is_shut_down);
    run_timers(6001 * MS);
    assert_true(guest->is_shut_down);
    assert_int_equal(guest->shutdown_code, SHUTDOWN_watchdog);
}

static void pin_override(void **state)
{
    struct sched_pin_override pin = {2};

    (void)state;
    assert_int_equal(sched_op(SCHEDOP_pin_override, &pin, sizeof(pin)), -XEN_EPERM);
    memcpy(control_buffer(), &pin, sizeof(pin));
    assert_int_equal(
        control_call(domain0->vcpus[0], do_sched_op, SCHEDOP_pin_override, BUFFER_ADDRESS, 0, 0, 0),
        0);
    assert_true(sched_pinned(domain0->vcpus[0]));
    assert_int_equal(
        control_call(domain0->vcpus[0], do_sched_op, SCHEDOP_pin_override, BUFFER_ADDRESS, 0, 0, 0),
        -XEN_EBUSY);
    pin.pcpu = -1;
    memcpy(control_buffer(), &pin, sizeof(pin));
    assert_int_equal(
        control_call(domain0->vcpus[0], do_sched_op, SCHEDOP_pin_override, BUFFER_ADDRESS, 0, 0, 0),
        0);
    assert_int_equal(
        control_call(domain0->vcpus[0], do_sched_op, SCHEDOP_pin_override, BUFFER_ADDRESS, 0, 0, 0),
        -XEN_ENOENT);
}

static void vcpu_timers(void **state)
{
    struct vcpu *v = guest->vcpus[0];
    struct evtchn_bind_virq bind = {.virq = VIRQ_TIMER};
    struct vcpu_set_singleshot_timer single = {(uint64_t)(999 * MS), VCPU_SSHOTTMR_future};
    struct vcpu_set_periodic_timer periodic = {999999};
    unsigned long *pending = guest->shared_info->evtchn_pending;

    (void)state;
    assert_int_equal(world_event_op(v, EVTCHNOP_bind_virq, &bind, sizeof(bind)), 0);
    // A time that has passed fires at once, whatever the flag says.
    assert_int_equal(vcpu_op(VCPUOP_set_singleshot_timer, 0, &single, sizeof(single)), 0);
    run_timers(1000 * MS);
    assert_int_equal(pending[0], 1UL << bind.port);
    pending[0] = 0;
    assert_int_equal(vcpu_op(VCPUOP_set_singleshot_timer, 1, &single, sizeof(single)), -XEN_EINVAL);
    single.timeout_abs_ns = (uint64_t)(1010 * MS);
    assert_int_equal(vcpu_op(VCPUOP_set_singleshot_timer, 0, &single, sizeof(single)), 0);
    run_timers(1011 * MS);
    assert_int_equal(pending[0], 1UL << bind.port);
    pending[0] = 0;
    assert_int_equal(vcpu_op(VCPUOP_set_periodic_timer, 0, &periodic, sizeof(periodic)),
                     -XEN_EINVAL);
    periodic.period_ns = 5 * MS;
    assert_int_equal(vcpu_op(VCPUOP_set_periodic_timer, 0, &periodic, sizeof(periodic)), 0);
    for (unsigned int tick = 1; tick < 4; tick++) {
        run_timers(1011 * MS + tick * 5 * MS);
        assert_int_equal(pending[0], 1UL << bind.port);
        pending[0] = 0;
    }
    assert_int_equal(vcpu_op(VCPUOP_stop_periodic_timer, 0, NULL, 0), 0);
    run_timers(1100 * MS);
    assert_int_equal(pending[0], 0);
    assert_int_equal(control_call(v, do_set_timer_op, (uint64_t)(1200 * MS), 0, 0, 0, 0), 0);
    assert_int_equal(control_call(v, do_set_timer_op, 0, 0, 0, 0, 0), 0);
    run_timers(1300 * MS);
    assert_int_equal(pending[0], 0);
    assert_int_equal(control_call(v, do_set_timer_op, ~0UL, 0, 0, 0, 0), 0); // never
    run_timers(1400 * MS);
    assert_int_equal(pending[0], 0);
    assert_int_equal(vcpu_op(VCPUOP_stop_singleshot_timer, 1, NULL, 0), -XEN_EINVAL);
    assert_int_equal(vcpu_op(VCPUOP_stop_singleshot_timer, 0, NULL, 0), 0);
}

static void areas(void **state)
{
    struct vcpu *v = guest->vcpus[0];
    // Across the border of two pages of which the guest sees neither by chance.
    uint64_t address = (20UL << PAGE_SHIFT) - 20;
    struct vcpu_runstate_info info;
    char *first = world_page(guest, 19), *second = world_page(guest, 20);

    (void)state;
    assert_int_equal(vcpu_op(VCPUOP_register_runstate_memory_area, 0, &address, sizeof(address)),
                     0);
    memcpy(&info, first + PAGE_SIZE - 20, 20);
    memcpy((char *)&info + 20, second, sizeof(info) - 20);
    assert_memory_equal(&info, &v->runstate, sizeof(info));
    assert_int_equal(vcpu_op(VCPUOP_register_runstate_phys_area, 0, &address, sizeof(address)),
                     -XEN_ENXIO);
    address = FREE_GFN << PAGE_SHIFT;
    assert_int_equal(vcpu_op(VCPUOP_register_runstate_phys_area, 0, &address, sizeof(address)),
                     -XEN_EFAULT);
    address = 21UL << PAGE_SHIFT;
    assert_int_equal(vcpu_op(VCPUOP_register_runstate_phys_area, 0, &address, sizeof(address)), 0);
    assert_memory_equal(world_page(guest, 21), &v->runstate, sizeof(info));
    address = ~0UL;
    assert_int_equal(vcpu_op(VCPUOP_register_runstate_phys_area, 0, &address, sizeof(address)), 0);
    assert_null(v->runstate_area.part[0]);
    address = 1UL << 63;
    assert_int_equal(vcpu_op(VCPUOP_register_runstate_memory_area, 0, &address, sizeof(address)),
                     -XEN_EFAULT);

    v->info->time.version = 4;
    v->info->time.system_time = 12345;
    address = (22UL << PAGE_SHIFT) + 8;
    assert_int_equal(vcpu_op(VCPUOP_register_vcpu_time_memory_area, 0, &address, sizeof(address)),
                     0);
    assert_int_equal(((struct vcpu_time_info *)((char *)world_page(guest, 22) + 8))->system_time,
                     12345);
    assert_false(((struct vcpu_time_info *)((char *)world_page(guest, 22) + 8))->version & 1);
}

static void vcpu_states(void **state)
{
    struct vcpu_runstate_info *info = world_page(guest, BUFFER_GFN);

    (void)state;
    assert_int_equal(vcpu_op(VCPUOP_is_up, 1, NULL, 0), 1);
    assert_int_equal(vcpu_op(VCPUOP_is_up, 2, NULL, 0), -XEN_ENOENT);
    guest->vcpus[1]->pause_flags = VCPU_DOWN;
    assert_int_equal(vcpu_op(VCPUOP_is_up, 1, NULL, 0), 0);
    assert_int_equal(vcpu_op(VCPUOP_up, 1, NULL, 0), -XEN_EINVAL); // has no state
    assert_int_equal(vcpu_op(VCPUOP_initialise, 1, NULL, 0), -XEN_EOPNOTSUPP);
    guest->vcpus[1]->arch.guest = (void (*)(struct vcpu *))1;
    assert_int_equal(vcpu_op(VCPUOP_initialise, 1, NULL, 0), -XEN_EEXIST);
    assert_int_equal(vcpu_op(VCPUOP_up, 1, NULL, 0), 0);
    assert_int_equal(vcpu_op(VCPUOP_is_up, 1, NULL, 0), 1);
    assert_int_equal(vcpu_op(VCPUOP_send_nmi, 1, NULL, 0), 0);
    assert_true(guest->vcpus[1]->arch.interrupt_pending);
    assert_int_equal(vcpu_op(VCPUOP_get_runstate_info, 1, NULL, 0), 0);
    assert_int_equal(info->state, RUNSTATE_runnable);
    assert_int_equal(vcpu_op(VCPUOP_get_physid, 0, NULL, 0), -XEN_EINVAL);
    assert_int_equal(vcpu_op(99, 0, NULL, 0), -XEN_ENOSYS);
}

static int64_t version(struct domain *d, uint32_t cmd, uint64_t address)
{
    return control_call(d->vcpus[0], do_xen_version, cmd, address, 0, 0, 0);
}

static void versions(void **state)
{
    char *text = world_page(guest, BUFFER_GFN);
    xen_feature_info_t *features = world_page(guest, BUFFER_GFN);
    xen_varbuf_t *bytes = world_page(guest, BUFFER_GFN);

    (void)state;
    assert_int_equal(version(guest, XENVER_version, 0), 4 << 16 | 20);
    assert_int_equal(version(guest, XENVER_pagesize, 0), 4096);
    assert_int_equal(version(guest, XENVER_extraversion, BUFFER_ADDRESS), 0);
    assert_string_equal(text, "-bulkhead");
    assert_int_equal(version(guest, XENVER_commandline, BUFFER_ADDRESS), 0);
    assert_string_equal(text, "<denied>");
    assert_int_equal(version(domain0, XENVER_commandline, BUFFER_ADDRESS), 0);
    assert_string_equal(control_buffer(), "sched=credit2 loglvl=all");
    assert_int_equal(version(guest, XENVER_compile_info, BUFFER_ADDRESS), 0);
    assert_string_equal(((struct xen_compile_info *)text)->compiler, "a compiler");
    assert_int_equal(version(guest, XENVER_capabilities2, 0), 7);
    bytes->len = 6;
    assert_int_equal(version(guest, XENVER_capabilities2, BUFFER_ADDRESS), -XEN_ENOBUFS);
    bytes->len = 100;
    assert_int_equal(version(guest, XENVER_capabilities2, BUFFER_ADDRESS), 7);
    assert_memory_equal(bytes->buf, "sim-1.0", 7);
    features->submap_idx = 0;
    assert_int_equal(version(guest, XENVER_get_features, BUFFER_ADDRESS), 0);
    assert_true(features->submap & 1u << XENFEAT_auto_translated_physmap);
    assert_false(features->submap & 1u << XENFEAT_dom0);
    features->submap_idx = 1;
    assert_int_equal(version(guest, XENVER_get_features, BUFFER_ADDRESS), -XEN_EINVAL);
    assert_int_equal(version(guest, XENVER_build_id, 0), -XEN_EPERM);
    assert_int_equal(version(guest, 99, BUFFER_ADDRESS), -XEN_ENOSYS);
    assert_int_equal(version(guest, XENVER_extraversion, 1UL << 63), -XEN_EFAULT);
}

static void console(void **state)
{
    char *text = world_page(guest, BUFFER_GFN);

    (void)state;
    strcpy(text, "hel");
    assert_int_equal(
        control_call(guest->vcpus[0], do_console_io, CONSOLEIO_write, 3, BUFFER_ADDRESS, 0, 0), 0);
    assert_int_equal(console_output_length, 0); // a line is shown when it is whole
    strcpy(text, "lo\033[2J\n");
    assert_int_equal(control_call(guest->vcpus[0], do_console_io, CONSOLEIO_write, strlen(text),
                                  BUFFER_ADDRESS, 0, 0),
                     0);
    assert_int_equal(console_output_length, strlen("(d7) hello.[2J\n"));
    assert_memory_equal(console_output, "(d7) hello.[2J\n", console_output_length);
    assert_int_equal(
        control_call(guest->vcpus[0], do_console_io, CONSOLEIO_read, 10, BUFFER_ADDRESS, 0, 0),
        -XEN_EPERM);
    assert_int_equal(
        control_call(domain0->vcpus[0], do_console_io, CONSOLEIO_read, 10, BUFFER_ADDRESS, 0, 0),
        5);
    assert_memory_equal(control_buffer(), "input", 5);
    console_output_length = 0;
    memset(control_buffer(), 'x', 3000);
    sim_interrupt_every(1);
    assert_int_equal(
        control_call(domain0->vcpus[0], do_console_io, CONSOLEIO_write, 3000, BUFFER_ADDRESS, 0, 0),
        0);
    sim_interrupt_every(0);
    assert_true(control_restarts > 10);
    assert_int_equal(console_output_length, 3000);
    assert_int_equal(
        control_call(guest->vcpus[0], do_console_io, CONSOLEIO_write, 1, 1UL << 63, 0, 0),
        -XEN_EFAULT);
    assert_int_equal(control_call(guest->vcpus[0], do_console_io, 99, 1, BUFFER_ADDRESS, 0, 0),
                     -XEN_ENOSYS);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(blocking),    TEST(polling), TEST(shutting_down), TEST(watchdogs), TEST(pin_override),
        TEST(vcpu_timers), TEST(areas),   TEST(vcpu_states),   TEST(versions),  TEST(console),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
