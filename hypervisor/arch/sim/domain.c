// SPDX-License-Identifier: Apache-2.0
// The simulated machine's part of domains and vcpus. A guest's linear addresses are its
// guest-physical ones; the highest half of the address space is not mapped.

#include <bulkhead/arch/mm.h>
#include <bulkhead/domain.h>
#include <bulkhead/errno.h>
#include <bulkhead/memory_op.h>
#include <xen/domctl.h>
#include "sim_internal.h"

int arch_domain_check_config(const struct xen_domctl_createdomain *config)
{
    return config->flags & XEN_DOMCTL_CDF_hvm ? 0 : -XEN_EINVAL;
}

int arch_domain_create(struct domain *d, const struct xen_domctl_createdomain *config)
{
    (void)config;
    return sim_p2m_create(d);
}

void arch_domain_quarantine(struct domain *d)
{
    (void)d; // there are no devices here
}

int arch_domain_destroy(struct domain *d)
{
    return d->arch.p2m ? p2m_release(d) : 0;
}

void arch_domain_free(struct domain *d)
{
    sim_p2m_free(d);
}

int arch_vcpu_create(struct vcpu *v)
{
    (void)v;
    return 0;
}

void arch_vcpu_free(struct vcpu *v)
{
    (void)v;
}

void arch_vcpu_reset(struct vcpu *v)
{
    v->arch.interrupt_pending = false;
}

void arch_vcpu_switch(struct vcpu *prev, struct vcpu *next)
{
    (void)prev;
    (void)next;
}

void arch_vcpu_run(struct vcpu *v)
{
    if (v->arch.guest) {
        v->arch.guest(v);
    }
}

void arch_vcpu_mark_events_pending(struct vcpu *v)
{
    __atomic_fetch_add(&v->arch.events_marked, 1, __ATOMIC_RELAXED);
}

bool arch_vcpu_interrupt_pending(struct vcpu *v)
{
    return v->arch.interrupt_pending;
}

void arch_vcpu_update_time(struct vcpu *v)
{
    (void)v;
}

void arch_domain_update_wallclock(struct domain *d)
{
    (void)d;
}

void arch_machine_shutdown(uint8_t reason)
{
    sim_die("domain 0 has ended with reason %u", reason);
}

int arch_walk_guest(struct vcpu *v, gva_t address, bool write, gpa_t *out)
{
    (void)v;
    (void)write;
    *out = GPA(address.a);
    return address.a >> 63 ? -XEN_EFAULT : 0;
}

int64_t arch_memory_op(unsigned int op, struct hypercall *call)
{
    (void)op;
    (void)call;
    return -XEN_ENOSYS;
}

bool arch_vcpu_is_initialised(const struct vcpu *v)
{
    return v->arch.guest != NULL;
}

void arch_vcpu_down(struct vcpu *v)
{
    (void)v;
}

void arch_vcpu_send_nmi(struct vcpu *v)
{
    v->arch.interrupt_pending = true;
}
