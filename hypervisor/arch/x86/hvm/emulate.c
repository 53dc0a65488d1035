// SPDX-License-Identifier: Apache-2.0
// Emulated device memory: one instruction through the decoder and the domain's I/O handlers.
//
// The instruction is fetched and planned; reads and writes then go to a handler when the address
// translates to the range of one, and to guest memory otherwise (MOVS between device and memory).
// What the emulator does not know, or an access that nobody claims, does no harm: the first is an
// undefined-opcode exception for the guest, the second reads as all ones.

#include <bulkhead/arch/mm.h>
#include <bulkhead/console.h>
#include <bulkhead/domain.h>
#include <bulkhead/guest_access.h>
#include <bulkhead/io.h>
#include <x86/hvm.h>
#include <x86/registers.h>

#include "../emulate/mmio.h"

#define STRING_STEPS 64u // iterations of a REP before the guest is entered again

static enum x86_mode mode_of(const struct hvm_registers *r)
{
    uint8_t bits = hvm_code_bits(r);

    return bits == 64 ? X86_MODE_64 : bits == 32 ? X86_MODE_32 : X86_MODE_16;
}

// The handler for a linear address, or NULL with *gpa set when it is ordinary memory.
// False: the guest's tables do not map it.
static bool locate(struct vcpu *v, uint64_t linear, bool write, unsigned int size,
                   struct io_handler **handler, gpa_t *gpa)
{
    if (arch_walk_guest(v, GVA(linear), write, gpa)) {
        hvm_inject_page_fault(v, linear, write ? 2 : 0);
        return false;
    }
    *handler = io_handler_find(v->domain, IO_MEMORY, gpa->a, size);
    return true;
}

static bool read_operand(struct vcpu *v, const struct x86_mmio_access *access, uint64_t *value)
{
    struct io_handler *handler;
    gpa_t gpa;

    *value = 0;
    if (!access->reads) {
        return true;
    }
    if (!locate(v, access->read_address, false, access->size, &handler, &gpa)) {
        return false;
    }
    if (handler) {
        *value = ~0UL;
        handler->read(v, handler->opaque, gpa.a, access->size, value);
    } else if (copy_from_guest_physical(v->domain, value, gpa, access->size)) {
        *value = ~0UL;
    }
    return true;
}

static bool write_operand(struct vcpu *v, const struct x86_mmio_access *access)
{
    struct io_handler *handler;
    gpa_t gpa;

    if (!access->writes) {
        return true;
    }
    if (!locate(v, access->write_address, true, access->size, &handler, &gpa)) {
        return false;
    }
    if (handler) {
        handler->write(v, handler->opaque, gpa.a, access->size, access->write_value);
    } else {
        // Where nothing is, writes go nowhere, as on a real bus.
        copy_to_guest_physical(v->domain, gpa, &access->write_value, access->size);
    }
    return true;
}

// One iteration. *more: a repeated string instruction has some left.
static bool step(struct vcpu *v, const struct x86_instruction *instruction,
                 const struct hvm_registers *r, bool *more)
{
    uint64_t bases[X86_SEGMENTS];
    struct x86_registers registers;
    struct x86_mmio_access access;
    uint64_t value = 0;

    for (unsigned int s = 0; s < X86_SEGMENTS; s++) {
        bases[s] = r->segment[s].base; // both count ES CS SS DS FS GS
    }
    for (unsigned int i = 0; i < ARRAY_SIZE(registers.gpr); i++) {
        registers.gpr[i] = v->arch.gpr[i];
    }
    registers.rip = v->arch.rip;
    registers.rflags = v->arch.rflags;
    if (x86_mmio_plan(instruction, &registers, bases, &access) || access.vector) {
        hvm_inject_exception(v, HVM_EXCEPTION_UD, 0);
        return false;
    }
    if (access.iterations && !read_operand(v, &access, &value)) {
        return false;
    }
    x86_mmio_evaluate(&access, value);
    if (access.iterations && !write_operand(v, &access)) {
        return false;
    }
    x86_mmio_complete(&access, &registers);
    for (unsigned int i = 0; i < ARRAY_SIZE(registers.gpr); i++) {
        v->arch.gpr[i] = registers.gpr[i];
    }
    *more = registers.rip == v->arch.rip;
    v->arch.rip = registers.rip;
    v->arch.rflags = registers.rflags;
    return true;
}

bool hvm_emulate_mmio(struct vcpu *v)
{
    struct x86_instruction instruction;
    struct hvm_registers r;
    uint8_t bytes[15];
    size_t available = hvm_fetch_instruction(v, bytes);
    bool more = true;

    hvm_get_registers(v, &r);
    if (x86_decode(&instruction, bytes, available, mode_of(&r)) <= 0) {
        log_message(LOG_GUEST_WARNING,
                    "d%uv%u: cannot decode the device access at rip %lx: %02x %02x %02x %02x",
                    v->domain->id, v->id, v->arch.rip, bytes[0], bytes[1], bytes[2], bytes[3]);
        hvm_inject_exception(v, HVM_EXCEPTION_UD, 0);
        return false;
    }
    for (unsigned int i = 0; more && i < STRING_STEPS; i++) {
        if (!step(v, &instruction, &r, &more)) {
            return false;
        }
    }
    return true;
}
