// SPDX-License-Identifier: Apache-2.0
// The local APIC that a vcpu sees, as xAPIC page and as x2APIC registers. The local APIC id of vcpu
// n is 2 * n. Interrupts are posted from any CPU with atomic operations; all other state belongs
// to the CPU that runs the vcpu (or to whoever has paused it).
#ifndef BULKHEAD_X86_VLAPIC_H
#define BULKHEAD_X86_VLAPIC_H

#include <bulkhead/types.h>
#include <bulkhead/domain.h>
#include <bulkhead/io.h>
#include <bulkhead/timer.h>

struct hvm_hw_lapic;
struct hvm_hw_lapic_regs;

#define VLAPIC_DEFAULT_BASE 0xfee00000ul
#define VLAPIC_BUS_CYCLE_NS 10u // the timer's input clock: 100 MHz

#define VLAPIC_MSR_BASE 0x1bu // IA32_APIC_BASE
#define VLAPIC_BASE_X2APIC (1u << 10)
#define VLAPIC_BASE_ENABLED (1u << 11)
#define VLAPIC_BASE_MODES (VLAPIC_BASE_X2APIC | VLAPIC_BASE_ENABLED)
#define VLAPIC_MSR_TSC_DEADLINE 0x6e0u
#define VLAPIC_MSR_X2APIC_FIRST 0x800u
#define VLAPIC_MSR_X2APIC_LAST 0x8ffu
#define VLAPIC_MSR_X2APIC_EOI 0x80bu

// Delivery modes of interrupt messages (I/O APIC entries, MSI data, ICR).
enum vlapic_delivery {
    VLAPIC_FIXED = 0,
    VLAPIC_LOWEST_PRIORITY = 1,
    VLAPIC_SMI = 2,
    VLAPIC_NMI = 4,
    VLAPIC_INIT = 5,
    VLAPIC_STARTUP = 6,
    VLAPIC_EXTINT = 7,
};

enum vlapic_lvt {
    VLAPIC_LVT_TIMER,
    VLAPIC_LVT_THERMAL,
    VLAPIC_LVT_PERFORMANCE,
    VLAPIC_LVT_LINT0,
    VLAPIC_LVT_LINT1,
    VLAPIC_LVT_ERROR,
    VLAPIC_LVT_COUNT,
};

struct vlapic {
    // Bit n is set while irr[n] (isr[n]) has a bit set; it may also stay a moment longer.
    uint8_t irr_summary; // atomic
    uint8_t isr_summary;
    uint8_t tpr;
    uint8_t ppr;     // kept up to date with tpr and isr
    uint32_t irr[8]; // atomic
    uint32_t tmr[8]; // atomic
    uint32_t isr[8];

    struct vcpu *vcpu;
    uint64_t base; // IA32_APIC_BASE
    uint32_t ldr, dfr, svr;
    uint32_t esr, esr_pending; // pending: atomic
    uint32_t arbitration;      // of vcpu 0 only: where lowest priority begins to look; atomic
    uint64_t icr;
    uint32_t lvt[VLAPIC_LVT_COUNT];

    // The lock covers the timer's state, which the timer's callback changes from another CPU.
    struct spinlock timer_lock;
    uint32_t timer_initial, timer_divide; // registers TMICT and TDCR
    ns_t timer_expires;                   // 0: not running
    uint64_t tsc_deadline;                // 0: not armed
    struct timer timer;

    struct io_handler page; // of vcpu 0 only: the domain's xAPIC page
};

// 0 or -XEN_ENOMEM. For vcpu 0 also registers the domain's xAPIC page.
int vlapic_create(struct vcpu *v);
void vlapic_destroy(struct vcpu *v);
void vlapic_reset(struct vcpu *v);      // as after power-up
void vlapic_init_reset(struct vcpu *v); // as after INIT: mode and id stay

static inline uint32_t vlapic_id(const struct vcpu *v)
{
    return v->id * 2;
}

