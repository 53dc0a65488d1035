// SPDX-License-Identifier: Apache-2.0
// vcpu_op and set_timer_op: bringing vcpus up and down, their timers, and the areas they register.
//
// A vcpu's timers are set on the CPU that it runs on; when one fires it raises VIRQ_TIMER there.
// The structures live in struct vcpu; room in the timer queues is reserved when it is created.

#include <bulkhead/arch/control.h>
#include <bulkhead/console.h>
#include <bulkhead/cpu.h>
#include <bulkhead/domain.h>
#include <bulkhead/guest_access.h>
#include <bulkhead/hypercall.h>
#include <bulkhead/sched.h>
#include <bulkhead/sched_op.h>
#include <xen/vcpu.h>

#define VCPU_TIMERS 3u
#define MINIMUM_PERIOD 1000000L // ns, as the ABI demands

static void fire_singleshot(void *data)
{
    event_send_virq(data, VIRQ_TIMER);
}

static void fire_periodic(void *data)
{
    struct vcpu *v = data;
    ns_t period = __atomic_load_n(&v->periodic_period, __ATOMIC_RELAXED);

    event_send_virq(v, VIRQ_TIMER);
    if (period) {
        // Periods that were missed are not made up for.
        timer_set(&v->periodic_timer, now() + period);
    }
}

int vcpu_timers_init(struct vcpu *v)
{
    if (timer_reserve(VCPU_TIMERS)) {
        return -XEN_ENOMEM;
    }
    timer_init(&v->singleshot_timer, v->cpu, fire_singleshot, v);
    timer_init(&v->periodic_timer, v->cpu, fire_periodic, v);
    timer_init(&v->poll_timer, v->cpu, sched_op_poll_timeout, v);
    return 0;
}

void vcpu_timers_stop(struct vcpu *v)
{
    v->periodic_period = 0;
    timer_kill(&v->singleshot_timer);
    timer_kill(&v->periodic_timer);
    timer_kill(&v->poll_timer);
}

void vcpu_timers_kill(struct vcpu *v)
{
    vcpu_timers_stop(v);
    timer_unreserve(VCPU_TIMERS);
}

static void set_singleshot(struct vcpu *v, ns_t expires)
{
    if (v->singleshot_timer.cpu != v->cpu) {
        timer_migrate(&v->singleshot_timer, v->cpu);
    }
    timer_set(&v->singleshot_timer, expires);
}

// arg: absolute system time in ns; 0 stops the timer.
int64_t do_set_timer_op(struct hypercall *call)
{
    struct vcpu *v = current_vcpu();
    ns_t expires = (ns_t)call->arg[0];

    if (expires == 0) {
        timer_stop(&v->singleshot_timer);
    } else {
        // A time beyond what can be represented is a guest's way to say "never".
        set_singleshot(v, expires < 0 ? INT64_MAX - 1 : expires);
    }
    return 0;
}

static int64_t singleshot_op(struct vcpu *v, gva_t at)
{
    struct vcpu_set_singleshot_timer arg;

    if (v != current_vcpu()) {
        return -XEN_EINVAL;
    }
    if (copy_from_guest(&arg, at, sizeof(arg))) {
        return -XEN_EFAULT;
    }
    // VCPU_SSHOTTMR_future asks to be told of a time that has passed; the incumbent has long fired
    // at once instead, and guests count on that.
    set_singleshot(v, (ns_t)arg.timeout_abs_ns < 0 ? INT64_MAX - 1 : (ns_t)arg.timeout_abs_ns);
    return 0;
}

static int64_t periodic_op(struct vcpu *v, gva_t at)
{
    struct vcpu_set_periodic_timer arg;

    if (copy_from_guest(&arg, at, sizeof(arg))) {
        return -XEN_EFAULT;
    }
    if (arg.period_ns < MINIMUM_PERIOD || arg.period_ns > INT64_MAX / 2) {
        return -XEN_EINVAL;
    }
    __atomic_store_n(&v->periodic_period, (ns_t)arg.period_ns, __ATOMIC_RELAXED);
    timer_set(&v->periodic_timer, now() + (ns_t)arg.period_ns);
    return 0;
}

static int64_t initialise(struct vcpu *v, gva_t at)
{
    struct domain *d = v->domain;
    int error;

    spin_lock(&d->lock);
    if (arch_vcpu_is_initialised(v)) {
        error = -XEN_EEXIST;
    } else {
        error = arch_vcpu_initialise(v, at);
    }
    spin_unlock(&d->lock);
    return error;
}

