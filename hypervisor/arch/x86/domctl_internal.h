// SPDX-License-Identifier: Apache-2.0
// The handlers of x86's domctl commands outside of domctl.c, called with domctl_lock held and a
// reference on d, which is not the current domain. *copy_back: the structure goes back to the
// caller, also with an error. They return 0 or a negative errno.
#ifndef BULKHEAD_X86_DOMCTL_INTERNAL_H
#define BULKHEAD_X86_DOMCTL_INTERNAL_H

#include <bulkhead/types.h>
#include <xen/xen.h>
#include <xen/domctl.h>

struct domain;

// domctl_vcpu.c
int domctl_get_extended_state(struct domain *d, struct xen_domctl_vcpuextstate *request,
                              bool *copy_back);
int domctl_set_extended_state(struct domain *d, const struct xen_domctl_vcpuextstate *request);
int domctl_get_msrs(struct domain *d, struct xen_domctl_vcpu_msrs *request, bool *copy_back);
int domctl_set_msrs(struct domain *d, struct xen_domctl_vcpu_msrs *request, bool *copy_back);

#endif
