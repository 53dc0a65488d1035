// SPDX-License-Identifier: Apache-2.0
// Start of each vcpu. vcpu 0 runs the program; the others sleep, with interrupts on, and look for
// work after each interrupt. A vcpu's data is written by itself before it says started, later only
// its work is written by others (atomically).

#include "guest.h"

#include "apic.h"
#include "interrupts.h"
#include "print.h"
#include "xen.h"

extern uint32_t start_info_address;
extern const char trampoline_start[], trampoline_end[];

void vcpu_start(uint32_t index);

struct vcpu_data vcpu_data[MAX_VCPUS];

// The compiler calls these two by itself.
void *memcpy(void *to, const void *from, size_t size)
{
    void *start = to;

    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size)::"memory");
    return start;
}

void *memset(void *to, int value, size_t size)
{
    void *start = to;

    __asm__ volatile("rep stosb" : "+D"(to), "+c"(size) : "a"(value) : "memory");
    return start;
}

const struct hvm_start_info *guest_start_info(void)
{
    return (const struct hvm_start_info *)(uint64_t)start_info_address;
}

const char *guest_command_line(void)
{
    uint64_t address = guest_start_info()->cmdline_paddr;

    return address ? (const char *)address : "";
}

static __attribute__((noreturn)) void secondary(struct vcpu_data *vcpu)
{
    apic_enable();
    vcpu->apic_id = apic_own_id();
    __atomic_store_n(&vcpu->started, 1, __ATOMIC_SEQ_CST);
    for (;;) {
        void (*work)(void) = __atomic_exchange_n(&vcpu->work, NULL, __ATOMIC_SEQ_CST);

        if (work) {
            work();
        } else {
            wait_for_interrupt();
        }
    }
}

void vcpu_start(uint32_t index)
{
    struct vcpu_data *vcpu = &vcpu_data[index];

    vcpu->self = vcpu;
    vcpu->index = index;
    wrmsr(MSR_GS_BASE, (uint64_t)vcpu);
    if (index > 0) {
        interrupts_load();
        secondary(vcpu);
    }
    interrupts_build();
    interrupts_load();
    vcpu->started = 1;
    xen_start();
    program();
    xen_end();
}

bool wait_until(const volatile uint32_t *flag, unsigned int milliseconds)
{
    uint64_t end = xen_time() + milliseconds * 1000000ul;
    bool arrived;

    interrupts_on();
    // The count bounds the wait where the hypervisor's time does not advance.
    for (unsigned int i = 0; !*flag && i < milliseconds * 100000u; i++) {
        pause();
        if ((i & 63) == 63 && xen_time() >= end) {
            break;
        }
    }
    arrived = *flag;
    interrupts_off();
    return arrived;
}

void vcpu_give_work(unsigned int index, void (*work)(void))
{
    __atomic_store_n(&vcpu_data[index].work, work, __ATOMIC_SEQ_CST);
}

unsigned int vcpus_start(void)
{
    static volatile uint32_t never;
    unsigned int count = 0;

    memcpy((void *)TRAMPOLINE, trampoline_start, (size_t)(trampoline_end - trampoline_start));
    apic_send(0, ICR_OTHERS | ICR_ASSERT | ICR_INIT);
    wait_until(&never, 10);
    apic_send(0, ICR_OTHERS | ICR_ASSERT | ICR_STARTUP | TRAMPOLINE >> 12);
    for (unsigned int i = 1; i < MAX_VCPUS; i++) {
        // A slow emulator may take long over the first; the others start beside it.
        count += wait_until(&vcpu_data[i].started, i == 1 ? 2000 : 20);
    }
    return count;
}
