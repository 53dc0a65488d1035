// SPDX-License-Identifier: Apache-2.0
// The domains of guest.h, and doubles of what else the code under test calls.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bulkhead/console.h>
#include <bulkhead/cpu.h>
#include <bulkhead/heap.h>
#include <x86/cpuid_policy.h>
#include <x86/extended_state.h>
#include <x86/p2m.h>
#include <x86/time.h>
#include <x86/vioapic.h>

#include "arch/x86/hvm/svm/vmcb.h"
#include "guest.h"
#include "processor.h"

#define AREA_SIZE 4096u

struct tsc_scale tsc_scale = {.mul = 0x80000000, .shift = 0};
uint64_t tsc_khz = 2000000;

// Doubles. Those that abort are never reached by what this folder's programs do; a program that
// does has its own.

#define NEVER __attribute__((weak))

uint64_t extended_state_mask(void)
{
    return PROCESSOR_COMPONENTS;
}

uint32_t extended_state_mxcsr_mask(void)
{
    return PROCESSOR_MXCSR_MASK;
}

int extended_state_init_cpu(void)
{
    return 0;
}

void *extended_state_alloc(void)
{
    void *area = heap_alloc_pages(0, 0);

    if (area) {
        extended_state_reset(area);
    }
    return area;
}

void extended_state_free(void *area)
{
    heap_free_pages(area, 0);
}

uint64_t extended_state_save(void *area)
{
    (void)area;
    abort();
}

void extended_state_load(const void *area, uint64_t xcr0)
{
    (void)area;
    (void)xcr0;
    abort();
}

void *heap_alloc_pages(unsigned int order, unsigned int flags)
{
    void *p = aligned_alloc(PAGE_SIZE, PAGE_SIZE << order);

    (void)flags;
    return p ? memset(p, 0, PAGE_SIZE << order) : NULL;
}

void heap_free_pages(void *p, unsigned int order)
{
    (void)order;
    free(p);
}

maddr_t heap_maddr(const void *p)
{
    return MADDR((uintptr_t)p);
}

maddr_t p2m_root(const struct domain *d)
{
    (void)d;
    return MADDR(0);
}

NEVER void svm_enter(uint64_t gpr[16], uint64_t guest_vmcb, uint64_t host_vmcb)
{
    (void)gpr;
    (void)guest_vmcb;
    (void)host_vmcb;
    abort();
}

NEVER void svm_handle_exit(struct vcpu *v, struct vmcb *vmcb)
{
    (void)v;
    (void)vmcb;
    abort();
}

void svm_exit_counts_init(void)
{
}

void hvm_handle_startup(struct vcpu *v)
{
    (void)v;
    abort();
}

NEVER bool vcpu_runnable(const struct vcpu *v)
{
    (void)v;
    abort();
}

NEVER bool event_pending(const struct vcpu *v)
{
    (void)v;
    abort();
}

void arch_vcpu_update_time(struct vcpu *v)
{
    (void)v;
}

void domain_pause(struct domain *d)
{
    d->pause_count++;
}

void domain_unpause(struct domain *d)
{
    d->pause_count--;
}

void panic(const char *format, ...)
{
    fprintf(stderr, "%s\n", format);
    abort();
}

// Domains.

static uint8_t msr_permissions[2 * PAGE_SIZE];

void guest_start(void)
{
    machine_reset(0x20);
    processor_reset();
    cpuid_policy_init();
    svm_msr_permissions = msr_permissions;
}

void machine_prepare_vcpu(struct vcpu *v)
{
    if (hvm_vcpu_create(v)) {
        abort();
    }
}

struct domain *guest_create(unsigned int vcpus, bool ioapic)
{
    struct domain *d = machine_domain(vcpus);

    for (unsigned int i = 0; i < vcpus; i++) {
        d->vcpus[i]->pause_flags = VCPU_DOWN;
        d->vcpus[i]->arch.rflags = 2;
    }
    if (cpuid_policy_create(d) || (ioapic && vioapic_create(d))) {
        abort();
    }
    return d;
}

