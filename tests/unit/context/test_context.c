// SPDX-License-Identifier: Apache-2.0
// The public HVM context: what is saved can be loaded and is the same; what Debian's libxenguest
// does works; and no stream, however made, changes anything unless all of it is good.

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <x86/cpuid_policy.h>
#include <x86/extended_state.h>
#include <x86/vioapic.h>

#include "arch/x86/hvm/svm/vmcb.h"
#include "guest.h"

#include <cmocka.h>

#define VCPUS 3u
#define TYPE(name) HVM_SAVE_CODE(name)

static struct domain *d;
static struct stream s;
static uint64_t random_state = 88172645463325252UL;

static uint64_t random_number(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    return random_state ^= random_state << 17;
}

static void fill_random(void *p, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        ((unsigned char *)p)[i] = (unsigned char)random_number();
    }
}

static uint64_t random_address(void)
{
    return (uint64_t)((int64_t)(random_number() << 16) >> 16);
}

// A valid CPU record with something in every field, in 64-bit mode.
static void random_cpu(struct hvm_hw_cpu *r)
{
    uint32_t *attributes[] = {&r->cs_arbytes, &r->ds_arbytes, &r->es_arbytes, &r->fs_arbytes,
                              &r->gs_arbytes, &r->ss_arbytes, &r->tr_arbytes, &r->ldtr_arbytes};
    uint32_t *selectors[] = {&r->cs_sel, &r->ds_sel, &r->es_sel, &r->fs_sel,
                             &r->gs_sel, &r->ss_sel, &r->tr_sel, &r->ldtr_sel};
    uint64_t *addresses[] = {&r->cs_base,   &r->ds_base,      &r->es_base,      &r->fs_base,
                             &r->gs_base,   &r->ss_base,      &r->tr_base,      &r->ldtr_base,
                             &r->idtr_base, &r->gdtr_base,    &r->msr_lstar,    &r->msr_cstar,
                             &r->shadow_gs, &r->sysenter_esp, &r->sysenter_eip, &r->rip};

    fill_random(r, sizeof(*r));
    for (size_t i = 0; i < 8; i++) {
        *attributes[i] &= 0xfff;
        *selectors[i] &= 0xffff;
    }
    for (size_t i = 0; i < ARRAY_SIZE(addresses); i++) {
        *addresses[i] = random_address();
    }
    r->cs_arbytes = 0xa9b;
    memset(r->fpu_regs + 24, 0, 4); // MXCSR
    r->rflags = (r->rflags & 0x3f7fd7 & ~(1UL << 17)) | 2;
    r->cr0 = 0x80050033;
    r->cr4 = 0x3006f0;
    r->cr3 &= 0xfffffffffff000UL & ((1UL << 48) - 1);
    r->dr6 = (uint32_t)r->dr6;
    r->dr7 = (uint32_t)r->dr7;
    r->msr_efer = 0xd01;
    r->msr_tsc_aux = 0;
    r->msr_flags = 0;
    r->tsc = random_number() >> 8;
    r->pending_event = random_number() % 2 ? 0 : 0x80000b0e;
    r->error_code = r->pending_event ? 0x1234 : 0;
    r->flags = XEN_X86_FPU_INITIALISED;
    r->pad0 = 0;
}

static void random_mtrr(struct hvm_hw_mtrr *r)
{
    static const uint8_t types[] = {0, 1, 4, 5, 6};

    for (size_t i = 0; i < sizeof(*r) / 8; i++) {
        uint64_t *word = (uint64_t *)r + i;

        for (unsigned int byte = 0; byte < 64; byte += 8) {
            *word = *word << 8 | types[random_number() % ARRAY_SIZE(types)];
        }
    }
    for (unsigned int i = 0; i < 2 * MTRR_VCNT; i += 2) {
        r->msr_mtrr_var[i] = (random_number() & 0xffffffff000UL) | types[random_number() % 5];
        r->msr_mtrr_var[i + 1] = (random_number() & 0xffffffff000UL) | (random_number() & 0x800);
    }
    r->msr_pat_cr = 0x0007040600070106UL;
    r->msr_mtrr_cap = 0x508;
    r->msr_mtrr_def_type = 0xc06;
}

