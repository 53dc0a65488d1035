// SPDX-License-Identifier: Apache-2.0
// A domain's state for the toolstack, as the stream of records that the public HVM context is: a
// header, a record for each device or vcpu, an end. Debian's libxenguest starts each domain through
// it: it takes the header and loads it back with an MTRR record, and last with vcpu 0's CPU record.
//
// One table says of each type how to save, check and load it. Loading walks the stream twice: the
// first time everything is checked, and what needs memory gets it; the second time cannot fail.
// The domain is paused meanwhile; callers serialize the control operations on it.

#include <bulkhead/console.h>
#include <bulkhead/cpu.h>
#include <bulkhead/domain.h>
#include <bulkhead/heap.h>
#include <bulkhead/string.h>
#include <x86/cpuid.h>
#include <x86/hvm.h>
#include <x86/registers.h>
#include <x86/time.h>
#include <x86/vioapic.h>
#include <x86/vlapic.h>
#include <xen/hvm/save.h>

#include "context_internal.h"

#define RECORD_ALIGN 8u // of every record's length, says the public header
#define MTRR_CAPABILITIES (1u << 10 | 1u << 8 | MTRR_VCNT) // write combining, fixed ranges
#define MTRR_DEF_TYPE_BITS 0xcffUL
#define MTRR_MASK_VALID (1UL << 11)

struct record_type {
    uint16_t code;
    bool per_vcpu;
    uint32_t length; // the only one; 0: it varies, and check looks at it
    // Bytes that save would write now; 0: none. NULL: always length.
    uint32_t (*present)(const struct context *c, struct vcpu *v);
    void (*save)(const struct context *c, struct vcpu *v, void *data); // NULL: never saved
    int (*check)(const struct context *c, struct vcpu *v, const void *data, uint32_t length);
    void (*load)(const struct context *c, struct vcpu *v, const void *data); // NULL: nothing to do
};

static void header_save(const struct context *c, struct vcpu *v, void *data)
{
    (void)c;
    (void)v;
    *(struct hvm_save_header *)data = (struct hvm_save_header){
        .magic = HVM_FILE_MAGIC,
        .version = HVM_FILE_VERSION,
        .changeset = ~0UL, // of no version of Xen
        .cpuid = cpuid(1, 0).eax,
        .gtsc_khz = (uint32_t)tsc_khz,
    };
}

static int header_check(const struct context *c, struct vcpu *v, const void *data, uint32_t length)
{
    const struct hvm_save_header *header = data;

    (void)v;
    (void)length;
    if (header->magic != HVM_FILE_MAGIC || header->version != HVM_FILE_VERSION) {
        return -XEN_EINVAL;
    }
    if (header->gtsc_khz && header->gtsc_khz != (uint32_t)tsc_khz) {
        log_message(LOG_GUEST_WARNING, "domain %u: its time stamp counter ran at %u kHz, now %u",
                    c->domain->id, header->gtsc_khz, (uint32_t)tsc_khz);
    }
    return 0;
}

static void lapic_save(const struct context *c, struct vcpu *v, void *data)
{
    struct hvm_hw_lapic_regs registers;

    (void)c;
    vlapic_save(v, data, &registers);
}

static int lapic_check(const struct context *c, struct vcpu *v, const void *data, uint32_t length)
{
    (void)c;
    (void)v;
    (void)length;
    return vlapic_load_valid(data, NULL) ? 0 : -XEN_EINVAL;
}

static void lapic_load(const struct context *c, struct vcpu *v, const void *data)
{
    (void)c;
    vlapic_load(v, data, NULL);
}

static void lapic_registers_save(const struct context *c, struct vcpu *v, void *data)
{
    struct hvm_hw_lapic state;

    (void)c;
    vlapic_save(v, &state, data);
}

static int lapic_registers_check(const struct context *c, struct vcpu *v, const void *data,
                                 uint32_t length)
{
    (void)c;
    (void)v;
    (void)length;
    return vlapic_load_valid(NULL, data) ? 0 : -XEN_EINVAL;
}

static void lapic_registers_load(const struct context *c, struct vcpu *v, const void *data)
{
    (void)c;
    vlapic_load(v, NULL, data);
}

static uint32_t ioapic_present(const struct context *c, struct vcpu *v)
{
    struct hvm_hw_vioapic record;

    (void)v;
    return vioapic_save(c->domain, &record) ? 0 : sizeof(record);
}

static void ioapic_save(const struct context *c, struct vcpu *v, void *data)
{
    (void)v;
    vioapic_save(c->domain, data);
}

