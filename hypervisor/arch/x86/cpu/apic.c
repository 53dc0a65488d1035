// SPDX-License-Identifier: Apache-2.0
// The local APIC (AMD64 APM 2, chapter 16; Intel SDM 3, chapter 11). The mode is chosen once: each
// register access then branches on a constant flag. No locks: a CPU touches only its own APIC, and
// the two writes of an xAPIC interrupt command happen with interrupts off.

#include <bulkhead/console.h>
#include <bulkhead/cpu.h>
#include <xen/errno.h>
#include <x86/apic.h>
#include <x86/cpuid.h>
#include <x86/features.h>
#include <x86/interrupt.h>
#include <x86/io_port.h>
#include <x86/paging.h>
#include <x86/registers.h>
#include <x86/time.h>
#include <x86/vectors.h>

// Register offsets in the page; the MSR is MSR_X2APIC_FIRST + offset / 16.
#define APIC_ID 0x020u
#define APIC_TASK_PRIORITY 0x080u
#define APIC_EOI 0x0b0u
#define APIC_DESTINATION 0x0d0u
#define APIC_FORMAT 0x0e0u
#define APIC_SPURIOUS 0x0f0u
#define APIC_ERROR_STATUS 0x280u
#define APIC_COMMAND 0x300u
#define APIC_COMMAND_HIGH 0x310u
#define APIC_LVT_TIMER 0x320u
#define APIC_LVT_THERMAL 0x330u
#define APIC_LVT_PERFORMANCE 0x340u
#define APIC_LVT_LINT0 0x350u
#define APIC_LVT_LINT1 0x360u
#define APIC_LVT_ERROR 0x370u
#define APIC_INITIAL_COUNT 0x380u
#define APIC_CURRENT_COUNT 0x390u
#define APIC_DIVIDE 0x3e0u

#define APIC_BASE_ENABLED 0x800u
#define APIC_BASE_X2APIC 0x400u
#define APIC_BASE_ADDRESS 0x000ffffffffff000UL
#define SPURIOUS_ENABLE 0x100u
#define LVT_MASKED 0x10000u
#define LVT_NMI 0x400u
#define LEGACY_PIC_MASTER_MASK 0x21
#define LEGACY_PIC_SLAVE_MASK 0xa1
#define LVT_TSC_DEADLINE 0x40000u
#define DIVIDE_BY_1 0xbu
#define COMMAND_PENDING 0x1000u
#define COMMAND_NMI 0x4400u // level asserted
#define COMMAND_INIT 0x4500u
#define COMMAND_STARTUP 0x4600u
#define COMMAND_FIXED 0x4000u

#define COMMAND_POLLS 1000000u

// The one-shot timer's 32 bits last a few seconds; a longer wait is made of several.
#define LONGEST_WAIT 1000000000L // ns

static volatile uint8_t *registers; // xAPIC
static bool x2apic;
static uint64_t timer_khz; // of the one-shot timer; 0: the TSC deadline is used

static uint32_t apic_read(uint32_t reg)
{
    if (x2apic) {
        return (uint32_t)read_msr(MSR_X2APIC_FIRST + reg / 16);
    }
    return mmio_read32(registers + reg);
}

static void apic_write(uint32_t reg, uint32_t value)
{
    if (x2apic) {
        write_msr(MSR_X2APIC_FIRST + reg / 16, value);
    } else {
        mmio_write32(registers + reg, value);
    }
}

static void enable(void)
{
    uint64_t base = read_msr(MSR_APIC_BASE);

    if (!(base & APIC_BASE_ENABLED)) {
        base |= APIC_BASE_ENABLED;
        write_msr(MSR_APIC_BASE, base);
    }
    if (x2apic && !(base & APIC_BASE_X2APIC)) {
        write_msr(MSR_APIC_BASE, base | APIC_BASE_X2APIC);
    }
}

int apic_init(void)
{
    uint64_t base;

    if (!(cpuid(1, 0).edx & (1u << 9))) {
        return -XEN_ENODEV;
    }
    base = read_msr(MSR_APIC_BASE);
    x2apic = cpu_features.x2apic;
    if (!x2apic) {
        registers = hv_ioremap(MADDR(base & APIC_BASE_ADDRESS), PAGE_SIZE);
        if (!registers) {
            return -XEN_ENOMEM;
        }
    }
    enable();
    return 0;
}

bool apic_in_x2apic_mode(void)
{
    return x2apic;
}

