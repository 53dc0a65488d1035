// SPDX-License-Identifier: Apache-2.0
// Device interrupt vectors. Each CPU has a table from vector to irq, made when the first interrupt
// goes there. irq_lock covers allocation; the tables are read without it by irq_interrupt: a CPU
// announces in serving[] which irq it is about to call and looks at the table again, and
// irq_destroy, after clearing the table, waits until no CPU announces the irq any more. So a
// handler never runs with freed data. Allocation failures leave nothing behind.
#include <x86/irq.h>

#include <bulkhead/console.h>
#include <bulkhead/cpu.h>
#include <bulkhead/debug_key.h>
#include <bulkhead/heap.h>
#include <bulkhead/spinlock.h>
#include <xen/errno.h>
#include <x86/apic.h>
#include <x86/interrupt.h>
#include <x86/vectors.h>

#define VECTORS (VECTOR_DEVICE_LAST - VECTOR_DEVICE_FIRST + 1)
#define PRIORITY_CLASS 16u // vectors that differ only in the low four bits
#define NARROW_APIC_IDS 255u
#define UNEXPECTED_TOLD 8u // messages about unexpected vectors, then one in each 2^16

struct place {
    unsigned int cpu;
    uint8_t vector; // 0: none
};

struct irq {
    void (*handler)(void *data);
    void *data;
    void (*reprogram)(struct irq *irq, void *data);
    struct place place;
    struct place previous; // where interrupts under way may still arrive
    uint64_t count;
};

struct vector_table {
    struct irq *irqs[VECTORS]; // atomic
    unsigned int used;
};

static struct spinlock irq_lock = SPINLOCK_INIT;
static struct vector_table *tables[MAX_CPUS]; // NULL: no interrupt has gone there yet
static struct irq *serving[MAX_CPUS];         // atomic
static bool wide_destinations;
static uint64_t unexpected_count;

static bool reachable(unsigned int cpu)
{
    return wide_destinations || cpus[cpu]->arch.apic_id < NARROW_APIC_IDS;
}

// The reachable online CPU with the fewest interrupts; MAX_CPUS if there is none.
static unsigned int choose_cpu(void)
{
    unsigned int best = MAX_CPUS, best_used = VECTORS, cpu;

    for_each_cpu (cpu, &online_cpus) {
        unsigned int used = tables[cpu] ? tables[cpu]->used : 0;

        if (used < best_used && reachable(cpu)) {
            best = cpu;
            best_used = used;
        }
    }
    return best;
}

// Takes a free vector of the CPU. Neighbours in time get different priority classes, so that no
// class is filled while others are empty. 0, -XEN_ENOMEM, -XEN_ENOSPC.
static int take_place(unsigned int cpu, struct irq *irq, struct place *place)
{
    struct vector_table *table = tables[cpu];

    if (!table) {
        table = heap_new(struct vector_table);
        if (!table) {
            return -XEN_ENOMEM;
        }
        __atomic_store_n(&tables[cpu], table, __ATOMIC_RELEASE);
    }
    for (unsigned int i = 0; i < VECTORS; i++) {
        unsigned int classes = VECTORS / PRIORITY_CLASS;
        unsigned int slot = i % classes * PRIORITY_CLASS + i / classes;

        if (!table->irqs[slot]) {
            __atomic_store_n(&table->irqs[slot], irq, __ATOMIC_SEQ_CST);
            table->used++;
            *place = (struct place){.cpu = cpu, .vector = (uint8_t)(VECTOR_DEVICE_FIRST + slot)};
            return 0;
        }
    }
    return -XEN_ENOSPC;
}

static void give_place(struct place *place)
{
    if (place->vector) {
        struct vector_table *table = tables[place->cpu];

        __atomic_store_n(&table->irqs[place->vector - VECTOR_DEVICE_FIRST], NULL, __ATOMIC_SEQ_CST);
        table->used--;
        place->vector = 0;
    }
}

struct irq *irq_create(void (*handler)(void *data), void *data)
{
    struct irq *irq = heap_new(struct irq);
    unsigned int cpu;
    int error = -XEN_ENOSPC;