static void random_xsave(struct hvm_hw_cpu_xsave *r, uint64_t components)
{
    fill_random(r, 24 + extended_state_size(components));
    r->xfeature_mask = 0xe7;
    r->xcr0 = components;
    r->xcr0_accum = components | 3;
    memset(&r->save_area.xsave_hdr, 0, sizeof(r->save_area.xsave_hdr));
    r->save_area.xsave_hdr.xstate_bv = components;
    memset((char *)&r->save_area + 24, 0, 4); // MXCSR
}

static void add_xsave(unsigned int vcpu, uint64_t components)
{
    random_xsave(stream_add(&s, CPU_XSAVE_CODE, (uint16_t)vcpu,
                            (uint32_t)(24 + extended_state_size(components))),
                 components);
}

static void good_stream(unsigned int vcpus)
{
    stream_begin(&s);
    for (uint16_t i = 0; i < vcpus; i++) {
        random_cpu(stream_add(&s, TYPE(CPU), i, sizeof(struct hvm_hw_cpu)));
    }
    for (uint16_t i = 0; i < vcpus; i++) {
        random_mtrr(stream_add(&s, TYPE(MTRR), i, sizeof(struct hvm_hw_mtrr)));
        add_xsave(i, i == 0 ? 0xe7 : i == 1 ? 7 : 3);
    }
    stream_end(&s);
}

static unsigned char *save(uint32_t *size)
{
    unsigned char *buffer;

    assert_int_equal(hvm_context_save(d, NULL, size), 0);
    buffer = aligned_alloc(8, ALIGN_UP(*size, 8u));
    assert_int_equal(hvm_context_save(d, buffer, size), 0);
    assert_int_equal(d->pause_count, 0);
    return buffer;
}

// Loads a stream that must be refused, and looks whether anything has changed.
static void refuse_bytes(const void *bytes, uint32_t size, int expected)
{
    size_t before_size, after_size;
    unsigned char *before = guest_snapshot(d, &before_size), *after;
    void *copy = aligned_alloc(8, ALIGN_UP(MAX(size, 1u), 8u));

    memcpy(copy, bytes, size);
    assert_int_equal(hvm_context_load(d, copy, size), expected);
    assert_int_equal(d->pause_count, 0);
    after = guest_snapshot(d, &after_size);
    assert_int_equal(before_size, after_size);
    assert_memory_equal(before, after, before_size);
    free(copy);
    free(before);
    free(after);
}

static void refuse(int expected)
{
    refuse_bytes(s.bytes, s.size, expected);
}

static void what_is_saved_is_loaded(void **state)
{
    (void)state;
    for (unsigned int round = 0; round < 200; round++) {
        unsigned char *first, *second;
        uint32_t first_size, second_size, length;

        good_stream(VCPUS - 1);
        assert_int_equal(hvm_context_load(d, s.bytes, s.size), 0);
        guest_check_safe(d);
        first = save(&first_size);
        // The fields as they came in, but for the counter, which has run on.
        for (uint16_t i = 0; i < VCPUS - 1; i++) {
            struct hvm_hw_cpu in, out;
            const void *x = stream_find(first, first_size, CPU_XSAVE_CODE, i, &length);
            const void *y = stream_find(s.bytes, s.size, CPU_XSAVE_CODE, i, &length);

            memcpy(&out, stream_find(first, first_size, TYPE(CPU), i, &length), sizeof(out));
            memcpy(&in, stream_find(s.bytes, s.size, TYPE(CPU), i, &length), sizeof(in));
            assert_true(out.tsc >= in.tsc && out.tsc - in.tsc < 1UL << 36);
            out.tsc = in.tsc;
            assert_memory_equal(in.fpu_regs + 512, out.fpu_regs + 512, sizeof(in) - 512);
            stream_find(s.bytes, s.size, CPU_XSAVE_CODE, i, &length);
            assert_memory_equal(x, y, length);
            x = stream_find(first, first_size, TYPE(MTRR), i, &length);
            y = stream_find(s.bytes, s.size, TYPE(MTRR), i, &length);
            assert_memory_equal(x, y, length);
        }
        assert_null(stream_find(first, first_size, TYPE(CPU), VCPUS - 1, &length));
        assert_int_equal(hvm_context_load(d, first, first_size), 0);
        second = save(&second_size);
        assert_int_equal(first_size, second_size);
        free(first);
        free(second);
    }
}

