// SPDX-License-Identifier: Apache-2.0
// Running and stopping: pause counts, wake-ups, blocking, shutdown and crash.
//
// A vcpu runs when its pause flags and count and its domain's count are all zero. Whoever changes
// one of them tells the scheduler afterwards (wake or sleep), which looks again.
// Blocking against a concurrent wake-up: the blocker sets VCPU_BLOCKED and then looks for pending
// events; the waker marks the event and then clears VCPU_BLOCKED. One of the two sees the other.

#include <bulkhead/console.h>
#include <bulkhead/cpu.h>
#include <bulkhead/domain.h>
#include <bulkhead/heap.h>
#include <bulkhead/mapping.h>
#include <bulkhead/page.h>
#include <bulkhead/sched.h>
#include <bulkhead/string.h>
#include <xen/sched.h>

#define MAX_TOOLSTACK_PAUSES 255u

bool vcpu_runnable(const struct vcpu *v)
{
    return !(__atomic_load_n(&v->pause_flags, __ATOMIC_SEQ_CST) |
             (uint32_t)__atomic_load_n(&v->pause_count, __ATOMIC_SEQ_CST) |
             (uint32_t)__atomic_load_n(&v->domain->pause_count, __ATOMIC_SEQ_CST));
}

void vcpu_kick(struct vcpu *v)
{
    uint32_t flags = __atomic_load_n(&v->pause_flags, __ATOMIC_SEQ_CST);

    if (flags & (VCPU_BLOCKED | VCPU_POLLING)) {
        // A poll ends with whatever would end a block.
        __atomic_fetch_and(&v->pause_flags, ~VCPU_BLOCKED, __ATOMIC_SEQ_CST);
        event_poll_end(v);
        sched_vcpu_wake(v);
    } else if (__atomic_load_n(&v->running, __ATOMIC_SEQ_CST) && v->cpu != this_cpu()->id) {
        arch_kick_cpu(v->cpu);
    }
}

void vcpu_block(void)
{
    struct vcpu *v = current_vcpu();

    __atomic_fetch_or(&v->pause_flags, VCPU_BLOCKED, __ATOMIC_SEQ_CST);
    if ((event_pending(v) || arch_vcpu_interrupt_pending(v))) {
        __atomic_fetch_and(&v->pause_flags, ~VCPU_BLOCKED, __ATOMIC_SEQ_CST);
        return;
    }
    sched_vcpu_sleep(v);
}

void vcpu_pause_nosync(struct vcpu *v)
{
    __atomic_fetch_add(&v->pause_count, 1, __ATOMIC_SEQ_CST);
    sched_vcpu_sleep(v);
}

void vcpu_pause(struct vcpu *v)
{
    __atomic_fetch_add(&v->pause_count, 1, __ATOMIC_SEQ_CST);
    sched_vcpu_sleep_sync(v);
}

void vcpu_unpause(struct vcpu *v)
{
    if (__atomic_sub_fetch(&v->pause_count, 1, __ATOMIC_SEQ_CST) == 0) {
        sched_vcpu_wake(v);
    }
}

void domain_pause(struct domain *d)
{
    struct vcpu *v;
    unsigned int i;

    __atomic_fetch_add(&d->pause_count, 1, __ATOMIC_SEQ_CST);
    for_each_vcpu (v, d, i) {
        sched_vcpu_sleep_sync(v);
    }
}

void domain_unpause(struct domain *d)
{
    struct vcpu *v;
    unsigned int i;

    if (__atomic_sub_fetch(&d->pause_count, 1, __ATOMIC_SEQ_CST) == 0) {
        for_each_vcpu (v, d, i) {
            sched_vcpu_wake(v);
        }
    }
}

int domain_pause_by_toolstack(struct domain *d)
{
    bool too_often;

    spin_lock(&d->lock);
    too_often = d->paused_by_toolstack == MAX_TOOLSTACK_PAUSES;
    d->paused_by_toolstack += !too_often;
    spin_unlock(&d->lock);
    if (too_often) {
        return -XEN_EOVERFLOW;
    }
    domain_pause(d);
    return 0;
}

int domain_unpause_by_toolstack(struct domain *d)
{
    bool paused;

    spin_lock(&d->lock);
    paused = d->paused_by_toolstack != 0;
    d->paused_by_toolstack -= paused;
    d->created_paused &= d->paused_by_toolstack != 0;
    spin_unlock(&d->lock);
    if (!paused) {
        return -XEN_EINVAL;
    }
    domain_unpause(d);
    return 0;
}

