// SPDX-License-Identifier: Apache-2.0
// The local APIC's driver in both modes. The simulated APIC fails the test where a real one raises
// #GP (Intel SDM volume 3, 11.12): wrong mode changes, registers that do not exist in x2APIC mode
// or cannot be written, reserved bits.

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <bulkhead/console.h>
#include <bulkhead/cpu.h>
#include <x86/apic.h>
#include <x86/features.h>
#include <x86/interrupt.h>
#include <x86/io_port.h>
#include <x86/paging.h>
#include <x86/registers.h>
#include <x86/time.h>
#include <x86/vectors.h>

#include <cmocka.h>

#define ENABLED 0x800u
#define EXTENDED 0x400u
#define MODES (ENABLED | EXTENDED)
#define PAGE_ADDRESS 0xfee00000UL
#define ID 0x02
#define LDR 0x0d
#define DFR 0x0e
#define ICR 0x30
#define ICR_HIGH 0x31
#define TIMER 0x32
#define INITIAL 0x38

struct cpu_features cpu_features;
struct cpu *test_cpu;
struct cpu *cpus[MAX_CPUS];

static struct cpu own, other;
static uint64_t base, deadline;
static uint64_t registers[0x40];
static unsigned int writes[0x40], write_count, last_write[0x40];
static unsigned int pending_polls; // how long the last command stays on its way
static uint8_t page[4096];
static ns_t time_now;
static void (*handlers[256])(uint8_t vector);

// Doubles.

static void store(unsigned int number, uint64_t value)
{
    registers[number] = value;
    writes[number]++;
    last_write[number] = ++write_count;
}

uint64_t read_msr(uint32_t msr)
{
    if (msr == MSR_APIC_BASE) {
        return base;
    }
    assert_in_range(msr, 0x800, 0x83f);
    assert_int_equal(base & MODES, MODES);
    assert_int_not_equal(msr - 0x800, DFR);
    assert_int_not_equal(msr - 0x800, ICR_HIGH);
    return registers[msr - 0x800];
}

static void write_base(uint64_t value)
{
    // Into x2APIC mode only from xAPIC mode; out of it not at all here.
    assert_true((value & MODES) != EXTENDED);
    assert_false((value & MODES) == MODES && (base & MODES) == 0);
    assert_false((base & MODES) == MODES && (value & MODES) != MODES);
    assert_int_equal(value & ~(uint64_t)MODES, base & ~(uint64_t)MODES);
    base = value;
}

void write_msr(uint32_t msr, uint64_t value)
{
    unsigned int number = msr - 0x800;

    if (msr == MSR_APIC_BASE) {
        write_base(value);
        return;
    }
    if (msr == MSR_TSC_DEADLINE) {
        deadline = value;
        return;
    }
    assert_in_range(msr, 0x800, 0x83f);
    assert_int_equal(base & MODES, MODES);
    assert_true(number != ID && number != LDR && number != DFR && number != ICR_HIGH);
    assert_true(number == ICR || !(value >> 32));
    assert_false((number == 0x0b || number == 0x28) && value); // EOI, ESR
    assert_false(number == ICR && (value & 0xfff32000 & ~0x1000UL));
    store(number, value);
}

uint32_t mmio_read32(const volatile void *address)
{
    size_t offset = (size_t)((const volatile uint8_t *)address - page);

    assert_int_equal(base & MODES, ENABLED);
    if (offset == ICR * 16 && pending_polls) {
        pending_polls--;
        return (uint32_t)registers[ICR] | 0x1000;
    }
    return (uint32_t)registers[offset / 16];
}

void mmio_write32(volatile void *address, uint32_t value)
{
    size_t offset = (size_t)((volatile uint8_t *)address - page);

    assert_int_equal(base & MODES, ENABLED);
    assert_true(offset % 16 == 0 && offset < sizeof(page));
    assert_int_equal(offset == ICR * 16 ? pending_polls : 0, 0);
    store((unsigned int)(offset / 16), value);
}

void port_write8(uint16_t port, uint8_t value)
{
    assert_true((port == 0x21 || port == 0xa1) && value == 0xff);
}

void *hv_ioremap(maddr_t address, size_t size)
{
    assert_int_equal(address.a, PAGE_ADDRESS);
    assert_int_equal(size, PAGE_SIZE);
    return page;
}

void idt_set_handler(uint8_t vector, void (*handler)(uint8_t vector))
{
    handlers[vector] = handler;
}

uint64_t time_measure_down_counter(uint32_t (*read)(void))
{
    assert_int_equal(read(), registers[0x39]);
    return 100000; // 100 MHz
}

uint64_t time_to_tsc(ns_t t)
{
    return (uint64_t)t * 3;
}

ns_t arch_now(void)
{
    return time_now;
}

void log_message(enum log_level level, const char *format, ...)
{
    (void)level;
    (void)format;
}

void panic(const char *format, ...)
{
    (void)format;
    abort();
}

