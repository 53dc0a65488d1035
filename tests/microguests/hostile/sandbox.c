// SPDX-License-Identifier: Apache-2.0
// Segments, task state segment and window of vcpu 0. Interrupts and exceptions come in on a stack
// of their own, so that a wrong stack pointer ends the generated code and not the guest. After an
// exception sandbox_run puts back what privileged code may have changed.

#include "sandbox.h"

#include "hostile.h"

#include "apic.h"

#define STOP_VECTOR 0x60
#define INTERRUPT_STACK 1
#define TASK 0x30
#define CR0_WRITE_PROTECT (1ul << 16)
#define TICKS_PER_MICROSECOND 1000u
#define DIVIDE_BY_1 0xb

struct task_state {
    uint32_t reserved;
    uint64_t rsp[3];
    uint64_t reserved2;
    uint64_t ist[7];
    uint64_t reserved3;
    uint16_t reserved4, io_map;
} __attribute__((packed));

struct state {
    uint64_t cr0, cr4;
};

void sandbox_enter_kernel(struct sandbox_registers *r, void *code);
void sandbox_enter_user(struct sandbox_registers *r, uint64_t rip);
extern const char sandbox_leave[];

uint8_t sandbox_code[CODE_SIZE] __attribute__((aligned(4096)));
static uint8_t kernel_stack[STACK_SIZE] __attribute__((aligned(16)));
static struct task_state task = {.io_map = sizeof(task)};
static uint64_t descriptors[8] = {
    0,
    0x00af9b000000ffff, // CODE64
    0x00cf93000000ffff, // DATA
    0x00cf9b000000ffff, // CODE32
    0x00cff3000000ffff, // user data
    0x00affb000000ffff, // user code
};

static void load_segments(void)
{
    uint64_t base = (uint64_t)&task;
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) pointer = {sizeof(descriptors) - 1, (uint64_t)descriptors};

    task.rsp[0] = (uint64_t)kernel_stack + sizeof(kernel_stack);
    task.ist[INTERRUPT_STACK - 1] = task.rsp[0];
    descriptors[TASK / 8] =
        (sizeof(task) - 1) | (base & 0xffffff) << 16 | 0x89ul << 40 | (base >> 24 & 0xff) << 56;
    descriptors[TASK / 8 + 1] = base >> 32;
    __asm__ volatile("lgdt %0; ltr %w1" ::"m"(pointer), "r"(TASK));
    interrupts_use_stack(INTERRUPT_STACK);
}

static void build_window(void)
{
    const uint64_t all = WINDOW_WRITABLE | WINDOW_USER;

    window_map(WINDOW_CODE, (uint64_t)sandbox_code, all);
    for (unsigned int i = 0; i < DATA_PAGES; i++) {
        window_map(WINDOW_DATA + i, (uint64_t)arena[i], all);
    }
    window_map(WINDOW_APIC, APIC_PAGE, WINDOW_USER);
    for (unsigned int i = 0; i < HOLE_WINDOW_PAGES; i++) {
        window_map(WINDOW_HOLE + i, (HOLE_GFN + i) * PAGE_SIZE, all);
    }
    window_map(WINDOW_RAM, (uint64_t)arena[DATA_PAGES], all);
    window_map(WINDOW_HIGH, 1ul << 39, all);
}

static uint64_t read_cr0(void)
{
    uint64_t value;

    __asm__ volatile("movq %%cr0, %0" : "=r"(value));
    return value;
}

static void write_cr0(uint64_t value)
{
    __asm__ volatile("movq %0, %%cr0" ::"r"(value));
}

void sandbox_start(void)
{
    apic_enable();
    write_cr0(read_cr0() | CR0_WRITE_PROTECT);
    apic_write(APIC_TIMER, STOP_VECTOR);
    apic_write(APIC_TIMER_DIVIDE, DIVIDE_BY_1);
    interrupt_ends_user = STOP_VECTOR;
    build_window();
    load_segments();
}

static void restore(const struct state *state)
{
    uint64_t zero = 0;

    write_cr0(state->cr0);
    write_cr4(state->cr4);
    __asm__ volatile("movq %0, %%dr7" ::"r"(zero));
    __asm__ volatile("fninit");
    wrmsr(MSR_GS_BASE, (uint64_t)&vcpu_data[0]);
    load_segments();
    interrupts_load();
}

static void append_exit(unsigned int at)
{
    uint8_t *code = sandbox_code + at;
    uint64_t target = (uint64_t)sandbox_leave;

    // jmp *(%rip), and the address.
    code[0] = 0xff;
    code[1] = 0x25;
    memset(code + 2, 0, 4);
    memcpy(code + 6, &target, 8);
}

struct kernel_call {
    struct sandbox_registers *registers;
    unsigned int offset;
};

static void enter_kernel(void *opaque)
{
    struct kernel_call *call = opaque;

    sandbox_enter_kernel(call->registers, sandbox_code + call->offset);
}

int sandbox_run_kernel(unsigned int offset, unsigned int length, struct sandbox_registers *r)
{
    struct kernel_call call = {r, offset};
    struct state state = {read_cr0(), read_cr4()};
    int vector;

    append_exit(offset + length);
    vector = try_call(enter_kernel, &call);
    // A task register that is loaded is busy, and cannot be loaded again as it is.
    restore(&state);
    return vector;
}

static void enter_user(void *opaque)
{
    struct kernel_call *call = opaque;

    sandbox_enter_user(call->registers, WINDOW + call->offset);
}

int sandbox_run_user(unsigned int offset, struct sandbox_registers *r, unsigned int microseconds)
{
    struct kernel_call call = {r, offset};
    int vector;

    apic_write(APIC_TIMER_INITIAL, microseconds * TICKS_PER_MICROSECOND);
    vector = try_call(enter_user, &call);
    apic_write(APIC_TIMER_INITIAL, 0);
    apic_write(APIC_EOI, 0);
    __asm__ volatile("fninit");
    return vector;
}
