// SPDX-License-Identifier: Apache-2.0
// The simulated machine, and stubs of what else the code under test calls.
#include "machine.h"

#include <stdlib.h>
#include <string.h>

#include <bulkhead/acpi.h>
#include <bulkhead/console.h>
#include <bulkhead/debug_key.h>
#include <bulkhead/cpu.h>
#include <bulkhead/heap.h>
#include <x86/apic.h>
#include <x86/hvm.h>
#include <x86/interrupt.h>
#include <x86/io_port.h>
#include <x86/ioapic.h>
#include <x86/irq.h>
#include <x86/paging.h>

#define MAX_TIMERS 256u

struct acpi_info acpi_info;
struct cpu *test_cpu;
struct cpu *cpus[MAX_CPUS];
struct cpumask online_cpus;
unsigned int machine_eois, machine_timer_slots, kicks, heap_blocks, log_lines;
unsigned int heap_allowed = ~0u;
void (*debug_keys[128])(void);
struct domain *domain0;
bool machine_interrupts_off;
ns_t machine_time;
struct signals signals[DOMAIN_MAX_VCPUS];

static struct cpu cpu_storage[MACHINE_CPUS];
static void (*vector_handlers[256])(uint8_t vector);

// I/O APICs.
static struct chip {
    uint8_t registers[0x44]; // its address stands for the device
    uint8_t version, index;
    uint64_t entries[MACHINE_PINS];
    bool line[MACHINE_PINS], edge[MACHINE_PINS];
} chips[2];
static int served_vector; // by the local APIC; -1: none

static void write_half(uint64_t *entry, bool high, uint32_t value)
{
    if (high) {
        *entry = (*entry & 0xffffffffull) | (uint64_t)value << 32;
    } else {
        *entry = (*entry & ~0xffffafffull) | (value & ~0x5000u);
        *entry &= value & 0x8000 ? ~0ull : ~0x4000ull;
    }
}

static void end_of_interrupt(struct chip *chip, uint8_t vector)
{
    for (unsigned int pin = 0; pin < MACHINE_PINS; pin++) {
        if ((uint8_t)chip->entries[pin] == vector && (chip->entries[pin] & 0x8000)) {
            chip->entries[pin] &= ~0x4000ull;
        }
    }
}

// Sends one interrupt that is due; false when there is none.
static bool send_one(void)
{
    for (unsigned int i = 0; i < MACHINE_LINES; i++) {
        struct chip *chip = &chips[i / MACHINE_PINS];
        unsigned int pin = i % MACHINE_PINS;
        uint64_t *entry = &chip->entries[pin];
        bool level = *entry & 0x8000;

        if ((*entry & 0x10000) ||
            (level ? !chip->line[pin] || (*entry & 0x4000) : !chip->edge[pin])) {
            continue;
        }
        chip->edge[pin] = false;
        *entry |= level ? 0x4000 : 0;
        served_vector = (uint8_t)*entry;
        for (unsigned int cpu = 0; cpu < MACHINE_CPUS; cpu++) {
            if (cpu_storage[cpu].arch.apic_id == *entry >> 56) {
                test_cpu = &cpu_storage[cpu];
                vector_handlers[served_vector]((uint8_t)served_vector);
            }
        }
        test_cpu = &cpu_storage[0];
        return true;
    }
    return false;
}

static void let_interrupts_in(void)
{
    unsigned int count = 0;

    while (!machine_interrupts_off && send_one()) {
        if (++count > 1000) {
            abort(); // a storm
        }
    }
}

void machine_line(uint32_t gsi, bool up)
{
    struct chip *chip = &chips[gsi / MACHINE_PINS];
    unsigned int pin = gsi % MACHINE_PINS;

    if (up && !chip->line[pin] && !(chip->entries[pin] & 0x10000)) {
        chip->edge[pin] = true;
    }
    chip->line[pin] = up;
    let_interrupts_in();
}

void machine_pulse(uint32_t gsi)
{
    machine_line(gsi, true);
    machine_line(gsi, false);
}

uint64_t machine_entry(uint32_t gsi)
{
    return chips[gsi / MACHINE_PINS].entries[gsi % MACHINE_PINS];
}

static struct chip *chip_of(const volatile void *address, size_t *offset)
{
    for (unsigned int i = 0; i < 2; i++) {
        *offset = (size_t)((const volatile uint8_t *)address - chips[i].registers);
        if (*offset < sizeof(chips[i].registers)) {
            return &chips[i];
        }
    }
    abort();
}

