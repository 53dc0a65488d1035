// SPDX-License-Identifier: Apache-2.0
/*
 * libFuzzer target: planning, evaluating and completing emulated memory accesses of arbitrary
 * instructions with arbitrary registers. The input is a struct input and the instruction's bytes.
 * Aborts when what mmio.h promises does not hold.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mmio.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    struct x86_registers registers;
    uint64_t bases[X86_SEGMENTS];
    uint64_t value;
    uint8_t mode;
};

static void check(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "broken: %s\n", what);
        abort();
    }
}

static void check_plan(const struct x86_instruction *instruction,
                       const struct x86_mmio_access *access)
{
    uint64_t limit = instruction->mode == X86_MODE_64 ? ~(uint64_t)0 : 0xffffffff;
    uint8_t size = access->size;

    check(access->vector ? size == 16 : size == 1 || size == 2 || size == 4 || size == 8, "size");
    check(access->read_address <= limit && access->write_address <= limit, "address");
    check(access->reads || access->read_address == 0, "unused read address");
    check(access->writes || access->write_address == 0, "unused write address");
    check(access->reads || access->writes || access->iterations == 0, "purpose");
    check(access->vector_register < 16 && access->destination < 16, "register number");
    check(!access->vector || access->reads != access->writes, "direction of a vector");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum x86_mode modes[4] = {X86_MODE_16, X86_MODE_32, X86_MODE_64, X86_MODE_64};
    struct input input;
    struct x86_instruction instruction;
    struct x86_mmio_access access;
    struct x86_registers after;
    int changes = 0;

    if (size <= sizeof(input)) {
        return 0;
    }
    memcpy(&input, data, sizeof(input));
    if (x86_decode(&instruction, data + sizeof(input), size - sizeof(input),
                   modes[input.mode & 3]) < 0 ||
        x86_mmio_plan(&instruction, &input.registers, input.bases, &access) != 0) {
        return 0;
    }
    check_plan(&instruction, &access);
    x86_mmio_evaluate(&access, input.value);
    check(access.vector || access.size == 8 || !access.writes ||
              access.write_value >> (8 * access.size) == 0,
          "width of the written value");
    after = input.registers;
    x86_mmio_complete(&access, &after);
    for (int i = 0; i < 16; i++) {
        changes += after.gpr[i] != input.registers.gpr[i];
    }
    check(changes <= 3, "number of changed registers"); /* RCX, RSI, RDI of MOVS; RAX of LODS */
    check(after.rip == access.next_rip ||
              (access.iterations > 1 && after.rip == input.registers.rip),
          "RIP");
    check(((after.rflags ^ input.registers.rflags) & ~(uint64_t)0x108d5) == 0, "foreign flags");
    return 0;
}
