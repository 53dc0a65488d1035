// SPDX-License-Identifier: Apache-2.0
// Intercepted writes to control registers: MOV to CR0, CR4 and CR8, LMSW. Processors without decode
// assists tell neither the register nor the operand, so the instruction is decoded. What is found
// is carried out even if another vcpu has put it in the place of what was intercepted: it is
// checked like any other. No lock; the vcpu is the current one.

#include <bulkhead/domain.h>
#include <bulkhead/guest_access.h>
#include <x86/registers.h>
#include <x86/vlapic.h>

#include "../decoder_registers.h"
#include "vmcb.h"

#define OPCODE_GROUP_7 0x01
#define OPCODE_MOV_TO_CR 0x22
#define GROUP_7_LMSW 6u
#define CR8_MAX 0xfUL
#define LMSW_BITS 0xfUL // PE MP EM TS; PE cannot be cleared

static bool lmsw_operand(struct vcpu *v, const struct x86_instruction *instruction, uint16_t *value)
{
    uint64_t bases[X86_SEGMENTS], address;
    struct x86_registers registers;
    struct hvm_registers r;

    if (!instruction->memory) {
        *value = (uint16_t)v->arch.gpr[instruction->rm];
        return true;
    }
    hvm_get_registers(v, &r);
    decoder_registers(v, &r, &registers, bases);
    address = x86_memory_address(instruction, &registers, bases);
    if (copy_from_guest(value, GVA(address), sizeof(*value))) {
        hvm_inject_page_fault(v, address, 0);
        return false;
    }
    return true;
}

static bool lmsw(struct vcpu *v, const struct vmcb *vmcb, const struct x86_instruction *instruction)
{
    uint16_t value;

    if (!lmsw_operand(v, instruction, &value)) {
        return false;
    }
    if (!hvm_write_cr0(v, (vmcb->cr0 & ~(LMSW_BITS & ~(uint64_t)CR0_PE)) | (value & LMSW_BITS))) {
        hvm_inject_exception(v, HVM_EXCEPTION_GP, 0);
        return false;
    }
    return true;
}

static bool write_cr8(struct vcpu *v, uint64_t value)
{
    if (value > CR8_MAX) {
        return false;
    }
    vlapic_set_cr8(v, (uint8_t)value);
    return true;
}

static bool move_to_cr(struct vcpu *v, const struct x86_instruction *instruction, uint8_t number)
{
    uint64_t value = v->arch.gpr[instruction->rm];
    bool done;

    if (instruction->mode != X86_MODE_64) {
        value = (uint32_t)value;
    }
    switch (number) {
    case 0:
        done = hvm_write_cr0(v, value);
        break;
    case 4:
        done = hvm_write_cr4(v, value);
        break;
    default:
        done = write_cr8(v, value);
        break;
    }
    if (!done) {
        hvm_inject_exception(v, HVM_EXCEPTION_GP, 0);
    }
    return done;
}

unsigned int svm_write_control_register(struct vcpu *v, const struct vmcb *vmcb, enum x86_mode mode)
{
    struct x86_instruction instruction;
    uint8_t bytes[15];
    uint8_t number;
    bool done = false;

    v->arch.fetch.page = 1; // the operand is taken from the bytes: they have to be those of now
    if (x86_decode(&instruction, bytes, hvm_fetch_instruction(v, bytes), mode) <= 0 ||
        instruction.encoding != X86_ENCODING_LEGACY || instruction.map != X86_MAP_0F) {
        return 0;
    }
    number = instruction.lock ? instruction.reg | 8 : instruction.reg; // LOCK MOV CR0 is CR8 on AMD
    if (instruction.opcode == OPCODE_MOV_TO_CR &&
        (number == 0 || number == 4 || (number == 8 && v->arch.vlapic))) {
        done = move_to_cr(v, &instruction, number);
    } else if (instruction.opcode == OPCODE_GROUP_7 &&
               (instruction.modrm >> 3 & 7) == GROUP_7_LMSW) {
        done = lmsw(v, vmcb, &instruction);
    }
    return done ? instruction.length : 0;
}