void guest_end(struct domain *d)
{
    vioapic_destroy(d);
    cpuid_policy_destroy(d);
    for (unsigned int i = 0; i < d->max_vcpus; i++) {
        hvm_vcpu_free(d->vcpus[i]);
        heap_free(d->vcpus[i]->arch.mtrr);
    }
    machine_domain_free(d);
}

bool guest_is_up(const struct domain *d, unsigned int vcpu)
{
    return !(d->vcpus[vcpu]->pause_flags & VCPU_DOWN);
}

// Snapshots.

struct vcpu_snapshot {
    struct vcpu vcpu; // without the pointer to the MTRRs, which come when they are first loaded
    struct vmcb vmcb;
    struct svm_vcpu svm;
    unsigned char area[AREA_SIZE];
    struct vlapic vlapic;
    struct hvm_hw_mtrr mtrr;
    struct hvm_hw_vioapic ioapic;
};

unsigned char *guest_snapshot(struct domain *d, size_t *size)
{
    struct vcpu_snapshot *all = calloc(d->max_vcpus, sizeof(*all));

    for (unsigned int i = 0; i < d->max_vcpus; i++) {
        struct vcpu *v = d->vcpus[i];
        uint32_t length = sizeof(all[i].mtrr);

        memcpy(&all[i].vcpu, v, sizeof(*v));
        all[i].vcpu.arch.mtrr = NULL;
        memcpy(&all[i].vmcb, v->arch.svm->vmcb, sizeof(all[i].vmcb));
        memcpy(&all[i].svm, v->arch.svm, sizeof(all[i].svm));
        memcpy(all[i].area, v->arch.svm->fpu, AREA_SIZE);
        memcpy(&all[i].vlapic, v->arch.vlapic, sizeof(all[i].vlapic));
        if (hvm_context_save_one(d, HVM_SAVE_CODE(MTRR), i, &all[i].mtrr, &length)) {
            abort();
        }
        vioapic_save(d, &all[i].ioapic);
    }
    *size = d->max_vcpus * sizeof(*all);
    return (unsigned char *)all;
}

// Safety, from the manual: what VMRUN refuses (AMD64 APM volume 2, 15.5.1), what XRSTOR and XSETBV
// fault on.

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "unsafe state: %s\n", #condition);                                     \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static void check_vmcb(const struct vmcb *vmcb)
{
    bool long_mode = (vmcb->efer & 0x100) && (vmcb->cr0 & 0x80000000);

    REQUIRE(vmcb->efer & 0x1000);
    REQUIRE(!(vmcb->efer & ~0x5d01UL));
    REQUIRE(!(vmcb->cr0 & 0x20000000) || (vmcb->cr0 & 0x40000000));
    REQUIRE(!(vmcb->cr0 >> 32));
    REQUIRE(!(vmcb->cr3 >> 52));
    REQUIRE(!(vmcb->cr4 & ~0x370fffUL & ~0x20000UL));
    REQUIRE(!(vmcb->dr6 >> 32) && !(vmcb->dr7 >> 32));
    REQUIRE(!long_mode || (vmcb->cr4 & 0x20));
    REQUIRE(!long_mode || (vmcb->cr0 & 1));
    REQUIRE(!(vmcb->cr0 & 0x80000000) || (vmcb->cr0 & 1));
    REQUIRE(!long_mode || (vmcb->cs.attributes & 0x600) != 0x600);
    REQUIRE(!!(vmcb->efer & 0x400) == long_mode);
    REQUIRE(vmcb->nested_paging == 1 && (vmcb->intercept_misc2 & INTERCEPT_VMRUN));
    for (unsigned int i = 0; i < 8; i++) {
        uint8_t type = (uint8_t)(vmcb->pat >> (8 * i));

        REQUIRE(type < 8 && type != 2 && type != 3);
    }
    REQUIRE(vmcb->cpl == (vmcb->ss.attributes >> 5 & 3));
}

