// SPDX-License-Identifier: Apache-2.0
// Domains and vcpus.
// Lifetime: a domain has a reference count; the domain table holds one reference until
// destruction has ended, domain_get takes more, and the domain's frames that others still use hold
// one together. The last reference frees the structure. A vcpu lives as long as its domain.
// Lock order (outer to inner): domctl_lock, domain.lock, grant tables (lower domid first),
// event channel locks (lower domid first), p2m lock, scheduler locks, timer queues, page allocator,
// heap, console.
#ifndef BULKHEAD_DOMAIN_H
#define BULKHEAD_DOMAIN_H

#include <bulkhead/types.h> // before the public headers, which want stdint
#include <xen/xen.h>
#include <bulkhead/errno.h>
#include <xen/vcpu.h>

#include <bulkhead/cpumask.h>
#include <bulkhead/event_channel.h>
#include <bulkhead/guest_area.h>
#include <bulkhead/list.h>
#include <bulkhead/rangeset.h>
#include <bulkhead/spinlock.h>
#include <bulkhead/timer.h>
#include <bulkhead/arch/domain.h>

#define DOMAIN_MAX_VCPUS 128u

struct grant_table;
struct cpupool;
struct domain_watchdogs;

// Reasons why a vcpu may not run, struct vcpu.pause_flags. Runnable when all are clear and
// pause_count and the domain's are zero.
#define VCPU_BLOCKED 1u // waits for an event or interrupt (SCHEDOP_block, HLT)
#define VCPU_DOWN 2u    // not brought up, or taken down
#define VCPU_POLLING 4u // SCHEDOP_poll
#define VCPU_IN_IO 8u   // waits for a device model

// A linear page that was translated since the vcpu left the guest (guest_access.c).
struct guest_translation {
    uint64_t exit; // vcpu.exits + 1 then
    gva_t page;
    gpa_t to;
    bool write; // the guest may write it there
};

struct vcpu {
    unsigned int id;
    struct domain *domain;
    unsigned int cpu; // physical CPU: runs there, or ran there last
    bool running;     // on cpu right now
    uint32_t pause_flags;
    int32_t pause_count; // nested vcpu_pause
    void *sched;         // the scheduler's per-vcpu data
    struct cpumask hard_affinity, soft_affinity;

    // Time accounting, by the scheduler on every state change (public RUNSTATE_ numbers).
    struct vcpu_runstate_info runstate;
    struct guest_area runstate_area, time_area; // copies that the guest registered
    struct vcpu_info *info; // in shared_info, or a lasting mapping of the registered place
    struct page *info_page; // referenced while registered

    struct event_vcpu events;
    struct timer singleshot_timer, periodic_timer, poll_timer;
    ns_t periodic_period;
    uint64_t exits;
    struct guest_translation walked[4]; // by linear page; of the present exit only

    struct arch_vcpu arch;
};

struct domain {
    domid_t id;
    int32_t references;
    struct spinlock lock; // life-cycle state below
    struct list link;     // in the domain list, by domid
    xen_domain_handle_t handle;
    uint32_t creation_flags; // XEN_DOMCTL_CDF_*
    bool privileged;         // domain 0's rights
    bool is_dying;           // destruction has begun
    bool is_shut_down;
    bool is_shutting_down;
    bool crashed_reported;
    uint8_t shutdown_code;              // SHUTDOWN_*
    bool shutdown_code_latched;         // by SCHEDOP_shutdown_code, whatever reason comes later
    evtchn_port_t suspend_port;         // told of SHUTDOWN_suspend instead of VIRQ_DOM_EXC; 0: none
    struct domain_watchdogs *watchdogs; // watchdog.c; NULL: none was ever set
    uint32_t ssidref;
    int32_t pause_count;          // of the whole domain
    uint32_t paused_by_toolstack; // how often; counts once in pause_count each time
    bool created_paused;          // between createdomain and the first unpause

    unsigned int max_vcpus;
    struct vcpu **vcpus; // max_vcpus entries; NULL until the vcpu is allocated

    // Memory; counts in frames, under page_lock.
    struct spinlock page_lock;
    uint16_t page_owner; // struct page.owner of its frames: unlike the id never in use twice
    uint64_t total_pages, max_pages, shared_pages, outstanding_claim;

