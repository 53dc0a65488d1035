// SPDX-License-Identifier: Apache-2.0
// Reads and writes every MSR of the ranges that mean something, and every port with every size and
// with string instructions. Writes that would stop this program (its own GS base, paging, its
// APIC's command register) are left out; whatever could be read is put back.

#include "hostile.h"

#define MSR_TSC 0x10
#define MSR_X2APIC_ICR 0x830
#define MSR_X2APIC_SELF_IPI 0x83f
#define MSR_HYPERCALL 0x40000000
#define MSR_KERNEL_GS_BASE 0xc0000102

struct access {
    uint64_t value;
    uint32_t number;
    uint32_t size;
};

static const struct {
    uint32_t first, count;
} ranges[] = {
    {0, 0x2000},          {0x40000000, 0x400},  {0x80000000, 0x40},
    {0xc0000000, 0x2000}, {0xc0010000, 0x2000}, {0xfffffff0, 16},
};

static uint64_t readable, writable;

static void read_register(void *opaque)
{
    struct access *access = opaque;

    access->value = rdmsr(access->number);
}

static void write_register(void *opaque)
{
    struct access *access = opaque;

    wrmsr(access->number, access->value);
}

static bool is_vital(uint32_t msr)
{
    static const uint32_t vital[] = {MSR_TSC,       MSR_X2APIC_ICR, MSR_X2APIC_SELF_IPI,
                                     MSR_GS_BASE,   MSR_EFER,       MSR_KERNEL_GS_BASE,
                                     MSR_HYPERCALL, MSR_APIC_BASE};

    for (unsigned int i = 0; i < ARRAY_SIZE(vital); i++) {
        if (vital[i] == msr) {
            return true;
        }
    }
    return false;
}

static void write_values(uint32_t msr, uint64_t found)
{
    const uint64_t values[] = {found,          0, ~0ul, found ^ 1ul << random_below(64), random64(),
                               random_number()};

    for (unsigned int i = 0; i < ARRAY_SIZE(values); i++) {
        struct access access = {.number = msr, .value = values[i]};

        writable += try_call(write_register, &access) == NO_EXCEPTION;
    }
}

static void touch_msr(uint32_t msr)
{
    struct access access = {.number = msr};
    bool good = try_call(read_register, &access) == NO_EXCEPTION;

    readable += good;
    if (!is_vital(msr)) {
        write_values(msr, access.value);
    }
    if (good && msr != MSR_TSC) {
        try_call(write_register, &access);
    }
}

// The registers that the program lives by take single changed bits, and are put back at once.
static void touch_vital(void)
{
    static const uint32_t registers[] = {MSR_EFER, MSR_HYPERCALL};

    for (unsigned int i = 0; i < ARRAY_SIZE(registers); i++) {
        for (unsigned int bit = 12; bit < 64; bit++) {
            struct access access = {.number = registers[i]};

            if (i == 0) {
                try_call(read_register, &access);
            } else {
                access.value = (uint64_t)hypercall_page;
            }
            access.value ^= 1ul << bit;
            if (i == 0 || bit > 31) { // a page that this domain has not
                try_call(write_register, &access);
            }
        }
    }
}

static void touch_port(void *opaque)
{
    const struct access *access = opaque;
    uint16_t port = (uint16_t)access->number;
    uint32_t value = (uint32_t)access->value;

    switch (access->size) {
    case 0:
        __asm__ volatile("outb %b0, %w1; inb %w1, %b0" : "+a"(value) : "d"(port));
        break;
    case 1:
        __asm__ volatile("outw %w0, %w1; inw %w1, %w0" : "+a"(value) : "d"(port));
        break;
    default:
        __asm__ volatile("outl %0, %w1; inl %w1, %0" : "+a"(value) : "d"(port));
    }
}

// In and out of memory that may end, and of none.
static void touch_port_by_string(void *opaque)
{
    const struct access *access = opaque;
    uint16_t port = (uint16_t)access->number;
    uint64_t address = (uint64_t)arena[ARENA_PAGES - 1] - access->value;
    uint64_t count = access->value, index = address;

    switch (access->size) {
    case 0:
        __asm__ volatile("rep insb" : "+D"(index), "+c"(count) : "d"(port) : "memory");
        break;
    case 1:
        __asm__ volatile("rep outsw" : "+S"(index), "+c"(count) : "d"(port) : "memory");
        break;
    case 2:
        __asm__ volatile("std; rep insl; cld" : "+D"(index), "+c"(count) : "d"(port) : "memory");
        break;
    case 3:
        index = 1ul << 40;
        __asm__ volatile("rep outsl" : "+S"(index), "+c"(count) : "d"(port) : "memory");
        break;
    default:
        index = -1ul;
        __asm__ volatile("insl" : "+D"(index) : "d"(port) : "memory");
    }
}

static void touch_ports(void)
{
    for (uint32_t port = 0; port < 0x10000; port++) {
        struct access access = {.number = port};

        // All sizes where devices are by tradition, one of them elsewhere.
        for (unsigned int size = 0; size < 3; size++) {
            access.size = size;
            access.value = random64();
            if (port < 0x1000 || size == random_below(3)) {
                try_call(touch_port, &access);
            }
        }
        if (random_once_in(64)) {
            access.size = (uint32_t)random_below(5);
            access.value = random_below(600);
            try_call(touch_port_by_string, &access);
        }
        if (port % 0x2000 == 0x1fff) {
            say("hostile: %u ports", port + 1);
        }
    }
}

void touch_registers(void)
{
    for (unsigned int i = 0; i < ARRAY_SIZE(ranges); i++) {
        for (uint32_t j = 0; j < ranges[i].count; j++) {
            touch_msr(ranges[i].first + j);
        }
    }
    touch_vital();
    say("hostile: %lu registers can be read, %lu writes were taken", readable, writable);
    touch_ports();
}
