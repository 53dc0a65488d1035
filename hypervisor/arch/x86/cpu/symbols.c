// SPDX-License-Identifier: Apache-2.0
// Names for code addresses, from the table that symbols.sh makes out of the first link, and the
// walk along frame pointers. Constant data; usable in any context, however broken: every pointer is
// checked against the stacks of this CPU before it is followed.

#include <bulkhead/console.h>
#include <bulkhead/cpu.h>
#include <x86/debug.h>
#include <x86/interrupt.h>
#include <x86/layout.h>
#include <x86/paging.h>

#define MAX_DEPTH 40u

extern const char image_start[], text_end[];
extern const uint64_t symbol_count;
extern const uint32_t symbol_addresses[], symbol_names[];
extern const char symbol_text[];

// The name of the last symbol at or before the address, and the distance to it; NULL: none.
static const char *find_symbol(uint64_t address, uint64_t *offset)
{
    uint64_t distance = address - (uintptr_t)image_start;
    uint64_t low = 0, high = symbol_count;

    if (address < (uintptr_t)image_start || address >= (uintptr_t)text_end) {
        return NULL;
    }
    while (low < high) {
        uint64_t middle = (low + high) / 2;

        if (symbol_addresses[middle] <= distance) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == 0) {
        return NULL;
    }
    *offset = distance - symbol_addresses[low - 1];
    return symbol_text + symbol_names[low - 1];
}

const char *symbol_at(uint64_t index, uint64_t *address)
{
    if (index >= symbol_count) {
        return NULL;
    }
    *address = (uintptr_t)image_start + symbol_addresses[index];
    return symbol_text + symbol_names[index];
}

void log_code_address(uint64_t address)
{
    uint64_t offset = 0;
    const char *name = find_symbol(address, &offset);

    if (name) {
        log_error("    [<%016lx>] %s+0x%lx", address, name, offset);
    } else {
        log_error("    [<%016lx>]", address);
    }
}

void log_backtrace(uint64_t rip, uint64_t rbp)
{
    uint64_t previous = 0;

    log_error("Call trace:");
    log_code_address(rip);
    for (unsigned int depth = 0; depth < MAX_DEPTH; depth++) {
        const uint64_t *frame = (const uint64_t *)rbp;

        // Stacks grow down, so callers' frames are at higher addresses, and not far.
        if (rbp % 8 || rbp < LASTING_WINDOW || rbp <= previous ||
            (previous && rbp - previous > STACK_PAGES * PAGE_SIZE) ||
            ALIGN_DOWN(rbp, PAGE_SIZE) != ALIGN_DOWN(rbp + 15, PAGE_SIZE) ||
            hv_translate(frame).a == UINT64_MAX) {
            return;
        }
        if (frame[1] < (uintptr_t)image_start || frame[1] >= (uintptr_t)text_end) {
            return;
        }
        // A return address may be that of the next function: the call lies before it.
        log_code_address(frame[1] - 1);
        previous = rbp;
        rbp = frame[0];
    }
}

void log_registers(const struct interrupt_frame *f)
{
    log_error("RIP: %04lx:[<%016lx>] RFLAGS: %016lx", f->cs, f->rip, f->rflags);
    log_error("RSP: %04lx:%016lx RBP: %016lx", f->ss, f->rsp, f->rbp);
    log_error("RAX: %016lx RBX: %016lx RCX: %016lx", f->rax, f->rbx, f->rcx);
    log_error("RDX: %016lx RSI: %016lx RDI: %016lx", f->rdx, f->rsi, f->rdi);
    log_error("R8:  %016lx R9:  %016lx R10: %016lx", f->r8, f->r9, f->r10);
    log_error("R11: %016lx R12: %016lx R13: %016lx", f->r11, f->r12, f->r13);
    log_error("R14: %016lx R15: %016lx", f->r14, f->r15);
}
