// SPDX-License-Identifier: Apache-2.0
// What the files of the public HVM context share.
#ifndef BULKHEAD_X86_HVM_CONTEXT_INTERNAL_H
#define BULKHEAD_X86_HVM_CONTEXT_INTERNAL_H

#include <bulkhead/types.h>

struct vcpu;

// One context that is saved or loaded: all vcpus' time stamp counters belong to one moment, so that
// they keep their distance.
struct context {
    struct domain *domain;
    uint64_t host_tsc;
};

// The CPU record (context_cpu.c), of fixed length. check: 0 or -XEN_EINVAL. load: the vcpu is up
// afterwards; cannot fail.
uint32_t context_cpu_present(const struct context *c, struct vcpu *v);
void context_cpu_save(const struct context *c, struct vcpu *v, void *data);
int context_cpu_check(const struct context *c, struct vcpu *v, const void *data, uint32_t length);
void context_cpu_load(const struct context *c, struct vcpu *v, const void *data);

// The extended state (context_xsave.c), as long as its components need.
uint32_t context_xsave_max(void); // 0: the processor has none
uint32_t context_xsave_present(const struct context *c, struct vcpu *v);
void context_xsave_save(const struct context *c, struct vcpu *v, void *data);
int context_xsave_check(const struct context *c, struct vcpu *v, const void *data, uint32_t length);
void context_xsave_load(const struct context *c, struct vcpu *v, const void *data);

#endif
