// SPDX-License-Identifier: Apache-2.0
// x86's share of domctl: saved state in the public HVM context format, CPUID policy, time stamp
// counter, paging memory, I/O ports.
// Locking: domctl_lock is held. Errors: buffers of the caller are copied whole before their
// contents are looked at; the functions that take them over check them before they change anything.

#include <bulkhead/arch/control.h>
#include <bulkhead/cpu.h>
#include <bulkhead/domain.h>
#include <bulkhead/guest_access.h>
#include <bulkhead/heap.h>
#include <bulkhead/rangeset.h>
#include <bulkhead/timer.h>
#include <x86/cpuid_policy.h>
#include <x86/domain.h>
#include <x86/features.h>
#include <x86/hvm.h>
#include <x86/time.h>

#include "domctl_internal.h"

#define COPY_PIECE (256u * 1024u)
#define PAGES_PER_MIB 256u
#define TSC_MODE_DEFAULT 0u
#define TSC_MODE_NATIVE 2u
#define GUEST_PHYSICAL_BITS_LIMIT 48u

int arch_domain_update_ports(struct domain *d)
{
    return domain_update_ports(d);
}

void arch_domain_info(struct domain *d, struct xen_domctl_getdomaininfo *info)
{
    info->flags |= XEN_DOMINF_hvm_guest | XEN_DOMINF_hap;
    info->gpaddr_bits = (uint8_t)MIN(cpu_features.physical_bits, GUEST_PHYSICAL_BITS_LIMIT);
    info->arch_config.emulation_flags = d->arch.emulation_flags;
}

static int give_buffer(gva_t to, const char *from, uint32_t size)
{
    for (uint32_t done = 0; done < size; done += COPY_PIECE) {
        if (copy_to_guest(GVA(to.a + done), from + done, MIN(size - done, COPY_PIECE))) {
            return -XEN_EFAULT;
        }
    }
    return 0;
}

static int take_buffer(char *to, gva_t from, uint32_t size)
{
    for (uint32_t done = 0; done < size; done += COPY_PIECE) {
        if (copy_from_guest(to + done, GVA(from.a + done), MIN(size - done, COPY_PIECE))) {
            return -XEN_EFAULT;
        }
    }
    return 0;
}

static int get_context(struct domain *d, struct xen_domctl_hvmcontext *request, bool *copy_back)
{
    uint32_t size = 0;
    char *buffer;
    int error = hvm_context_save(d, NULL, &size);

    if (error) {
        return error;
    }
    *copy_back = true;
    if (!request->buffer.p) {
        request->size = size;
        return 0;
    }
    buffer = heap_alloc(size);
    if (!buffer) {
        return -XEN_ENOMEM;
    }
    error = hvm_context_save(d, buffer, &size);
    if (!error && request->size < size) {
        error = -XEN_ENOSPC;
    }
    request->size = size;
    if (!error) {
        error = give_buffer(guest_handle_address(request->buffer), buffer, size);
    }
    heap_free(buffer);
    return error;
}

static int set_context(struct domain *d, const struct xen_domctl_hvmcontext *request)
{
    uint32_t most = 0;
    char *buffer;
    int error = hvm_context_save(d, NULL, &most);

    if (error) {
        return error;
    }
    if (request->size > most) {
        return -XEN_EINVAL; // more than a domain of so many vcpus can have
    }
    buffer = heap_alloc(MAX(request->size, 1u));
    if (!buffer) {
        return -XEN_ENOMEM;
    }
    error = take_buffer(buffer, guest_handle_address(request->buffer), request->size);
    if (!error) {
        error = hvm_context_load(d, buffer, request->size);
    }
    heap_free(buffer);
    return error;
}

static int get_context_partial(struct domain *d, struct xen_domctl_hvmcontext_partial *request,
                               bool *copy_back)
{
    uint32_t size = 0;
    char *buffer;
    int error = hvm_context_save_one(d, request->type, request->instance, NULL, &size);

    if (error) {
        return error;
    }
    *copy_back = true;
    if (!request->buffer.p) {
        request->bufsz = size;
        return 0;
    }
    if (request->bufsz < size) {
        return -XEN_ENOBUFS;
    }
    buffer = heap_alloc(size);
    if (!buffer) {
        return -XEN_ENOMEM;
    }
    error = hvm_context_save_one(d, request->type, request->instance, buffer, &size);
    if (!error) {
        error = give_buffer(guest_handle_address(request->buffer), buffer, size);
    }
    request->bufsz = size;
    heap_free(buffer);
    return error;
}

