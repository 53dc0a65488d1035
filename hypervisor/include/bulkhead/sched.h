// SPDX-License-Identifier: Apache-2.0
// The scheduler as the core sees it; policies live in sched/.
#ifndef BULKHEAD_SCHED_H
#define BULKHEAD_SCHED_H

#include <bulkhead/types.h> // before the public headers, which want stdint
#include <xen/xen.h>
#include <xen/domctl.h>
#include <xen/sysctl.h>
#include <bulkhead/cpumask.h>

struct domain;
struct vcpu;
struct cpu;
struct cpupool;
struct vcpu_runstate_info;

int sched_init(void);                  // boot CPU, before any vcpu
int sched_cpu_online(struct cpu *cpu); // each CPU, before its cpu_loop
// Per-vcpu and per-domain data; vcpu starts not runnable. 0 or -ENOMEM.
int sched_domain_create(struct domain *d);
void sched_domain_destroy(struct domain *d);
int sched_vcpu_create(struct vcpu *v);
void sched_vcpu_destroy(struct vcpu *v);

// Chooses what this CPU runs next (NULL: idle), does the accounting, sets v->running, v->cpu and
// the timer for the end of its slice. prev has been saved by the caller if it differs.
struct vcpu *sched_pick(struct cpu *cpu, struct vcpu *prev);
// After the arch code has saved prev's state and it may run elsewhere.
void sched_context_saved(struct vcpu *prev);

// v's pause flags or counts have changed: (un)queues it. Any context, no scheduler lock held.
void sched_vcpu_wake(struct vcpu *v);
void sched_vcpu_sleep(struct vcpu *v);      // no longer runnable; asks its CPU to reschedule
void sched_vcpu_sleep_sync(struct vcpu *v); // and waits until it does not run (not on itself)
void sched_vcpu_yield(struct vcpu *v);
// 0, or -XEN_EINVAL if hard has no CPU of the domain's pool.
int sched_set_affinity(struct vcpu *v, const struct cpumask *hard, const struct cpumask *soft);
// SCHEDOP_pin_override: one CPU whatever the affinity says, until a negative one ends it.
// -XEN_EINVAL: not in the pool; -XEN_EBUSY: pinned already; -XEN_ENOENT: was not pinned.
int sched_pin_override(struct vcpu *v, int32_t cpu);
bool sched_pinned(struct vcpu *v);

// Runstate accounting: moves v to RUNSTATE_ state at time t, and tells the guest's area.
void runstate_change(struct vcpu *v, int state, ns_t t);
void runstate_get(struct vcpu *v, struct vcpu_runstate_info *out);
void runstate_publish(struct vcpu *v); // writes the guest's area, after it was registered

int sched_domctl_op(struct domain *d, struct xen_domctl_scheduler_op *op);
int sched_sysctl_op(struct xen_sysctl_scheduler_op *op);
// *mask: the result that belongs into op->cpumap (INFO, FREEINFO), which the caller hands out.
// -XEN_ERESTART: a CPU being removed is still busy; call again (from another CPU if it is this
// one).
int sched_cpupool_op(struct xen_sysctl_cpupool_op *op, struct cpumask *mask);
const char *sched_name(void);
uint32_t sched_id(void);
struct cpupool *cpupool_by_id(uint32_t id); // NULL: none
uint32_t cpupool_id(const struct cpupool *pool);
const struct cpumask *cpupool_cpus(const struct cpupool *pool);
// Not for the current domain. 0, or -XEN_EBUSY if the pool has no CPU.
int cpupool_move_domain(struct domain *d, struct cpupool *pool);
void sched_dump(void);

#endif