static void counters_keep_their_distance(void **state)
{
    struct hvm_hw_cpu first, second;
    unsigned char *saved;
    uint32_t size, length;

    (void)state;
    good_stream(2);
    assert_int_equal(hvm_context_load(d, s.bytes, s.size), 0);
    memcpy(&first, stream_find(s.bytes, s.size, TYPE(CPU), 0, &length), sizeof(first));
    memcpy(&second, stream_find(s.bytes, s.size, TYPE(CPU), 1, &length), sizeof(second));
    for (unsigned int i = 0; i < 10; i++) {
        struct hvm_hw_cpu a, b;

        saved = save(&size);
        memcpy(&a, stream_find(saved, size, TYPE(CPU), 0, &length), sizeof(a));
        memcpy(&b, stream_find(saved, size, TYPE(CPU), 1, &length), sizeof(b));
        assert_int_equal(b.tsc - a.tsc, second.tsc - first.tsc);
        assert_int_equal(hvm_context_load(d, saved, size), 0);
        free(saved);
    }
}

// As xg_dom_x86.c's vcpu_hvm does it: whole context, then MTRRs one by one, then the boot
// processor.
static void a_pvh_guest_starts_as_libxenguest_does_it(void **state)
{
    uint32_t size, length;
    unsigned char *context = save(&size);
    const struct hvm_save_descriptor *first = (struct hvm_save_descriptor *)context;
    struct hvm_hw_mtrr mtrr;
    struct hvm_registers r;
    struct vcpu *v = d->vcpus[0];

    (void)state;
    assert_int_equal(first->typecode, TYPE(HEADER));
    memcpy(&mtrr, stream_find(context, size, TYPE(MTRR), 0, &length), sizeof(mtrr));
    assert_int_equal(length, 0xf0);
    mtrr.msr_mtrr_def_type = 0x806;
    for (uint16_t i = 0; i < VCPUS; i++) {
        s.size = 0;
        memcpy(stream_add(&s, TYPE(HEADER), 0, sizeof(struct hvm_save_header)), context + 8,
               sizeof(struct hvm_save_header));
        memcpy(stream_add(&s, TYPE(MTRR), i, sizeof(mtrr)), &mtrr, sizeof(mtrr));
        stream_end(&s);
        assert_int_equal(hvm_context_load(d, s.bytes, s.size), 0);
        assert_false(guest_is_up(d, i));
    }
    s.size = 0;
    memcpy(stream_add(&s, TYPE(HEADER), 0, sizeof(struct hvm_save_header)), context + 8,
           sizeof(struct hvm_save_header));
    guest_entry_record(stream_add(&s, TYPE(CPU), 0, sizeof(struct hvm_hw_cpu)));
    stream_end(&s);
    assert_int_equal(s.size, 0x438);
    assert_int_equal(hvm_context_load(d, s.bytes, s.size), 0);
    guest_check_safe(d);
    assert_true(guest_is_up(d, 0) && v->arch.initialised);
    assert_false(guest_is_up(d, 1) || guest_is_up(d, 2));
    hvm_get_registers(v, &r);
    assert_int_equal(r.segment[SEGMENT_CS].attributes, 0xc9b);
    assert_int_equal(r.segment[SEGMENT_CS].limit, ~0u);
    assert_int_equal(r.cr0, 0x11);
    assert_int_equal(r.efer, 0);
    assert_int_equal(r.pat, 0x0007040600070406UL);
    assert_int_equal(v->arch.rip, 0x1000000);
    assert_int_equal(v->arch.rflags, 2);
    assert_int_equal(v->arch.gpr[3], 0x7000);
    assert_int_equal(v->arch.svm->xcr0, 1);
    // The others will count with the first.
    assert_int_equal(hvm_vendor_tsc_offset(d->vcpus[1]), hvm_vendor_tsc_offset(v));
    assert_int_equal(d->vcpus[2]->arch.mtrr->msr_mtrr_def_type, 0x806);
    free(context);
}

