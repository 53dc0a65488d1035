// SPDX-License-Identifier: Apache-2.0
// Time as guests read it without an exit: the processor's counter with the scale and stamp in their
// vcpu_info, and the wall clock in shared_info. The counter's rate is constant, so a stamp stays
// good for ever; it is renewed when the guest's counter is moved.
// Readers retry while the version is odd or has changed; writers hold off each other because only
// the vcpu itself, or whoever has paused or creates it, writes its time.

#include <bulkhead/boot_info.h>
#include <bulkhead/domain.h>
#include <bulkhead/timer.h>
#include <x86/hvm.h>
#include <x86/registers.h>
#include <x86/time.h>
#include <x86/vlapic.h>

#define SECOND 1000000000L

void arch_vcpu_update_time(struct vcpu *v)
{
    struct vcpu_time_info *t = &v->info->time;
    uint32_t version = t->version & ~1u;
    uint64_t tsc = read_tsc_ordered();
    ns_t time = now();

    __atomic_store_n(&t->version, version + 1, __ATOMIC_SEQ_CST);
    t->tsc_timestamp = tsc + hvm_vendor_tsc_offset(v);
    t->system_time = (uint64_t)time;
    t->tsc_to_system_mul = tsc_scale.mul;
    t->tsc_shift = tsc_scale.shift;
    t->flags = XEN_PVCLOCK_TSC_STABLE_BIT;
    __atomic_store_n(&t->version, version + 2, __ATOMIC_SEQ_CST);
    guest_area_publish_time(v);
}

void arch_domain_update_wallclock(struct domain *d)
{
    struct shared_info *s = d->shared_info;
    ns_t start = boot_info.boot_time_wallclock + d->time_offset_seconds * SECOND;
    uint32_t version = s->wc_version & ~1u;

    __atomic_store_n(&s->wc_version, version + 1, __ATOMIC_SEQ_CST);
    s->wc_sec = (uint32_t)(start / SECOND);
    s->wc_sec_hi = (uint32_t)((start / SECOND) >> 32);
    s->wc_nsec = (uint32_t)(start % SECOND);
    __atomic_store_n(&s->wc_version, version + 2, __ATOMIC_SEQ_CST);
}

static ns_t tsc_duration(uint64_t ticks)
{
    __uint128_t scaled =
        tsc_scale.shift < 0 ? ticks >> -tsc_scale.shift : (__uint128_t)ticks << tsc_scale.shift;
    uint64_t ns = (uint64_t)(scaled * tsc_scale.mul >> 32);

    return ns > INT64_MAX / 2 ? INT64_MAX / 2 : (ns_t)ns;
}

uint64_t hvm_guest_tsc(struct vcpu *v)
{
    return read_tsc() + hvm_vendor_tsc_offset(v);
}

ns_t hvm_tsc_to_time(struct vcpu *v, uint64_t guest_tsc)
{
    // A deadline that has passed is due now; half of the counter's range divides past and future.
    int64_t delta = (int64_t)(guest_tsc - hvm_guest_tsc(v));

    return delta <= 0 ? now() : now() + tsc_duration((uint64_t)delta);
}
