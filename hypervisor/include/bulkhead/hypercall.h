// SPDX-License-Identifier: Apache-2.0
// Hypercalls: one table from number to handler. The caller is this_cpu()->current.
// A handler that has done a part and must make way for other work puts its progress into arg[]
// (or into guest memory) and calls hypercall_restart: the guest executes the same instruction
// again with those arguments.
#ifndef BULKHEAD_HYPERCALL_H
#define BULKHEAD_HYPERCALL_H

#include <bulkhead/types.h>

struct hypercall {
    uint64_t arg[6];
    bool restart;
};

typedef int64_t (*hypercall_handler)(struct hypercall *call);

static inline int64_t hypercall_restart(struct hypercall *call)
{
    call->restart = true;
    return 0;
}

// Dispatches; unknown numbers give -ENOSYS. The arch code calls it and writes back the result, or
// the arguments if restart is set.
int64_t hypercall_dispatch(unsigned int number, struct hypercall *call);

// The handlers, each in the file of its subject. arg as in the public headers.
int64_t do_memory_op(struct hypercall *call);        // core/memory.c
int64_t do_event_channel_op(struct hypercall *call); // core/event_channel.c
int64_t do_grant_table_op(struct hypercall *call);   // core/grant_table.c
int64_t do_sched_op(struct hypercall *call);         // core/sched_op.c
int64_t do_vcpu_op(struct hypercall *call);          // core/vcpu_op.c
int64_t do_set_timer_op(struct hypercall *call);     // core/vcpu_op.c
int64_t do_vm_assist(struct hypercall *call);        // core/version.c
int64_t do_console_io(struct hypercall *call);       // core/console_io.c
int64_t do_xen_version(struct hypercall *call);      // core/version.c
int64_t do_domctl(struct hypercall *call);           // core/domctl.c
int64_t do_sysctl(struct hypercall *call);           // core/sysctl.c
int64_t do_hypfs_op(struct hypercall *call);         // core/hypfs.c
int64_t do_multicall(struct hypercall *call);        // core/hypercall.c
// Ports supply these.
int64_t do_hvm_op(struct hypercall *call);
int64_t do_physdev_op(struct hypercall *call);
int64_t do_platform_op(struct hypercall *call);
int64_t do_dm_op(struct hypercall *call);

#endif