static void single_records_are_those_of_the_context(void **state)
{
    uint32_t size, length, one;
    unsigned char *context, record[8192] __attribute__((aligned(8)));

    (void)state;
    good_stream(1);
    assert_int_equal(hvm_context_load(d, s.bytes, s.size), 0);
    context = save(&size);
    for (uint16_t type = 1; type <= HVM_SAVE_CODE_MAX; type++) {
        const void *found = stream_find(context, size, type, 0, &length);

        one = sizeof(record);
        if (!found) {
            assert_true(hvm_context_save_one(d, type, 0, record, &one) < 0);
            continue;
        }
        assert_int_equal(hvm_context_save_one(d, type, 0, NULL, &one), 0);
        assert_int_equal(one, length);
        one--;
        assert_int_equal(hvm_context_save_one(d, type, 0, record, &one), -XEN_ENOBUFS);
        one++;
        assert_int_equal(hvm_context_save_one(d, type, 0, record, &one), 0);
        if (type == TYPE(CPU)) {
            memcpy(record + offsetof(struct hvm_hw_cpu, tsc),
                   (const char *)found + offsetof(struct hvm_hw_cpu, tsc), 8);
        }
        assert_memory_equal(record, found, length);
    }
    one = sizeof(record);
    assert_int_equal(hvm_context_save_one(d, TYPE(CPU), 1, record, &one), -XEN_ENOENT); // down
    assert_int_equal(hvm_context_save_one(d, TYPE(CPU), VCPUS, record, &one), -XEN_ENOENT);
    assert_int_equal(hvm_context_save_one(d, TYPE(CPU), ~0u, record, &one), -XEN_ENOENT);
    assert_int_equal(hvm_context_save_one(d, TYPE(HEADER), 1, record, &one), -XEN_ENOENT);
    assert_int_equal(hvm_context_save_one(d, TYPE(END), 0, record, &one), -XEN_EINVAL);
    assert_int_equal(hvm_context_save_one(d, 0x10002, 0, record, &one), -XEN_EINVAL);
    free(context);
}

static void room_is_asked_for(void **state)
{
    uint32_t size, less;
    void *buffer;

    (void)state;
    assert_int_equal(hvm_context_save(d, NULL, &size), 0);
    buffer = aligned_alloc(8, ALIGN_UP(size, 8u));
    less = size - 1;
    assert_int_equal(hvm_context_save(d, buffer, &less), -XEN_ENOSPC);
    assert_int_equal(hvm_context_save(d, buffer, &size), 0);
    free(buffer);
}

static void truncated_streams_are_refused(void **state)
{
    (void)state;
    good_stream(2);
    for (uint32_t size = 0; size < s.size; size += size < 2200 ? 1 : 7) {
        refuse_bytes(s.bytes, size, -XEN_ENODATA);
    }
}

static void strange_records_are_refused(void **state)
{
    (void)state;
    s.size = 0;
    stream_end(&s);
    refuse(-XEN_ENODATA); // no header
    s.size = 0;
    guest_entry_record(stream_add(&s, TYPE(CPU), 0, sizeof(struct hvm_hw_cpu)));
    stream_end(&s);
    refuse(-XEN_ENODATA);
    stream_begin(&s);
    stream_add(&s, CPU_MSR_CODE, 0, 12); // not a whole number of words
    stream_end(&s);
    refuse(-XEN_EINVAL);
    for (unsigned int type = 1; type <= HVM_SAVE_CODE_MAX; type++) {
        for (uint32_t length = 0; length < 2000; length += 8) {
            static const uint32_t good[HVM_SAVE_CODE_MAX + 1] = {
                [TYPE(HEADER)] = sizeof(struct hvm_save_header),
                [TYPE(CPU)] = sizeof(struct hvm_hw_cpu),
                [TYPE(LAPIC)] = sizeof(struct hvm_hw_lapic),
                [TYPE(LAPIC_REGS)] = sizeof(struct hvm_hw_lapic_regs),
                [TYPE(MTRR)] = sizeof(struct hvm_hw_mtrr),
                [TYPE(TSC_ADJUST)] = sizeof(struct hvm_tsc_adjust),
                [TYPE(IOAPIC)] = sizeof(struct hvm_hw_vioapic),
                [CPU_MSR_CODE] = 8};

            if (length != good[type]) {
                stream_begin(&s);
                stream_add(&s, (uint16_t)type, 0, length);
                stream_end(&s);
                assert_true(hvm_context_load(d, s.bytes, s.size) < 0);
            }
        }
    }
    stream_begin(&s);
    stream_add(&s, HVM_SAVE_CODE_MAX + 1, 0, 8);
    stream_end(&s);
    refuse(-XEN_EINVAL);
    stream_begin(&s);
    stream_add(&s, TYPE(PIT), 0, sizeof(struct hvm_hw_pit));
    stream_end(&s);
    refuse(-XEN_ENODEV);
    stream_begin(&s);
    stream_add(&s, TYPE(IOAPIC), 0, sizeof(struct hvm_hw_vioapic));
    stream_end(&s);
    refuse(-XEN_ENODEV);
    stream_begin(&s);
    guest_entry_record(stream_add(&s, TYPE(CPU), VCPUS, sizeof(struct hvm_hw_cpu)));
    stream_end(&s);
    refuse(-XEN_EINVAL);
    stream_begin(&s);
    *(uint64_t *)stream_add(&s, TYPE(TSC_ADJUST), 0, 8) = 1;
    stream_end(&s);
    refuse(-XEN_EINVAL);
}

