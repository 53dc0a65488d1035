// SPDX-License-Identifier: Apache-2.0
// The scheduler's own structures. One run queue serves all CPUs of a CPU pool; nothing but
// cpupool.c knows that a pool has exactly one, so it may become one per socket.
// A queue follows one of two policies: credit2 or null (run_queue.null), which has no use for
// credit, caps, soft affinity of running vcpus, or reservations.
// Locking: run_queue.lock covers everything here that belongs to the queue: its CPUs' sched_cpu,
// its domains' and vcpus' data, and struct vcpu.running and .runstate of those vcpus. A domain or
// CPU changes queues only while none of its vcpus runs there, with the old queue's lock held, so
// whoever locks "the queue of X" looks again afterwards (run_queue_lock_*).
// Structures of queues are never freed, so a stale pointer may still be locked.
#ifndef BULKHEAD_SCHED_RUN_QUEUE_H
#define BULKHEAD_SCHED_RUN_QUEUE_H

#include <bulkhead/cpu.h>
#include <bulkhead/domain.h>
#include <bulkhead/sched.h>

#define CREDIT_MAX 10000000LL  // the most that sleeping saves; ns
#define CREDIT_RESET 5000000LL // credit after a reset: less, so that who slept comes first
#define SLICE_MIN 500000LL
#define SLICE_MAX 10000000LL
#define PREEMPT_MARGIN 250000LL // a waking vcpu preempts one with that much less credit
#define CAP_PERIOD 10000000LL
#define CAP_SLICE_MIN 100000LL // do not chase the end of a budget more closely
#define RATELIMIT_DEFAULT 1000000LL
#define WEIGHT_DEFAULT 256u
#define FACTOR_SHIFT 16

struct run_queue {
    struct spinlock lock;
    bool null;               // the null policy; constant while the pool is in use
    struct list waiting;     // runnable vcpus that no CPU runs, by credit, most first
    struct list domains;     // struct sched_domain
    struct cpumask cpus;     // that serve this queue
    struct cpumask idle;     // of those, idle and not told to look again
    ns_t base;               // a vcpu's credit is this minus its virtual time
    uint32_t max_weight;     // of all domains here
    ns_t ratelimit;          // a runnable vcpu is not preempted earlier
    unsigned int soft_vcpus; // vcpus with a soft affinity that says something
};

struct cpupool {
    uint32_t id;
    bool in_use;
    struct list link;
    unsigned int domain_count;
    struct run_queue queue;
};

enum sched_state {
    SCHED_ASLEEP,  // not runnable
    SCHED_WAITING, // in the queue
    SCHED_PARKED,  // runnable, but its domain's cap is used up: in sched_domain.parked
    SCHED_RUNNING, // chosen by a CPU, until sched_context_saved
};

struct sched_vcpu {
    struct vcpu *vcpu;
    struct sched_domain *domain;
    struct list link;        // waiting or parked
    struct list domain_link; // sched_domain.vcpus
    enum sched_state state;
    struct sched_cpu *reserved; // waiting: the idle CPU that is on its way to take it, or NULL
    struct sched_cpu *home;     // null policy: the CPU that is its own, or NULL
    bool yields;
    unsigned int pinned;    // SCHEDOP_pin_override: only there; MAX_CPUS: not
    bool has_soft;          // soft affinity leaves out CPUs that are allowed
    struct cpumask allowed; // hard affinity within the queue's CPUs; all of them if that is empty
    ns_t virtual_time;      // time run, scaled by weight
    ns_t accounted;         // running: charged up to here
};

struct sched_domain {
    struct domain *domain;
    struct run_queue *queue;
    struct list link, vcpus;
    uint32_t weight;
    uint32_t cap;    // percent of one CPU; 0: none
    uint64_t factor; // virtual time per time run, fixed point with FACTOR_SHIFT
    // Cap: time left in this period; may become negative, which the next period pays back.
    ns_t quota, budget, next_refill;
    struct list parked;
    struct timer refill;
};

