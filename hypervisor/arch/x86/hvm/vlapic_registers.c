// SPDX-License-Identifier: Apache-2.0
// The virtual local APIC's registers: one read and one write function by register number, under
// the two ways in, the xAPIC page (32-bit registers 16 bytes apart, lenient) and the x2APIC MSRs
// (strict: what is reserved gives #GP). All on the vcpu's own CPU; no lock.
#include "vlapic_internal.h"

// Version 0x14 (integrated), six LVT entries, no EOI-broadcast suppression.
#define VERSION (0x14u | (VLAPIC_LVT_COUNT - 1) << 16)

#define SVR_BITS 0x1ffu
#define ICR_RESERVED 0xfff32000u // of the low half, with the delivery status let through
#define ICR_STATUS (1u << 12)
#define TIMER_DIVIDE_BITS 0xbu
#define ALL_ONES 0xffffffffu
#define PAGE_REGISTER_SIZE 16u

uint32_t vlapic_lvt_bits(enum vlapic_lvt entry)
{
    switch (entry) {
    case VLAPIC_LVT_TIMER:
        return LVT_VECTOR | LVT_MASKED | LVT_TIMER_MODE;
    case VLAPIC_LVT_LINT0:
    case VLAPIC_LVT_LINT1:
        return LVT_VECTOR | LVT_MASKED | 0xa700; // delivery mode, polarity, trigger
    case VLAPIC_LVT_ERROR:
        return LVT_VECTOR | LVT_MASKED;
    default:
        return LVT_VECTOR | LVT_MASKED | 0x700; // delivery mode
    }
}

void vlapic_reset_registers(struct vlapic *apic)
{
    vlapic_timer_stop(apic);
    __atomic_store_n(&apic->irr_summary, 0, __ATOMIC_SEQ_CST);
    apic->isr_summary = 0;
    for (unsigned int i = 0; i < ARRAY_SIZE(apic->irr); i++) {
        __atomic_store_n(&apic->irr[i], 0, __ATOMIC_SEQ_CST);
        __atomic_store_n(&apic->tmr[i], 0, __ATOMIC_RELAXED);
        apic->isr[i] = 0;
    }
    vlapic_set_tpr(apic->vcpu, 0);
    apic->ldr = vlapic_is_x2apic(apic) ? vlapic_x2apic_ldr(apic->vcpu) : 0;
    apic->dfr = ALL_ONES;
    apic->svr = 0xff;
    apic->esr = apic->esr_pending = 0;
    apic->icr = 0;
    for (unsigned int i = 0; i < VLAPIC_LVT_COUNT; i++) {
        apic->lvt[i] = LVT_MASKED;
    }
}

static uint32_t id_register(const struct vlapic *apic)
{
    uint32_t id = vlapic_id(apic->vcpu);

    return vlapic_is_x2apic(apic) ? id : id << 24;
}

bool vlapic_read_register(struct vlapic *apic, unsigned int number, uint32_t *value)
{
    switch (number) {
    case REGISTER_ID:
        *value = id_register(apic);
        return true;
    case REGISTER_VERSION:
        *value = VERSION;
        return true;
    case REGISTER_TPR:
        *value = apic->tpr;
        return true;
    case REGISTER_PPR:
        *value = apic->ppr;
        return true;
    case REGISTER_LDR:
        *value = apic->ldr;
        return true;
    case REGISTER_SVR:
        *value = apic->svr;
        return true;
    case REGISTER_ISR ... REGISTER_ISR + 7:
        *value = apic->isr[number - REGISTER_ISR];
        return true;
    case REGISTER_TMR ... REGISTER_TMR + 7:
        *value = __atomic_load_n(&apic->tmr[number - REGISTER_TMR], __ATOMIC_RELAXED);
        return true;
    case REGISTER_IRR ... REGISTER_IRR + 7:
        *value = __atomic_load_n(&apic->irr[number - REGISTER_IRR], __ATOMIC_RELAXED);
        return true;
    case REGISTER_ESR:
        *value = apic->esr;
        return true;
    case REGISTER_ICR_LOW:
        *value = (uint32_t)apic->icr;
        return true;
    case REGISTER_LVT ... REGISTER_LVT + VLAPIC_LVT_COUNT - 1:
        *value = apic->lvt[number - REGISTER_LVT];
        return true;
    case REGISTER_TIMER_INITIAL:
        *value = apic->timer_initial;
        return true;
    case REGISTER_TIMER_CURRENT:
        *value = vlapic_timer_current(apic);
        return true;
    case REGISTER_TIMER_DIVIDE:
        *value = apic->timer_divide;
        return true;
    default:
        return false;
    }
}

