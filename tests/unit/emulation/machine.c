// SPDX-License-Identifier: Apache-2.0
// The machine of machine.h, and stand-ins for what else the code under test calls.
#include "machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bulkhead/arch/domain.h>
#include <bulkhead/arch/mm.h>
#include <bulkhead/console.h>
#include <bulkhead/cpu.h>
#include <bulkhead/guest_access.h>
#include <bulkhead/heap.h>
#include <bulkhead/mapping.h>
#include <bulkhead/page.h>
#include <x86/cpuid_policy.h>
#include <x86/registers.h>
#include <x86/vioapic.h>

#define MAX_TIMERS 8u
#define MAX_FIRINGS 1000u

struct cpu *test_cpu;
struct page *frame_table;
uint8_t machine_code[15];
unsigned int machine_code_size;
uint8_t machine_bits, machine_last_exception;
bool machine_in_user_mode;
unsigned int machine_exceptions, machine_accesses;
uint8_t machine_ram[MACHINE_PAGES][4096];

static struct cpu the_cpu;
static struct hvm_registers registers[2];
static struct timer *timers[MAX_TIMERS];
static struct io_handler port_device;
static struct vcpu *entered;
static unsigned int heap_blocks, timers_reserved;
static ns_t time_now;
static uint64_t tsc_offset;
static struct cpuid_policy policy = {
    .cr4_valid = CR4_PAE | CR4_PGE | CR4_SMEP | CR4_PSE,
    .efer_valid = EFER_SCE | EFER_LME | EFER_NXE,
};

void machine_check(bool good, const char *what)
{
    if (!good) {
        fprintf(stderr, "emulation: %s\n", what);
        abort();
    }
}

static void device_read(struct vcpu *v, void *opaque, uint64_t port, unsigned int size,
                        uint64_t *value)
{
    (void)v;
    (void)opaque;
    machine_accesses++;
    machine_check(port >= MACHINE_PORT && port + size <= MACHINE_PORT + 8, "port range");
    *value = port * 0x01010101u;
}

static void device_write(struct vcpu *v, void *opaque, uint64_t port, unsigned int size,
                         uint64_t value)
{
    uint64_t unused;

    machine_check(size == 4 ? value >> 32 == 0 : value >> (8 * size) == 0, "width of a value");
    device_read(v, opaque, port, size, &unused);
}

struct domain *machine_start(unsigned int vcpus)
{
    struct domain *d = calloc(1, sizeof(*d));

    test_cpu = &the_cpu;
    d->max_vcpus = vcpus;
    d->vcpus = calloc(vcpus, sizeof(*d->vcpus));
    d->arch.policy = &policy;
    d->arch.io_handlers = (struct list){&d->arch.io_handlers, &d->arch.io_handlers};
    memset(registers, 0, sizeof(registers));
    for (unsigned int i = 0; i < vcpus; i++) {
        struct vcpu *v = calloc(1, sizeof(*v));

        v->id = i;
        v->domain = d;
        machine_check(vlapic_create(v) == 0, "no local APIC");
        d->vcpus[i] = v;
        registers[i].cr0 = CR0_PG | CR0_PE | CR0_ET;
        registers[i].cr4 = CR4_PAE;
        registers[i].efer = EFER_LME | EFER_LMA;
    }
    port_device = (struct io_handler){.space = IO_PORT,
                                      .start = MACHINE_PORT,
                                      .size = 8,
                                      .read = device_read,
                                      .write = device_write};
    io_handler_add(d, &port_device);
    return d;
}

void machine_stop(struct domain *d)
{
    for (unsigned int i = 0; i < d->max_vcpus; i++) {
        vlapic_destroy(d->vcpus[i]);
        free(d->vcpus[i]);
    }
    for (unsigned int i = 0; i < MAX_TIMERS; i++) {
        machine_check(!timers[i], "a timer is left over");
    }
    machine_check(heap_blocks == 0, "a heap block is left over");
    machine_check(timers_reserved == 0, "a timer's place is left over");
    free(d->vcpus);
    free(d);
}

void machine_enter(struct vcpu *v)
{
    entered = v;
}

