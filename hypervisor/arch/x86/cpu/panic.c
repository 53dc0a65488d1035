// SPDX-License-Identifier: Apache-2.0
// The end of the machine: by a broken invariant, a fatal exception, or on purpose. The first CPU
// to get here reports for all; others that fail meanwhile stop in silence. While a dump goes on,
// dump_target names the CPU whose turn it is; each wait for another CPU is bounded, since it may
// be dead.

#include <bulkhead/cmdline.h>
#include <bulkhead/console.h>
#include <bulkhead/cpu.h>
#include <bulkhead/debug_key.h>
#include <bulkhead/domain.h>
#include <bulkhead/format.h>
#include <x86/apic.h>
#include <x86/debug.h>
#include <x86/interrupt.h>
#include <x86/registers.h>

#define NO_CPU MAX_CPUS
#define DUMP_POLLS 200000000u
#define STOP_POLLS 10000000u

static unsigned int dying_cpu = NO_CPU;
static unsigned int dump_target = NO_CPU;
static bool stopping;
static struct cpumask stopped_cpus;
static bool restart_after_panic = true;

static int parse_noreboot(const char *value)
{
    bool noreboot;
    int error = cmdline_parse_bool(value, &noreboot);

    restart_after_panic = error ? restart_after_panic : !noreboot;
    return error;
}

CMDLINE_OPTION(noreboot, .name = "noreboot", .parse = parse_noreboot);

bool restart_after_failure(void)
{
    return restart_after_panic;
}

static __attribute__((noreturn)) void stop_this_cpu(void)
{
    for (;;) {
        __asm__ volatile("cli; hlt");
    }
}

static void log_running_vcpu(const struct cpu *cpu)
{
    const struct vcpu *v = cpu->current;

    if (v) {
        log_error("CPU%u: runs d%uv%u", cpu->id, v->domain->id, v->id);
    } else {
        log_error("CPU%u: idle", cpu->id);
    }
}

bool dump_serve_nmi(const struct interrupt_frame *frame)
{
    unsigned int id = this_cpu()->id;

    if (__atomic_load_n(&stopping, __ATOMIC_ACQUIRE)) {
        cpumask_set(&stopped_cpus, id);
        stop_this_cpu();
    }
    if (__atomic_load_n(&dump_target, __ATOMIC_ACQUIRE) != id) {
        return false;
    }
    log_running_vcpu(this_cpu());
    log_registers(frame);
    log_backtrace(frame->rip, frame->rbp);
    __atomic_store_n(&dump_target, NO_CPU, __ATOMIC_RELEASE);
    return true;
}

void dump_other_cpus(void)
{
    unsigned int cpu;

    for_each_cpu (cpu, &online_cpus) {
        unsigned int expected = cpu;
        bool answered;

        if (cpu == this_cpu()->id) {
            continue;
        }
        console_lend(cpu);
        __atomic_store_n(&dump_target, cpu, __ATOMIC_RELEASE);
        apic_send_nmi(cpu);
        for (unsigned int i = 0;
             i < DUMP_POLLS && __atomic_load_n(&dump_target, __ATOMIC_ACQUIRE) == cpu; i++) {
            cpu_relax();
        }
        answered = !__atomic_compare_exchange_n(&dump_target, &expected, NO_CPU, false,
                                                __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
        console_take_back();
        if (!answered) {
            log_error("CPU%u: does not answer", cpu);
        }
    }
}

static void show_cpus(void)
{
    const uint64_t *frame = __builtin_frame_address(0);

    log_running_vcpu(this_cpu());
    log_backtrace(frame[1] - 1, frame[0]);
    dump_other_cpus();
}

static void crash(void)
{
    __asm__ volatile("ud2");
}

void dump_init(void)
{
    debug_key_register('C', "crash on purpose, to see what is told of it", crash);
    debug_key_register('d', "show what every CPU is doing", show_cpus);
}

void stop_other_cpus(void)
{
    struct cpumask others = online_cpus;
    unsigned int cpu;

    cpumask_unset(&others, this_cpu()->id);
    __atomic_store_n(&stopping, true, __ATOMIC_RELEASE);
    for_each_cpu (cpu, &others) {
        apic_send_nmi(cpu);
        for (unsigned int i = 0; i < STOP_POLLS && !cpumask_test(&stopped_cpus, cpu); i++) {
            cpu_relax();
        }
    }
}

// Only the first caller returns; also makes the console usable whatever state it was in.
static void begin_dying(void)
{
    unsigned int expected = NO_CPU;

    __asm__ volatile("cli");
    if (!__atomic_compare_exchange_n(&dying_cpu, &expected, this_cpu()->id, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_RELAXED) &&
        expected != this_cpu()->id) {
        stop_this_cpu();
    }
    console_die();
    if (expected == this_cpu()->id) {
        log_error("A second fault while reporting the first.");
        stop_this_cpu();
    }
}

static __attribute__((noreturn)) void finish_dying(void)
{
    dump_other_cpus();
    stop_other_cpus();
    if (restart_after_panic) {
        log_error("Restarting the machine.");
        arch_restart_machine();
    }
    log_error("Halted.");
    stop_this_cpu();
}

void die(const struct interrupt_frame *frame, const char *what)
{
    begin_dying();
    log_error("----------------------------------------");
    log_error("Fatal %s (vector %lu, error code %04lx) on CPU%u", what, frame->vector,
              frame->error_code, this_cpu()->id);
    log_running_vcpu(this_cpu());
    log_registers(frame);
    log_error("CR0: %016lx CR2: %016lx", read_cr0(), read_cr2());
    log_error("CR3: %016lx CR4: %016lx", read_cr3(), read_cr4());
    log_backtrace(frame->rip, frame->rbp);
    finish_dying();
}

void panic(const char *format, ...)
{
    const uint64_t *frame = __builtin_frame_address(0);
    char text[512];
    va_list args;

    va_start(args, format);
    format_string_args(text, sizeof(text), format, args);
    va_end(args);
    begin_dying();
    log_error("----------------------------------------");
    log_error("Panic on CPU%u: %s", this_cpu()->id, text);
    log_running_vcpu(this_cpu());
    log_backtrace(frame[1] - 1, frame[0]); // from the caller on
    finish_dying();
}

void arch_halt_machine(void)
{
    __asm__ volatile("cli");
    console_flush();
    stop_other_cpus();
    stop_this_cpu();
}
