// SPDX-License-Identifier: Apache-2.0
// x86's own operations on domains.
#ifndef BULKHEAD_X86_DOMAIN_OPS_H
#define BULKHEAD_X86_DOMAIN_OPS_H

#include <bulkhead/types.h>

struct domain;

// Makes the port bitmap follow d->io_ports and the port handlers; after either has changed, with d
// paused or not yet running. 0 or -XEN_ENOMEM.
int domain_update_ports(struct domain *d);

// Builds and starts domain 0 from the boot modules; says in words what is wrong and stops the
// machine if it cannot.
void domain0_build(void);

#endif
