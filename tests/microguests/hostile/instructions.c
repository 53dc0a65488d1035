// SPDX-License-Identifier: Apache-2.0
// Instructions that the hypervisor has to emulate or intercept. Kernel mode: instructions from
// tables, on device memory, holes and the borders between them, and on privileged state, while vcpu
// 1 changes their bytes; what would soon hit this program itself (addresses of 32 bits, jumps by
// memory, other page tables) is left to the next two. User mode: random bytes, which can do no harm
// to this guest. Chaos: random bytes in kernel mode, until this guest is no more.

#include "hostile.h"
#include "sandbox.h"

#include "apic.h"

#define USER_MICROSECONDS 100u
#define RANDOM_BYTES 48u
#define STUCK_TICKS (1ul << 30)

struct opcode {
    uint8_t length;
    uint8_t bytes[4];
};

// Each takes a ModRM byte with a memory operand, and at most IMMEDIATE bytes after it.
#define IMMEDIATE 4u
static const struct opcode memory_opcodes[] = {
    {1, {0x88}},
    {1, {0x89}},
    {1, {0x8a}},
    {1, {0x8b}},
    {1, {0xc6}},
    {1, {0xc7}},
    {1, {0x63}},
    {2, {0x0f, 0xb6}},
    {2, {0x0f, 0xb7}},
    {2, {0x0f, 0xbe}},
    {2, {0x0f, 0xbf}},
    {1, {0x00}},
    {1, {0x01}},
    {1, {0x02}},
    {1, {0x03}},
    {1, {0x08}},
    {1, {0x09}},
    {1, {0x0b}},
    {1, {0x11}},
    {1, {0x19}},
    {1, {0x21}},
    {1, {0x23}},
    {1, {0x29}},
    {1, {0x31}},
    {1, {0x33}},
    {1, {0x39}},
    {1, {0x3b}},
    {1, {0x80}},
    {1, {0x81}},
    {1, {0x83}},
    {1, {0x84}},
    {1, {0x85}},
    {1, {0x86}},
    {1, {0x87}},
    {1, {0xf6}},
    {1, {0xf7}},
    {1, {0xfe}},
    {1, {0x69}},
    {1, {0x6b}},
    {1, {0x8f}},
    {1, {0xc0}},
    {1, {0xc1}},
    {1, {0xd1}},
    {1, {0xd3}},
    {1, {0xd9}},
    {1, {0xdd}},
    {1, {0xdb}},
    {1, {0xdf}},
    {2, {0x0f, 0xb0}},
    {2, {0x0f, 0xb1}},
    {2, {0x0f, 0xc0}},
    {2, {0x0f, 0xc1}},
    {2, {0x0f, 0xc7}},
    {2, {0x0f, 0xa3}},
    {2, {0x0f, 0xab}},
    {2, {0x0f, 0xb3}},
    {2, {0x0f, 0xbb}},
    {2, {0x0f, 0xba}},
    {2, {0x0f, 0xbc}},
    {2, {0x0f, 0x94}},
    {2, {0x0f, 0x44}},
    {2, {0x0f, 0xaf}},
    {2, {0x0f, 0xa4}},
    {2, {0x0f, 0x10}},
    {2, {0x0f, 0x11}},
    {2, {0x0f, 0x28}},
    {2, {0x0f, 0x29}},
    {2, {0x0f, 0x6f}},
    {2, {0x0f, 0x7f}},
    {2, {0x0f, 0x7e}},
    {2, {0x0f, 0xd6}},
    {2, {0x0f, 0xe7}},
    {2, {0x0f, 0x2b}},
    {2, {0x0f, 0xc3}},
    {2, {0x0f, 0xae}},
    {2, {0x0f, 0x18}},
    {2, {0x0f, 0x01}},
    {2, {0x0f, 0x00}},
    {2, {0x0f, 0x02}},
    {2, {0x0f, 0xb8}},
    {3, {0x0f, 0x38, 0xf0}},
    {3, {0x0f, 0x38, 0xf1}},
    {3, {0x0f, 0x3a, 0x16}},
    {3, {0xc5, 0xf8, 0x10}},
    {3, {0xc5, 0xfc, 0x11}},
    {4, {0xc4, 0xe2, 0x78, 0xf2}},
    {1, {0x62}},
    {1, {0xff}},
};

