// SPDX-License-Identifier: Apache-2.0
// SVM's part of taking a vcpu's state out and putting it in as a whole. The vcpu is paused and its
// state saved: nothing here needs a lock, and nothing can fail.

#include <bulkhead/domain.h>

#include "vmcb.h"

// The public CPU record has the format of the VMCB's event injection.
_Static_assert(EVENT_VALID == 1UL << 31 && EVENT_ERROR_CODE_VALID == 1UL << 11, "event format");

void hvm_get_switched_state(struct vcpu *v, struct hvm_switched_state *out)
{
    struct svm_vcpu *sv = v->arch.svm;

    *out = (struct hvm_switched_state){
        .extended_state = sv->fpu,
        .xcr0 = &sv->xcr0,
        .debug = sv->dr,
        .pending_event = &sv->pending_event,
    };
}

void hvm_forget_transient_state(struct vcpu *v)
{
    struct svm_vcpu *sv = v->arch.svm;

    sv->asid_cpu = MAX_CPUS; // takes a new ASID on its next entry
    sv->vmcb->interrupt_shadow = 0;
    sv->vmcb->intercept_misc1 &= ~INTERCEPT_IRET;
    sv->nmi_handler = NMI_NONE;
    __atomic_store_n(&sv->nmi_pending, false, __ATOMIC_SEQ_CST);
}