static int get_policy(struct domain *d, struct xen_domctl_cpu_policy *request, bool *copy_back)
{
    const struct cpuid_policy *policy = d->arch.policy;
    bool room = request->nr_leaves >= policy->count && request->nr_msrs >= CPUID_POLICY_MSRS;

    *copy_back = true;
    request->nr_leaves = policy->count;
    request->nr_msrs = CPUID_POLICY_MSRS;
    if (!room) {
        return -XEN_ENOBUFS;
    }
    return copy_to_handle(request->leaves, 0, policy->leaves, policy->count) ||
                   copy_to_handle(request->msrs, 0, cpuid_policy_msrs, CPUID_POLICY_MSRS)
               ? -XEN_EFAULT
               : 0;
}

static bool policy_has_msr(const xen_msr_entry_t *msr)
{
    for (unsigned int i = 0; i < CPUID_POLICY_MSRS; i++) {
        if (msr->idx == cpuid_policy_msrs[i].idx) {
            return !msr->flags && msr->val == cpuid_policy_msrs[i].val;
        }
    }
    return false;
}

static int check_policy_msrs(struct xen_domctl_cpu_policy *request)
{
    xen_msr_entry_t msr;

    if (request->nr_msrs > CPUID_POLICY_MSRS) {
        return -XEN_E2BIG;
    }
    for (uint32_t i = 0; i < request->nr_msrs; i++) {
        if (copy_from_handle(&msr, request->msrs, i, 1)) {
            return -XEN_EFAULT;
        }
        if (!policy_has_msr(&msr)) {
            request->err_msr = msr.idx;
            return -XEN_EINVAL;
        }
    }
    return 0;
}

static int set_policy(struct domain *d, struct xen_domctl_cpu_policy *request, bool *copy_back)
{
    xen_cpuid_leaf_t *leaves;
    int error;

    if (d == current_domain()) {
        return -XEN_EINVAL;
    }
    if (!d->created_paused) {
        return -XEN_EEXIST; // it has run with what it had
    }
    if (request->nr_leaves > CPUID_POLICY_MAX_LEAVES) {
        return -XEN_E2BIG;
    }
    *copy_back = true;
    request->err_leaf = request->err_subleaf = request->err_msr = ~0u;
    error = check_policy_msrs(request);
    if (error || !request->nr_leaves) {
        return error;
    }
    leaves = heap_alloc_array(request->nr_leaves, sizeof(*leaves));
    if (!leaves) {
        return -XEN_ENOMEM;
    }
    if (copy_from_handle(leaves, request->leaves, 0, request->nr_leaves)) {
        error = -XEN_EFAULT;
    } else {
        error = cpuid_policy_set(d, leaves, request->nr_leaves, &request->err_leaf,
                                 &request->err_subleaf);
    }
    heap_free(leaves);
    return error;
}

static int get_tsc_info(struct domain *d, struct xen_domctl_tsc_info *info)
{
    *info = (struct xen_domctl_tsc_info){
        .tsc_mode = d->arch.tsc_mode,
        .gtsc_khz = (uint32_t)tsc_khz,
        .elapsed_nsec = (uint64_t)now(),
    };
    return 0;
}

// The guest's counter is the processor's with an offset: neither emulated nor scaled.
static int set_tsc_info(struct domain *d, const struct xen_domctl_tsc_info *info)
{
    if (d == current_domain()) {
        return -XEN_EINVAL;
    }
    if (info->tsc_mode != TSC_MODE_DEFAULT && info->tsc_mode != TSC_MODE_NATIVE) {
        return -XEN_EOPNOTSUPP;
    }
    if (info->gtsc_khz && info->gtsc_khz != tsc_khz) {
        return -XEN_EOPNOTSUPP;
    }
    d->arch.tsc_mode = info->tsc_mode;
    return 0;
}

static int shadow_op(struct domain *d, struct xen_domctl_shadow_op *request, bool *copy_back)
{
    switch (request->op) {
    case XEN_DOMCTL_SHADOW_OP_OFF:
        return 0; // it is never on
    case XEN_DOMCTL_SHADOW_OP_SET_ALLOCATION:
        d->arch.pages_for_tables = (uint64_t)request->mb * PAGES_PER_MIB;
        return 0;
    case XEN_DOMCTL_SHADOW_OP_GET_ALLOCATION:
        request->mb = (uint32_t)DIV_ROUND_UP(d->arch.pages_for_tables, PAGES_PER_MIB);
        *copy_back = true;
        return 0;
    default: // tracking of written pages, for migration
        return -XEN_EOPNOTSUPP;
    }
}

