// SPDX-License-Identifier: Apache-2.0
// Emulated I/O: finding handlers, and port accesses including the string instructions.

#include <bulkhead/cpu.h>
#include <bulkhead/domain.h>
#include <bulkhead/guest_access.h>
#include <bulkhead/io.h>
#include <bulkhead/string.h>
#include <x86/hvm.h>
#include <x86/registers.h>

#define STRING_STEPS 128u // iterations of a REP before the guest is entered again

void io_handler_add(struct domain *d, struct io_handler *handler)
{
    list_add_tail(&d->arch.io_handlers, &handler->link);
}

void io_handler_remove(struct io_handler *handler)
{
    list_remove(&handler->link);
}

struct io_handler *io_handler_find(struct domain *d, enum io_space space, uint64_t addr,
                                   unsigned int size)
{
    struct io_handler *h;

    list_for_each (h, &d->arch.io_handlers, link) {
        if (h->space == space && addr >= h->start && addr - h->start < h->size &&
            h->size - (addr - h->start) >= size) {
            return h;
        }
    }
    return NULL;
}

bool io_handler_in_page(struct domain *d, gfn_t gfn)
{
    uint64_t start = gfn.n << PAGE_SHIFT;
    struct io_handler *h;

    list_for_each (h, &d->arch.io_handlers, link) {
        if (h->space == IO_MEMORY && h->start < start + PAGE_SIZE && start < h->start + h->size) {
            return true;
        }
    }
    return false;
}

void hvm_port_read(struct vcpu *v, uint16_t port, unsigned int size, uint64_t *value)
{
    struct io_handler *h = io_handler_find(v->domain, IO_PORT, port, size);

    *value = ~0UL;
    if (h) {
        h->read(v, h->opaque, port, size, value);
    }
}

void hvm_port_write(struct vcpu *v, uint16_t port, unsigned int size, uint64_t value)
{
    struct io_handler *h = io_handler_find(v->domain, IO_PORT, port, size);

    if (h) {
        h->write(v, h->opaque, port, size, value);
    }
}

// Whether the guest's tables let the instruction access all of [at, at + size).
static bool is_allowed(struct vcpu *v, gva_t at, unsigned int size, unsigned int access)
{
    gpa_t unused;

    return hvm_walk_guest(v, at, access, &unused) == 0 &&
           hvm_walk_guest(v, GVA(at.a + size - 1), access, &unused) == 0;
}

// One element between memory at the linear address and the port.
static bool string_element(struct vcpu *v, uint16_t port, unsigned int size, bool in, gva_t at,
                           unsigned int level)
{
    uint64_t value = 0;

    if (level && !is_allowed(v, at, size, level | (in ? HVM_ACCESS_WRITE : 0))) {
        return false;
    }
    if (in) {
        hvm_port_read(v, port, size, &value);
        return copy_to_guest(at, &value, size) == 0;
    }
    if (copy_from_guest(&value, at, size)) {
        return false;
    }
    hvm_port_write(v, port, size, value);
    return true;
}

bool hvm_emulate_string_io(struct vcpu *v, uint16_t port, unsigned int size, bool in, bool rep,
                           uint64_t next_rip)
{
    uint64_t *index = &v->arch.gpr[in ? 7 : 6];
    uint64_t count = rep ? v->arch.gpr[1] : 1;
    uint64_t step = v->arch.rflags & RFLAGS_DF ? -(uint64_t)size : size;
    struct hvm_registers r;
    struct segment *segment;
    uint64_t mask;

    hvm_get_registers(v, &r);
    // Segment overrides and address-size prefixes with string I/O occur in no system we serve.
    mask = hvm_code_bits(&r) == 64 ? ~0UL : hvm_code_bits(&r) == 32 ? 0xffffffffUL : 0xffffUL;
    segment = &r.segment[in ? SEGMENT_ES : SEGMENT_DS];
    count &= mask;
    for (unsigned int i = 0; i < STRING_STEPS && count; i++, count--) {
        uint64_t offset = *index & mask;
        gva_t at = GVA(mask == ~0UL ? offset : (uint32_t)(offset + segment->base));

        if (!string_element(v, port, size, in, at, hvm_access_level(&r))) {
            return false;
        }
        *index = (*index & ~mask) | ((*index + step) & mask);
        if (rep) {
            v->arch.gpr[1] = (v->arch.gpr[1] & ~mask) | ((count - 1) & mask);
        }
    }
    if (!count) {
        v->arch.rip = next_rip;
    }
    return true;
}
