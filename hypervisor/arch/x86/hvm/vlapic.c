// SPDX-License-Identifier: Apache-2.0
// Virtual local APIC: pending and serviced vectors, priorities, delivery of messages and IPIs
// (AMD64 APM volume 2 chapter 16; Intel SDM volume 3 chapter 11).
// IRR and TMR are changed from any CPU by atomic bit operations; a summary byte tells which words
// of IRR are worth a look, so that a guest entry with nothing pending costs one load. A poster sets
// the bit first, then the summary; who takes the last bit of a word clears the summary and looks at
// the word again, so no bit is ever left without its summary. ISR, priorities and registers belong
// to the CPU that runs the vcpu. Nothing here fails but the creation.
#include "vlapic_internal.h"

#include <bulkhead/heap.h>
#include <x86/hvm.h>
#include <x86/vioapic.h>

#define DESTINATION_ALL_XAPIC 0xffu
#define DESTINATION_ALL_X2APIC 0xffffffffu

#define ICR_LOGICAL (1u << 11)
#define ICR_ASSERT (1u << 14)
#define ICR_LEVEL (1u << 15)
#define ICR_SHORTHAND (3u << 18)
#define ICR_SELF (1u << 18)
#define ICR_ALL (2u << 18)
#define ICR_ALL_BUT_ONE (3u << 18)

static inline unsigned int highest_bit(uint32_t word)
{
    return 31 - (unsigned int)__builtin_clz(word);
}

static int highest_in_service(const struct vlapic *apic)
{
    unsigned int word;

    if (!apic->isr_summary) {
        return -1;
    }
    word = highest_bit(apic->isr_summary);
    return (int)(word * 32 + highest_bit(apic->isr[word]));
}

static int highest_pending(const struct vlapic *apic)
{
    uint32_t summary = __atomic_load_n(&apic->irr_summary, __ATOMIC_ACQUIRE);

    while (summary) {
        unsigned int index = highest_bit(summary);
        uint32_t word = __atomic_load_n(&apic->irr[index], __ATOMIC_RELAXED);

        if (word) {
            return (int)(index * 32 + highest_bit(word));
        }
        summary &= ~(1u << index);
    }
    return -1;
}

int vlapic_highest_pending(const struct vcpu *v)
{
    return highest_pending(v->arch.vlapic);
}

int vlapic_highest_deliverable(const struct vlapic *apic)
{
    int vector = highest_pending(apic);

    return vector >= 0 && vector >> 4 > apic->ppr >> 4 ? vector : -1;
}

void vlapic_update_ppr(struct vlapic *apic)
{
    int serviced = highest_in_service(apic);
    uint8_t class = serviced < 0 ? 0 : (uint8_t)(serviced & 0xf0);

    apic->ppr = apic->tpr >= class ? apic->tpr : class;
}

uint8_t vlapic_get_tpr(const struct vcpu *v)
{
    return v->arch.vlapic->tpr;
}

void vlapic_set_tpr(struct vcpu *v, uint8_t tpr)
{
    v->arch.vlapic->tpr = tpr;
    vlapic_update_ppr(v->arch.vlapic);
    hvm_vendor_set_task_priority(v, tpr >> 4);
}

void vlapic_accept(struct vcpu *v, uint8_t vector)
{
    struct vlapic *apic = v->arch.vlapic;
    unsigned int index = vector / 32;
    uint32_t bit = 1u << vector % 32;
    uint8_t summary_bit = (uint8_t)(1u << index);

    if (!__atomic_and_fetch(&apic->irr[index], ~bit, __ATOMIC_SEQ_CST)) {
        __atomic_and_fetch(&apic->irr_summary, (uint8_t)~summary_bit, __ATOMIC_SEQ_CST);
        if (__atomic_load_n(&apic->irr[index], __ATOMIC_SEQ_CST)) {
            __atomic_or_fetch(&apic->irr_summary, summary_bit, __ATOMIC_SEQ_CST);
        }
    }
    apic->isr[index] |= bit;
    apic->isr_summary |= summary_bit;
    vlapic_update_ppr(apic);
}

static void leave_service(struct vlapic *apic, uint8_t vector)
{
    unsigned int index = vector / 32;

    apic->isr[index] &= ~(1u << vector % 32);
    if (!apic->isr[index]) {
        apic->isr_summary &= (uint8_t) ~(1u << index);
    }
    vlapic_update_ppr(apic);
}

void vlapic_retract(struct vcpu *v, uint8_t vector)
{
    struct vlapic *apic = v->arch.vlapic;

    leave_service(apic, vector);
    __atomic_fetch_or(&apic->irr[vector / 32], 1u << vector % 32, __ATOMIC_SEQ_CST);
    __atomic_fetch_or(&apic->irr_summary, (uint8_t)(1u << vector / 32), __ATOMIC_SEQ_CST);
}

