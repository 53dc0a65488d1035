// SPDX-License-Identifier: Apache-2.0
// Hardware-assisted vcpus without a word of the vendor's: fetching instructions, starting and
// stopping processors, what is mapped on demand.
//
// INIT and STARTUP come from other CPUs. INIT to a running vcpu is a request that it serves on its
// next entry; STARTUP is carried out by the sender while the target waits, paused.

#include <bulkhead/arch/mm.h>
#include <bulkhead/boot_info.h>
#include <bulkhead/console.h>
#include <bulkhead/cpu.h>
#include <bulkhead/domain.h>
#include <bulkhead/guest_access.h>
#include <bulkhead/io.h>
#include <bulkhead/mapping.h>
#include <bulkhead/page.h>
#include <bulkhead/sched.h>
#include <bulkhead/string.h>
#include <x86/hvm.h>
#include <x86/p2m.h>
#include <x86/registers.h>
#include <x86/vlapic.h>
#include <xen/sched.h>

#define MAX_INSTRUCTION 15u
#define PC_ROMS_START 0xa0000u
#define PC_ROMS_END 0x100000u

// Translates the page of an instruction, remembering the last one, and borrows the frame. A
// remembered translation may be older than the guest's tables, but not than the p2m: flushed
// mappings raise the generation, and their frames are released after this CPU has answered a call.
// So the frame is still the guest's own, and the callers check that the bytes are the instruction
// they expect.
static bool translate_fetch(struct vcpu *v, uint64_t linear, struct page **page)
{
    struct fetch_cache *cache = &v->arch.fetch;
    struct p2m *p2m = v->domain->arch.p2m;
    uint64_t generation = __atomic_load_n(&p2m->tlb_generation, __ATOMIC_ACQUIRE);
    uint64_t cr0, cr3, cr4, efer;
    enum p2m_type type;
    gpa_t gpa;

    hvm_get_paging(v, &cr0, &cr3, &cr4, &efer);
    if (cache->page == (linear & PAGE_MASK) && cache->cr3 == cr3 &&
        cache->generation == generation) {
        *page = mfn_to_page(cache->mfn);
        return true;
    }
    if (arch_walk_guest(v, GVA(linear), false, &gpa)) {
        return false;
    }
    *page = p2m_borrow_page(v->domain, gpa_to_gfn(gpa), false, &type);
    if (!*page) {
        return false;
    }
    *cache = (struct fetch_cache){cr3, linear & PAGE_MASK, generation, page_to_mfn(*page)};
    return true;
}

size_t hvm_fetch_instruction(struct vcpu *v, uint8_t bytes[15])
{
    struct segment cs;
    size_t got = 0;
    uint64_t linear;

    hvm_get_segment(v, SEGMENT_CS, &cs);
    linear = v->arch.rip;
    if (!(cs.attributes & 0x200)) {
        linear = (uint32_t)(linear + cs.base);
    }
    while (got < MAX_INSTRUCTION) {
        size_t offset = (linear + got) & (PAGE_SIZE - 1);
        size_t count = MIN(MAX_INSTRUCTION - got, PAGE_SIZE - offset);
        struct page *page;
        char *mapped;

        if (!translate_fetch(v, linear + got, &page)) {
            break;
        }
        mapped = map_frame(page_to_mfn(page));
        memcpy(bytes + got, mapped + offset, count);
        unmap_frame(mapped);
        p2m_return_page(page);
        got += count;
    }
    return got;
}

unsigned int hvm_access_level(const struct hvm_registers *regs)
{
    return (regs->segment[SEGMENT_SS].attributes >> 5 & 3) == 3 ? HVM_ACCESS_USER : 0;
}

uint8_t hvm_code_bits(const struct hvm_registers *regs)
{
    uint16_t attributes = regs->segment[SEGMENT_CS].attributes;

    if ((regs->efer & EFER_LMA) && (attributes & 0x200)) {
        return 64;
    }
    return attributes & 0x400 ? 32 : 16;
}

void hvm_vcpu_down(struct vcpu *v)
{
    struct domain *d = v->domain;
    struct vcpu *other;
    unsigned int i;
    bool alive = false;

    __atomic_fetch_or(&v->pause_flags, VCPU_DOWN, __ATOMIC_SEQ_CST);
    for_each_vcpu (other, d, i) {
        alive |= !(__atomic_load_n(&other->pause_flags, __ATOMIC_SEQ_CST) & VCPU_DOWN);
    }
    if (!alive) {
        domain_shutdown(d, SHUTDOWN_poweroff);
    }
    sched_vcpu_sleep(v);
}