struct sched_cpu {
    struct cpu *cpu;
    struct run_queue *queue;     // NULL: in no pool
    struct sched_vcpu *current;  // NULL: idle
    struct sched_vcpu *reserved; // the waiting vcpu for which it was told to wake up, or NULL
    struct sched_vcpu *owner;    // null policy: the vcpu whose home it is, or NULL
    ns_t run_start;              // when current began to run
    bool told;                   // has been told to look again
    bool contended;              // somebody else wanted to run there when it last chose
    struct timer slice;
    ns_t slice_end; // what the timer is set to, TIMER_NONE: stopped
};

static inline struct sched_cpu *sched_cpu_of(unsigned int cpu)
{
    return cpus[cpu]->sched;
}

// Locks the queue that a domain is in now.
struct run_queue *run_queue_lock_domain(struct sched_domain *sd);

// credit2.c: all with the queue locked.
static inline ns_t credit_of(const struct run_queue *rq, const struct sched_vcpu *sv)
{
    return rq->base - sv->virtual_time;
}
// Charges a running vcpu up to t (its domain's cap too).
void credit_account(struct run_queue *rq, struct sched_vcpu *sv, ns_t t);
// Forgets what a vcpu saved beyond CREDIT_MAX.
void credit_clip(struct run_queue *rq, struct sched_vcpu *sv);
// Gives everybody new credit if sv, the best choice somewhere, has none.
void credit_reset_if_spent(struct run_queue *rq, struct sched_vcpu *sv);
// How long sv may run before it has `credit` less, within SLICE_MIN and SLICE_MAX.
ns_t credit_to_slice(const struct sched_vcpu *sv, ns_t credit);
// After a domain's weight has changed or a domain has come or gone.
void credit_update_weights(struct run_queue *rq);

// cap.c: all with the queue locked, but for create and destroy.
int cap_create(struct sched_domain *sd);
void cap_destroy(struct sched_domain *sd);
void cap_set(struct sched_domain *sd, uint32_t cap, ns_t t);
// How long one of the domain's vcpus may run on before the budget is looked at again.
ns_t cap_slice(struct sched_domain *sd, ns_t t);
bool cap_exhausted(struct sched_domain *sd, ns_t t);
void cap_park(struct sched_vcpu *sv);

// placement.c: with the queue locked.
// Puts a runnable vcpu into the queue (or parks it) and tells the CPU that should take it.
// except: a CPU not to preempt, or MAX_CPUS.
void queue_add(struct run_queue *rq, struct sched_vcpu *sv, unsigned int except, ns_t t);
void queue_insert(struct run_queue *rq, struct sched_vcpu *sv); // by its credit, tells nobody
void queue_remove(struct sched_vcpu *sv); // from the queue, or from the parked
// An idle CPU where sv may run, its last one or a soft choice first; MAX_CPUS: none.
unsigned int find_idle_cpu(const struct run_queue *rq, const struct sched_vcpu *sv);
unsigned int find_idle_soft_cpu(const struct run_queue *rq, const struct sched_vcpu *sv);
void tell_cpu(struct run_queue *rq, unsigned int cpu);
// Has an idle CPU take a waiting vcpu, if there is one; nobody else will take it first.
bool reserve_idle_cpu(struct run_queue *rq, struct sched_vcpu *sv);
void drop_reservation(struct sched_vcpu *sv);
void update_allowed(struct run_queue *rq, struct sched_vcpu *sv);
void set_slice_end(struct sched_cpu *sc, ns_t end);

// null.c: all with the queue locked, and only in queues of that policy.
// As queue_add: on the vcpu's own CPU, or into the line for one.
void null_add(struct run_queue *rq, struct sched_vcpu *sv);
// What the CPU should run instead of nothing; a CPU without owner takes the first in line.
struct sched_vcpu *null_choose(struct run_queue *rq, struct sched_cpu *sc);
// Takes its CPU from sv, which stands in the line afterwards if it waits. Without one: nothing.
void null_release(struct run_queue *rq, struct sched_vcpu *sv);
// After sv->allowed has changed.
void null_allowed_changed(struct run_queue *rq, struct sched_vcpu *sv);

// control.c: whether pools follow the null policy that are made without a choice (sched=).
extern bool sched_default_null;

// cpupool.c
extern struct cpupool *pool0;
int cpupool_init(void);
void cpupool_add_boot_cpu(struct sched_cpu *sc);

// runstate.c: brings the runstate of a vcpu that does not run into line with its pause flags.
void runstate_settle(struct vcpu *v, ns_t t);

#endif
