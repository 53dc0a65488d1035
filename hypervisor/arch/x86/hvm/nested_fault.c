// SPDX-License-Identifier: Apache-2.0
// Accesses that the second-level tables do not let through: what is mapped on demand, devices that
// are emulated, and places that hold nothing. State: the domain's tables, read without a lock; the
// vcpu is the current one.
//
// The emulator carries out what an instruction does with its operands. It cannot stand in for the
// processor where that reads something for itself: instruction bytes, page tables, or a descriptor
// and the stack while it delivers an event. Nothing is there for it, no exception for it would get
// anywhere, and each would be met by the next of its kind: the domain ends. So it does for fetches
// from an emulated device, which has registers and no code. Only user mode that goes astray is the
// guest kernel's to judge: it gets an undefined-opcode exception, which an empty bus's bytes give.

#include <bulkhead/arch/domain.h>
#include <bulkhead/domain.h>
#include <x86/hvm.h>

static void crash(struct vcpu *v, const char *what, gpa_t address)
{
    domain_crash(v->domain, "vcpu %u at rip %lx: %s at %lx", v->id, v->arch.rip, what, address.a);
}

static void handle_fetch(struct vcpu *v, gpa_t address)
{
    struct hvm_registers r;

    hvm_get_registers(v, &r);
    if (hvm_access_level(&r) & HVM_ACCESS_USER) {
        hvm_inject_exception(v, HVM_EXCEPTION_UD, 0);
    } else {
        crash(v, "no memory to fetch instructions from", address);
    }
}

static void handle_absent(struct vcpu *v, gpa_t address, unsigned int access)
{
    if (hvm_map_on_demand(v->domain, gpa_to_gfn(address))) {
        return;
    }
    if (access & HVM_ACCESS_TABLES) {
        crash(v, "no memory for page tables", address);
    } else if (access & HVM_ACCESS_DELIVERY) {
        crash(v, "no memory to deliver an event by", address);
    } else if (access & HVM_ACCESS_FETCH) {
        handle_fetch(v, address);
    } else {
        hvm_emulate_mmio(v);
    }
}

void hvm_handle_nested_fault(struct vcpu *v, gpa_t address, unsigned int access)
{
    enum p2m_type type = p2m_lookup(v->domain, gpa_to_gfn(address)).type;

    if (type == P2M_INVALID) {
        handle_absent(v, address, access);
        return;
    }
    if (!(access & HVM_ACCESS_WRITE) || p2m_is_writable(type) || type == P2M_MMIO) {
        return; // the mapping has appeared meanwhile: the guest tries again
    }
    // A page that another domain granted for reading only.
    if (access & (HVM_ACCESS_TABLES | HVM_ACCESS_DELIVERY)) {
        crash(v, "the processor has to write to a read-only page", address);
    } else {
        hvm_inject_exception(v, HVM_EXCEPTION_GP, 0);
    }
}
