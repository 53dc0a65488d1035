// SPDX-License-Identifier: Apache-2.0
// What sched_op.c offers to the vcpu's timers.
#ifndef BULKHEAD_SCHED_OP_H
#define BULKHEAD_SCHED_OP_H

// The poll timer of a vcpu (data) has expired: its SCHEDOP_poll ends.
void sched_op_poll_timeout(void *data);

#endif
