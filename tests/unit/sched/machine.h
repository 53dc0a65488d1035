// SPDX-License-Identifier: Apache-2.0
// A simulated machine around the scheduler: CPUs, a clock that jumps from event to event, timers,
// and vcpus that follow a simple pattern of running and sleeping.
// After every event the machine checks what must always hold: a vcpu runs on one CPU at most,
// only where its hard affinity lets it, and only if it is runnable.
#ifndef SCHED_TEST_MACHINE_H
#define SCHED_TEST_MACHINE_H

#include <bulkhead/cpu.h>
#include <bulkhead/domain.h>
#include <bulkhead/sched.h>

#define MS 1000000LL
#define US 1000LL
#define SECOND 1000000000LL
#define MAX_SIM_CPU 8u

// What a vcpu does: runs `run` ns and then sleeps `sleep` ns (0: never sleeps); yields whenever it
// has run `yield_every` ns (0: never).
struct pattern {
    ns_t run, sleep, yield_every;
};

// One vcpu and what was seen of it.
struct task {
    struct vcpu *vcpu;
    struct pattern pattern;
    ns_t left;       // to run before it sleeps
    ns_t yield_left; // to run before it yields
    ns_t wake_at;    // asleep until then; TIMER_NONE: not asleep
    ns_t ran;
    ns_t ran_on[MAX_SIM_CPU];
    ns_t ready_since;   // waits for a CPU since; TIMER_NONE: it does not
    ns_t worst_latency; // from being ready to running, whatever made it ready
    ns_t worst_wake;    // from waking to running
    bool woken;
    unsigned long wakes, switches;
};

extern ns_t clock_now;
// How long saving a context takes: meanwhile the vcpu is nobody's.
extern ns_t switch_time;

void machine_start(unsigned int cpu_count);
void machine_stop(void); // frees everything and checks that nothing is left
void machine_run(ns_t duration);
// Lets the CPUs do what they have been told to, without letting time pass.
void machine_settle(void);

struct domain *machine_domain(unsigned int vcpus, struct pattern pattern);
struct task *task_of(struct domain *d, unsigned int vcpu);
ns_t domain_ran(struct domain *d);
// Starts the statistics afresh.
void machine_reset_statistics(void);
void set_weight(struct domain *d, uint16_t weight);
void set_cap(struct domain *d, uint16_t cap);
void set_affinity(struct task *task, uint64_t hard, uint64_t soft);
void task_block(struct task *task); // from outside, as if it had gone to sleep for ever
void task_wake(struct task *task);
// The test goes on as if it were a hypercall of that domain, as soon as it has a running vcpu.
void machine_become_domain(domid_t id);
// Hypercalls of domain 0, which has to run: the pool's number, or an error. policy: XEN_SCHEDULER_.
int pool_op_with(uint32_t op, uint32_t pool, uint32_t cpu, uint32_t domid, uint32_t policy,
                 struct cpumask *mask);
int pool_op(uint32_t op, uint32_t pool, uint32_t cpu, uint32_t domid, struct cpumask *mask);
void task_offline(struct task *task); // as VCPUOP_down of another vcpu would
void task_online(struct task *task);
unsigned int machine_random(unsigned int limit);

#endif
