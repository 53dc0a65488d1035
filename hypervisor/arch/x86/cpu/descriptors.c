// SPDX-License-Identifier: Apache-2.0
// Segment descriptors, task state segments with their exception stacks, and the interrupt
// descriptor table. Each CPU has its own GDT and TSS; the IDT is one for all, written by the boot
// CPU. Stacks lie in the lasting window with an unmapped page below each, so that an overflow
// becomes a double fault, which has a stack of its own.

#include <bulkhead/arch/mm.h>
#include <bulkhead/console.h>
#include <bulkhead/cpu.h>
#include <bulkhead/heap.h>
#include <bulkhead/page.h>
#include <xen/errno.h>
#include <x86/interrupt.h>
#include <x86/layout.h>
#include <x86/paging.h>
#include <x86/registers.h>
#include <x86/vectors.h>

#define GDT_CODE 0x00af9b000000ffffUL // 64-bit code, accessed
#define GDT_DATA 0x00cf93000000ffffUL

#define EXCEPTION_STACK_PAGES 2u

enum exception_stack { STACK_NMI, STACK_DOUBLE_FAULT, STACK_MACHINE_CHECK, STACK_COUNT };

struct task_state {
    uint32_t reserved0;
    uint64_t rsp[3];
    uint64_t reserved1;
    uint64_t ist[7];
    uint64_t reserved2;
    uint16_t reserved3, io_map;
} __attribute__((packed));

struct cpu_tables {
    uint64_t gdt[5];
    struct task_state tss;
};

struct gate {
    uint16_t offset_low, selector;
    uint8_t ist, type;
    uint16_t offset_middle;
    uint32_t offset_high, reserved;
};

struct table_pointer {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));

#define GATE_INTERRUPT 0x8e // present, ring 0, 64-bit interrupt gate

static struct gate idt[256] __attribute__((aligned(4096)));
static struct cpu_tables boot_tables;

void idt_init(void)
{
    for (unsigned int vector = 0; vector < ARRAY_SIZE(idt); vector++) {
        uintptr_t entry = (uintptr_t)interrupt_entry_table + 16 * vector;

        idt[vector] = (struct gate){
            .offset_low = (uint16_t)entry,
            .selector = SELECTOR_CODE,
            .type = GATE_INTERRUPT,
            .offset_middle = (uint16_t)(entry >> 16),
            .offset_high = (uint32_t)(entry >> 32),
        };
    }
}

static void load_gdt(struct cpu_tables *tables)
{
    struct table_pointer pointer = {sizeof(tables->gdt) - 1, (uintptr_t)tables->gdt};

    __asm__ volatile("lgdt %0\n\t"
                     "pushq %1\n\t"
                     "leaq 1f(%%rip), %%rax\n\t"
                     "pushq %%rax\n\t"
                     "lretq\n"
                     "1:\n\t"
                     "movl %2, %%ds\n\t"
                     "movl %2, %%es\n\t"
                     "movl %2, %%ss\n\t"
                     :
                     : "m"(pointer), "i"(SELECTOR_CODE), "r"(SELECTOR_DATA)
                     : "rax", "memory");
}

static void load_idt(void)
{
    struct table_pointer pointer = {sizeof(idt) - 1, (uintptr_t)idt};

    __asm__ volatile("lidt %0" : : "m"(pointer));
}

static void set_gs_base(struct cpu *cpu)
{
    // Loading a selector clears the base, so the selectors come first, here and for FS.
    __asm__ volatile("movl %0, %%fs; movl %0, %%gs" : : "r"(0));
    write_msr(MSR_GS_BASE, (uintptr_t)cpu);
}

static void fill_gdt(struct cpu_tables *tables)
{
    uint64_t base = (uintptr_t)&tables->tss;
    uint64_t limit = sizeof(tables->tss) - 1;

    tables->gdt[SELECTOR_CODE / 8] = GDT_CODE;
    tables->gdt[SELECTOR_DATA / 8] = GDT_DATA;
    // An available 64-bit task state segment.
    tables->gdt[SELECTOR_TSS / 8] =
        limit | (base & 0xffffff) << 16 | 0x89UL << 40 | (base >> 24 & 0xff) << 56;
    tables->gdt[SELECTOR_TSS / 8 + 1] = base >> 32;
    tables->tss.io_map = sizeof(tables->tss);
}

void descriptor_tables_load_early(struct cpu *cpu)
{
    cpu->arch.tables = &boot_tables;
    fill_gdt(&boot_tables);
    load_gdt(&boot_tables);
    set_gs_base(cpu);
    load_idt();
}

void *stack_create(size_t pages)
{
    uintptr_t va = hv_reserve(pages + 1);

    if (!va) {
        return NULL;
    }
    for (size_t i = 1; i <= pages; i++) {
        void *page = heap_alloc_pages(0, 0);

        if (!page || hv_map(va + i * PAGE_SIZE, heap_maddr(page), 1, HV_READ | HV_WRITE)) {
            return NULL; // start-up of a CPU fails: the machine is short of memory from the start
        }
    }
    return (void *)(va + (pages + 1) * PAGE_SIZE);
}

int descriptor_tables_create(struct cpu *cpu)
{
    struct cpu_tables *tables = cpu->arch.tables;

    if (!tables) {
        tables = heap_new(struct cpu_tables);
        if (!tables) {
            return -XEN_ENOMEM;
        }
        cpu->arch.tables = tables;
        fill_gdt(tables);
    }
    for (unsigned int i = 0; i < STACK_COUNT; i++) {
        void *top = stack_create(EXCEPTION_STACK_PAGES);

        if (!top) {
            return -XEN_ENOMEM;
        }
        tables->tss.ist[i] = (uintptr_t)top;
    }
    return 0;
}

void descriptor_tables_load(struct cpu *cpu)
{
    load_gdt(cpu->arch.tables);
    set_gs_base(cpu);
    load_idt();
    __asm__ volatile("ltr %w0" : : "r"(SELECTOR_TSS));
    // Harmless to repeat: every CPU writes the same.
    idt[EXCEPTION_NMI].ist = STACK_NMI + 1;
    idt[EXCEPTION_DOUBLE_FAULT].ist = STACK_DOUBLE_FAULT + 1;
    idt[EXCEPTION_MACHINE_CHECK].ist = STACK_MACHINE_CHECK + 1;
}
