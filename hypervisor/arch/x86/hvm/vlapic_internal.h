// SPDX-License-Identifier: Apache-2.0
// What the files of the virtual local APIC share. Register numbers are offset in the xAPIC page
// divided by 16, which is also the x2APIC MSR number minus 0x800 (AMD64 APM volume 2, 16.3.2).
#ifndef BULKHEAD_X86_HVM_VLAPIC_INTERNAL_H
#define BULKHEAD_X86_HVM_VLAPIC_INTERNAL_H

#include <x86/vlapic.h>

enum vlapic_register {
    REGISTER_ID = 0x02,
    REGISTER_VERSION = 0x03,
    REGISTER_TPR = 0x08,
    REGISTER_ARBITRATION = 0x09,
    REGISTER_PPR = 0x0a,
    REGISTER_EOI = 0x0b,
    REGISTER_REMOTE_READ = 0x0c,
    REGISTER_LDR = 0x0d,
    REGISTER_DFR = 0x0e,
    REGISTER_SVR = 0x0f,
    REGISTER_ISR = 0x10, // to 0x17
    REGISTER_TMR = 0x18, // to 0x1f
    REGISTER_IRR = 0x20, // to 0x27
    REGISTER_ESR = 0x28,
    REGISTER_ICR_LOW = 0x30,
    REGISTER_ICR_HIGH = 0x31,
    REGISTER_LVT = 0x32, // to 0x37, in the order of enum vlapic_lvt
    REGISTER_TIMER_INITIAL = 0x38,
    REGISTER_TIMER_CURRENT = 0x39,
    REGISTER_TIMER_DIVIDE = 0x3e,
    REGISTER_SELF_IPI = 0x3f,
};

#define APIC_BASE_BSP (1u << 8)

#define SVR_ENABLED (1u << 8)
#define LVT_MASKED (1u << 16)
#define LVT_VECTOR 0xffu
#define LVT_TIMER_MODE (3u << 17)
#define LVT_ONE_SHOT (0u << 17)
#define LVT_PERIODIC (1u << 17)
#define LVT_DEADLINE (2u << 17)

#define ESR_SEND_ILLEGAL (1u << 5)
#define ESR_RECEIVE_ILLEGAL (1u << 6)
#define ESR_ILLEGAL_REGISTER (1u << 7)

#define FIRST_LEGAL_VECTOR 16u

static inline bool vlapic_is_x2apic(const struct vlapic *apic)
{
    return (apic->base & VLAPIC_BASE_MODES) == VLAPIC_BASE_MODES;
}

static inline bool vlapic_is_enabled(const struct vlapic *apic) // by IA32_APIC_BASE
{
    return apic->base & VLAPIC_BASE_ENABLED;
}

static inline bool vlapic_takes_interrupts(const struct vlapic *apic)
{
    return vlapic_is_enabled(apic) && (apic->svr & SVR_ENABLED);
}

static inline uint32_t vlapic_x2apic_ldr(const struct vcpu *v)
{
    return vlapic_id(v) >> 4 << 16 | 1u << (vlapic_id(v) & 15);
}

// vlapic.c
void vlapic_update_ppr(struct vlapic *apic);
void vlapic_raise_error(struct vlapic *apic, uint32_t bit);
void vlapic_send_ipi(struct vcpu *sender, uint32_t destination, uint32_t command);

// vlapic_registers.c
extern const struct io_handler vlapic_page_handler; // without domain and opaque
void vlapic_reset_registers(struct vlapic *apic);
// The bits that can be written in one LVT entry.
uint32_t vlapic_lvt_bits(enum vlapic_lvt entry);
// The value of a register; false if it does not exist.
bool vlapic_read_register(struct vlapic *apic, unsigned int number, uint32_t *value);

// vlapic_timer.c
void vlapic_timer_init(struct vlapic *apic);
void vlapic_timer_stop(struct vlapic *apic);
void vlapic_timer_set_initial(struct vlapic *apic, uint32_t count);
void vlapic_timer_set_divide(struct vlapic *apic, uint32_t value);
void vlapic_timer_set_lvt(struct vlapic *apic, uint32_t value);
void vlapic_timer_set_deadline(struct vlapic *apic, uint64_t tsc);
uint64_t vlapic_timer_get_deadline(struct vlapic *apic);
uint32_t vlapic_timer_current(struct vlapic *apic);
// After a load: lets the timer run on from the current count, or towards the deadline.
void vlapic_timer_restore(struct vlapic *apic, uint32_t current_count);

#endif