void domain_shutdown(struct domain *d, uint8_t reason)
{
    struct vcpu *v;
    unsigned int i;
    bool suspended;

    if (d == domain0) {
        arch_machine_shutdown(reason);
    }
    spin_lock(&d->lock);
    if (d->is_shut_down) {
        spin_unlock(&d->lock);
        return;
    }
    if (!d->shutdown_code_latched) {
        d->shutdown_code = reason;
    }
    suspended = d->shutdown_code == SHUTDOWN_suspend && d->suspend_port;
    d->is_shutting_down = true;
    d->is_shut_down = true;
    spin_unlock(&d->lock);
    for_each_vcpu (v, d, i) {
        vcpu_pause_nosync(v);
    }
    // Who has subscribed to suspension is told of it alone.
    if (!suspended || event_send(d, d->suspend_port)) {
        event_send_host_virq(VIRQ_DOM_EXC);
    }
}

int domain_resume(struct domain *d)
{
    struct vcpu *v;
    unsigned int i;

    domain_pause(d);
    spin_lock(&d->lock);
    if (d->is_shut_down) {
        d->is_shut_down = d->is_shutting_down = false;
        d->shutdown_code = 0;
        d->shutdown_code_latched = false;
        for_each_vcpu (v, d, i) {
            vcpu_unpause(v);
        }
    }
    spin_unlock(&d->lock);
    domain_unpause(d);
    return 0;
}

void domain_crash(struct domain *d, const char *format, ...)
{
    char text[160];
    va_list args;

    va_start(args, format);
    format_string_args(text, sizeof(text), format, args);
    va_end(args);
    if (!d->is_shut_down) {
        log_message(LOG_GUEST_ERROR, "domain %u crashed: %s", d->id, text);
    }
    domain_shutdown(d, SHUTDOWN_crash);
}

struct vcpu_info *vcpu_default_info(struct vcpu *v)
{
    // What vcpus beyond shared_info's places have until they register one: always masked.
    static struct vcpu_info nowhere = {.evtchn_upcall_mask = 1};

    return v->id < XEN_LEGACY_MAX_VCPUS ? &v->domain->shared_info->vcpu_info[v->id] : &nowhere;
}

// Whether the place may be replaced now: by the vcpu itself, or while it is down.
static bool may_register(const struct vcpu *v)
{
    return v == current_vcpu() || (__atomic_load_n(&v->pause_flags, __ATOMIC_SEQ_CST) & VCPU_DOWN);
}

int vcpu_register_info(struct vcpu *v, gfn_t gfn, unsigned int offset)
{
    enum p2m_type type;
    struct vcpu_info *info;
    struct page *page;
    void *mapped;

    if (offset > PAGE_SIZE - sizeof(*info) || offset % sizeof(uint64_t)) {
        return -XEN_EINVAL;
    }
    if (v->info_page || !may_register(v)) {
        return -XEN_EINVAL;
    }
    page = p2m_get_page(v->domain, gfn, true, &type);
    if (!page) {
        return -XEN_EINVAL;
    }
    mapped = map_frame_lasting(page_to_mfn(page));
    if (!mapped) {
        page_put(page);
        return -XEN_ENOMEM;
    }
    info = (struct vcpu_info *)((char *)mapped + offset);
    memcpy(info, v->info, sizeof(*info));
    v->info_page = page;
    __atomic_store_n(&v->info, info, __ATOMIC_RELEASE);
    arch_vcpu_update_time(v);
    // Events set in the old place between copy and switch must not be lost: look at all.
    __atomic_store_n(&info->evtchn_pending_sel, ~0UL, __ATOMIC_SEQ_CST);
    __atomic_store_n(&info->evtchn_upcall_pending, 1, __ATOMIC_SEQ_CST);
    arch_vcpu_mark_events_pending(v);
    return 0;
}

static void release_area(void **area, struct page **page)
{
    if (*page) {
        unmap_frame_lasting((void *)((uintptr_t)*area & PAGE_MASK));
        page_put(*page);
        *page = NULL;
        *area = NULL;
    }
}

void vcpu_release_registrations(struct vcpu *v)
{
    void *info = v->info;

    if (v->info_page) {
        v->info = vcpu_default_info(v);
        release_area(&info, &v->info_page);
    }
    guest_area_release(&v->runstate_area);
    guest_area_release(&v->time_area);
}
