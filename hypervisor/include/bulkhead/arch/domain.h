// SPDX-License-Identifier: Apache-2.0
// Contract: what a port supplies about domains, vcpus and their second-level tables (p2m).
// struct arch_domain and struct arch_vcpu come from the port's <arch/domain.h>.
#ifndef BULKHEAD_ARCH_DOMAIN_H
#define BULKHEAD_ARCH_DOMAIN_H

#include <bulkhead/types.h>
#include <arch/domain.h>

struct domain;
struct vcpu;
struct page;
struct vcpu_guest_context;
struct xen_domctl_createdomain;
struct vcpu_guest_context;

int arch_domain_check_config(const struct xen_domctl_createdomain *config); // 0 or -EINVAL
int arch_domain_create(struct domain *d, const struct xen_domctl_createdomain *config);
// The domain is dying and no vcpu of it runs: its devices reach nothing any more on return.
void arch_domain_quarantine(struct domain *d);
int arch_domain_destroy(struct domain *d); // preemptible: 0 or -ERESTART; frees guest memory too
void arch_domain_free(struct domain *d);
int arch_vcpu_create(struct vcpu *v);
void arch_vcpu_free(struct vcpu *v);
void arch_vcpu_reset(struct vcpu *v);
bool arch_vcpu_is_initialised(const struct vcpu *v); // has a state to start from
void arch_vcpu_down(struct vcpu *v);                 // stops; the last one takes the domain down
void arch_vcpu_send_nmi(struct vcpu *v);

// Loads next's state on this CPU (prev is saved first); either may be NULL for idle.
void arch_vcpu_switch(struct vcpu *prev, struct vcpu *next);
// Runs the loaded vcpu until there is work for this CPU (struct cpu.work) or it is not runnable.
void arch_vcpu_run(struct vcpu *v);
// An event is pending for v: whatever makes the guest notice on its next entry (v may be running;
// the caller kicks it).
void arch_vcpu_mark_events_pending(struct vcpu *v);
// Whether an interrupt other than an event upcall waits that would end a HLT.
bool arch_vcpu_interrupt_pending(struct vcpu *v);
// Writes system time into v's vcpu_info (time fields).
void arch_vcpu_update_time(struct vcpu *v);
void arch_domain_update_wallclock(struct domain *d);
// A dead domain 0: DOMAIN's reason decides halt, power off or restart.
__attribute__((noreturn)) void arch_machine_shutdown(uint8_t reason);

enum p2m_type {
    P2M_INVALID = 0,
    P2M_RAM,     // the domain's own frame
    P2M_RAM_RO,  // the same, guest may not write
    P2M_FOREIGN, // another domain's frame
    P2M_FOREIGN_RO,
    P2M_GRANT, // mapped by grant; p2m_lookup reports it as P2M_FOREIGN
    P2M_GRANT_RO,
    P2M_SHARED, // a heap page shown to the guest (shared_info, grant table frames)
    P2M_MMIO,   // device or firmware memory that is nobody's frame
};

struct p2m_entry {
    mfn_t mfn; // of the frame itself, also inside a superpage
    enum p2m_type type;
    unsigned int order; // of the mapping that covers it
};

static inline bool p2m_is_ram(enum p2m_type t)
{
    return t == P2M_RAM || t == P2M_RAM_RO;
}

static inline bool p2m_is_writable(enum p2m_type t)
{
    return t == P2M_RAM || t == P2M_FOREIGN || t == P2M_GRANT || t == P2M_SHARED;
}

// Looks up one frame; type P2M_INVALID if nothing is there. Takes no lock: what it says was true at
// some moment during the call, and stays true only while the caller is in a batch.
struct p2m_entry p2m_lookup(struct domain *d, gfn_t gfn);
static inline bool p2m_is_mapped(struct domain *d, gfn_t gfn)
{
    return p2m_lookup(d, gfn).type != P2M_INVALID;
}

// Looks up and references in one step: the page of RAM, foreign, grant or shared type, or NULL.
// write: only if the guest may write it. Put it by page_put (p2m_put_page). Takes no lock.
struct page *p2m_get_page(struct domain *d, gfn_t gfn, bool write, enum p2m_type *type);
void p2m_put_page(struct page *page);
// The same for a moment, at less cost: d is the current vcpu's domain, and until p2m_return_page
// the caller takes no lock and opens no interrupt window.
struct page *p2m_borrow_page(struct domain *d, gfn_t gfn, bool write, enum p2m_type *type);
void p2m_return_page(struct page *page);
// Every entry for memory holds one reference on each of its frames, dropped when it goes. For
// P2M_RAM and P2M_FOREIGN the caller's reference passes to the entry; for P2M_GRANT and P2M_SHARED
// the entry takes one of its own and the caller keeps his.
// Maps 2^order frames from gfn, order 0, 9 or 18; what was there before is dropped as p2m_clear
// does. 0 or -errno (-ENOMEM: nothing has changed). Consecutive frames of RAM are joined to larger
// mappings. Order 18 where much is mapped: -E2BIG, as for p2m_clear.
int p2m_set(struct domain *d, gfn_t gfn, mfn_t mfn, unsigned int order, enum p2m_type type);
// As p2m_set, but fails with -EEXIST when anything is mapped in the range.
int p2m_set_new(struct domain *d, gfn_t gfn, mfn_t mfn, unsigned int order, enum p2m_type type);
// Makes sure that p2m_set of RAM at that place, where nothing is mapped, cannot fail as long as the
// caller's batch lasts. 0, -EINVAL, -EEXIST, -ENOMEM or -ESRCH.
int p2m_prepare(struct domain *d, gfn_t gfn, unsigned int order);
// Unmaps 2^order frames; TLBs and IOMMU are flushed before any reference is dropped. 0, -ENOMEM (a
// larger mapping could not be split), or for order 18 -E2BIG: there is more to release than 1024
// frames; clear 2 MiB at a time.
int p2m_clear(struct domain *d, gfn_t gfn, unsigned int order);
// Unmaps gfn only if it maps mfn; 0 or -ENOENT.
int p2m_clear_match(struct domain *d, gfn_t gfn, mfn_t mfn);
// Between these, flushes are gathered and references dropped at the end. Holds the p2m lock.
void p2m_batch_begin(struct domain *d);
void p2m_batch_end(struct domain *d);
// Highest gfn mapped so far, for XENMEM_maximum_gpfn.
uint64_t p2m_max_gfn(struct domain *d);
// Drops everything that is mapped, when no vcpu runs and no device has access any more;
// preemptible: 0 or -XEN_ERESTART.
int p2m_release(struct domain *d);
// Number of frames that the tables themselves take.
uint64_t p2m_table_pages(struct domain *d);

#endif