    struct shared_info *shared_info; // a heap page shown to the guest
    gfn_t shared_info_gfn;           // where, or INVALID_GFN
    struct event_domain events;
    struct grant_table *grants;
    uint32_t max_grant_frames, max_maptrack_frames;
    struct rangeset *io_memory; // frames the domain may map
    struct rangeset *io_ports;  // ports it may use
    struct rangeset *irqs;      // GSIs it may bind
    struct cpupool *pool;
    int64_t time_offset_seconds; // wall clock against the host's
    bool runstate_update_flag;   // VMASST_TYPE_runstate_update_flag: mark updates of runstate areas
    void *sched;                 // the scheduler's per-domain data
    bool target_privileged_for_valid;
    domid_t target_privileged_for; // XEN_DOMCTL_set_target
    struct spinlock console_lock;
    unsigned int console_line_length;
    char console_line[128]; // unfinished line of console_io output
    uint32_t destroy_stage; // preemptible destruction

    struct arch_domain arch;
};

// Looks a domain up and takes a reference; NULL if there is none (or it is dying, for
// domain_get_alive). DOMID_SELF gives the caller's.
struct domain *domain_get(domid_t id);
struct domain *domain_get_alive(domid_t id);
void domain_put(struct domain *d);
static inline void domain_hold(struct domain *d)
{
    __atomic_fetch_add(&d->references, 1, __ATOMIC_RELAXED);
}

// The domain that a frame in use belongs to; the frame's existence keeps it alive.
struct domain *domain_by_page_owner(uint16_t owner);

// As domain_get for "remote domain" arguments, with the right to act on it checked: itself, or
// domain 0, or its device model. On failure *error is -ESRCH or -EPERM.
struct domain *domain_get_controlled(domid_t id, int *error);

// The first living domain with an id of at least first, referenced; NULL at the end.
struct domain *domain_next(domid_t first);

struct xen_domctl_createdomain;
// Creates an empty domain with the given id (DOMID_INVALID: the next free one). 0 or -errno.
int domain_create(domid_t id, const struct xen_domctl_createdomain *config, bool privileged,
                  struct domain **out);
// Allocates vcpu id (which must be the next one) in state VCPU_DOWN.
int vcpu_create(struct domain *d, unsigned int id);
// Preemptible: 0 when done, -ERESTART when the caller has to call again.
int domain_destroy(struct domain *d);

static inline struct vcpu *domain_vcpu(const struct domain *d, unsigned int id)
{
    return id < d->max_vcpus ? __atomic_load_n(&d->vcpus[id], __ATOMIC_ACQUIRE) : NULL;
}

#define for_each_vcpu(v, d, i)                                                                     \
    for ((i) = 0; (i) < (d)->max_vcpus; (i)++)                                                     \
        if (((v) = domain_vcpu((d), (i))) != NULL)

// Stops all vcpus (waits until none runs). Nestable.
void domain_pause(struct domain *d);
void domain_unpause(struct domain *d);
void vcpu_pause(struct vcpu *v);
void vcpu_unpause(struct vcpu *v);
// The same without waiting: the vcpu may run on for a moment. May be called on the current vcpu.
void vcpu_pause_nosync(struct vcpu *v);
// The toolstack's own pause, which nests: 0; -EOVERFLOW (too deep) or -EINVAL (is not paused).
int domain_pause_by_toolstack(struct domain *d);
int domain_unpause_by_toolstack(struct domain *d);

// Ends a domain by its own will (SCHEDOP_shutdown) or ours (crash): stops its vcpus and tells
// domain 0 by VIRQ_DOM_EXC. Domain 0: the machine halts or restarts.
void domain_shutdown(struct domain *d, uint8_t reason);
void domain_crash(struct domain *d, const char *format, ...) PRINTF_LIKE(2, 3);
int domain_resume(struct domain *d);

// Makes a guest wake or take notice of a pending event or interrupt. Any context.
void vcpu_kick(struct vcpu *v);
bool vcpu_runnable(const struct vcpu *v);
// Blocks the current vcpu (SCHEDOP_block, HLT) unless something already waits for it.
void vcpu_block(void);

// The vcpu's timers (core/vcpu_op.c): prepared at creation (0 or -XEN_ENOMEM), killed at the end.
int vcpu_timers_init(struct vcpu *v);
void vcpu_timers_stop(struct vcpu *v); // no timer of it is set or running on return
void vcpu_timers_kill(struct vcpu *v);

// Registers the guest's vcpu_info at a guest-physical address. 0 or -errno.
int vcpu_register_info(struct vcpu *v, gfn_t gfn, unsigned int offset);
struct vcpu_info *vcpu_default_info(struct vcpu *v); // where it is before registration
void vcpu_release_registrations(struct vcpu *v);     // vcpu_info and runstate area

#define current_vcpu() (this_cpu()->current)
#define current_domain() (this_cpu()->current->domain)

extern struct domain *domain0;

#endif