static int set_paging_pool(struct domain *d, const struct xen_domctl_paging_mempool *request)
{
    if (request->size & ~PAGE_MASK) {
        return -XEN_EINVAL;
    }
    d->arch.pages_for_tables = request->size >> PAGE_SHIFT;
    return 0;
}

// Ports can be given to a guest under their own numbers only.
static int map_ports(struct domain *d, const struct xen_domctl_ioport_mapping *request)
{
    uint64_t first = request->first_mport, last = first + request->nr_ports - 1;
    int error;

    if (d == current_domain() || !request->nr_ports || last > 0xffff) {
        return -XEN_EINVAL;
    }
    if (request->first_gport != request->first_mport) {
        return -XEN_EOPNOTSUPP;
    }
    if (!rangeset_contains(current_domain()->io_ports, first, last)) {
        return -XEN_EPERM;
    }
    domain_pause(d);
    error = request->add_mapping == DPCI_ADD_MAPPING ? rangeset_add(d->io_ports, first, last)
                                                     : rangeset_remove(d->io_ports, first, last);
    if (!error) {
        error = domain_update_ports(d);
    }
    domain_unpause(d);
    return error;
}

static int vcpu_state(struct domain *d, struct xen_domctl *op, bool *copy_back)
{
    switch (op->cmd) {
    case XEN_DOMCTL_getvcpuextstate:
        return domctl_get_extended_state(d, &op->u.vcpuextstate, copy_back);
    case XEN_DOMCTL_setvcpuextstate:
        return domctl_set_extended_state(d, &op->u.vcpuextstate);
    case XEN_DOMCTL_get_vcpu_msrs:
        return domctl_get_msrs(d, &op->u.vcpu_msrs, copy_back);
    default:
        return domctl_set_msrs(d, &op->u.vcpu_msrs, copy_back);
    }
}

int arch_domctl(struct domain *d, struct xen_domctl *op, bool *copy_back)
{
    switch (op->cmd) {
    case XEN_DOMCTL_gethvmcontext:
        return d == current_domain() ? -XEN_EINVAL : get_context(d, &op->u.hvmcontext, copy_back);
    case XEN_DOMCTL_sethvmcontext:
        return d == current_domain() ? -XEN_EINVAL : set_context(d, &op->u.hvmcontext);
    case XEN_DOMCTL_gethvmcontext_partial:
        return d == current_domain() ? -XEN_EINVAL
                                     : get_context_partial(d, &op->u.hvmcontext_partial, copy_back);
    case XEN_DOMCTL_get_cpu_policy:
        return get_policy(d, &op->u.cpu_policy, copy_back);
    case XEN_DOMCTL_set_cpu_policy:
        return set_policy(d, &op->u.cpu_policy, copy_back);
    case XEN_DOMCTL_gettscinfo:
        *copy_back = true;
        return get_tsc_info(d, &op->u.tsc_info);
    case XEN_DOMCTL_settscinfo:
        return set_tsc_info(d, &op->u.tsc_info);
    case XEN_DOMCTL_shadow_op:
        return shadow_op(d, &op->u.shadow_op, copy_back);
    case XEN_DOMCTL_get_paging_mempool_size:
        op->u.paging_mempool.size = d->arch.pages_for_tables << PAGE_SHIFT;
        *copy_back = true;
        return 0;
    case XEN_DOMCTL_set_paging_mempool_size:
        return set_paging_pool(d, &op->u.paging_mempool);
    case XEN_DOMCTL_ioport_mapping:
        return map_ports(d, &op->u.ioport_mapping);
    case XEN_DOMCTL_get_address_size:
        op->u.address_size.size = 64;
        *copy_back = true;
        return 0;
    case XEN_DOMCTL_getvcpuextstate:
    case XEN_DOMCTL_setvcpuextstate:
    case XEN_DOMCTL_get_vcpu_msrs:
    case XEN_DOMCTL_set_vcpu_msrs:
        return d == current_domain() ? -XEN_EINVAL : vcpu_state(d, op, copy_back);
    // What PV vcpus have.
    case XEN_DOMCTL_get_ext_vcpucontext:
    case XEN_DOMCTL_set_ext_vcpucontext:
    case XEN_DOMCTL_set_address_size:
        return -XEN_EOPNOTSUPP;
    default:
        return -XEN_ENOSYS;
    }
}