static void start(bool x2apic, bool tsc_deadline, uint64_t firmware_modes)
{
    cpu_features.x2apic = x2apic;
    cpu_features.tsc_deadline = tsc_deadline;
    base = PAGE_ADDRESS | 0x100 | firmware_modes;
    memset(registers, 0, sizeof(registers));
    memset(writes, 0, sizeof(writes));
    write_count = pending_polls = 0;
    test_cpu = &own;
    other.arch.apic_id = x2apic ? 0x12345 : 0x12;
    cpus[1] = &other;
    assert_int_equal(apic_init(), 0);
    apic_cpu_init();
}

static void x2apic_is_entered_the_way_it_must(void **state)
{
    static const uint64_t found[] = {0, ENABLED, MODES};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(found); i++) {
        start(true, true, found[i]);
        assert_int_equal(base & MODES, MODES);
        assert_true(apic_in_x2apic_mode());
        assert_int_equal(registers[0x0f], 0x100 | VECTOR_SPURIOUS);
        assert_int_equal(registers[TIMER], 0x10000);
    }
    // Another processor, whose firmware left it in xAPIC mode.
    base = PAGE_ADDRESS | ENABLED;
    apic_cpu_init();
    assert_int_equal(base & MODES, MODES);
}

static void ids_and_commands_have_32_bits_in_x2apic_mode(void **state)
{
    (void)state;
    start(true, true, ENABLED);
    registers[ID] = 0xfedc1234;
    assert_int_equal(apic_read_id(), 0xfedc1234);
    apic_send_ipi(1, 0x9c);
    assert_int_equal(registers[ICR], 0x12345UL << 32 | 0x409c);
    apic_send_nmi(1);
    assert_int_equal(registers[ICR], 0x12345UL << 32 | 0x4400);
    apic_send_init(0x777777);
    assert_int_equal(registers[ICR], 0x777777UL << 32 | 0x4500);
    apic_send_startup(0x777777, 0x9f);
    assert_int_equal(registers[ICR], 0x777777UL << 32 | 0x469f);
    assert_int_equal(writes[ICR], 4); // one write each
    apic_eoi();
    assert_int_equal(writes[0x0b], 1);
}

static void the_page_is_used_without_x2apic(void **state)
{
    (void)state;
    start(false, true, 0);
    assert_int_equal(base & MODES, ENABLED);
    assert_false(apic_in_x2apic_mode());
    registers[ID] = 0x12UL << 24;
    assert_int_equal(apic_read_id(), 0x12);
    pending_polls = 5; // an earlier command is on its way
    apic_send_ipi(1, 0x9c);
    assert_int_equal(registers[ICR_HIGH], 0x12UL << 24);
    assert_int_equal(registers[ICR], 0x409c);
    assert_true(last_write[ICR_HIGH] < last_write[ICR]);
    apic_eoi();
    assert_int_equal(writes[0x0b], 1);
}

static void deadlines_are_set_in_the_counters_terms(void **state)
{
    (void)state;
    start(true, true, ENABLED);
    apic_timer_init();
    apic_timer_cpu_init();
    assert_int_equal(registers[TIMER], 0x40000 | VECTOR_TIMER);
    arch_timer_program(1000);
    assert_int_equal(deadline, 3000);
    arch_timer_program(TIMER_NONE);
    assert_int_equal(deadline, 0); // disarmed
    handlers[VECTOR_TIMER](VECTOR_TIMER);
    assert_int_equal(own.work, CPU_WORK_TIMER);
    assert_int_equal(writes[0x0b], 1);
    handlers[VECTOR_SPURIOUS](VECTOR_SPURIOUS);
    assert_int_equal(writes[0x0b], 1); // is not in service
    handlers[VECTOR_ERROR](VECTOR_ERROR);
    assert_int_equal(writes[0x0b], 2);
}

static void the_one_shot_timer_is_never_set_to_nothing(void **state)
{
    (void)state;
    start(true, false, ENABLED);
    apic_timer_init();
    apic_timer_cpu_init();
    assert_int_equal(registers[TIMER], VECTOR_TIMER);
    time_now = 5000;
    arch_timer_program(5000 + 1000000);
    assert_int_equal(registers[INITIAL], 100001); // 1 ms at 100 MHz, and not early
    arch_timer_program(1000);                     // has passed
    assert_int_equal(registers[INITIAL], 1);
    arch_timer_program(INT64_MAX / 2); // made of several waits
    assert_int_equal(registers[INITIAL], 100000001);
    arch_timer_program(TIMER_NONE);
    assert_int_equal(registers[INITIAL], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(x2apic_is_entered_the_way_it_must),
        cmocka_unit_test(ids_and_commands_have_32_bits_in_x2apic_mode),
        cmocka_unit_test(the_page_is_used_without_x2apic),
        cmocka_unit_test(deadlines_are_set_in_the_counters_terms),
        cmocka_unit_test(the_one_shot_timer_is_never_set_to_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