uint32_t mmio_read32(const volatile void *address)
{
    size_t offset;
    struct chip *chip = chip_of(address, &offset);

    if (offset == 0x10 && chip->index == 1) {
        return chip->version | (MACHINE_PINS - 1) << 16;
    }
    if (offset == 0x10 && chip->index >= 0x10) {
        return (uint32_t)(chip->entries[(chip->index - 0x10) / 2] >> chip->index % 2 * 32);
    }
    return 0;
}

void mmio_write32(volatile void *address, uint32_t value)
{
    size_t offset;
    struct chip *chip = chip_of(address, &offset);

    if (offset == 0) {
        chip->index = (uint8_t)value;
    } else if (offset == 0x10 && chip->index >= 0x10) {
        write_half(&chip->entries[(chip->index - 0x10) / 2], chip->index % 2, value);
    } else if (offset == 0x40 && chip->version >= 0x20) {
        end_of_interrupt(chip, (uint8_t)value);
    }
}

void *hv_ioremap(maddr_t pa, size_t size)
{
    (void)size;
    return chips[pa.a == 0xfec00000 ? 0 : 1].registers;
}

void hv_iounmap(void *p, size_t size)
{
    (void)p;
    (void)size;
}

void apic_eoi(void)
{
    machine_eois++;
    end_of_interrupt(&chips[0], (uint8_t)served_vector);
    end_of_interrupt(&chips[1], (uint8_t)served_vector);
}

void idt_set_handler(uint8_t vector, void (*handler)(uint8_t vector))
{
    vector_handlers[vector] = handler;
}

void acpi_isa_irq_to_gsi(uint16_t irq, uint32_t *gsi, bool *level, bool *active_low)
{
    *gsi = irq ? irq : 2;
    *level = *active_low = false;
}

void machine_reset(uint8_t ioapic_version)
{
    cpumask_clear(&online_cpus);
    for (unsigned int i = 0; i < MACHINE_CPUS; i++) {
        cpu_storage[i].id = i;
        cpu_storage[i].arch.apic_id = i * 4;
        cpus[i] = &cpu_storage[i];
        cpumask_set(&online_cpus, i);
    }
    test_cpu = &cpu_storage[0];
    served_vector = -1;
    machine_eois = 0;
    machine_interrupts_off = false;
    memset(chips, 0, sizeof(chips));
    memset(signals, 0, sizeof(signals));
    for (unsigned int i = 0; i < MACHINE_LINES; i++) {
        chips[i / MACHINE_PINS].entries[i % MACHINE_PINS] = 0x10000;
        chips[i / MACHINE_PINS].version = ioapic_version;
    }
    acpi_info.io_apic_count = 2;
    acpi_info.io_apics[0] = (struct acpi_io_apic){.id = 0, .address = 0xfec00000};
    acpi_info.io_apics[1] = (struct acpi_io_apic){1, 0xfec01000, MACHINE_PINS};
    irq_init();
    if (ioapic_count() == 0) {
        ioapic_init();
    }
}

void machine_end(void)
{
    for (unsigned int gsi = 0; gsi < MACHINE_LINES; gsi++) {
        ioapic_unbind(gsi);
    }
}

// Timers.
static struct timer *timers[MAX_TIMERS];

static struct timer **find_timer(const struct timer *t)
{
    for (unsigned int i = 0; i < MAX_TIMERS; i++) {
        if (timers[i] == t) {
            return &timers[i];
        }
    }
    abort();
}

ns_t now(void)
{
    return machine_time;
}

void timer_init(struct timer *t, unsigned int cpu, void (*fire)(void *data), void *data)
{
    *t = (struct timer){.cpu = cpu, .fire = fire, .data = data};
}

int timer_reserve(unsigned int count)
{
    machine_timer_slots += count;
    return 0;
}

void timer_unreserve(unsigned int count)
{
    machine_timer_slots -= count;
}

void timer_set(struct timer *t, ns_t expires)
{
    timer_stop(t);
    t->expires = expires;
    t->heap_index = 1;
    *find_timer(NULL) = t;
}

void timer_stop(struct timer *t)
{
    if (t->heap_index) {
        *find_timer(t) = NULL;
        t->heap_index = 0;
    }
}

void timer_kill(struct timer *t)
{
    timer_stop(t);
}

void timer_migrate(struct timer *t, unsigned int cpu)
{
    t->cpu = cpu;
}

unsigned int machine_timers(void)
{
    unsigned int count = 0;

    for (unsigned int i = 0; i < MAX_TIMERS; i++) {
        count += timers[i] != NULL;
    }
    return count;
}

