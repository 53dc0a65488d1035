// SPDX-License-Identifier: Apache-2.0
// The boot CPU's way from the boot loader to the event loop, in order. What cannot work is said in
// a sentence on the console, and the machine halts: nothing here returns an error.

#include <bulkhead/acpi.h>
#include <bulkhead/boot_info.h>
#include <bulkhead/cmdline.h>
#include <bulkhead/console.h>
#include <bulkhead/cpu.h>
#include <bulkhead/debug_key.h>
#include <bulkhead/heap.h>
#include <bulkhead/iommu.h>
#include <bulkhead/page.h>
#include <bulkhead/pci.h>
#include <bulkhead/sched.h>
#include <x86/apic.h>
#include <x86/cpuid_policy.h>
#include <x86/debug.h>
#include <x86/domain.h>
#include <x86/early_memory.h>
#include <x86/features.h>
#include <x86/hvm.h>
#include <x86/interrupt.h>
#include <x86/ioapic.h>
#include <x86/irq.h>
#include <x86/layout.h>
#include <x86/paging.h>
#include <x86/registers.h>
#include <x86/smp.h>
#include <x86/time.h>

#include "boot/multiboot.h"

#define MINIMUM_RAM (256UL << 20)

extern char image_start[], bss_end[], boot_only_start[], boot_only_end[];

__attribute__((noreturn)) void x86_start(uint32_t magic, uint32_t info, uint64_t image_base);
__attribute__((noreturn)) void x86_setup(void);

struct cpu boot_cpu = {.self = &boot_cpu};

// The user's fault or the machine's, not ours: no backtrace, no restart.
static __attribute__((noreturn)) void give_up(const char *reason)
{
    log_error("%s", reason);
    log_error("Bulkhead cannot run here. Halted.");
    arch_halt_machine();
}

static uint64_t ram_size; // bytes

static void log_memory_map(void)
{
    static const char *const names[] = {
        [BOOT_REGION_RAM] = "usable",   [BOOT_REGION_RESERVED] = "reserved",
        [BOOT_REGION_ACPI] = "ACPI",    [BOOT_REGION_NVS] = "ACPI NVS",
        [BOOT_REGION_UNUSABLE] = "bad",
    };
    uint64_t ram = 0;

    log_info("Memory map:");
    for (unsigned int i = 0; i < boot_info.region_count; i++) {
        const struct boot_region *r = &boot_info.regions[i];

        log_info(" %016lx - %016lx (%s)", r->start, r->start + r->size - 1, names[r->type]);
        ram += r->type == BOOT_REGION_RAM ? r->size : 0;
    }
    for (unsigned int i = 0; i < boot_info.module_count; i++) {
        const struct boot_module *m = &boot_info.modules[i];

        log_info("Module %u: %lx, %lu bytes: %s", i, m->start.a, m->size, m->command_line);
    }
    ram_size = ram;
    log_info("RAM: %lu MiB", ram >> 20);
    if (ram < MINIMUM_RAM) {
        give_up("The machine has less than 256 MiB of memory.");
    }
}

// The memory allocators, and what the boot CPU needs of them for itself.
static void setup_memory(void)
{
    page_alloc_init(early_max_frame());
    early_memory_handover();
    page_alloc_set_total(ram_size >> PAGE_SHIFT);
    heap_init();
    paging_use_heap();
    boot_cpu.arch.stack_top = stack_create(STACK_PAGES);
    if (!boot_cpu.arch.stack_top || descriptor_tables_create(&boot_cpu) ||
        paging_cpu_init(&boot_cpu)) {
        give_up("Not enough memory.");
    }
    log_info("Memory: %lu MiB free; image at %lx", page_free_count() >> (20 - PAGE_SHIFT),
             boot_info.image_start.a);
}

// Goes on at fn with an empty stack.
static __attribute__((noreturn)) void enter_stack(void *top, void (*fn)(void))
{
    __asm__ volatile("movq %0, %%rsp; xorl %%ebp, %%ebp; call *%1"
                     :
                     : "r"(top), "r"(fn)
                     : "memory");
    __builtin_unreachable();
}

void x86_start(uint32_t magic, uint32_t info, uint64_t image_base)
{
    const char *error;

    tsc_scale.tsc_at_zero = read_tsc();
    idt_init();
    descriptor_tables_load_early(&boot_cpu);
    cpu_register(&boot_cpu);
    cpumask_set(&online_cpus, boot_cpu.id);
    error = multiboot_read(magic, info);
    boot_info.image_start = MADDR(image_base);
    boot_info.image_end = MADDR(image_base + (uintptr_t)(bss_end - image_start));
    cmdline_parse(boot_info.command_line);
    console_open();
    log_info("Bulkhead, a hypervisor for x86-64");
    if (error) {
        give_up(error);
    }
    log_info("Loader: %s", boot_info.loader_name[0] ? boot_info.loader_name : "unknown");
    log_info("Command line: %s", boot_info.command_line);
    log_memory_map();
    features_detect();
    log_info("Processor: %s %s", cpu_features.vendor, cpu_features.name);

    multiboot_search_rsdp();
    early_memory_init();
    smp_reserve_trampoline();
    paging_init(early_max_frame());
    multiboot_place_rsdp();
    features_enable();
    setup_memory();
    enter_stack(boot_cpu.arch.stack_top, x86_setup);
}

int setup_cpu(struct cpu *cpu)
{
    int error = sched_cpu_online(cpu);

    apic_timer_cpu_init();
    return error ? error : hvm_vendor_init_cpu();
}

static void setup_interrupts_and_time(void)
{
    if (apic_init()) {
        give_up("This machine has no local APIC.");
    }
    boot_cpu.arch.apic_id = apic_read_id();
    ipi_init();
    irq_init();
    // This masks the legacy interrupt controller, and must do so while its interrupt, which may be
    // pending since the firmware ran, can still be withdrawn through LINT0: apic_cpu_init masks
    // that.
    ioapic_init();
    apic_cpu_init();
    time_init();
    apic_timer_init();
    boot_info.boot_time_wallclock = rtc_read() * 1000000000L - now();
}

void x86_setup(void)
{
    descriptor_tables_load(&boot_cpu);
    if (acpi_init(boot_info.rsdp)) {
        log_warning("ACPI: no tables: only one processor is used");
    }
    setup_interrupts_and_time();
    debug_keys_init();
    dump_init();
    if (sched_init() || setup_cpu(&boot_cpu)) {
        give_up("Domains cannot run on this machine.");
    }
    cpuid_policy_init(); // knows the extended state only now
    smp_init();
    if (pci_init() || iommu_init()) {
        give_up("Devices cannot be given to domains safely on this machine.");
    }
    console_use_interrupts();
    domain0_build();
    paging_release_image(boot_only_start, boot_only_end);
    cpu_loop();
}
