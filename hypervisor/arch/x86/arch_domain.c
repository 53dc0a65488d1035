// SPDX-License-Identifier: Apache-2.0
// x86's share of creating and destroying domains and vcpus.

#include <bulkhead/console.h>
#include <bulkhead/cpu.h>
#include <bulkhead/domain.h>
#include <bulkhead/heap.h>
#include <bulkhead/io.h>
#include <bulkhead/iommu.h>
#include <bulkhead/string.h>
#include <bulkhead/vpci.h>
#include <x86/cpuid_policy.h>
#include <x86/domain.h>
#include <x86/hvm.h>
#include <x86/p2m.h>
#include <x86/vioapic.h>
#include <x86/vlapic.h>
#include <xen/domctl.h>
#include <xen/hvm/params.h>

#define PORT_BITMAP_ORDER 2u

int arch_domain_check_config(const struct xen_domctl_createdomain *config)
{
    const uint32_t known = XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap | XEN_DOMCTL_CDF_s3_integrity |
                           XEN_DOMCTL_CDF_oos_off | XEN_DOMCTL_CDF_iommu | XEN_DOMCTL_CDF_xs_domain;

    // PV and shadow paging are not there; whoever asks for less than nested paging gets an error.
    if ((config->flags & (XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap)) !=
        (XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap)) {
        return -XEN_EOPNOTSUPP;
    }
    if (config->flags & ~known) {
        return -XEN_EINVAL;
    }
    // A PVH domain has a local APIC and, as domain 0 or with devices, I/O APICs and vPCI.
    if (config->arch.emulation_flags &
        ~(uint32_t)(XEN_X86_EMU_LAPIC | XEN_X86_EMU_IOAPIC | XEN_X86_EMU_VPCI)) {
        return -XEN_EOPNOTSUPP;
    }
    return config->arch.misc_flags & ~(uint32_t)XEN_X86_MISC_FLAGS_MAX ? -XEN_EINVAL : 0;
}

int arch_domain_create(struct domain *d, const struct xen_domctl_createdomain *config)
{
    int error;

    list_init(&d->arch.io_handlers);
    d->arch.emulation_flags = config->arch.emulation_flags;
    error = p2m_create(d);
    if (!error && !d->privileged && d->arch.emulation_flags & XEN_X86_EMU_IOAPIC) {
        error = vioapic_create(d);
    }
    return error ? error : cpuid_policy_create(d);
}

void arch_domain_quarantine(struct domain *d)
{
    vpci_domain_quarantine(d);
}

int arch_domain_destroy(struct domain *d)
{
    if (!d->arch.p2m) {
        return 0;
    }
    vpci_domain_destroy(d);
    if (d->arch.iommu) {
        iommu_domain_destroy(d);
    }
    vioapic_destroy(d);
    return p2m_release(d);
}

void arch_domain_free(struct domain *d)
{
    p2m_free(d);
    cpuid_policy_destroy(d);
    heap_free(d->arch.memory_map);
    heap_free_pages(d->arch.port_permissions, PORT_BITMAP_ORDER);
}

int arch_vcpu_create(struct vcpu *v)
{
    int error = hvm_vcpu_create(v);

    if (error) {
        return error;
    }
    error = vlapic_create(v);
    if (error) {
        hvm_vcpu_free(v);
        return error;
    }
    v->arch.rflags = 2;
    v->arch.fetch.page = 1;
    hvm_vendor_use_ports(v);
    arch_vcpu_update_time(v);
    return 0;
}

void arch_vcpu_free(struct vcpu *v)
{
    vlapic_destroy(v);
    heap_free(v->arch.mtrr);
    hvm_vcpu_free(v);
}

void arch_vcpu_reset(struct vcpu *v)
{
    vlapic_reset(v);
    v->arch.waiting_for_startup = false;
}

bool arch_vcpu_is_initialised(const struct vcpu *v)
{
    return v->arch.initialised;
}

void arch_vcpu_down(struct vcpu *v)
{
    hvm_vcpu_down(v);
}

void arch_vcpu_send_nmi(struct vcpu *v)
{
    hvm_vcpu_nmi(v);
}

void arch_vcpu_mark_events_pending(struct vcpu *v)
{
    // The domain-wide callback vector is looked at on each entry; only a vector through the local
    // APIC has to be posted.
    if (v->arch.upcall_vector) {
        vlapic_post(v, v->arch.upcall_vector, false);
    }
}

bool arch_vcpu_interrupt_pending(struct vcpu *v)
{
    return vlapic_pending_vector(v) >= 0 || hvm_nmi_pending(v) ||
           __atomic_load_n(&v->arch.startup_request, __ATOMIC_SEQ_CST);
}

struct permit {
    uint8_t *bitmap;
};

static int permit_ports(uint64_t first, uint64_t last, void *data)
{
    struct permit *p = data;

    for (uint64_t port = first; port <= last && port < 0x10000; port++) {
        p->bitmap[port / 8] &= (uint8_t) ~(1u << (port % 8));
    }
    return 0;
}

int domain_update_ports(struct domain *d)
{
    struct io_handler *h;
    struct vcpu *v;
    unsigned int i;

    if (!d->arch.port_permissions) {
        d->arch.port_permissions = heap_alloc_pages(PORT_BITMAP_ORDER, 0);
        if (!d->arch.port_permissions) {
            return -XEN_ENOMEM;
        }
    }
    memset(d->arch.port_permissions, 0xff, PAGE_SIZE << PORT_BITMAP_ORDER);
    rangeset_for_each(d->io_ports, permit_ports, &(struct permit){d->arch.port_permissions});
    list_for_each (h, &d->arch.io_handlers, link) {
        for (uint64_t port = h->start; h->space == IO_PORT && port < h->start + h->size; port++) {
            d->arch.port_permissions[port / 8] |= (uint8_t)(1u << (port % 8));
        }
    }
    for_each_vcpu (v, d, i) {
        hvm_vendor_use_ports(v);
    }
    return 0;
}
