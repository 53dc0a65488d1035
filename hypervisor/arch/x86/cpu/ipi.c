// SPDX-License-Identifier: Apache-2.0
// Interrupts between CPUs: kicks, and calls of a function on other CPUs.
// There is one call at a time, guarded by call_lock. A CPU serves it from its interrupt handler or
// from arch_spin_wait, whichever comes first, so a CPU that waits for a lock, call_lock included,
// answers the holder's calls. The function takes no lock.

#include <bulkhead/console.h>
#include <bulkhead/cpu.h>
#include <bulkhead/spinlock.h>
#include <x86/apic.h>
#include <x86/interrupt.h>
#include <x86/registers.h>
#include <x86/smp.h>
#include <x86/vectors.h>

static struct spinlock call_lock = SPINLOCK_INIT;
static struct {
    void (*fn)(void *data);
    void *data;
    uint32_t unfinished; // CPUs that have yet to run fn
} call;

static void serve_call(struct cpu *cpu)
{
    if (__atomic_load_n(&cpu->arch.call_pending, __ATOMIC_ACQUIRE)) {
        __atomic_store_n(&cpu->arch.call_pending, false, __ATOMIC_RELAXED);
        call.fn(call.data);
        __atomic_fetch_sub(&call.unfinished, 1, __ATOMIC_RELEASE);
    }
}

void arch_spin_wait(void)
{
    serve_call(this_cpu());
    cpu_relax();
}

void arch_call_cpus(const struct cpumask *mask, void (*fn)(void *data), void *data)
{
    struct cpumask targets;
    unsigned int own = this_cpu()->id;
    unsigned int cpu;

    cpumask_and(&targets, mask, &online_cpus);
    cpumask_unset(&targets, own);
    if (!cpumask_empty(&targets)) {
        spin_lock(&call_lock);
        call.fn = fn;
        call.data = data;
        __atomic_store_n(&call.unfinished, cpumask_weight(&targets), __ATOMIC_RELAXED);
        for_each_cpu (cpu, &targets) {
            __atomic_store_n(&cpus[cpu]->arch.call_pending, true, __ATOMIC_RELEASE);
            apic_send_ipi(cpu, VECTOR_CALL);
        }
        if (cpumask_test(mask, own)) {
            fn(data);
        }
        while (__atomic_load_n(&call.unfinished, __ATOMIC_ACQUIRE)) {
            cpu_relax();
        }
        spin_unlock(&call_lock);
    } else if (cpumask_test(mask, own)) {
        fn(data);
    }
}

void arch_kick_cpu(unsigned int cpu)
{
    if (cpu != this_cpu()->id) {
        apic_send_ipi(cpu, VECTOR_KICK);
    }
}

static void handle_call(uint8_t vector)
{
    (void)vector;
    serve_call(this_cpu());
    apic_eoi();
}

static void handle_kick(uint8_t vector)
{
    (void)vector;
    apic_eoi();
}

void ipi_init(void)
{
    idt_set_handler(VECTOR_CALL, handle_call);
    idt_set_handler(VECTOR_KICK, handle_kick);
}

void arch_idle(struct cpu *cpu)
{
    if (__atomic_load_n(&cpu->work, __ATOMIC_ACQUIRE)) {
        return;
    }
    apic_look_again();
    // STI takes effect after the next instruction: an interrupt that came since the check above
    // ends the HLT.
    __asm__ volatile("sti; hlt; cli" : : : "memory");
}

void arch_interrupt_window(void)
{
    __asm__ volatile("sti; nop; cli" : : : "memory");
}
