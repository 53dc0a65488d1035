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

#include "decoder_registers.h"

#define STRING_STEPS 64u // iterations of a REP before the guest is entered again

static enum x86_mode mode_of(const struct hvm_registers *r)
{
    uint8_t bits = hvm_code_bits(r);

    return bits == 64 ? X86_MODE_64 : bits == 32 ? X86_MODE_32 : X86_MODE_16;
}

static bool translate(struct vcpu *v, uint64_t linear, unsigned int access, gpa_t *gpa)
{
    if (hvm_walk_guest(v, GVA(linear), access, gpa) == 0) {
        return true;
    }
    hvm_inject_page_fault(v, linear,
                          (access & HVM_ACCESS_WRITE ? 2 : 0) | (access & HVM_ACCESS_USER ? 4 : 0));
    return false;
}

// One access inside a page, by a handler or to memory. Where nothing is, reads give all ones and
// writes go nowhere, as on a real bus.
static void access_page(struct vcpu *v, gpa_t gpa, unsigned int size, bool write, uint64_t *value)
{
    struct io_handler *handler = io_handler_find(v->domain, IO_MEMORY, gpa.a, size);

    if (write) {
        if (handler) {
            handler->write(v, handler->opaque, gpa.a, size, *value);
        } else {
            copy_to_guest_physical(v->domain, gpa, value, size);
        }
        return;
    }
    *value = ~0UL;
    if (handler) {
        handler->read(v, handler->opaque, gpa.a, size, value);
    } else if (copy_from_guest_physical(v->domain, value, gpa, size)) {
        *value = ~0UL;
    }
}

// Reads an operand, or writes it, with the rights of the instruction. False: the guest's tables do
// not let it; it gets a page fault, and nothing has happened. User-mode code may have two operands,
// and may change between the exit and the fetch: its rights are asked for each.
static bool access_operand(struct vcpu *v, uint64_t linear, unsigned int size, unsigned int access,
                           uint64_t *value)
{
    bool write = access & HVM_ACCESS_WRITE;
    unsigned int room = (unsigned int)(PAGE_SIZE - (linear & ~PAGE_MASK));
    uint64_t byte, result = 0;
    gpa_t first, second;

    if (!translate(v, linear, access, &first)) {
        return false;
    }
    if (size <= room) {
        access_page(v, first, size, write, value);
        return true;
    }
    if (!translate(v, linear + room, access, &second)) {
        return false;
    }
    // Two pages have two places: byte by byte, as no device asks for anything else there.
    for (unsigned int i = 0; i < size; i++) {
        byte = *value >> (8 * i) & 0xff;
        access_page(v, i < room ? GPA(first.a + i) : GPA(second.a + (i - room)), 1, write, &byte);
        result |= (byte & 0xff) << (8 * i);
    }
    if (!write) {
        *value = result;
    }
    return true;
}

// One iteration. *more: a repeated string instruction has some left.
static bool step(struct vcpu *v, const struct x86_instruction *instruction,
                 const struct hvm_registers *r, bool *more)
{
    unsigned int level = hvm_access_level(r);
    uint64_t bases[X86_SEGMENTS];
    struct x86_registers registers;
    struct x86_mmio_access access;
    uint64_t value = 0;

    decoder_registers(v, r, &registers, bases);
    if (x86_mmio_plan(instruction, &registers, bases, &access) || access.vector) {
        hvm_inject_exception(v, HVM_EXCEPTION_UD, 0);
        return false;
    }
    if (access.iterations && access.reads &&
        !access_operand(v, access.read_address, access.size, level, &value)) {
        return false;
    }
    x86_mmio_evaluate(&access, value);
    if (access.iterations && access.writes &&
        !access_operand(v, access.write_address, access.size, level | HVM_ACCESS_WRITE,
                        &access.write_value)) {
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
    uint8_t bytes[15] = {0};
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