static int ioapic_check(const struct context *c, struct vcpu *v, const void *data, uint32_t length)
{
    (void)v;
    (void)length;
    return vioapic_load_check(c->domain, data);
}

static void ioapic_load(const struct context *c, struct vcpu *v, const void *data)
{
    (void)v;
    vioapic_load(c->domain, data);
}

static void mtrr_save(const struct context *c, struct vcpu *v, void *data)
{
    struct hvm_hw_mtrr *record = data;
    struct hvm_registers r;

    (void)c;
    if (v->arch.mtrr) {
        *record = *v->arch.mtrr;
    } else {
        *record = (struct hvm_hw_mtrr){.msr_mtrr_cap = MTRR_CAPABILITIES};
    }
    hvm_get_registers(v, &r);
    record->msr_pat_cr = r.pat;
}

// Memory types: uncacheable, write combining, through, protected, back; and in the PAT alone UC-.
static bool memory_types_valid(uint64_t types, bool pat)
{
    for (unsigned int i = 0; i < 8; i++) {
        uint8_t type = (uint8_t)(types >> (8 * i));

        if (type > 7 || type == 2 || type == 3 || (type == 7 && !pat)) {
            return false;
        }
    }
    return true;
}

static int mtrr_check(const struct context *c, struct vcpu *v, const void *data, uint32_t length)
{
    const struct hvm_hw_mtrr *record = data;
    bool ok = memory_types_valid(record->msr_pat_cr, true) &&
              (record->msr_mtrr_cap & 0xff) <= MTRR_VCNT &&
              !(record->msr_mtrr_def_type & ~MTRR_DEF_TYPE_BITS) &&
              memory_types_valid(record->msr_mtrr_def_type & 0xff, false);

    (void)c;
    (void)length;
    for (unsigned int i = 0; i < NUM_FIXED_MSR; i++) {
        ok = ok && memory_types_valid(record->msr_mtrr_fixed[i], false);
    }
    for (unsigned int i = 0; i < 2 * MTRR_VCNT; i += 2) {
        uint64_t base = record->msr_mtrr_var[i], mask = record->msr_mtrr_var[i + 1];

        ok = ok && !(base >> 52) && !(base & 0xf00) && memory_types_valid(base & 0xff, false) &&
             !(mask >> 52) && !(mask & (PAGE_SIZE - 1) & ~MTRR_MASK_VALID);
    }
    if (!ok) {
        return -XEN_EINVAL;
    }
    if (!v->arch.mtrr) {
        v->arch.mtrr = heap_new(struct hvm_hw_mtrr);
        if (!v->arch.mtrr) {
            return -XEN_ENOMEM;
        }
        v->arch.mtrr->msr_mtrr_cap = MTRR_CAPABILITIES;
    }
    return 0;
}

static void mtrr_load(const struct context *c, struct vcpu *v, const void *data)
{
    struct hvm_registers r;

    (void)c;
    *v->arch.mtrr = *(const struct hvm_hw_mtrr *)data;
    hvm_get_registers(v, &r);
    r.pat = v->arch.mtrr->msr_pat_cr;
    hvm_set_registers(v, &r);
}

static void tsc_adjust_save(const struct context *c, struct vcpu *v, void *data)
{
    (void)c;
    (void)v;
    *(struct hvm_tsc_adjust *)data = (struct hvm_tsc_adjust){0};
}

static int tsc_adjust_check(const struct context *c, struct vcpu *v, const void *data,
                            uint32_t length)
{
    (void)c;
    (void)v;
    (void)length;
    // Guests have no IA32_TSC_ADJUST: another value would be lost.
    return ((const struct hvm_tsc_adjust *)data)->tsc_adjust ? -XEN_EINVAL : 0;
}

// Guests have no MSRs beyond those of the other records, so the only valid list is the empty one.
static int msrs_check(const struct context *c, struct vcpu *v, const void *data, uint32_t length)
{
    const size_t first = offsetof(struct hvm_msr, msr);

    (void)c;
    (void)v;
    if (length < first || length - first != (uint64_t)((const struct hvm_msr *)data)->count *
                                                sizeof(((const struct hvm_msr *)data)->msr[0])) {
        return -XEN_EINVAL;
    }
    return length > first ? -XEN_ENXIO : 0;
}