// Need no operand, or have it in themselves.
static const struct opcode plain_opcodes[] = {
    {1, {0xa4}},
    {1, {0xa5}},
    {1, {0xa6}},
    {1, {0xa7}},
    {1, {0xaa}},
    {1, {0xab}},
    {1, {0xac}},
    {1, {0xad}},
    {1, {0xae}},
    {1, {0xaf}},
    {1, {0x6c}},
    {1, {0x6d}},
    {1, {0x6e}},
    {1, {0x6f}},
    {1, {0xd7}},
    {1, {0xf1}},
    {1, {0xcc}},
    {2, {0xcd, 0x80}},
    {2, {0xcd, 0xf0}},
    {1, {0xce}},
    {2, {0x0f, 0x06}},
    {2, {0x0f, 0x08}},
    {2, {0x0f, 0x09}},
    {2, {0x0f, 0x0b}},
    {2, {0x0f, 0xff}},
    {2, {0x0f, 0x31}},
    {2, {0x0f, 0x33}},
    {2, {0x0f, 0x05}},
    {2, {0x0f, 0x34}},
    {2, {0x0f, 0xaa}},
    {2, {0x0f, 0x37}},
    {2, {0x0f, 0x77}},
    {3, {0x0f, 0x01, 0xc1}},
    {3, {0x0f, 0x01, 0xc8}},
    {3, {0x0f, 0x01, 0xc9}},
    {3, {0x0f, 0x01, 0xca}},
    {3, {0x0f, 0x01, 0xcb}},
    {3, {0x0f, 0x01, 0xd0}},
    {3, {0x0f, 0x01, 0xd1}},
    {3, {0x0f, 0x01, 0xd8}},
    {3, {0x0f, 0x01, 0xd9}},
    {3, {0x0f, 0x01, 0xda}},
    {3, {0x0f, 0x01, 0xdb}},
    {3, {0x0f, 0x01, 0xdc}},
    {3, {0x0f, 0x01, 0xdd}},
    {3, {0x0f, 0x01, 0xde}},
    {3, {0x0f, 0x01, 0xdf}},
    {3, {0x0f, 0x01, 0xf9}},
    {3, {0x0f, 0x01, 0xfa}},
    {3, {0x0f, 0x01, 0xfd}},
    {3, {0x0f, 0x01, 0xff}},
    {2, {0x0f, 0xa2}},
    {2, {0x0f, 0x30}},
    {2, {0x0f, 0x32}},
    {3, {0x0f, 0x20, 0xc0}},
    {3, {0x0f, 0x22, 0xc0}},
    {3, {0x0f, 0x22, 0xe0}},
    {3, {0x0f, 0x22, 0xc8}},
    {3, {0x0f, 0x21, 0xf8}},
    {3, {0x0f, 0x23, 0xf8}},
    {3, {0x0f, 0x23, 0xf0}},
    {3, {0x0f, 0x23, 0xe0}},
    {3, {0x0f, 0x01, 0xf0}},
    {3, {0x0f, 0x00, 0xd8}},
    {3, {0x0f, 0x00, 0xd0}},
    {2, {0x8e, 0xd8}},
    {2, {0x8e, 0xe0}},
    {2, {0xe4, 0x60}},
    {1, {0xec}},
    {1, {0xed}},
    {1, {0xee}},
    {1, {0xef}},
    {1, {0xcf}},
    {2, {0x48, 0xcf}},
    {1, {0xcb}},
    {1, {0x9c}},
    {1, {0x9d}},
    {3, {0x0f, 0xc7, 0xf0}},
    {3, {0x0f, 0xc7, 0xf8}},
    {4, {0x66, 0x0f, 0x38, 0x82}},
    {4, {0x66, 0x0f, 0x38, 0x80}},
};

static volatile bool flipping;
static volatile uint32_t flip_at, flipper_runs;
static volatile uint64_t steps_done;
static uint32_t rescues;