static void check_event(uint64_t event)
{
    unsigned int type = event >> 8 & 7;

    if (event) {
        REQUIRE(event & EVENT_VALID);
        REQUIRE(!(event & 0x7ffff000));
        REQUIRE(type == 0 || type == 2 || type == 3);
        REQUIRE(type != 3 || ((event & 0xff) < 32 && (event & 0xff) != 2));
    }
}

static void check_area(const struct vcpu *v)
{
    const unsigned char *area = v->arch.svm->fpu;
    uint64_t in_use, reserved[7], xcr0 = v->arch.svm->xcr0;
    uint32_t mxcsr;

    memcpy(&mxcsr, area + 24, sizeof(mxcsr));
    memcpy(&in_use, area + 512, sizeof(in_use));
    memcpy(reserved, area + 520, sizeof(reserved));
    REQUIRE(!(mxcsr & ~PROCESSOR_MXCSR_MASK));
    REQUIRE(!(in_use & ~PROCESSOR_COMPONENTS));
    for (unsigned int i = 0; i < 7; i++) {
        REQUIRE(!reserved[i]);
    }
    REQUIRE((xcr0 & 1) && !(xcr0 & ~PROCESSOR_COMPONENTS));
    REQUIRE(!(xcr0 & 4) || (xcr0 & 2));
    REQUIRE(!(xcr0 & 0xe0) || ((xcr0 & 0xe0) == 0xe0 && (xcr0 & 4)));
}

void guest_check_safe(struct domain *d)
{
    REQUIRE(d->pause_count == 0);
    for (unsigned int i = 0; i < d->max_vcpus; i++) {
        const struct vcpu *v = d->vcpus[i];

        check_vmcb(v->arch.svm->vmcb);
        check_event(v->arch.svm->pending_event);
        check_area(v);
        REQUIRE((v->arch.rflags & 2) && !(v->arch.rflags & ~0x3f7fd7UL));
    }
}

// Streams.

void *stream_add(struct stream *s, uint16_t type, uint16_t instance, uint32_t length)
{
    struct hvm_save_descriptor descriptor = {type, instance, length};
    unsigned char *at = s->bytes + s->size;

    memcpy(at, &descriptor, sizeof(descriptor));
    at += sizeof(descriptor);
    memset(at, 0, length);
    s->size += (uint32_t)sizeof(descriptor) + length;
    return at;
}

void stream_begin(struct stream *s)
{
    struct hvm_save_header header = {HVM_FILE_MAGIC, HVM_FILE_VERSION, 0, 0, 2000000};

    s->size = 0;
    memcpy(stream_add(s, HVM_SAVE_CODE(HEADER), 0, sizeof(header)), &header, sizeof(header));
}

void stream_end(struct stream *s)
{
    stream_add(s, HVM_SAVE_CODE(END), 0, 0);
}

const void *stream_find(const void *context, uint32_t size, uint16_t type, uint16_t instance,
                        uint32_t *length)
{
    const unsigned char *bytes = context;
    struct hvm_save_descriptor descriptor;

    for (uint32_t at = 0; at + sizeof(descriptor) <= size;) {
        memcpy(&descriptor, bytes + at, sizeof(descriptor));
        at += (uint32_t)sizeof(descriptor);
        if (descriptor.typecode == type && descriptor.instance == instance) {
            *length = descriptor.length;
            return bytes + at;
        }
        at += descriptor.length;
    }
    return NULL;
}

void guest_entry_record(struct hvm_hw_cpu *record)
{
    memset(record, 0, sizeof(*record));
    record->cs_limit = record->ds_limit = record->es_limit = record->ss_limit = ~0u;
    record->tr_limit = 0x67;
    record->cs_arbytes = 0xc9b;
    record->ds_arbytes = record->es_arbytes = record->ss_arbytes = 0xc93;
    record->tr_arbytes = 0x8b;
    record->cr0 = 0x11;
    record->dr6 = 0xffff0ff0;
    record->dr7 = 0x400;
    record->rip = 0x1000000;
    record->rbx = 0x7000;
}