// In the order in which they are saved.
static const struct record_type record_types[] = {
    {HVM_SAVE_CODE(HEADER), false, sizeof(struct hvm_save_header), NULL, header_save, header_check,
     NULL},
    {HVM_SAVE_CODE(CPU), true, sizeof(struct hvm_hw_cpu), context_cpu_present, context_cpu_save,
     context_cpu_check, context_cpu_load},
    {HVM_SAVE_CODE(IOAPIC), false, sizeof(struct hvm_hw_vioapic), ioapic_present, ioapic_save,
     ioapic_check, ioapic_load},
    {HVM_SAVE_CODE(LAPIC), true, sizeof(struct hvm_hw_lapic), NULL, lapic_save, lapic_check,
     lapic_load},
    {HVM_SAVE_CODE(LAPIC_REGS), true, sizeof(struct hvm_hw_lapic_regs), NULL, lapic_registers_save,
     lapic_registers_check, lapic_registers_load},
    {HVM_SAVE_CODE(MTRR), true, sizeof(struct hvm_hw_mtrr), NULL, mtrr_save, mtrr_check, mtrr_load},
    {CPU_XSAVE_CODE, true, 0, context_xsave_present, context_xsave_save, context_xsave_check,
     context_xsave_load},
    {HVM_SAVE_CODE(TSC_ADJUST), true, sizeof(struct hvm_tsc_adjust), NULL, tsc_adjust_save,
     tsc_adjust_check, NULL},
    {CPU_MSR_CODE, true, 0, NULL, NULL, msrs_check, NULL},
};

static const struct record_type *find_type(uint32_t code)
{
    for (size_t i = 0; i < ARRAY_SIZE(record_types); i++) {
        if (record_types[i].code == code) {
            return &record_types[i];
        }
    }
    return NULL;
}

static uint32_t max_length(const struct record_type *type)
{
    if (!type->save) {
        return 0;
    }
    return type->length ? type->length : context_xsave_max();
}

static uint32_t length_now(const struct context *c, const struct record_type *type, struct vcpu *v)
{
    if (!type->save) {
        return 0;
    }
    return type->present ? type->present(c, v) : type->length;
}

static uint32_t max_size(const struct domain *d)
{
    uint32_t size = sizeof(struct hvm_save_descriptor); // the end
    struct vcpu *v;
    unsigned int vcpus = 0, i;

    for_each_vcpu (v, d, i) {
        vcpus++;
    }
    for (size_t t = 0; t < ARRAY_SIZE(record_types); t++) {
        uint32_t one = (uint32_t)sizeof(struct hvm_save_descriptor) + max_length(&record_types[t]);

        size += record_types[t].per_vcpu ? one * vcpus : one;
    }
    return size;
}

// Appends one record, if there is one, and returns where the next goes.
static char *append(const struct context *c, const struct record_type *type, struct vcpu *v,
                    char *at)
{
    uint32_t length = length_now(c, type, v);

    if (length) {
        *(struct hvm_save_descriptor *)at =
            (struct hvm_save_descriptor){type->code, v ? (uint16_t)v->id : 0, length};
        at += sizeof(struct hvm_save_descriptor);
        type->save(c, v, at);
    }
    return at + length;
}

int hvm_context_save(struct domain *d, void *buffer, uint32_t *size)
{
    struct context c = {d, 0};
    char *at = buffer;
    struct vcpu *v;
    unsigned int i;

    if (!buffer) {
        *size = max_size(d);
        return 0;
    }
    if (*size < max_size(d)) {
        return -XEN_ENOSPC;
    }
    domain_pause(d);
    c.host_tsc = read_tsc();
    for (size_t t = 0; t < ARRAY_SIZE(record_types); t++) {
        if (!record_types[t].per_vcpu) {
            at = append(&c, &record_types[t], NULL, at);
            continue;
        }
        for_each_vcpu (v, d, i) {
            at = append(&c, &record_types[t], v, at);
        }
    }
    domain_unpause(d);
    *(struct hvm_save_descriptor *)at = (struct hvm_save_descriptor){HVM_SAVE_CODE(END), 0, 0};
    *size = (uint32_t)(at - (char *)buffer + sizeof(struct hvm_save_descriptor));
    return 0;
}

int hvm_context_save_one(struct domain *d, uint32_t code, uint32_t instance, void *buffer,
                         uint32_t *size)
{
    const struct record_type *type = find_type(code);
    struct context c = {d, 0};
    struct vcpu *v = type && type->per_vcpu ? domain_vcpu(d, instance) : NULL;
    uint32_t length;
    int error = 0;

    if (!type) {
        return -XEN_EINVAL;
    }
    if (type->per_vcpu ? !v : instance != 0) {
        return -XEN_ENOENT;
    }
    domain_pause(d);
    c.host_tsc = read_tsc();
    length = length_now(&c, type, v);
    if (!length) {
        error = -XEN_ENOENT;
    } else if (buffer && *size < length) {
        error = -XEN_ENOBUFS;
    } else {
        if (buffer) {
            type->save(&c, v, buffer);
        }
        *size = length;
    }
    domain_unpause(d);
    return error;
}