    if (!irq) {
        return NULL;
    }
    irq->handler = handler;
    irq->data = data;
    spin_lock(&irq_lock);
    cpu = choose_cpu();
    if (cpu < MAX_CPUS) {
        error = take_place(cpu, irq, &irq->place);
    }
    spin_unlock(&irq_lock);
    if (error) {
        heap_free(irq);
        return NULL;
    }
    return irq;
}

void irq_destroy(struct irq *irq)
{
    unsigned int cpu;

    spin_lock(&irq_lock);
    give_place(&irq->place);
    give_place(&irq->previous);
    spin_unlock(&irq_lock);
    for_each_cpu (cpu, &online_cpus) {
        while (__atomic_load_n(&serving[cpu], __ATOMIC_SEQ_CST) == irq) {
            arch_spin_wait();
        }
    }
    heap_free(irq);
}

uint8_t irq_vector(const struct irq *irq)
{
    return irq->place.vector;
}

unsigned int irq_cpu(const struct irq *irq)
{
    return irq->place.cpu;
}

uint32_t irq_destination_apic_id(const struct irq *irq)
{
    return cpus[irq->place.cpu]->arch.apic_id;
}

void irq_set_reprogram(struct irq *irq, void (*reprogram)(struct irq *irq, void *data))
{
    irq->reprogram = reprogram;
}

int irq_set_affinity(struct irq *irq, unsigned int cpu)
{
    struct place place;
    int error;

    if (!irq->reprogram || !cpumask_test(&online_cpus, cpu) || !reachable(cpu)) {
        return -XEN_EINVAL;
    }
    if (cpu == irq->place.cpu) {
        return 0;
    }
    spin_lock(&irq_lock);
    error = take_place(cpu, irq, &place);
    if (!error) {
        give_place(&irq->previous);
        irq->previous = irq->place;
        irq->place = place;
    }
    spin_unlock(&irq_lock);
    if (!error) {
        irq->reprogram(irq, irq->data);
    }
    return error;
}

void irq_allow_wide_destinations(void)
{
    wide_destinations = true;
}

static void report_unexpected(uint8_t vector)
{
    uint64_t count = __atomic_add_fetch(&unexpected_count, 1, __ATOMIC_RELAXED);

    if (count <= UNEXPECTED_TOLD || count % (1u << 16) == 0) {
        log_warning("CPU%u: unexpected interrupt, vector 0x%02x (%llu so far)", this_cpu()->id,
                    vector, (unsigned long long)count);
    }
}

void irq_interrupt(uint8_t vector)
{
    unsigned int cpu = this_cpu()->id;
    struct vector_table *table = __atomic_load_n(&tables[cpu], __ATOMIC_ACQUIRE);
    struct irq **slot = table ? &table->irqs[vector - VECTOR_DEVICE_FIRST] : NULL;
    struct irq *irq = slot ? __atomic_load_n(slot, __ATOMIC_SEQ_CST) : NULL;

    if (irq) {
        // Announced before the second look: irq_destroy, which clears the slot first, either is
        // seen here or sees the announcement.
        __atomic_store_n(&serving[cpu], irq, __ATOMIC_SEQ_CST);
        if (__atomic_load_n(slot, __ATOMIC_SEQ_CST) == irq) {
            irq->count++;
            irq->handler(irq->data);
        }
        __atomic_store_n(&serving[cpu], NULL, __ATOMIC_RELEASE);
    } else {
        report_unexpected(vector);
    }
    apic_eoi();
}

static void dump(void)
{
    unsigned int cpu;

    spin_lock(&irq_lock);
    for_each_cpu (cpu, &online_cpus) {
        for (unsigned int i = 0; tables[cpu] && i < VECTORS; i++) {
            const struct irq *irq = tables[cpu]->irqs[i];

            if (irq) {
                log_info("CPU%u vector 0x%02x: %llu interrupts%s", cpu, VECTOR_DEVICE_FIRST + i,
                         (unsigned long long)irq->count,
                         irq->place.cpu == cpu ? "" : " (moved away)");
            }
        }
    }
    spin_unlock(&irq_lock);
    log_info("unexpected interrupts: %llu", (unsigned long long)unexpected_count);
}

void irq_init(void)
{
    for (unsigned int vector = VECTOR_DEVICE_FIRST; vector <= VECTOR_DEVICE_LAST; vector++) {
        idt_set_handler((uint8_t)vector, irq_interrupt);
    }
    debug_key_register('i', "show device interrupts", dump);
}