static uint64_t random_address(void)
{
    uint64_t page = WINDOW + random_below(SANDBOX_PAGES) * PAGE_SIZE;

    switch (random_below(4)) {
    case 0: // where pages meet
        return WINDOW + WINDOW_APIC * PAGE_SIZE + random_below(7) * PAGE_SIZE - random_below(20);
    case 1: // a register of the APIC
        return WINDOW + WINDOW_APIC * PAGE_SIZE + random_below(64) * 16;
    case 2:
        return random_once_in(4) ? random64() : page + random_below(PAGE_SIZE);
    default:
        return WINDOW + (WINDOW_HOLE + random_below(HOLE_WINDOW_PAGES)) * PAGE_SIZE +
               random_below(PAGE_SIZE);
    }
}

static void random_registers(struct sandbox_registers *r)
{
    for (unsigned int i = 0; i < ARRAY_SIZE(r->gpr); i++) {
        r->gpr[i] = random_once_in(4) ? random_number() : random_address();
    }
    if (random_once_in(2)) {
        r->gpr[1] = random_below(100); // a count
    }
    r->gpr[4] = WINDOW + (WINDOW_DATA + 2) * PAGE_SIZE;
}

static unsigned int add_prefixes(uint8_t *at)
{
    static const uint8_t prefixes[] = {0x66, 0xf2, 0xf3, 0xf0, 0x2e, 0x64, 0x26};
    unsigned int length = 0;

    while (random_once_in(3) && length < 6) {
        at[length++] = prefixes[random_below(ARRAY_SIZE(prefixes))];
    }
    if (random_once_in(3)) {
        at[length++] = (uint8_t)(0x40 + random_below(16));
    }
    return length;
}

// A memory operand by rax, rcx, rdx, rbx, rsi or rdi, sometimes with a displacement or an index.
static unsigned int add_operand(uint8_t *at, const struct opcode *opcode)
{
    static const uint8_t bases[] = {0, 1, 2, 3, 6, 7}, no_jumps[] = {0, 1, 6};
    uint8_t number =
        (uint8_t)(opcode->bytes[0] == 0xff ? no_jumps[random_below(3)] : random_below(8));
    uint8_t reg = (uint8_t)(number << 3);
    unsigned int length = 1;

    at[0] = reg | bases[random_below(ARRAY_SIZE(bases))];
    if (random_once_in(4)) {
        at[0] |= 0x40;
        at[length++] = (uint8_t)random64();
    } else if (random_once_in(8)) {
        at[0] = reg | 4;
        at[length++] = (uint8_t)(random_below(256) & ~7ul) | bases[random_below(ARRAY_SIZE(bases))];
    }
    return length;
}

static unsigned int generate(uint8_t *at)
{
    bool plain = random_once_in(4);
    const struct opcode *opcode = plain ? &plain_opcodes[random_below(ARRAY_SIZE(plain_opcodes))]
                                        : &memory_opcodes[random_below(ARRAY_SIZE(memory_opcodes))];
    unsigned int length = add_prefixes(at);

    memcpy(at + length, opcode->bytes, opcode->length);
    length += opcode->length;
    if (!plain || opcode->length == 4) {
        length += add_operand(at + length, opcode);
    }
    for (unsigned int i = 0; i < IMMEDIATE; i++) {
        at[length + i] = random_once_in(2) ? 0x90 : (uint8_t)random_below(8);
    }
    return length + IMMEDIATE;
}

// QEMU 7.2 takes a null selector for the task register, which is #GP on a processor, and ends
// ("invalid tss") at the next exception: LTR becomes LLDT.
static void leave_task_register_out(uint8_t *code, unsigned int length)
{
    for (unsigned int i = 0; i + 2 < length; i++) {
        if (code[i] == 0x0f && code[i + 1] == 0x00 && (code[i + 2] >> 3 & 7) == 3) {
            code[i + 2] ^= 1 << 3;
        }
    }
}

