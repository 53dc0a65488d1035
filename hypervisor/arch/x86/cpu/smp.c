// SPDX-License-Identifier: Apache-2.0
// Brings up the CPUs that ACPI lists, one after the other (Intel MultiProcessor Specification,
// B.4). The boot CPU makes everything the new one needs, sends INIT and STARTUP, and waits a
// bounded time for it; `arrived` is how the new one answers. One that does not come is reset again,
// so that it cannot wake up later, and its number is given to the next. Its memory stays lost.

#include <bulkhead/acpi.h>
#include <bulkhead/cmdline.h>
#include <bulkhead/console.h>
#include <bulkhead/cpu.h>
#include <bulkhead/heap.h>
#include <bulkhead/string.h>
#include <xen/errno.h>
#include <x86/apic.h>
#include <x86/early_memory.h>
#include <x86/features.h>
#include <x86/interrupt.h>
#include <x86/layout.h>
#include <x86/paging.h>
#include <x86/registers.h>
#include <x86/smp.h>
#include <x86/time.h>

#define TRAMPOLINE_LIMIT 0xa0000 // below the video memory
#define XAPIC_BROADCAST 0xff
#define FIRST_WAIT 20000000L // ns, until STARTUP is repeated
#define SECOND_WAIT 1000000000L

enum arrival { ARRIVAL_NONE, ARRIVAL_ONLINE, ARRIVAL_UNFIT };

struct trampoline_parameters {
    uint64_t root;
    uint64_t stack;
    uint64_t cpu;
};

extern const char trampoline_start[], trampoline_end[], trampoline_parameters[];

__attribute__((noreturn)) void x86_start_other(struct cpu *cpu);

static uint64_t trampoline;
static unsigned int max_cpus = MAX_CPUS;
static enum arrival arrived;

// Tells the boot CPU that this one cannot take part, and waits to be reset.
static __attribute__((noreturn)) void stay_out(void)
{
    __atomic_store_n(&arrived, ARRIVAL_UNFIT, __ATOMIC_RELEASE);
    for (;;) {
        __asm__ volatile("cli; hlt");
    }
}

static int parse_maxcpus(const char *value)
{
    const char *end;
    uint64_t n = string_to_number(value, &end, 0);

    if (end == value || *end || n == 0) {
        return -XEN_EINVAL;
    }
    max_cpus = (unsigned int)MIN(n, (uint64_t)MAX_CPUS);
    return 0;
}

CMDLINE_OPTION(maxcpus, .name = "maxcpus", .parse = parse_maxcpus);

void smp_reserve_trampoline(void)
{
    trampoline = early_take(PAGE_SIZE, PAGE_SIZE, TRAMPOLINE_LIMIT);
}

// The new CPU's first C code, on its own stack, with the hypervisor's page tables.
void x86_start_other(struct cpu *cpu)
{
    descriptor_tables_load(cpu);
    if (!features_match()) {
        stay_out();
    }
    features_enable();
    apic_cpu_init();
    if (setup_cpu(cpu)) {
        stay_out();
    }
    cpumask_set(&online_cpus, cpu->id);
    // Flushes of the TLB have not been addressed to this CPU up to now.
    write_cr3(read_cr3());
    __atomic_store_n(&arrived, ARRIVAL_ONLINE, __ATOMIC_RELEASE);
    cpu_loop();
}

static struct cpu *prepare_cpu(unsigned int id, const struct acpi_cpu *acpi)
{
    struct cpu *cpu = heap_new(struct cpu);

    if (!cpu) {
        return NULL;
    }
    cpu->self = cpu;
    cpu->id = id;
    cpu->arch.apic_id = acpi->apic_id;
    cpu->arch.acpi_id = acpi->acpi_id;
    cpu->arch.stack_top = stack_create(STACK_PAGES);
    if (!cpu->arch.stack_top || descriptor_tables_create(cpu) || paging_cpu_init(cpu) ||
        cpu_register(cpu)) {
        return NULL;
    }
    return cpu;
}

static bool fill_trampoline(const struct cpu *cpu)
{
    struct trampoline_parameters parameters = {
        .root = paging_root().a,
        .stack = (uintptr_t)cpu->arch.stack_top,
        .cpu = (uintptr_t)cpu,
    };
    uint8_t *page = hv_ioremap_prot(MADDR(trampoline), PAGE_SIZE, HV_READ | HV_WRITE);

    if (!page) {
        return false;
    }
    memcpy(page, trampoline_start, (size_t)(trampoline_end - trampoline_start));
    memcpy(page + (trampoline_parameters - trampoline_start), &parameters, sizeof(parameters));
    hv_iounmap(page, PAGE_SIZE);
    return true;
}

// Waits until the CPU has said something; serves its cross-CPU calls meanwhile.
static enum arrival wait_for_arrival(ns_t duration)
{
    ns_t end = now() + duration;
    enum arrival state;

    do {
        arch_spin_wait();
        state = __atomic_load_n(&arrived, __ATOMIC_ACQUIRE);
    } while (state == ARRIVAL_NONE && now() < end);
    return state;
}

static bool start_cpu(struct cpu *cpu)
{
    uint32_t apic_id = cpu->arch.apic_id;
    enum arrival state;

    if (!fill_trampoline(cpu)) {
        return false;
    }
    __atomic_store_n(&arrived, ARRIVAL_NONE, __ATOMIC_RELEASE);
    apic_send_init(apic_id);
    time_delay(10000);
    apic_send_startup(apic_id, (uint8_t)(trampoline >> PAGE_SHIFT));
    state = wait_for_arrival(FIRST_WAIT);
    if (state == ARRIVAL_NONE) {
        apic_send_startup(apic_id, (uint8_t)(trampoline >> PAGE_SHIFT));
        state = wait_for_arrival(SECOND_WAIT);
    }
    if (state == ARRIVAL_ONLINE) {
        return true;
    }
    apic_send_init(apic_id);
    if (state == ARRIVAL_UNFIT) {
        log_warning(
            "Processor with APIC id %u differs from the first one or is short of memory: not used",
            apic_id);
    } else {
        log_warning("Processor with APIC id %u did not start: not used", apic_id);
    }
    return false;
}

void smp_init(void)
{
    unsigned int count = 1;

    if (!trampoline) {
        log_warning("No memory below 1 MiB: other processors cannot be started");
        return;
    }
    // One to one: the new CPU turns paging on there.
    if (hv_map(trampoline, MADDR(trampoline), 1, HV_READ | HV_EXEC)) {
        log_warning("No memory to start other processors");
        return;
    }
    for (unsigned int i = 0; i < acpi_info.cpu_count && count < max_cpus; i++) {
        const struct acpi_cpu *acpi = &acpi_info.cpus[i];
        struct cpu *cpu;

        if (!acpi->enabled || acpi->apic_id == boot_cpu.arch.apic_id) {
            continue;
        }
        if (acpi->apic_id >= XAPIC_BROADCAST && !apic_in_x2apic_mode()) {
            log_warning("Processor with APIC id %u needs x2APIC: not used", acpi->apic_id);
            continue;
        }
        cpu = prepare_cpu(count, acpi);
        if (!cpu) {
            log_warning("Not enough memory for processor with APIC id %u", acpi->apic_id);
            break;
        }
        if (start_cpu(cpu)) {
            count++;
        } else {
            cpus[count] = NULL;
        }
    }
    hv_unmap(trampoline, 1);
    log_info("%u processors", count);
}
