// SPDX-License-Identifier: Apache-2.0
// The local APIC: by memory (xAPIC) after power-on, by MSR (x2APIC) once switched over.
#ifndef MICROGUEST_APIC_H
#define MICROGUEST_APIC_H

#include "cpu.h"

#define APIC_PAGE 0xfee00000ul
#define APIC_BASE_ENABLE (1u << 11)
#define APIC_BASE_X2APIC (1u << 10)

#define APIC_ID 0x20
#define APIC_VERSION 0x30
#define APIC_TPR 0x80
#define APIC_EOI 0xb0
#define APIC_SPURIOUS 0xf0
#define APIC_ISR 0x100
#define APIC_ICR_LOW 0x300
#define APIC_ICR_HIGH 0x310
#define APIC_TIMER 0x320
#define APIC_TIMER_INITIAL 0x380
#define APIC_TIMER_CURRENT 0x390
#define APIC_TIMER_DIVIDE 0x3e0

#define APIC_SPURIOUS_ENABLE 0x100
#define ICR_ASSERT 0x4000u
#define ICR_NMI 0x400u
#define ICR_INIT 0x500u
#define ICR_STARTUP 0x600u
#define ICR_SELF 0x40000u
#define ICR_OTHERS 0xc0000u

static inline uint32_t apic_memory_read(unsigned int offset)
{
    return *(volatile uint32_t *)(APIC_PAGE + offset);
}

static inline void apic_memory_write(unsigned int offset, uint32_t value)
{
    *(volatile uint32_t *)(APIC_PAGE + offset) = value;
}

static inline uint64_t x2apic_read(unsigned int offset)
{
    return rdmsr(0x800 + offset / 16);
}

static inline void x2apic_write(unsigned int offset, uint64_t value)
{
    wrmsr(0x800 + offset / 16, value);
}

// Enables this vcpu's APIC and lets all priorities in. In xAPIC mode after apic_enable(), in x2APIC
// mode after apic_enable_x2apic(), which works after the other.
void apic_enable(void);
void apic_enable_x2apic(void);
bool apic_is_x2apic(void);

// In whatever mode this vcpu's APIC is.
void apic_write(unsigned int offset, uint32_t value);
uint32_t apic_read(unsigned int offset);
void apic_send(uint32_t destination, uint32_t command);
uint32_t apic_own_id(void);

#endif