// Changed code may be an endless loop: an NMI ends it.
static void rescue(void)
{
    static uint64_t seen, since;

    if (steps_done != seen) {
        seen = steps_done;
        since = rdtsc();
    } else if (rdtsc() - since > STUCK_TICKS) {
        since = rdtsc();
        rescues++;
        apic_send(vcpu_data[0].apic_id, ICR_ASSERT | ICR_NMI);
    }
}

// vcpu 1: the instruction that vcpu 0 executes is not for long what it was.
static void flip_bytes(void)
{
    random_start();
    flipper_runs = 1;
    while (flipping) {
        volatile uint8_t *byte = &sandbox_code[(flip_at + random_below(8)) % CODE_SIZE];
        uint8_t before = *byte;

        *byte = before ^ (uint8_t)(1 << random_below(8));
        *byte = before;
        for (unsigned int i = 0; i < 50; i++) {
            pause();
        }
        rescue();
    }
}

// Before sandbox_start: vcpu 1 has no interrupt stack, and takes no interrupt any more once it
// flips.
static void start_flipping(void)
{
    apic_enable();
    if (vcpus_start() > 0) {
        long port = event_bind_ipi(1);

        flipping = true;
        vcpu_give_work(1, flip_bytes);
        event_send((evtchn_port_t)port);
        if (wait_until(&flipper_runs, 2000)) {
            say("hostile: a second vcpu changes the code");
        }
    }
}

static void say_vectors(const uint64_t *counts)
{
    for (unsigned int i = 0; i < 33; i++) {
        if (counts[i]) {
            say("hostile: %lu ended by %s%u", counts[i], i == 32 ? "themselves or interrupt " : "",
                i);
        }
    }
}

void run_instructions(void)
{
    uint64_t counts[33] = {0};

    start_flipping();
    sandbox_start();
    for (uint64_t step = 0; !finished(step); step++) {
        struct sandbox_registers registers;
        unsigned int offset = (unsigned int)random_below(CODE_SIZE - 64), length;
        int vector;

        random_registers(&registers);
        length = generate(sandbox_code + offset);
        leave_task_register_out(sandbox_code + offset, length);
        flip_at = offset;
        steps_done = step;
        vector = sandbox_run_kernel(offset, length, &registers);
        counts[vector < 0 || vector > 31 ? 32 : vector]++;
    }
    flipping = false;
    say_vectors(counts);
    say("hostile: %u endless loops", rescues);
}

void run_user_instructions(void)
{
    uint64_t counts[33] = {0};

    sandbox_start();
    for (uint64_t step = 0; !finished(step); step++) {
        struct sandbox_registers registers;
        unsigned int offset = (unsigned int)random_below(CODE_SIZE - RANDOM_BYTES), length = 0;
        int vector;

        random_registers(&registers);
        if (random_once_in(2)) {
            length = generate(sandbox_code + offset);
        }
        for (; length < RANDOM_BYTES; length++) {
            sandbox_code[offset + length] = (uint8_t)random64();
        }
        vector = sandbox_run_user(offset, &registers, USER_MICROSECONDS);
        counts[vector < 0 || vector > 31 ? 32 : vector]++;
    }
    say_vectors(counts);
}

// Jumps to where no memory is: a process gets an exception, the kernel ends.
void run_into_nothing(void)
{
    static const uint8_t jump_to_rax[] = {0xff, 0xe0};
    struct sandbox_registers registers = {.gpr = {[0] = window_address(WINDOW_HOLE)}};

    sandbox_start();
    memcpy(sandbox_code, jump_to_rax, sizeof(jump_to_rax));
    say("hostile: user mode got exception %d", sandbox_run_user(0, &registers, USER_MICROSECONDS));
    sandbox_run_kernel(0, sizeof(jump_to_rax), &registers);
    say("hostile: there was something");
}

void run_chaos(void)
{
    sandbox_start();
    for (uint64_t step = 0; !finished(step); step++) {
        struct sandbox_registers registers;

        random_registers(&registers);
        for (unsigned int i = 0; i < CODE_SIZE - 64; i++) {
            sandbox_code[i] = (uint8_t)random64();
        }
        leave_task_register_out(sandbox_code, CODE_SIZE - 64);
        sandbox_run_kernel(0, CODE_SIZE - 64, &registers);
    }
}