// Guest memory.
int hvm_walk_guest(struct vcpu *v, gva_t address, unsigned int access, gpa_t *out)
{
    uint64_t page = address.a / 4096;

    machine_accesses++;
    machine_check(v == entered, "the tables of another vcpu");
    if (page >= MACHINE_PAGES || ((access & HVM_ACCESS_WRITE) && page == 0) ||
        ((access & HVM_ACCESS_USER) && page == MACHINE_KERNEL_PAGE)) {
        return -XEN_EFAULT;
    }
    out->a = (page == MACHINE_APIC_PAGE ? VLAPIC_DEFAULT_BASE : page * 4096) + address.a % 4096;
    return 0;
}

// The byte at a guest-physical address, or NULL. User mode comes to no byte that is the kernel's.
static uint8_t *ram_at(uint64_t address)
{
    uint64_t page = address / 4096;

    machine_check(!machine_in_user_mode || page != MACHINE_KERNEL_PAGE,
                  "user mode in kernel memory");
    return page >= MACHINE_PAGES || page == MACHINE_APIC_PAGE || page == MACHINE_HOLE_PAGE
               ? NULL
               : &machine_ram[page][address % 4096];
}

int copy_from_guest_physical(struct domain *d, void *to, gpa_t from, size_t size)
{
    (void)d;
    for (size_t i = 0; i < size; i++) {
        uint8_t *byte = ram_at(from.a + i);

        if (!byte) {
            return -XEN_EFAULT;
        }
        ((uint8_t *)to)[i] = *byte;
    }
    return 0;
}

int copy_to_guest_physical(struct domain *d, gpa_t to, const void *from, size_t size)
{
    (void)d;
    for (size_t i = 0; i < size; i++) {
        uint8_t *byte = ram_at(to.a + i);

        if (!byte) {
            return -XEN_EFAULT;
        }
        *byte = ((const uint8_t *)from)[i];
    }
    return 0;
}

static int copy_bytes(void *buffer, gva_t at, size_t size, bool to_guest)
{
    for (size_t i = 0; i < size; i++) {
        uint8_t *byte;
        gpa_t gpa;

        if (hvm_walk_guest(entered, GVA(at.a + i), to_guest ? HVM_ACCESS_WRITE : 0, &gpa)) {
            return -XEN_EFAULT;
        }
        byte = ram_at(gpa.a);
        if (!byte) {
            return -XEN_EFAULT;
        }
        if (to_guest) {
            *byte = ((uint8_t *)buffer)[i];
        } else {
            ((uint8_t *)buffer)[i] = *byte;
        }
    }
    return 0;
}

// One access, however many bytes, and whether they are all there or not.
static int copy(void *buffer, gva_t at, size_t size, bool to_guest)
{
    unsigned int before = machine_accesses;
    int error = copy_bytes(buffer, at, size, to_guest);

    machine_accesses = before + 1;
    return error;
}

int copy_from_guest(void *to, gva_t from, size_t size)
{
    return copy(to, from, size, false);
}

int copy_to_guest(gva_t to, const void *from, size_t size)
{
    return copy((void *)(uintptr_t)from, to, size, true);
}

size_t hvm_fetch_instruction(struct vcpu *v, uint8_t bytes[15])
{
    (void)v;
    memcpy(bytes, machine_code, machine_code_size);
    return machine_code_size;
}

struct page *p2m_get_page(struct domain *d, gfn_t gfn, bool write, enum p2m_type *type)
{
    (void)d;
    (void)gfn;
    (void)write;
    (void)type;
    return NULL;
}

void page_put(struct page *page)
{
    (void)page;
    abort();
}

void *map_frame(mfn_t mfn)
{
    (void)mfn;
    abort();
}

void unmap_frame(const void *p)
{
    (void)p;
    abort();
}

// The vcpu.
void hvm_get_registers(struct vcpu *v, struct hvm_registers *out)
{
    *out = registers[v->id];
}

void hvm_set_registers(struct vcpu *v, const struct hvm_registers *in)
{
    registers[v->id] = *in;
}

void hvm_get_paging(const struct vcpu *v, uint64_t *cr0, uint64_t *cr3, uint64_t *cr4,
                    uint64_t *efer)
{
    *cr0 = registers[v->id].cr0;
    *cr3 = registers[v->id].cr3;
    *cr4 = registers[v->id].cr4;
    *efer = registers[v->id].efer;
}

void hvm_set_paging(struct vcpu *v, uint64_t cr0, uint64_t cr4, uint64_t efer, bool flush)
{
    (void)flush;
    registers[v->id].cr0 = cr0;
    registers[v->id].cr4 = cr4;
    registers[v->id].efer = efer;
}