static void set_lvt(struct vlapic *apic, enum vlapic_lvt entry, uint32_t value)
{
    value &= vlapic_lvt_bits(entry);
    if (!(apic->svr & SVR_ENABLED)) {
        value |= LVT_MASKED;
    }
    if (entry == VLAPIC_LVT_TIMER) {
        vlapic_timer_set_lvt(apic, value);
    } else {
        __atomic_store_n(&apic->lvt[entry], value, __ATOMIC_RELAXED);
    }
}

static void set_svr(struct vlapic *apic, uint32_t value)
{
    __atomic_store_n(&apic->svr, value & SVR_BITS, __ATOMIC_RELAXED);
    if (!(value & SVR_ENABLED)) {
        for (unsigned int i = 0; i < VLAPIC_LVT_COUNT; i++) {
            set_lvt(apic, i, apic->lvt[i]); // masks it
        }
    }
}

// Writing latches the errors seen since the last write (Intel SDM 3, 11.5.3).
static void write_esr(struct vlapic *apic)
{
    apic->esr = __atomic_exchange_n(&apic->esr_pending, 0, __ATOMIC_RELAXED);
}

// The registers that both ways write alike; false if the number is none of them.
static bool write_register(struct vlapic *apic, unsigned int number, uint32_t value)
{
    switch (number) {
    case REGISTER_EOI:
        vlapic_eoi(apic->vcpu);
        return true;
    case REGISTER_TPR:
        vlapic_set_tpr(apic->vcpu, (uint8_t)value);
        return true;
    case REGISTER_SVR:
        set_svr(apic, value);
        return true;
    case REGISTER_ESR:
        write_esr(apic);
        return true;
    case REGISTER_LVT ... REGISTER_LVT + VLAPIC_LVT_COUNT - 1:
        set_lvt(apic, number - REGISTER_LVT, value);
        return true;
    case REGISTER_TIMER_INITIAL:
        vlapic_timer_set_initial(apic, value);
        return true;
    case REGISTER_TIMER_DIVIDE:
        vlapic_timer_set_divide(apic, value);
        return true;
    default:
        return false;
    }
}

// What an MSR write may set of a register that write_register knows; the rest gives #GP.
static uint32_t writable_bits(unsigned int number)
{
    switch (number) {
    case REGISTER_EOI:
    case REGISTER_ESR:
        return 0;
    case REGISTER_TPR:
        return 0xff;
    case REGISTER_SVR:
        return SVR_BITS;
    case REGISTER_LVT ... REGISTER_LVT + VLAPIC_LVT_COUNT - 1:
        // Delivery status and remote IRR are read-only, and ignored in writes.
        return vlapic_lvt_bits(number - REGISTER_LVT) | 0x5000;
    case REGISTER_TIMER_DIVIDE:
        return TIMER_DIVIDE_BITS;
    default:
        return ALL_ONES;
    }
}

static bool write_x2apic(struct vlapic *apic, unsigned int number, uint64_t value)
{
    uint32_t low = (uint32_t)value;

    if (likely(number == REGISTER_EOI)) {
        if (value) {
            return false;
        }
        vlapic_eoi(apic->vcpu);
        return true;
    }
    if (number == REGISTER_ICR_LOW) {
        if (low & ICR_RESERVED) {
            return false;
        }
        apic->icr = value & ~(uint64_t)ICR_STATUS;
        vlapic_send_ipi(apic->vcpu, (uint32_t)(value >> 32), low);
        return true;
    }
    if (number == REGISTER_SELF_IPI) {
        if (value & ~0xffull) {
            return false;
        }
        vlapic_send_ipi(apic->vcpu, 0, 1u << 18 | low); // shorthand self, fixed
        return true;
    }
    if (value & ~(uint64_t)writable_bits(number)) {
        return false;
    }
    return write_register(apic, number, low);
}

static bool read_x2apic(struct vlapic *apic, unsigned int number, uint64_t *value)
{
    uint32_t low;

    if (number == REGISTER_ICR_LOW) {
        *value = apic->icr;
        return true;
    }
    if (!vlapic_read_register(apic, number, &low)) {
        return false;
    }
    *value = low;
    return true;
}

// IA32_APIC_BASE (Intel SDM 3, 11.12.1 and figure 11-9): the page stays where it is; of the mode
// changes, into x2APIC goes only from xAPIC, and out of it only to disabled.
static bool write_base(struct vlapic *apic, uint64_t value)
{
    uint64_t old = apic->base;
    uint64_t modes = value & VLAPIC_BASE_MODES;

    if ((value & ~(uint64_t)(VLAPIC_BASE_MODES | APIC_BASE_BSP)) != VLAPIC_DEFAULT_BASE ||
        modes == VLAPIC_BASE_X2APIC) {
        return false;
    }
    if (modes == (old & VLAPIC_BASE_MODES)) {
        return true;
    }
    if (vlapic_is_x2apic(apic) ? modes != 0
                               : modes == VLAPIC_BASE_MODES && !vlapic_is_enabled(apic)) {
        return false;
    }
    apic->base = VLAPIC_DEFAULT_BASE | modes | (old & APIC_BASE_BSP);
    if (modes == VLAPIC_BASE_MODES) {
        apic->ldr = vlapic_x2apic_ldr(apic->vcpu);
        apic->icr = 0;
    } else {
        vlapic_reset_registers(apic); // leaving or entering the disabled state
    }
    return true;
}