void machine_run_until(ns_t time)
{
    for (;;) {
        struct timer *first = NULL;

        for (unsigned int i = 0; i < MAX_TIMERS; i++) {
            if (timers[i] && timers[i]->expires <= time &&
                (!first || timers[i]->expires < first->expires)) {
                first = timers[i];
            }
        }
        if (!first) {
            break;
        }
        machine_time = MAX(machine_time, first->expires);
        timer_stop(first);
        first->fire(first->data);
    }
    machine_time = time;
}

// Domains.
static struct list io_handlers = {&io_handlers, &io_handlers};

void io_handler_add(struct domain *d, struct io_handler *handler)
{
    (void)d;
    list_add_tail(&io_handlers, &handler->link);
}

void io_handler_remove(struct io_handler *handler)
{
    list_remove(&handler->link);
}

static struct io_handler *handler_at(uint64_t address)
{
    struct io_handler *handler;

    list_for_each (handler, &io_handlers, link) {
        if (address >= handler->start && address - handler->start < handler->size) {
            return handler;
        }
    }
    abort();
}

uint64_t machine_read(struct vcpu *v, uint64_t address, unsigned int size)
{
    struct io_handler *handler = handler_at(address);
    uint64_t value = 0xdeadbeef;

    handler->read(v, handler->opaque, address, size, &value);
    return size < 8 ? value & ((1ull << size * 8) - 1) : value;
}

void machine_write(struct vcpu *v, uint64_t address, unsigned int size, uint64_t value)
{
    struct io_handler *handler = handler_at(address);

    handler->write(v, handler->opaque, address, size, value);
    let_interrupts_in();
}

__attribute__((weak)) void machine_prepare_vcpu(struct vcpu *v)
{
    (void)v;
}

__attribute__((weak)) void hvm_vendor_set_task_priority(struct vcpu *v, uint8_t cr8)
{
    signals[v->id].cr8 = cr8;
}

struct domain *machine_domain(unsigned int vcpus)
{
    struct domain *d = calloc(1, sizeof(*d));

    d->max_vcpus = vcpus;
    d->vcpus = calloc(vcpus, sizeof(*d->vcpus));
    for (unsigned int i = 0; i < vcpus; i++) {
        struct vcpu *v = calloc(1, sizeof(*v));

        v->id = i;
        v->domain = d;
        machine_prepare_vcpu(v);
        if (vlapic_create(v)) {
            abort();
        }
        d->vcpus[i] = v;
    }
    return d;
}

void machine_domain_free(struct domain *d)
{
    for (unsigned int i = 0; i < d->max_vcpus; i++) {
        vlapic_destroy(d->vcpus[i]);
        free(d->vcpus[i]);
    }
    free(d->vcpus);
    free(d);
}

int machine_inject(struct vcpu *v)
{
    int vector = vlapic_pending_vector(v);

    if (vector >= 0) {
        vlapic_accept(v, (uint8_t)vector);
    }
    return vector;
}

void vcpu_kick(struct vcpu *v)
{
    (void)v;
    __atomic_fetch_add(&kicks, 1, __ATOMIC_RELAXED);
}

void hvm_vcpu_init_signal(struct vcpu *v)
{
    signals[v->id].inits++;
}

void hvm_vcpu_start(struct vcpu *v, uint8_t sipi_vector)
{
    signals[v->id].starts++;
    signals[v->id].start_vector = sipi_vector;
}

void hvm_vcpu_nmi(struct vcpu *v)
{
    signals[v->id].nmis++;
}

// The guest's TSC runs at 2 GHz.
uint64_t hvm_guest_tsc(struct vcpu *v)
{
    (void)v;
    return (uint64_t)machine_time * 2;
}

ns_t hvm_tsc_to_time(struct vcpu *v, uint64_t guest_tsc)
{
    (void)v;
    return (ns_t)(guest_tsc / 2);
}

void debug_key_register(char key, const char *description, void (*fn)(void))
{
    (void)description;
    debug_keys[(unsigned char)key] = fn;
}

void arch_spin_wait(void)
{
    abort(); // one thread: whatever waits waits for ever
}

void *heap_alloc(size_t size)
{
    if (heap_allowed == 0) {
        return NULL;
    }
    heap_allowed -= heap_allowed != ~0u;
    heap_blocks++;
    return calloc(1, size);
}

void *heap_alloc_array(size_t n, size_t size)
{
    return heap_alloc(n * size);
}

void heap_free(void *p)
{
    heap_blocks -= p != NULL;
    free(p);
}

void log_message(enum log_level level, const char *format, ...)
{
    (void)level;
    (void)format;
    log_lines++;
}