static void set_flat_segments(struct hvm_registers *r, uint16_t code, uint16_t data, uint32_t limit)
{
    for (unsigned int s = SEGMENT_ES; s <= SEGMENT_GS; s++) {
        r->segment[s] = (struct segment){0, data, limit, 0};
    }
    r->segment[SEGMENT_CS].attributes = code;
    r->segment[SEGMENT_LDTR] = (struct segment){0, 0x82, 0xffff, 0};
    r->segment[SEGMENT_TR] = (struct segment){0, 0x8b, 0xffff, 0};
    r->gdtr = (struct table_register){0, 0xffff};
    r->idtr = (struct table_register){0, 0xffff};
}

static void reset_registers(struct vcpu *v, struct hvm_registers *r)
{
    memset(v->arch.gpr, 0, sizeof(v->arch.gpr));
    v->arch.initialised = true;
    v->arch.rflags = 2;
    v->arch.fetch.page = 1;
    *r = (struct hvm_registers){
        .cr0 = CR0_ET, .dr6 = 0xffff0ff0, .dr7 = 0x400, .pat = 0x0007040600070406UL};
}

void hvm_set_pvh_entry(struct vcpu *v, uint32_t entry, uint32_t start_info)
{
    struct hvm_registers r;

    reset_registers(v, &r);
    // Code: 32-bit, readable, accessed; data: writable, accessed; both with 4 GiB limits.
    set_flat_segments(&r, 0xc9b, 0xc93, ~0u);
    r.segment[SEGMENT_TR].limit = 0x67;
    r.cr0 = CR0_PE | CR0_ET;
    v->arch.rip = entry;
    v->arch.gpr[3] = start_info;
    hvm_set_registers(v, &r);
}

// Real mode at the page that the STARTUP message names.
static void set_startup_entry(struct vcpu *v, uint8_t vector)
{
    struct hvm_registers r;

    reset_registers(v, &r);
    set_flat_segments(&r, 0x9b, 0x93, 0xffff);
    r.segment[SEGMENT_CS].selector = (uint16_t)(vector << 8);
    r.segment[SEGMENT_CS].base = (uint64_t)vector << 12;
    hvm_set_registers(v, &r);
    hvm_forget_transient_state(v);
    v->arch.rip = 0;
}

void hvm_vcpu_init_signal(struct vcpu *v)
{
    if (__atomic_load_n(&v->pause_flags, __ATOMIC_SEQ_CST) & VCPU_DOWN) {
        v->arch.waiting_for_startup = true;
        return;
    }
    __atomic_fetch_or(&v->arch.startup_request, STARTUP_INIT, __ATOMIC_SEQ_CST);
    vcpu_kick(v);
}

void hvm_handle_startup(struct vcpu *v)
{
    __atomic_store_n(&v->arch.startup_request, 0, __ATOMIC_SEQ_CST);
    vlapic_init_reset(v);
    v->arch.waiting_for_startup = true;
    hvm_vcpu_down(v);
}

void hvm_vcpu_start(struct vcpu *v, uint8_t sipi_vector)
{
    if (v == current_vcpu() ||
        !__atomic_exchange_n(&v->arch.waiting_for_startup, false, __ATOMIC_SEQ_CST)) {
        return;
    }
    vcpu_pause(v);
    set_startup_entry(v, sipi_vector);
    __atomic_fetch_and(&v->pause_flags, ~(VCPU_DOWN | VCPU_BLOCKED), __ATOMIC_SEQ_CST);
    vcpu_unpause(v);
}

// What the firmware's map has besides RAM, and the place of a PC's ROMs. BARs are not among it.
static bool is_firmware_memory(gfn_t gfn)
{
    uint64_t first = gfn.n << PAGE_SHIFT, last = first + PAGE_SIZE - 1;

    for (unsigned int i = 0; i < boot_info.region_count; i++) {
        const struct boot_region *r = &boot_info.regions[i];

        if (r->type != BOOT_REGION_RAM && r->start <= last && first < r->start + r->size) {
            return true;
        }
    }
    return first >= PC_ROMS_START && last < PC_ROMS_END;
}

bool hvm_map_on_demand(struct domain *d, gfn_t gfn)
{
    // One to one, and only for domain 0: other domains' device memory is mapped by virtual PCI.
    // Pages with an emulated part stay unmapped.
    return d == domain0 && is_firmware_memory(gfn) &&
           rangeset_contains(d->io_memory, gfn.n, gfn.n) && !io_handler_in_page(d, gfn) &&
           p2m_set_new(d, gfn, MFN(gfn.n), 0, P2M_MMIO) == 0;
}