void apic_cpu_init(void)
{
    enable();
    apic_write(APIC_SPURIOUS, SPURIOUS_ENABLE | VECTOR_SPURIOUS);
    apic_write(APIC_TASK_PRIORITY, 0);
    apic_write(APIC_LVT_TIMER, LVT_MASKED);
    // The legacy controllers first, while their input is still open: QEMU would keep a request of
    // theirs that is pending now for ever, and then find no vector for it.
    port_write8(LEGACY_PIC_MASTER_MASK, 0xff);
    port_write8(LEGACY_PIC_SLAVE_MASK, 0xff);
    apic_write(APIC_LVT_LINT0, LVT_MASKED);
    apic_write(APIC_LVT_LINT1, LVT_NMI);
    apic_write(APIC_ERROR_STATUS, 0);
    apic_write(APIC_LVT_ERROR, VECTOR_ERROR);
}

uint32_t apic_read_id(void)
{
    uint32_t id = apic_read(APIC_ID);

    return x2apic ? id : id >> 24;
}

void apic_eoi(void)
{
    apic_write(APIC_EOI, 0);
}

void apic_look_again(void)
{
    apic_write(APIC_TASK_PRIORITY, 0); // which it always is
}

static void send_command(uint32_t apic_id, uint32_t command)
{
    if (x2apic) {
        // The store that the interrupt tells of must be visible first: WRMSR here does not wait.
        __asm__ volatile("mfence; lfence" : : : "memory");
        write_msr(MSR_X2APIC_FIRST + APIC_COMMAND / 16, (uint64_t)apic_id << 32 | command);
        return;
    }
    for (unsigned int i = 0; i < COMMAND_POLLS && (apic_read(APIC_COMMAND) & COMMAND_PENDING);
         i++) {
        cpu_relax();
    }
    apic_write(APIC_COMMAND_HIGH, apic_id << 24);
    apic_write(APIC_COMMAND, command);
}

void apic_send_ipi(unsigned int cpu, uint8_t vector)
{
    send_command(cpus[cpu]->arch.apic_id, COMMAND_FIXED | vector);
}

void apic_send_nmi(unsigned int cpu)
{
    send_command(cpus[cpu]->arch.apic_id, COMMAND_NMI);
}

void apic_send_init(uint32_t apic_id)
{
    send_command(apic_id, COMMAND_INIT);
}

void apic_send_startup(uint32_t apic_id, uint8_t page)
{
    send_command(apic_id, COMMAND_STARTUP | page);
}

static uint32_t read_timer(void)
{
    return apic_read(APIC_CURRENT_COUNT);
}

static void handle_timer(uint8_t vector)
{
    (void)vector;
    __atomic_fetch_or(&this_cpu()->work, CPU_WORK_TIMER, __ATOMIC_SEQ_CST);
    apic_eoi();
}

static void handle_error(uint8_t vector)
{
    uint32_t status;

    (void)vector;
    apic_write(APIC_ERROR_STATUS, 0); // latches what came since the last write
    status = apic_read(APIC_ERROR_STATUS);
    apic_eoi();
    log_warning("CPU%u: local APIC error, status 0x%x", this_cpu()->id, status);
}

// A spurious interrupt is not in service and must not be acknowledged.
static void handle_spurious(uint8_t vector)
{
    (void)vector;
}

void apic_timer_init(void)
{
    idt_set_handler(VECTOR_TIMER, handle_timer);
    idt_set_handler(VECTOR_ERROR, handle_error);
    idt_set_handler(VECTOR_SPURIOUS, handle_spurious);
    if (cpu_features.tsc_deadline) {
        return;
    }
    apic_write(APIC_DIVIDE, DIVIDE_BY_1);
    apic_write(APIC_INITIAL_COUNT, UINT32_MAX);
    timer_khz = time_measure_down_counter(read_timer);
    apic_write(APIC_INITIAL_COUNT, 0);
    if (!timer_khz) {
        panic("The local APIC's timer does not run.");
    }
    log_info("Local APIC timer at %lu.%03lu MHz", timer_khz / 1000, timer_khz % 1000);
}

void apic_timer_cpu_init(void)
{
    apic_write(APIC_DIVIDE, DIVIDE_BY_1);
    if (timer_khz) {
        apic_write(APIC_LVT_TIMER, VECTOR_TIMER);
    } else {
        apic_write(APIC_LVT_TIMER, LVT_TSC_DEADLINE | VECTOR_TIMER);
        // The mode must be set before the deadline is, and stores to memory are not ordered with
        // that of an MSR.
        __asm__ volatile("mfence" : : : "memory");
    }
}

void arch_timer_program(ns_t deadline)
{
    ns_t wait;

    if (!timer_khz) {
        write_msr(MSR_TSC_DEADLINE, deadline == TIMER_NONE ? 0 : time_to_tsc(deadline));
        return;
    }
    if (deadline == TIMER_NONE) {
        apic_write(APIC_INITIAL_COUNT, 0);
        return;
    }
    wait = deadline - arch_now();
    wait = MIN(MAX(wait, 0L), LONGEST_WAIT);
    apic_write(APIC_INITIAL_COUNT,
               (uint32_t)MIN((uint64_t)wait * timer_khz / 1000000 + 1, (uint64_t)UINT32_MAX));
}