static inline bool vlapic_in_x2apic_mode(const struct vcpu *v)
{
    return v->arch.vlapic && (v->arch.vlapic->base & VLAPIC_BASE_MODES) == VLAPIC_BASE_MODES;
}

// IA32_APIC_BASE, IA32_TSC_DEADLINE and 0x800 to 0x8ff; on v's own CPU. False: #GP.
bool vlapic_read_msr(struct vcpu *v, uint32_t msr, uint64_t *value);
bool vlapic_write_msr(struct vcpu *v, uint32_t msr, uint64_t value);

// Makes a vector (16 to 255) pending and kicks the vcpu. Nothing happens while the APIC is
// disabled. Any context.
void vlapic_post(struct vcpu *v, uint8_t vector, bool level);

// Delivers an interrupt message to the domain. Any context. Returns how many vcpus took it.
int vlapic_deliver(struct domain *d, uint32_t destination, bool logical, uint8_t delivery_mode,
                   uint8_t vector, bool level);
// The same from an MSI's address and data. -XEN_EINVAL if the address is not 0xfeeXXXXX.
int vlapic_deliver_msi(struct domain *d, uint64_t address, uint32_t data);

int vlapic_highest_deliverable(const struct vlapic *apic);

// Whether it is worth asking for a pending vector. On every guest entry.
static inline bool vlapic_may_have_pending(const struct vcpu *v)
{
    const struct vlapic *apic = v->arch.vlapic;

    return likely(apic) && __atomic_load_n(&apic->irr_summary, __ATOMIC_ACQUIRE) != 0;
}

// The vector to inject now if the guest takes interrupts, or -1. On every guest entry: cheap when
// there is none.
static inline int vlapic_pending_vector(const struct vcpu *v)
{
    const struct vlapic *apic = v->arch.vlapic;

    if (likely(!__atomic_load_n(&apic->irr_summary, __ATOMIC_ACQUIRE))) {
        return -1;
    }
    return vlapic_highest_deliverable(apic);
}

// The highest pending vector whatever the priority, or -1: for the TPR intercept's threshold.
int vlapic_highest_pending(const struct vcpu *v);

// The vector is being delivered: pending becomes in service.
void vlapic_accept(struct vcpu *v, uint8_t vector);
// The guest did not take the vector last accepted: it is pending again, in service no more.
void vlapic_retract(struct vcpu *v, uint8_t vector);
// The guest's EOI (MSR 0x80b may come straight here).
void vlapic_eoi(struct vcpu *v);

// TPR; CR8 is its upper half. On v's own CPU, or while it is paused.
uint8_t vlapic_get_tpr(const struct vcpu *v);
void vlapic_set_tpr(struct vcpu *v, uint8_t tpr);
static inline uint8_t vlapic_get_cr8(const struct vcpu *v)
{
    return vlapic_get_tpr(v) >> 4;
}
static inline void vlapic_set_cr8(struct vcpu *v, uint8_t cr8)
{
    vlapic_set_tpr(v, (uint8_t)(cr8 << 4));
}

// v now runs on another CPU (v->cpu): its timer follows.
void vlapic_migrate_timer(struct vcpu *v);

// Records of the public HVM context; v is paused. For load either may be NULL (records come one by
// one); 0, or -XEN_EINVAL and nothing changed.
void vlapic_save(struct vcpu *v, struct hvm_hw_lapic *state, struct hvm_hw_lapic_regs *registers);
int vlapic_load(struct vcpu *v, const struct hvm_hw_lapic *state,
                const struct hvm_hw_lapic_regs *registers);
// Whether vlapic_load would take them.
bool vlapic_load_valid(const struct hvm_hw_lapic *state, const struct hvm_hw_lapic_regs *registers);

// What the virtual local APIC needs from the HVM code besides x86/hvm.h's signals.
uint64_t hvm_guest_tsc(struct vcpu *v);                   // now
ns_t hvm_tsc_to_time(struct vcpu *v, uint64_t guest_tsc); // system time of a guest TSC value

#endif