static void headers_are_checked(void **state)
{
    (void)state;
    good_stream(1);
    s.bytes[8] ^= 1;
    refuse(-XEN_EINVAL);
    s.bytes[8] ^= 1;
    s.bytes[12] ^= 1;
    refuse(-XEN_EINVAL);
    s.bytes[12] ^= 1;
    s.bytes[2] = 1; // its instance
    refuse(-XEN_EINVAL);
}

static void only_empty_msr_lists_are_taken(void **state)
{
    struct hvm_msr *list;

    (void)state;
    stream_begin(&s);
    stream_add(&s, CPU_MSR_CODE, 0, 8);
    stream_end(&s);
    assert_int_equal(hvm_context_load(d, s.bytes, s.size), 0);
    stream_begin(&s);
    list = stream_add(&s, CPU_MSR_CODE, 0, 24);
    list->count = 1;
    stream_end(&s);
    refuse(-XEN_ENXIO);
    list->count = 0x10000001; // times 16 is 16 again, in 32 bits
    refuse(-XEN_EINVAL);
}

// One bad field each; the rest of the stream is good, before and behind it.
static struct hvm_hw_cpu *cpu_in_stream(void)
{
    struct hvm_hw_cpu *r;

    stream_begin(&s);
    random_cpu(stream_add(&s, TYPE(CPU), 0, sizeof(struct hvm_hw_cpu)));
    r = stream_add(&s, TYPE(CPU), 1, sizeof(struct hvm_hw_cpu));
    random_cpu(r);
    random_mtrr(stream_add(&s, TYPE(MTRR), 0, sizeof(struct hvm_hw_mtrr)));
    stream_end(&s);
    return r;
}

#define REFUSE_WITH(change)                                                                        \
    do {                                                                                           \
        struct hvm_hw_cpu *r = cpu_in_stream();                                                    \
                                                                                                   \
        change;                                                                                    \
        refuse(-XEN_EINVAL);                                                                       \
    } while (0)

static void bad_control_registers_are_refused(void **state)
{
    (void)state;
    REFUSE_WITH(r->cr0 |= 1UL << 32);
    REFUSE_WITH(r->cr0 |= 1UL << 6);
    REFUSE_WITH(r->cr0 &= ~1UL);         // paging without protection
    REFUSE_WITH(r->cr0 |= 1UL << 29);    // NW without CD
    REFUSE_WITH(r->cr0 &= ~(1UL << 31)); // LMA without paging
    REFUSE_WITH(r->cr3 |= 1UL << 52);
    REFUSE_WITH(r->cr3 |= 1UL << 63);
    REFUSE_WITH(r->cr4 &= ~0x20UL);   // long mode without PAE
    REFUSE_WITH(r->cr4 |= 1UL << 13); // VMXE
    REFUSE_WITH(r->cr4 |= 1UL << 12); // LA57
    REFUSE_WITH(r->cr4 |= 1UL << 23); // CET
    REFUSE_WITH(r->cr4 |= 1UL << 32);
    REFUSE_WITH(r->msr_efer |= 1UL << 12); // SVME
    REFUSE_WITH(r->msr_efer |= 1UL << 63);
    REFUSE_WITH(r->msr_efer &= ~0x400UL); // long mode that is not active
    REFUSE_WITH(r->msr_efer &= ~0x100UL); // active, not enabled
    REFUSE_WITH(r->dr6 |= 1UL << 32);
    REFUSE_WITH(r->dr7 |= 1UL << 63);
    REFUSE_WITH(r->rflags |= 1UL << 17); // virtual 8086 in long mode
    REFUSE_WITH(r->rflags |= 1UL << 3);
    REFUSE_WITH(r->rflags |= 1UL << 40);
    REFUSE_WITH(r->msr_tsc_aux = 1);
    REFUSE_WITH(r->flags |= 2);
    REFUSE_WITH(r->fpu_regs[24 + 3] = 0x80); // MXCSR
}

