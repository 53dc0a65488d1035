// SPDX-License-Identifier: Apache-2.0
// The simulated machine has no registers: vcpus are nothing but what the scheduler sees of them.
#ifndef SCHED_TEST_ARCH_DOMAIN_H
#define SCHED_TEST_ARCH_DOMAIN_H

struct arch_domain {
    char nothing;
};

struct arch_vcpu {
    char nothing;
};

#endif