bool vlapic_read_msr(struct vcpu *v, uint32_t msr, uint64_t *value)
{
    struct vlapic *apic = v->arch.vlapic;

    switch (msr) {
    case VLAPIC_MSR_BASE:
        *value = apic->base;
        return true;
    case VLAPIC_MSR_TSC_DEADLINE:
        *value = vlapic_timer_get_deadline(apic);
        return true;
    case VLAPIC_MSR_X2APIC_FIRST ... VLAPIC_MSR_X2APIC_LAST:
        return vlapic_is_x2apic(apic) && read_x2apic(apic, msr - VLAPIC_MSR_X2APIC_FIRST, value);
    default:
        return false;
    }
}

bool vlapic_write_msr(struct vcpu *v, uint32_t msr, uint64_t value)
{
    struct vlapic *apic = v->arch.vlapic;

    switch (msr) {
    case VLAPIC_MSR_BASE:
        return write_base(apic, value);
    case VLAPIC_MSR_TSC_DEADLINE:
        vlapic_timer_set_deadline(apic, value);
        return true;
    case VLAPIC_MSR_X2APIC_FIRST ... VLAPIC_MSR_X2APIC_LAST:
        return vlapic_is_x2apic(apic) && write_x2apic(apic, msr - VLAPIC_MSR_X2APIC_FIRST, value);
    default:
        return false;
    }
}

// Registers that only the page has.
static uint32_t read_page_register(struct vlapic *apic, unsigned int number)
{
    uint32_t value = 0;

    switch (number) {
    case REGISTER_DFR:
        return apic->dfr;
    case REGISTER_ICR_HIGH:
        return (uint32_t)(apic->icr >> 32);
    case REGISTER_ARBITRATION:
    case REGISTER_EOI:
    case REGISTER_REMOTE_READ:
        return 0;
    default:
        if (!vlapic_read_register(apic, number, &value)) {
            vlapic_raise_error(apic, ESR_ILLEGAL_REGISTER);
        }
        return value;
    }
}

static void read_page(struct vcpu *v, void *opaque, uint64_t addr, unsigned int size,
                      uint64_t *value)
{
    struct vlapic *apic = v->arch.vlapic;
    unsigned int offset = addr % PAGE_REGISTER_SIZE;

    (void)opaque;
    *value = ~0ull;
    if (!vlapic_is_enabled(apic) || vlapic_is_x2apic(apic)) {
        return;
    }
    // Bytes 4 to 15 of each register's place do not exist; parts of a register may be read.
    if (offset + size > 4) {
        *value = 0;
        return;
    }
    *value =
        read_page_register(apic, (addr - VLAPIC_DEFAULT_BASE) / PAGE_REGISTER_SIZE) >> offset * 8;
}

static void write_page(struct vcpu *v, void *opaque, uint64_t addr, unsigned int size,
                       uint64_t value)
{
    struct vlapic *apic = v->arch.vlapic;
    unsigned int number = (unsigned int)((addr - VLAPIC_DEFAULT_BASE) / PAGE_REGISTER_SIZE);
    uint32_t word = (uint32_t)value;

    (void)opaque;
    // Only whole aligned registers can be written.
    if (!vlapic_is_enabled(apic) || vlapic_is_x2apic(apic) || size != 4 ||
        addr % PAGE_REGISTER_SIZE) {
        return;
    }
    if (likely(write_register(apic, number, word))) {
        return;
    }
    switch (number) {
    case REGISTER_LDR:
        apic->ldr = word & 0xff000000;
        break;
    case REGISTER_DFR:
        apic->dfr = word | 0x0fffffff;
        break;
    case REGISTER_ICR_LOW:
        apic->icr = (apic->icr & ~(uint64_t)ALL_ONES) | (word & ~ICR_RESERVED & ~ICR_STATUS);
        vlapic_send_ipi(v, (uint32_t)(apic->icr >> 56), (uint32_t)apic->icr);
        break;
    case REGISTER_ICR_HIGH:
        apic->icr = (uint64_t)(word & 0xff000000) << 32 | (uint32_t)apic->icr;
        break;
    case REGISTER_ID: // read-only here, as on many processors
        break;
    default:
        vlapic_raise_error(apic, ESR_ILLEGAL_REGISTER);
    }
}

const struct io_handler vlapic_page_handler = {
    .space = IO_MEMORY,
    .start = VLAPIC_DEFAULT_BASE,
    .size = PAGE_SIZE,
    .read = read_page,
    .write = write_page,
};