static void bad_addresses_and_segments_are_refused(void **state)
{
    const uint64_t bad = 1UL << 47;

    (void)state;
    REFUSE_WITH(r->rip = bad);
    REFUSE_WITH((r->cs_arbytes = 0xc9b, r->rip = 1UL << 32));
    REFUSE_WITH(r->cs_arbytes |= 0x400); // both 64 and 32 bits
    REFUSE_WITH(r->cs_arbytes |= 0x1000);
    REFUSE_WITH(r->tr_arbytes |= 1u << 16);
    REFUSE_WITH(r->ldtr_sel = 0x10000);
    REFUSE_WITH(r->fs_base = bad);
    REFUSE_WITH(r->gs_base = ~bad);
    REFUSE_WITH(r->gdtr_base = bad);
    REFUSE_WITH(r->idtr_base = bad);
    REFUSE_WITH(r->msr_lstar = bad);
    REFUSE_WITH(r->msr_cstar = bad);
    REFUSE_WITH(r->shadow_gs = bad);
    REFUSE_WITH(r->sysenter_esp = bad);
    REFUSE_WITH(r->sysenter_eip = bad);
}

static void bad_events_are_refused(void **state)
{
    (void)state;
    REFUSE_WITH(r->pending_event = 0x80000100); // type 1
    REFUSE_WITH(r->pending_event = 0x80000400); // a software interrupt
    REFUSE_WITH(r->pending_event = 0x80000700);
    REFUSE_WITH(r->pending_event = 0x80000302); // an exception 2
    REFUSE_WITH(r->pending_event = 0x80000320); // an exception 32
    REFUSE_WITH(r->pending_event = 0x80000820); // an interrupt with an error code
    REFUSE_WITH(r->pending_event = 0x80001020); // reserved
}

static void a_narrow_policy_narrows_what_is_loaded(void **state)
{
    xen_cpuid_leaf_t leaf = {7, 0, 0, 0, 0, 0};
    uint32_t bad_leaf, bad_subleaf;

    (void)state;
    cpu_in_stream(); // with SMEP and SMAP
    assert_int_equal(hvm_context_load(d, s.bytes, s.size), 0);
    assert_int_equal(cpuid_policy_set(d, &leaf, 1, &bad_leaf, &bad_subleaf), 0);
    refuse(-XEN_EINVAL);
    leaf = (xen_cpuid_leaf_t){0xd, 0, 3, 0, 0, 0};
    assert_int_equal(cpuid_policy_set(d, &leaf, 1, &bad_leaf, &bad_subleaf), 0);
    stream_begin(&s);
    add_xsave(0, 7);
    stream_end(&s);
    refuse(-XEN_EINVAL);
    stream_begin(&s);
    add_xsave(0, 3);
    stream_end(&s);
    assert_int_equal(hvm_context_load(d, s.bytes, s.size), 0);
}

static struct hvm_hw_cpu_xsave *xsave_in_stream(void)
{
    stream_begin(&s);
    add_xsave(2, 7);
    stream_end(&s);
    return (struct hvm_hw_cpu_xsave *)(s.bytes + 8 + sizeof(struct hvm_save_header) + 8);
}

#define REFUSE_XSAVE(change)                                                                       \
    do {                                                                                           \
        struct hvm_hw_cpu_xsave *r = xsave_in_stream();                                            \
                                                                                                   \
        change;                                                                                    \
        refuse(-XEN_EINVAL);                                                                       \
    } while (0)