// One record of a stream being loaded.
struct record {
    const struct record_type *type;
    struct vcpu *vcpu;
    const char *data;
    uint32_t length;
};

static int interpret(const struct context *c, const struct hvm_save_descriptor *descriptor,
                     struct record *record)
{
    const struct record_type *type = find_type(descriptor->typecode);

    if (!type) {
        // Records of timers, interrupt controllers and the like that PVH domains do without.
        return descriptor->typecode <= HVM_SAVE_CODE_MAX ? -XEN_ENODEV : -XEN_EINVAL;
    }
    record->type = type;
    record->length = descriptor->length;
    record->vcpu = type->per_vcpu ? domain_vcpu(c->domain, descriptor->instance) : NULL;
    if (type->per_vcpu ? !record->vcpu : descriptor->instance != 0) {
        return -XEN_EINVAL;
    }
    if (type->length ? record->length != type->length : record->length % RECORD_ALIGN != 0) {
        return -XEN_EINVAL;
    }
    return 0;
}

static int check_record(const struct context *c, const struct record *record)
{
    return record->type->check(c, record->vcpu, record->data, record->length);
}

static int load_record(const struct context *c, const struct record *record)
{
    if (record->type->load) {
        record->type->load(c, record->vcpu, record->data);
    }
    return 0;
}

int hvm_context_load_one(struct domain *d, uint32_t code, uint32_t instance, const void *data,
                         uint32_t length)
{
    const struct hvm_save_descriptor descriptor = {(uint16_t)code, (uint16_t)instance, length};
    struct context c = {d, 0};
    struct record record;
    int error = code > UINT16_MAX || instance > UINT16_MAX ? -XEN_EINVAL
                                                           : interpret(&c, &descriptor, &record);

    if (error) {
        return error;
    }
    record.data = data;
    domain_pause(d);
    c.host_tsc = read_tsc();
    error = check_record(&c, &record);
    if (!error) {
        load_record(&c, &record);
    }
    domain_unpause(d);
    return error;
}

// Calls fn for each record of a stream that begins with a header, until fn fails.
static int for_each_record(const struct context *c, const char *buffer, uint32_t size,
                           int (*fn)(const struct context *c, const struct record *record))
{
    uint32_t at = 0;

    for (;;) {
        struct hvm_save_descriptor descriptor;
        struct record record;
        int error;

        if (size - at < sizeof(descriptor)) {
            return -XEN_ENODATA;
        }
        memcpy(&descriptor, buffer + at, sizeof(descriptor));
        if (at == 0 && descriptor.typecode != HVM_SAVE_CODE(HEADER)) {
            return -XEN_ENODATA;
        }
        at += sizeof(descriptor);
        if (descriptor.length > size - at) {
            return -XEN_ENODATA;
        }
        if (descriptor.typecode == HVM_SAVE_CODE(END)) {
            return descriptor.length || descriptor.instance ? -XEN_EINVAL : 0;
        }
        error = interpret(c, &descriptor, &record);
        record.data = buffer + at;
        error = error ? error : fn(c, &record);
        if (error) {
            return error;
        }
        at += descriptor.length;
    }
}

// Processors that have not started yet count as the boot processor does.
static void synchronize_counters(struct domain *d)
{
    struct vcpu *first = domain_vcpu(d, 0), *v;
    unsigned int i;

    for_each_vcpu (v, d, i) {
        if (__atomic_load_n(&v->pause_flags, __ATOMIC_SEQ_CST) & VCPU_DOWN) {
            hvm_vendor_set_tsc_offset(v, hvm_vendor_tsc_offset(first));
            arch_vcpu_update_time(v);
        }
    }
}

int hvm_context_load(struct domain *d, const void *buffer, uint32_t size)
{
    struct context c = {d, 0};
    int error;

    domain_pause(d);
    c.host_tsc = read_tsc();
    error = for_each_record(&c, buffer, size, check_record);
    if (!error) {
        for_each_record(&c, buffer, size, load_record);
        synchronize_counters(d);
    }
    domain_unpause(d);
    return error;
}
