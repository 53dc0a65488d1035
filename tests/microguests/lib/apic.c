// SPDX-License-Identifier: Apache-2.0
// The mode is read back from the APIC base register each time: these functions are for set-up, not
// for measuring. No state.

#include "apic.h"

#define SPURIOUS_VECTOR 0xff

bool apic_is_x2apic(void)
{
    return rdmsr(MSR_APIC_BASE) & APIC_BASE_X2APIC;
}

void apic_write(unsigned int offset, uint32_t value)
{
    if (apic_is_x2apic()) {
        x2apic_write(offset, value);
    } else {
        apic_memory_write(offset, value);
    }
}

uint32_t apic_read(unsigned int offset)
{
    return apic_is_x2apic() ? (uint32_t)x2apic_read(offset) : apic_memory_read(offset);
}

void apic_send(uint32_t destination, uint32_t command)
{
    if (apic_is_x2apic()) {
        x2apic_write(APIC_ICR_LOW, (uint64_t)destination << 32 | command);
        return;
    }
    apic_memory_write(APIC_ICR_HIGH, destination << 24);
    apic_memory_write(APIC_ICR_LOW, command);
}

uint32_t apic_own_id(void)
{
    return apic_is_x2apic() ? (uint32_t)x2apic_read(APIC_ID) : apic_memory_read(APIC_ID) >> 24;
}

void apic_enable(void)
{
    wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_ENABLE);
    apic_write(APIC_TPR, 0);
    apic_write(APIC_SPURIOUS, APIC_SPURIOUS_ENABLE | SPURIOUS_VECTOR);
}

void apic_enable_x2apic(void)
{
    wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_X2APIC);
}