static void bad_extended_state_is_refused(void **state)
{
    (void)state;
    REFUSE_XSAVE(r->xcr0 = 0);
    REFUSE_XSAVE(r->xcr0 = 5);
    REFUSE_XSAVE(r->xcr0 = 0xe7);        // more than was ever used
    REFUSE_XSAVE(r->xcr0_accum = 0xe7);  // the length says otherwise
    REFUSE_XSAVE(r->xcr0_accum = 3);     // and so
    REFUSE_XSAVE(r->xcr0_accum = 0x207); // PKRU
    REFUSE_XSAVE(r->xcr0_accum = ~0UL);
    REFUSE_XSAVE(r->save_area.xsave_hdr.xstate_bv = 0xe0);
    REFUSE_XSAVE(r->save_area.xsave_hdr.xstate_bv = 1UL << 63);
    REFUSE_XSAVE(r->save_area.xsave_hdr.xcomp_bv = 1UL << 63);
    REFUSE_XSAVE(r->save_area.xsave_hdr.reserved[5] = 1);
    REFUSE_XSAVE(((uint32_t *)&r->save_area)[6] = 0x80000000); // MXCSR
}

static void bad_mtrrs_are_refused(void **state)
{
    struct hvm_hw_mtrr good, *r;

    (void)state;
    stream_begin(&s);
    r = stream_add(&s, TYPE(MTRR), 1, sizeof(*r));
    stream_end(&s);
    random_mtrr(&good);
    *r = good, r->msr_pat_cr = 0x0007040600070402UL;
    refuse(-XEN_EINVAL);
    *r = good, r->msr_mtrr_fixed[10] |= 0x07UL << 56;
    r->msr_mtrr_fixed[10] |= 0x02UL << 56;
    refuse(-XEN_EINVAL);
    *r = good, r->msr_mtrr_var[0] = 2;
    refuse(-XEN_EINVAL);
    *r = good, r->msr_mtrr_var[1] = 1;
    refuse(-XEN_EINVAL);
    *r = good, r->msr_mtrr_cap = 9;
    refuse(-XEN_EINVAL);
    *r = good, r->msr_mtrr_def_type = 0x1000;
    refuse(-XEN_EINVAL);
    *r = good;
    heap_allowed = 0;
    refuse(-XEN_ENOMEM);
    heap_allowed = ~0u;
    assert_int_equal(hvm_context_load(d, s.bytes, s.size), 0);
}

static void without_fpu_state_it_is_as_after_reset(void **state)
{
    unsigned char expected[1024] = {0};
    struct hvm_hw_cpu *r;

    (void)state;
    good_stream(2);
    assert_int_equal(hvm_context_load(d, s.bytes, s.size), 0);
    r = cpu_in_stream();
    r->flags = 0;
    fill_random(r->fpu_regs, sizeof(r->fpu_regs)); // nobody looks at it
    assert_int_equal(hvm_context_load(d, s.bytes, s.size), 0);
    extended_state_reset(expected);
    assert_memory_equal(d->vcpus[1]->arch.svm->fpu, expected, 576);
    assert_int_equal(d->vcpus[1]->arch.svm->xcr0, 1);
}

// After SYSRET the stack segment's descriptor may still be the kernel's, while user code runs.
static void user_code_stays_user_code(void **state)
{
    struct vmcb *vmcb = d->vcpus[0]->arch.svm->vmcb;
    unsigned char *context;
    uint32_t size;

    (void)state;
    cpu_in_stream();
    assert_int_equal(hvm_context_load(d, s.bytes, s.size), 0);
    vmcb->cpl = 3;
    vmcb->ss.attributes = 0xc93;
    context = save(&size);
    assert_int_equal(hvm_context_load(d, context, size), 0);
    assert_int_equal(vmcb->cpl, 3);
    assert_int_equal(vmcb->ss.attributes, 0xcf3);
    free(context);
}

