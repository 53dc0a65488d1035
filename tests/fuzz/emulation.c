// SPDX-License-Identifier: Apache-2.0
/*
 * libFuzzer target: what a guest's exits for devices and registers lead to. Two vcpus execute
 * arbitrary instructions on the local APIC's page, on memory and on nothing, access ports (strings
 * as well) and MSRs, take interrupts, and their timers fire. The input is read as a program. Aborts
 * when an exit takes more accesses than one may, an instruction goes astray, a vector is
 * deliverable that cannot be, or something is left over when the domain is gone.
 */
#include "machine.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_STEPS 300u
#define MAX_ACCESSES 512u // of one exit: four for each of a string instruction's bounded steps

static const uint8_t *input;
static size_t input_left;

static uint8_t take_byte(void)
{
    if (!input_left) {
        return 0;
    }
    input_left--;
    return *input++;
}

static uint64_t take_raw(unsigned int bytes)
{
    uint64_t value = 0;

    while (bytes--) {
        value = value << 8 | take_byte();
    }
    return value;
}

// Where the page table of machine.c has something, and its borders; or anything.
static uint64_t take_address(void)
{
    uint8_t byte = take_byte();

    return byte >= 0xf0 ? take_raw(8)
                        : byte % (MACHINE_PAGES + 2) * 4096ul + (take_raw(2) & 0xfff) - byte / 128;
}

static void take_registers(struct vcpu *v)
{
    for (unsigned int i = 0; i < 16; i++) {
        uint8_t kind = take_byte();

        v->arch.gpr[i] = kind % 4 ? take_address() : kind % 8 ? kind : take_raw(8);
    }
    v->arch.rip = take_byte() % 4 ? 0x1000 : take_raw(8);
    v->arch.rflags = 2 | (take_byte() % 4 ? 0 : 0x400);
}

static void instruction(struct vcpu *v)
{
    uint64_t before;

    take_registers(v);
    machine_code_size = take_byte() % 16;
    for (unsigned int i = 0; i < machine_code_size; i++) {
        machine_code[i] = take_byte();
    }
    before = v->arch.rip;
    machine_exceptions = machine_accesses = 0;
    if (hvm_emulate_mmio(v)) {
        machine_check(machine_exceptions == 0, "an exception and success");
        machine_check(v->arch.rip - before <= 15 || machine_bits != 64, "rip");
    } else {
        machine_check(machine_exceptions > 0, "failure without an exception");
    }
    machine_check(machine_accesses <= MAX_ACCESSES, "too many accesses for one exit");
}

static void port(struct vcpu *v)
{
    unsigned int size = 1u << take_byte() % 3;
    uint16_t number = take_byte() % 4 ? MACHINE_PORT + take_byte() % 8 : (uint16_t)take_raw(2);
    uint8_t what = take_byte();
    uint64_t value;

    take_registers(v);
    machine_accesses = 0;
    if (what % 4 == 0) {
        hvm_port_read(v, number, size, &value);
    } else if (what % 4 == 1) {
        hvm_port_write(v, number, size, take_raw(size));
    } else {
        hvm_emulate_string_io(v, number, size, what & 4, what & 8, v->arch.rip + 2);
    }
    machine_check(machine_accesses <= MAX_ACCESSES, "too many accesses for one exit");
}

static void model_specific_register(struct vcpu *v)
{
    static const uint32_t bases[] = {0x1b, 0x6e0, 0x800, 0x800, 0xc0000080, 0x40000000, 0x10, 0};
    uint8_t what = take_byte();
    uint32_t msr = bases[what % 8];
    uint64_t value = take_byte() % 4 ? take_byte() : take_raw(8);

    if (msr == 0x800) {
        msr += take_byte();
    } else if (!msr) {
        msr = (uint32_t)take_raw(4);
    }
    if (what & 8) {
        hvm_read_msr(v, msr, &value);
    } else {
        // Nearly what it was: that keeps what must not change.
        hvm_read_msr(v, msr, &value);
        hvm_write_msr(v, msr, value ^ (1ul << take_byte() % 64));
        hvm_write_msr(v, msr, what & 16 ? value : take_raw(8));
    }
}

// What a vcpu may have is what it can get into: no entry into the guest may fail.
static void control_register(struct vcpu *v)
{
    struct hvm_registers r;
    uint64_t change = take_byte() % 4 ? 1ul << take_byte() % 64 : take_raw(8);

    hvm_get_registers(v, &r);
    switch (take_byte() % 3) {
    case 0:
        hvm_write_cr0(v, r.cr0 ^ change);
        break;
    case 1:
        hvm_write_cr4(v, r.cr4 ^ change);
        break;
    default:
        hvm_write_efer(v, r.efer ^ change);
    }
    hvm_get_registers(v, &r);
    machine_check(hvm_control_valid(v->domain, r.cr0, r.cr4, r.efer), "control registers");
}

static void interrupt(struct vcpu *v)
{
    int vector;

    vlapic_post(v, (uint8_t)(16 + take_byte() % 240), take_byte() % 2);
    vector = vlapic_pending_vector(v);
    machine_check(vector == -1 || (vector >= 16 && vector < 256), "vector");
    if (vector >= 0) {
        machine_check(vector >> 4 > vlapic_get_tpr(v) >> 4, "priority");
        vlapic_accept(v, (uint8_t)vector);
    }
    if (take_byte() % 2) {
        vlapic_eoi(v);
    }
}

static void step(struct domain *d)
{
    struct vcpu *v = d->vcpus[take_byte() % d->max_vcpus];
    static const uint8_t bits[] = {64, 64, 32, 16};

    machine_enter(v);
    machine_bits = bits[take_byte() % 4];
    machine_in_user_mode = take_byte() % 2;
    switch (take_byte() % 9) {
    case 0 ... 2:
        instruction(v);
        break;
    case 8:
        control_register(v);
        break;
    case 3:
        port(v);
        break;
    case 4:
    case 5:
        model_specific_register(v);
        break;
    case 6:
        interrupt(v);
        break;
    default:
        machine_run(take_byte() % 8 ? take_byte() : take_raw(5));
        if (take_byte() % 16 == 0) {
            vlapic_init_reset(v);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct domain *d = machine_start(2);

    input = data;
    input_left = size;
    for (unsigned int i = 0; i < MAX_STEPS && input_left; i++) {
        step(d);
    }
    machine_stop(d);
    return 0;
}