void hvm_get_segment(struct vcpu *v, enum hvm_segment s, struct segment *out)
{
    *out = registers[v->id].segment[s];
    out->attributes = machine_bits == 64 ? 0x200 : 0;
}

unsigned int hvm_access_level(const struct hvm_registers *r)
{
    (void)r;
    return machine_in_user_mode ? HVM_ACCESS_USER : 0;
}

uint8_t hvm_code_bits(const struct hvm_registers *r)
{
    (void)r;
    return machine_bits;
}

void hvm_inject_exception(struct vcpu *v, uint8_t vector, uint32_t error_code)
{
    (void)v;
    (void)error_code;
    machine_last_exception = vector;
    machine_exceptions++;
}

void hvm_inject_page_fault(struct vcpu *v, uint64_t address, uint32_t error_code)
{
    (void)address;
    hvm_inject_exception(v, HVM_EXCEPTION_PF, error_code);
}

void hvm_vcpu_init_signal(struct vcpu *v)
{
    vlapic_init_reset(v);
}

void hvm_vcpu_start(struct vcpu *v, uint8_t sipi_vector)
{
    (void)v;
    (void)sipi_vector;
}

void hvm_vcpu_nmi(struct vcpu *v)
{
    (void)v;
}

void hvm_vendor_set_task_priority(struct vcpu *v, uint8_t tpr)
{
    (void)v;
    (void)tpr;
}

void vcpu_kick(struct vcpu *v)
{
    (void)v;
}

void vioapic_eoi(struct domain *d, uint8_t vector)
{
    (void)d;
    (void)vector;
}

// Time: the guest's counter runs at 1 GHz.
ns_t now(void)
{
    return time_now;
}

ns_t hvm_tsc_to_time(struct vcpu *v, uint64_t guest_tsc)
{
    (void)v;
    return (ns_t)(guest_tsc - tsc_offset);
}

uint64_t hvm_vendor_tsc_offset(const struct vcpu *v)
{
    (void)v;
    return tsc_offset;
}

void hvm_vendor_set_tsc_offset(struct vcpu *v, uint64_t offset)
{
    (void)v;
    tsc_offset = offset;
}

void arch_vcpu_update_time(struct vcpu *v)
{
    (void)v;
}

static struct timer **find_timer(const struct timer *t)
{
    for (unsigned int i = 0; i < MAX_TIMERS; i++) {
        if (timers[i] == t) {
            return &timers[i];
        }
    }
    abort();
}

void timer_init(struct timer *t, unsigned int cpu, void (*fire)(void *data), void *data)
{
    *t = (struct timer){.cpu = cpu, .fire = fire, .data = data};
}

int timer_reserve(unsigned int count)
{
    timers_reserved += count;
    return 0;
}

void timer_unreserve(unsigned int count)
{
    timers_reserved -= count;
}

void timer_stop(struct timer *t)
{
    if (t->heap_index) {
        *find_timer(t) = NULL;
        t->heap_index = 0;
    }
}

void timer_set(struct timer *t, ns_t expires)
{
    timer_stop(t);
    t->expires = expires;
    t->heap_index = 1;
    *find_timer(NULL) = t;
}

void timer_kill(struct timer *t)
{
    timer_stop(t);
}

void timer_migrate(struct timer *t, unsigned int cpu)
{
    t->cpu = cpu;
}

void machine_run(ns_t duration)
{
    ns_t end = time_now + duration;

    for (unsigned int i = 0; i < MAX_FIRINGS; i++) {
        struct timer *first = NULL;

        for (unsigned int j = 0; j < MAX_TIMERS; j++) {
            if (timers[j] && timers[j]->expires <= end &&
                (!first || timers[j]->expires < first->expires)) {
                first = timers[j];
            }
        }
        if (!first) {
            break;
        }
        time_now = MAX(time_now, first->expires);
        timer_stop(first);
        first->fire(first->data);
    }
    time_now = end;
}

// The rest.
void *heap_alloc(size_t size)
{
    heap_blocks++;
    return calloc(1, size);
}

void heap_free(void *p)
{
    heap_blocks -= p != NULL;
    free(p);
}

void log_message(enum log_level level, const char *format, ...)
{
    (void)level;
    (void)format;
}

void arch_spin_wait(void)
{
    abort(); // there is one CPU
}