static int64_t bring_up(struct vcpu *v)
{
    struct domain *d = v->domain;
    int error = 0;

    spin_lock(&d->lock);
    if (!arch_vcpu_is_initialised(v)) {
        error = -XEN_EINVAL;
    } else {
        __atomic_fetch_and(&v->pause_flags, ~VCPU_DOWN, __ATOMIC_SEQ_CST);
    }
    spin_unlock(&d->lock);
    if (!error) {
        sched_vcpu_wake(v);
    }
    return error;
}

static int64_t runstate_op(struct vcpu *v, gva_t at)
{
    struct vcpu_runstate_info info;

    runstate_get(v, &info);
    return copy_to_guest(at, &info, sizeof(info));
}

// Meaningful only to a vcpu that cannot move: which processor it has.
static int64_t physid_op(const struct vcpu *v, gva_t at)
{
    struct vcpu_get_physid arg;

    if (!v->domain->privileged || cpumask_weight(&v->hard_affinity) != 1) {
        return -XEN_EINVAL;
    }
    arg.phys_id = arch_cpu_physical_id(cpumask_next(&v->hard_affinity, 0));
    return copy_to_guest(at, &arg, sizeof(arg));
}

static int64_t register_info_op(struct vcpu *v, gva_t at)
{
    struct vcpu_register_vcpu_info arg;

    if (copy_from_guest(&arg, at, sizeof(arg))) {
        return -XEN_EFAULT;
    }
    return arg.rsvd ? -XEN_EINVAL : vcpu_register_info(v, GFN(arg.mfn), arg.offset);
}

// Both structures are a union whose first member is the address.
static int64_t register_area_op(struct vcpu *v, gva_t at, struct guest_area *area, uint32_t size,
                                bool physical)
{
    uint64_t address;
    int error;

    if (copy_from_guest(&address, at, sizeof(address))) {
        return -XEN_EFAULT;
    }
    if (physical && address == ~0UL) {
        guest_area_release(area);
        return 0;
    }
    if (physical) {
        error = guest_area_register_physical(v->domain, area, GPA(address), size);
    } else {
        error = guest_area_register_linear(v->domain, area, GVA(address), size);
    }
    if (!error && area == &v->runstate_area) {
        runstate_publish(v);
    }
    if (!error && area == &v->time_area) {
        guest_area_publish_time(v);
    }
    return error;
}

static int64_t area_op(unsigned int op, struct vcpu *v, gva_t at)
{
    switch (op) {
    case VCPUOP_register_runstate_memory_area:
        return register_area_op(v, at, &v->runstate_area, sizeof(struct vcpu_runstate_info), false);
    case VCPUOP_register_runstate_phys_area:
        return register_area_op(v, at, &v->runstate_area, sizeof(struct vcpu_runstate_info), true);
    case VCPUOP_register_vcpu_time_memory_area:
        return register_area_op(v, at, &v->time_area, sizeof(struct vcpu_time_info), false);
    default:
        return register_area_op(v, at, &v->time_area, sizeof(struct vcpu_time_info), true);
    }
}

// arg: operation, vcpu number, structure.
int64_t do_vcpu_op(struct hypercall *call)
{
    unsigned int op = (unsigned int)call->arg[0];
    struct vcpu *v = domain_vcpu(current_domain(), (unsigned int)call->arg[1]);
    gva_t at = GVA(call->arg[2]);

    if (!v) {
        return -XEN_ENOENT;
    }
    switch (op) {
    case VCPUOP_initialise:
        return initialise(v, at);
    case VCPUOP_up:
        return bring_up(v);
    case VCPUOP_down:
        arch_vcpu_down(v);
        return 0;
    case VCPUOP_is_up:
        return !(__atomic_load_n(&v->pause_flags, __ATOMIC_SEQ_CST) & VCPU_DOWN);
    case VCPUOP_get_runstate_info:
        return runstate_op(v, at);
    case VCPUOP_register_runstate_memory_area:
    case VCPUOP_register_runstate_phys_area:
    case VCPUOP_register_vcpu_time_memory_area:
    case VCPUOP_register_vcpu_time_phys_area:
        return area_op(op, v, at);
    case VCPUOP_set_periodic_timer:
        return periodic_op(v, at);
    case VCPUOP_stop_periodic_timer:
        __atomic_store_n(&v->periodic_period, 0, __ATOMIC_RELAXED);
        timer_stop(&v->periodic_timer);
        return 0;
    case VCPUOP_set_singleshot_timer:
        return singleshot_op(v, at);
    case VCPUOP_stop_singleshot_timer:
        if (v != current_vcpu()) {
            return -XEN_EINVAL;
        }
        timer_stop(&v->singleshot_timer);
        return 0;
    case VCPUOP_register_vcpu_info:
        return register_info_op(v, at);
    case VCPUOP_send_nmi:
        arch_vcpu_send_nmi(v);
        return 0;
    case VCPUOP_get_physid:
        return physid_op(v, at);
    default:
        return -XEN_ENOSYS;
    }
}
