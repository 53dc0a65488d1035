// SPDX-License-Identifier: Apache-2.0
// Domctl commands for single parts of a vcpu's state: extended state, model-specific registers.
// Extended state goes through its record of the public HVM context, which has the same contents
// behind one word more; so the checks are the same.
// Locking: domctl_lock is held; the context's functions pause the domain. Errors: the caller's
// buffer is copied whole, then checked, then taken over.

#include <bulkhead/domain.h>
#include <bulkhead/guest_access.h>
#include <bulkhead/heap.h>
#include <x86/extended_state.h>
#include <x86/hvm.h>
#include <xen/hvm/save.h>

#include "domctl_internal.h"

// The record begins with xfeature_mask, which the structure has outside of its buffer.
#define RECORD_EXCESS sizeof(uint64_t)

int domctl_get_extended_state(struct domain *d, struct xen_domctl_vcpuextstate *request,
                              bool *copy_back)
{
    uint32_t length = 0;
    char *record;
    int error = hvm_context_save_one(d, CPU_XSAVE_CODE, request->vcpu, NULL, &length);

    if (error) {
        return error == -XEN_ENOENT && domain_vcpu(d, request->vcpu) ? -XEN_ENODATA : error;
    }
    if (!request->size && !request->xfeature_mask) {
        request->size = length - RECORD_EXCESS;
        request->xfeature_mask = extended_state_mask();
        *copy_back = true;
        return 0;
    }
    if (request->size != length - RECORD_EXCESS ||
        request->xfeature_mask != extended_state_mask()) {
        return -XEN_EINVAL; // asked for with what an earlier answer said; it has changed
    }
    record = heap_alloc(length);
    if (!record) {
        return -XEN_ENOMEM;
    }
    // It may have grown meanwhile, and then does not fit.
    error = hvm_context_save_one(d, CPU_XSAVE_CODE, request->vcpu, record, &length);
    if (!error && length - RECORD_EXCESS != request->size) {
        error = -XEN_EINVAL;
    }
    if (!error && copy_to_guest(guest_handle_address(request->buffer), record + RECORD_EXCESS,
                                request->size)) {
        error = -XEN_EFAULT;
    }
    heap_free(record);
    return error;
}

int domctl_set_extended_state(struct domain *d, const struct xen_domctl_vcpuextstate *request)
{
    uint64_t most = sizeof(struct hvm_hw_cpu_xsave) + extended_state_size(extended_state_mask());
    uint32_t length = (uint32_t)(request->size + RECORD_EXCESS);
    char *record;
    int error = 0;

    if (request->size > most || !domain_vcpu(d, request->vcpu)) {
        return -XEN_EINVAL;
    }
    record = heap_alloc(length);
    if (!record) {
        return -XEN_ENOMEM;
    }
    if (copy_from_guest(record + RECORD_EXCESS, guest_handle_address(request->buffer),
                        request->size)) {
        error = -XEN_EFAULT;
    } else {
        error = hvm_context_load_one(d, CPU_XSAVE_CODE, request->vcpu, record, length);
    }
    heap_free(record);
    return error;
}

// Vcpus have no registers here: what they have is in the HVM context.
int domctl_get_msrs(struct domain *d, struct xen_domctl_vcpu_msrs *request, bool *copy_back)
{
    if (!domain_vcpu(d, request->vcpu)) {
        return -XEN_EINVAL;
    }
    request->msr_count = 0;
    *copy_back = true;
    return 0;
}

int domctl_set_msrs(struct domain *d, struct xen_domctl_vcpu_msrs *request, bool *copy_back)
{
    bool asked = !request->msrs.p;
    uint32_t count = request->msr_count;
    int error = domctl_get_msrs(d, request, copy_back);

    // The first register that does not exist is the first one.
    return error || asked || !count ? error : -XEN_EINVAL;
}
