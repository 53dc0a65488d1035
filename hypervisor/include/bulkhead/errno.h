// SPDX-License-Identifier: Apache-2.0
// Error numbers: the public ones, and one that never reaches a guest.
#ifndef BULKHEAD_ERRNO_H
#define BULKHEAD_ERRNO_H

#include <bulkhead/types.h>
#include <xen/errno.h>

// A preemptible function has more to do and wants to be called again.
#ifndef XEN_ERESTART
#define XEN_ERESTART 85
#endif

#endif