void vlapic_eoi(struct vcpu *v)
{
    struct vlapic *apic = v->arch.vlapic;
    int vector = highest_in_service(apic);

    if (vector < 0) {
        return;
    }
    leave_service(apic, (uint8_t)vector);
    if (unlikely(__atomic_load_n(&apic->tmr[vector / 32], __ATOMIC_RELAXED) >> vector % 32 & 1)) {
        vioapic_eoi(v->domain, (uint8_t)vector);
    }
}

void vlapic_raise_error(struct vlapic *apic, uint32_t bit)
{
    uint32_t old = __atomic_fetch_or(&apic->esr_pending, bit, __ATOMIC_RELAXED);
    uint32_t lvt = __atomic_load_n(&apic->lvt[VLAPIC_LVT_ERROR], __ATOMIC_RELAXED);

    // An illegal error vector must not raise the error again.
    if (!(old & bit) && !(lvt & LVT_MASKED) && (lvt & LVT_VECTOR) >= FIRST_LEGAL_VECTOR) {
        vlapic_post(apic->vcpu, (uint8_t)lvt, false);
    }
}

void vlapic_post(struct vcpu *v, uint8_t vector, bool level)
{
    struct vlapic *apic = v->arch.vlapic;
    unsigned int index = vector / 32;
    uint32_t bit = 1u << vector % 32;

    if (unlikely(!vlapic_takes_interrupts(apic))) {
        return;
    }
    if (unlikely(vector < FIRST_LEGAL_VECTOR)) {
        vlapic_raise_error(apic, ESR_RECEIVE_ILLEGAL);
        return;
    }
    if (unlikely(level)) {
        __atomic_fetch_or(&apic->tmr[index], bit, __ATOMIC_RELAXED);
    } else if (unlikely(__atomic_load_n(&apic->tmr[index], __ATOMIC_RELAXED) & bit)) {
        __atomic_fetch_and(&apic->tmr[index], ~bit, __ATOMIC_RELAXED);
    }
    if (__atomic_fetch_or(&apic->irr[index], bit, __ATOMIC_SEQ_CST) & bit) {
        return; // whoever set it has told the vcpu, or is about to
    }
    __atomic_fetch_or(&apic->irr_summary, (uint8_t)(1u << index), __ATOMIC_SEQ_CST);
    vcpu_kick(v);
}

static bool matches_logical(const struct vlapic *apic, uint32_t destination)
{
    if (vlapic_is_x2apic(apic)) {
        uint32_t ldr = vlapic_x2apic_ldr(apic->vcpu);

        return destination == DESTINATION_ALL_X2APIC ||
               (destination >> 16 == ldr >> 16 && (destination & ldr & 0xffff));
    }
    if (destination > DESTINATION_ALL_XAPIC) {
        return false;
    }
    if (apic->dfr >> 28 == 0xf) { // flat model
        return destination & apic->ldr >> 24;
    }
    if (apic->dfr >> 28 != 0) { // only flat and cluster are defined
        return false;
    }
    return destination == DESTINATION_ALL_XAPIC ||
           (destination >> 4 == apic->ldr >> 28 && (destination & apic->ldr >> 24 & 0xf));
}

// Ids are even, so no vcpu is 0xff: that is everybody, also in the 8 bits of an MSI that reaches an
// x2APIC.
static bool matches_physical(const struct vlapic *apic, uint32_t destination)
{
    return destination == vlapic_id(apic->vcpu) || destination == DESTINATION_ALL_XAPIC ||
           (destination == DESTINATION_ALL_X2APIC && vlapic_is_x2apic(apic));
}

static bool matches(const struct vcpu *v, uint32_t destination, bool logical)
{
    const struct vlapic *apic = v->arch.vlapic;

    return vlapic_is_enabled(apic) &&
           (logical ? matches_logical(apic, destination) : matches_physical(apic, destination));
}

static bool deliver_to(struct vcpu *v, uint8_t delivery_mode, uint8_t vector, bool level)
{
    switch (delivery_mode) {
    case VLAPIC_FIXED:
    case VLAPIC_LOWEST_PRIORITY:
        vlapic_post(v, vector, level);
        return vlapic_takes_interrupts(v->arch.vlapic);
    case VLAPIC_NMI:
        hvm_vcpu_nmi(v);
        return true;
    case VLAPIC_INIT:
        hvm_vcpu_init_signal(v);
        return true;
    case VLAPIC_STARTUP:
        hvm_vcpu_start(v, vector);
        return true;
    default: // SMI and ExtINT: there is no SMM and no PIC
        return false;
    }
}

// The one with the lowest processor priority; among equals they take turns.
static struct vcpu *arbitrate(struct domain *d, uint32_t destination, bool logical)
{
    struct vcpu *best = NULL, *first = domain_vcpu(d, 0);
    unsigned int start;