static void local_apics_travel(void **state)
{
    struct vcpu *v = d->vcpus[1];
    unsigned char *context, *again;
    uint32_t size, again_size;

    (void)state;
    assert_true(vlapic_write_msr(v, VLAPIC_MSR_BASE, 0xfee00c00));
    assert_true(vlapic_write_msr(v, 0x80f, 0x1ff));
    assert_true(vlapic_write_msr(v, 0x832, 0x400ec));
    assert_true(vlapic_write_msr(v, VLAPIC_MSR_TSC_DEADLINE, 1UL << 40));
    vlapic_post(v, 0x77, false);
    context = save(&size);
    vlapic_reset(v);
    assert_int_equal(vlapic_highest_pending(v), -1);
    assert_int_equal(hvm_context_load(d, context, size), 0);
    assert_int_equal(vlapic_highest_pending(v), 0x77);
    again = save(&again_size);
    assert_int_equal(size, again_size);
    assert_memory_equal(context, again, size);
    free(context);
    free(again);
}

static void io_apics_travel(void **state)
{
    struct domain *other = guest_create(1, true), *outer = d;
    struct hvm_hw_vioapic record;
    unsigned char *context;
    uint32_t size, length;

    (void)state;
    d = other;
    assert_int_equal(vioapic_save(d, &record), 0);
    record.redirtbl[3].bits = 0x0200000000010035UL;
    assert_int_equal(vioapic_load(d, &record), 0);
    context = save(&size);
    assert_non_null(stream_find(context, size, TYPE(IOAPIC), 0, &length));
    record.redirtbl[3].bits = 0x10000;
    assert_int_equal(vioapic_load(d, &record), 0);
    assert_int_equal(hvm_context_load(d, context, size), 0);
    assert_int_equal(vioapic_save(d, &record), 0);
    assert_int_equal(record.redirtbl[3].bits, 0x0200000000010035UL);
    stream_begin(&s);
    record.base_address = 0xfec10000;
    memcpy(stream_add(&s, TYPE(IOAPIC), 0, sizeof(record)), &record, sizeof(record));
    stream_end(&s);
    refuse(-XEN_EINVAL);
    free(context);
    guest_end(d);
    d = outer;
}

// Bits turned over at random in good streams: whatever is taken is safe, whatever is refused
// changes nothing.
static void mutated_streams_do_no_harm(void **state)
{
    unsigned int taken = 0;

    (void)state;
    for (unsigned int i = 0; i < 20000; i++) {
        size_t before_size, after_size;
        unsigned char *before, *after;
        uint64_t changes = 1 + random_number() % 4;

        if (i % 16 == 0) {
            good_stream(2);
        }
        while (changes--) {
            s.bytes[random_number() % s.size] ^= (unsigned char)(1u << random_number() % 8);
        }
        before = guest_snapshot(d, &before_size);
        if (hvm_context_load(d, s.bytes, s.size) == 0) {
            taken++;
        } else {
            after = guest_snapshot(d, &after_size);
            assert_memory_equal(before, after, before_size);
            free(after);
            good_stream(2);
        }
        free(before);
        guest_check_safe(d);
    }
    assert_true(taken > 1000);
}

static int start(void **state)
{
    (void)state;
    guest_start();
    return 0;
}

static int new_domain(void **state)
{
    (void)state;
    d = guest_create(VCPUS, false);
    return 0;
}

static int end_domain(void **state)
{
    (void)state;
    guest_check_safe(d);
    guest_end(d);
    return machine_timers() == 0 ? 0 : -1;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, new_domain, end_domain)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_saved_is_loaded),
        TEST(counters_keep_their_distance),
        TEST(a_pvh_guest_starts_as_libxenguest_does_it),
        TEST(single_records_are_those_of_the_context),
        TEST(room_is_asked_for),
        TEST(truncated_streams_are_refused),
        TEST(strange_records_are_refused),
        TEST(headers_are_checked),
        TEST(only_empty_msr_lists_are_taken),
        TEST(bad_control_registers_are_refused),
        TEST(bad_addresses_and_segments_are_refused),
        TEST(bad_events_are_refused),
        TEST(a_narrow_policy_narrows_what_is_loaded),
        TEST(bad_extended_state_is_refused),
        TEST(bad_mtrrs_are_refused),
        TEST(without_fpu_state_it_is_as_after_reset),
        TEST(user_code_stays_user_code),
        TEST(local_apics_travel),
        TEST(io_apics_travel),
        TEST(mutated_streams_do_no_harm),
    };

    return cmocka_run_group_tests(tests, start, NULL);
}
