// SPDX-License-Identifier: Apache-2.0
// Saving and loading the virtual local APIC in the public HVM context format: one record of what
// the page does not show, one of the first 1 KiB of the xAPIC page. The vcpu is paused. A record is
// checked as a whole before anything of it is taken.
#include "vlapic_internal.h"

#include <bulkhead/string.h>
#include <xen/hvm/save.h>

#define DISABLED_BY_BASE 1u
#define DISABLED_BY_SOFTWARE 2u
#define REGISTERS (sizeof(struct hvm_hw_lapic_regs) / 16)

static uint32_t get(const struct hvm_hw_lapic_regs *page, unsigned int number)
{
    uint32_t value;

    memcpy(&value, page->data + number * 16, sizeof(value));
    return value;
}

static void put(struct hvm_hw_lapic_regs *page, unsigned int number, uint32_t value)
{
    memcpy(page->data + number * 16, &value, sizeof(value));
}

static uint32_t timer_divisor(const struct vlapic *apic)
{
    return 1u << (((apic->timer_divide >> 1 & 4) + (apic->timer_divide & 3) + 1) & 7);
}

void vlapic_save(struct vcpu *v, struct hvm_hw_lapic *state, struct hvm_hw_lapic_regs *registers)
{
    struct vlapic *apic = v->arch.vlapic;
    uint32_t value;

    memset(state, 0, sizeof(*state));
    memset(registers, 0, sizeof(*registers));
    state->apic_base_msr = apic->base;
    state->disabled = (vlapic_is_enabled(apic) ? 0 : DISABLED_BY_BASE) |
                      (apic->svr & SVR_ENABLED ? 0 : DISABLED_BY_SOFTWARE);
    state->timer_divisor = timer_divisor(apic);
    state->tdt_msr = vlapic_timer_get_deadline(apic);
    state->pending_esr = apic->esr_pending;
    for (unsigned int number = 0; number < REGISTERS; number++) {
        if (vlapic_read_register(apic, number, &value)) {
            put(registers, number, value);
        }
    }
    put(registers, REGISTER_DFR, apic->dfr);
    put(registers, REGISTER_ICR_HIGH, (uint32_t)(apic->icr >> 32));
}

static bool state_valid(const struct hvm_hw_lapic *state)
{
    uint64_t base = state->apic_base_msr;

    return (base & ~(uint64_t)(VLAPIC_BASE_MODES | APIC_BASE_BSP)) == VLAPIC_DEFAULT_BASE &&
           (base & VLAPIC_BASE_MODES) != VLAPIC_BASE_X2APIC;
}

static bool registers_valid(const struct hvm_hw_lapic_regs *page)
{
    const uint32_t illegal_vectors = (1u << FIRST_LEGAL_VECTOR) - 1;

    return !(get(page, REGISTER_IRR) & illegal_vectors) &&
           !(get(page, REGISTER_ISR) & illegal_vectors);
}

static void load_vectors(struct vlapic *apic, const struct hvm_hw_lapic_regs *page)
{
    uint8_t irr_summary = 0;

    apic->isr_summary = 0;
    for (unsigned int i = 0; i < ARRAY_SIZE(apic->irr); i++) {
        apic->irr[i] = get(page, REGISTER_IRR + i);
        apic->tmr[i] = get(page, REGISTER_TMR + i);
        apic->isr[i] = get(page, REGISTER_ISR + i);
        irr_summary |= (uint8_t)(apic->irr[i] ? 1u << i : 0);
        apic->isr_summary |= (uint8_t)(apic->isr[i] ? 1u << i : 0);
    }
    __atomic_store_n(&apic->irr_summary, irr_summary, __ATOMIC_SEQ_CST);
}

static void load_registers(struct vlapic *apic, const struct hvm_hw_lapic_regs *page)
{
    vlapic_timer_stop(apic);
    load_vectors(apic, page);
    apic->ldr = get(page, REGISTER_LDR);
    apic->dfr = get(page, REGISTER_DFR) | 0x0fffffff;
    apic->svr = get(page, REGISTER_SVR) & 0x1ff;
    apic->esr = get(page, REGISTER_ESR) & 0xff;
    apic->icr = (uint64_t)get(page, REGISTER_ICR_HIGH) << 32 | get(page, REGISTER_ICR_LOW);
    for (unsigned int i = 0; i < VLAPIC_LVT_COUNT; i++) {
        apic->lvt[i] = get(page, REGISTER_LVT + i) & vlapic_lvt_bits(i);
    }
    apic->timer_divide = get(page, REGISTER_TIMER_DIVIDE) & 0xb;
    apic->timer_initial = get(page, REGISTER_TIMER_INITIAL);
    vlapic_set_tpr(apic->vcpu, (uint8_t)get(page, REGISTER_TPR));
}

bool vlapic_load_valid(const struct hvm_hw_lapic *state, const struct hvm_hw_lapic_regs *registers)
{
    return (!state || state_valid(state)) && (!registers || registers_valid(registers));
}

int vlapic_load(struct vcpu *v, const struct hvm_hw_lapic *state,
                const struct hvm_hw_lapic_regs *registers)
{
    struct vlapic *apic = v->arch.vlapic;
    uint64_t deadline = apic->tsc_deadline; // also when the mode is still to be loaded
    uint32_t count = vlapic_timer_current(apic);

    if (!vlapic_load_valid(state, registers)) {
        return -XEN_EINVAL;
    }
    if (registers) {
        load_registers(apic, registers);
        count = get(registers, REGISTER_TIMER_CURRENT);
    }
    if (state) {
        apic->base = state->apic_base_msr;
        apic->esr_pending = state->pending_esr & 0xff;
        deadline = state->tdt_msr;
    }
    apic->tsc_deadline = deadline;
    // The logical id of an x2APIC is not for software to choose.
    if (vlapic_is_x2apic(apic)) {
        apic->ldr = vlapic_x2apic_ldr(v);
    }
    vlapic_timer_restore(apic, count);
    return 0;
}