    if (!first) {
        return NULL;
    }
    start = __atomic_load_n(&first->arch.vlapic->arbitration, __ATOMIC_RELAXED);
    for (unsigned int i = 0; i < d->max_vcpus; i++) {
        struct vcpu *v = domain_vcpu(d, (start + i) % d->max_vcpus);

        if (v && matches(v, destination, logical) && vlapic_takes_interrupts(v->arch.vlapic) &&
            (!best || v->arch.vlapic->ppr < best->arch.vlapic->ppr)) {
            best = v;
        }
    }
    if (best) {
        __atomic_store_n(&first->arch.vlapic->arbitration, best->id + 1, __ATOMIC_RELAXED);
    }
    return best;
}

int vlapic_deliver(struct domain *d, uint32_t destination, bool logical, uint8_t delivery_mode,
                   uint8_t vector, bool level)
{
    struct vcpu *v;
    int taken = 0;

    if (!logical && destination != DESTINATION_ALL_XAPIC && destination != DESTINATION_ALL_X2APIC) {
        v = destination % 2 ? NULL : domain_vcpu(d, destination / 2);
        return v && matches(v, destination, false) && deliver_to(v, delivery_mode, vector, level);
    }
    if (delivery_mode == VLAPIC_LOWEST_PRIORITY) {
        v = arbitrate(d, destination, logical);
        return v && deliver_to(v, delivery_mode, vector, level);
    }
    for (unsigned int i = 0; i < d->max_vcpus; i++) {
        v = domain_vcpu(d, i);
        if (v && matches(v, destination, logical)) {
            taken += deliver_to(v, delivery_mode, vector, level);
        }
    }
    return taken;
}

int vlapic_deliver_msi(struct domain *d, uint64_t address, uint32_t data)
{
    // Bits 11 to 5 extend the destination (the guest ABI's CPUID leaf says so).
    uint32_t destination = (uint32_t)((address >> 12 & 0xff) | (address >> 5 & 0x7f) << 8);

    if (address >> 20 != 0xfee) {
        return -XEN_EINVAL;
    }
    return vlapic_deliver(d, destination, address >> 2 & 1, data >> 8 & 7, (uint8_t)data,
                          data >> 15 & 1);
}

// Carries out a command written to ICR. destination: 8 bits in xAPIC mode, else 32.
void vlapic_send_ipi(struct vcpu *sender, uint32_t destination, uint32_t command)
{
    struct domain *d = sender->domain;
    uint8_t mode = command >> 8 & 7, vector = (uint8_t)command;
    uint32_t shorthand = command & ICR_SHORTHAND;

    if (mode == VLAPIC_INIT && (command & ICR_LEVEL) && !(command & ICR_ASSERT)) {
        return; // INIT level de-assert: nothing on any processor of today
    }
    if (mode <= VLAPIC_LOWEST_PRIORITY && vector < FIRST_LEGAL_VECTOR) {
        vlapic_raise_error(sender->arch.vlapic, ESR_SEND_ILLEGAL);
        return;
    }
    // IPIs are edge-triggered whatever the trigger bit says (only INIT looks at it).
    if (!shorthand) {
        vlapic_deliver(d, destination, command & ICR_LOGICAL, mode, vector, false);
        return;
    }
    if (shorthand == ICR_SELF) {
        if (mode == VLAPIC_FIXED) {
            vlapic_post(sender, vector, false);
        }
        return;
    }
    for (unsigned int i = 0; i < d->max_vcpus; i++) {
        struct vcpu *v = domain_vcpu(d, i);

        if (v && (v != sender || shorthand == ICR_ALL) && vlapic_is_enabled(v->arch.vlapic)) {
            deliver_to(v, mode, vector, false);
        }
    }
}

void vlapic_reset(struct vcpu *v)
{
    struct vlapic *apic = v->arch.vlapic;

    apic->base = VLAPIC_DEFAULT_BASE | VLAPIC_BASE_ENABLED | (v->id ? 0 : APIC_BASE_BSP);
    vlapic_reset_registers(apic);
}

void vlapic_init_reset(struct vcpu *v)
{
    vlapic_reset_registers(v->arch.vlapic);
}

int vlapic_create(struct vcpu *v)
{
    struct vlapic *apic;
    int error = timer_reserve(1);

    if (error) {
        return error;
    }
    apic = heap_new(struct vlapic);
    if (!apic) {
        timer_unreserve(1);
        return -XEN_ENOMEM;
    }
    apic->vcpu = v;
    v->arch.vlapic = apic;
    vlapic_timer_init(apic);
    vlapic_reset(v);
    if (v->id == 0) {
        apic->page = vlapic_page_handler;
        io_handler_add(v->domain, &apic->page);
    }
    return 0;
}

void vlapic_destroy(struct vcpu *v)
{
    struct vlapic *apic = v->arch.vlapic;

    if (!apic) {
        return;
    }
    timer_kill(&apic->timer);
    timer_unreserve(1);
    if (v->id == 0) {
        io_handler_remove(&apic->page);
    }
    v->arch.vlapic = NULL;
    heap_free(apic);
}
