// SPDX-License-Identifier: Apache-2.0
// CPUID policies: what a domain sees of a processor that has everything, that a narrowed policy is
// what it gets, and that no bit beyond the maximum is taken.

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <bulkhead/console.h>
#include <bulkhead/domain.h>
#include <bulkhead/heap.h>
#include <x86/cpuid_policy.h>
#include <x86/extended_state.h>
#include <x86/hvm.h>
#include <x86/time.h>
#include <xen/arch-x86/cpuid.h>

#include "processor.h"

#include <cmocka.h>

#define NO_SUBLEAF XEN_CPUID_NO_SUBLEAF
#define VCPUS 3u

struct tsc_scale tsc_scale = {.mul = 0x80000000, .shift = -1};
uint64_t tsc_khz = 2000000;

static struct domain *d;
static uint64_t cr4;
static bool heap_is_empty;

// Doubles.

uint64_t extended_state_mask(void)
{
    return PROCESSOR_COMPONENTS;
}

void hvm_get_paging(const struct vcpu *v, uint64_t *cr0, uint64_t *cr3, uint64_t *value_of_cr4,
                    uint64_t *efer)
{
    (void)v;
    *cr0 = *cr3 = *efer = 0;
    *value_of_cr4 = cr4;
}

void *heap_alloc(size_t size)
{
    return heap_is_empty ? NULL : calloc(1, size);
}

void heap_free(void *p)
{
    free(p);
}

void panic(const char *format, ...)
{
    (void)format;
    abort();
}

static struct cpuid_leaf look(unsigned int vcpu, uint32_t leaf, uint32_t subleaf)
{
    struct cpuid_leaf out;

    cpuid_policy_lookup(d->vcpus[vcpu], leaf, subleaf, &out);
    return out;
}

static int set_one(xen_cpuid_leaf_t leaf)
{
    uint32_t bad_leaf = ~0u, bad_subleaf = ~0u;
    int error = cpuid_policy_set(d, &leaf, 1, &bad_leaf, &bad_subleaf);

    if (error) {
        assert_int_equal(error, -XEN_EINVAL);
        assert_int_equal(bad_leaf, leaf.leaf);
        assert_int_equal(bad_subleaf, leaf.subleaf);
    }
    return error;
}

static xen_cpuid_leaf_t maximum(uint32_t leaf, uint32_t subleaf)
{
    for (unsigned int i = 0; i < cpuid_policy_hvm_max.count; i++) {
        const xen_cpuid_leaf_t *l = &cpuid_policy_hvm_max.leaves[i];

        if (l->leaf == leaf && l->subleaf == subleaf) {
            return *l;
        }
    }
    fail();
    return (xen_cpuid_leaf_t){0};
}

static void policies_are_sorted_and_not_empty(void **state)
{
    const struct cpuid_policy *all[] = {&cpuid_policy_raw, &cpuid_policy_host,
                                        &cpuid_policy_hvm_max, &cpuid_policy_hvm_default};

    (void)state;
    for (size_t p = 0; p < ARRAY_SIZE(all); p++) {
        assert_true(all[p]->count > 10 && all[p]->count <= CPUID_POLICY_MAX_LEAVES);
        for (unsigned int i = 1; i < all[p]->count; i++) {
            const xen_cpuid_leaf_t *a = &all[p]->leaves[i - 1], *b = a + 1;

            assert_true(a->leaf < b->leaf || (a->leaf == b->leaf && a->subleaf < b->subleaf));
        }
    }
}

// The processor claims every feature; these must not reach a guest, for nothing here supports them.
static void unsupported_features_are_hidden(void **state)
{
    struct cpuid_leaf one = look(0, 1, 0), seven = look(0, 7, 0), extended = look(0, 0x80000001, 0);

    (void)state;
    assert_int_equal(one.ecx & (1u << 3 | 1u << 5 | 1u << 6 | 1u << 15), 0); // MONITOR VMX SMX PDCM
    assert_int_equal(one.edx & (1u << 12 | 1u << 18 | 1u << 21 | 1u << 22), 0); // MTRR PSN DS ACPI
    // MPX, Processor Trace, RTM and HLE, resource monitoring and allocation.
    assert_int_equal(seven.ebx & (1u << 14 | 1u << 25 | 1u << 11 | 1u << 4 | 1u << 12 | 1u << 15),
                     0);
    // PKU, shadow stacks, 57-bit addresses, RDPID.
    assert_int_equal(seven.ecx & (1u << 3 | 1u << 7 | 1u << 16 | 1u << 22), 0);
    assert_int_equal(seven.eax, 0);
    assert_int_equal(extended.ecx & (1u << 2 | 1u << 9 | 1u << 10 | 1u << 12), 0); // SVM OSVW IBS
    assert_int_equal(extended.edx & (1u << 27 | 1u << 12), 0);                     // RDTSCP MTRR
    assert_int_equal(look(0, 0xd, 0).eax & ~PROCESSOR_COMPONENTS, 0);
    assert_int_equal(look(0, 0xd, 1).eax & (1u << 3), 0); // XSAVES
    assert_int_equal(look(0, 0xd, 9).eax, 0);
    assert_int_equal(look(0, 0x10, 0).ebx, 0);
    assert_int_equal(look(0, 0x8000000a, 0).eax, 0);
    assert_int_equal(look(0, 0x8000001f, 0).eax, 0);
    assert_int_equal(look(0, 0, 0).eax, 0xd);
    assert_int_equal(look(0, 0x80000000, 0).eax, 0x80000008);
}

static void emulated_features_are_there(void **state)
{
    struct cpuid_leaf one = look(0, 1, 0);

    (void)state;
    assert_int_equal(one.ecx & (1u << 31), 1u << 31); // a hypervisor
    assert_int_equal(one.ecx & (1u << 21), 1u << 21); // x2APIC
    assert_int_equal(one.ecx & (1u << 24), 1u << 24); // TSC deadline
    assert_int_equal(look(0, 0x40000000, 0).ebx, XEN_CPUID_SIGNATURE_EBX);
    assert_int_equal(look(0, 0x40000001, 0).eax, 4 << 16 | 20);
    assert_int_equal(look(0, 0x40000006, 0).eax, 0);
}

static void every_vcpu_has_its_own_fields(void **state)
{
    (void)state;
    for (unsigned int i = 0; i < VCPUS; i++) {
        assert_int_equal(look(i, 1, 0).ebx >> 24, 2 * i);
        assert_int_equal(look(i, 0xb, 0).edx, 2 * i);
        assert_int_equal(look(i, 0xb, 1).ebx, VCPUS);
        assert_int_equal(look(i, 0x40000004, 0).ebx, i);
    }
    cr4 = 0;
    assert_int_equal(look(0, 1, 0).ecx & (1u << 27), 0);
    cr4 = 1UL << 18;
    assert_int_equal(look(0, 1, 0).ecx & (1u << 27), 1u << 27); // OSXSAVE
    cr4 = 0;
}

static void a_narrowed_policy_is_what_the_domain_sees(void **state)
{
    xen_cpuid_leaf_t seven = maximum(7, 0), one = maximum(1, NO_SUBLEAF);
    xen_cpuid_leaf_t components = maximum(0xd, 0);

    (void)state;
    assert_true(seven.b & 1u << 5); // AVX2
    seven.b &= ~(1u << 5);
    assert_int_equal(set_one(seven), 0);
    assert_int_equal(look(1, 7, 0).ebx, seven.b);
    one.c &= ~(1u << 30); // RDRAND
    assert_int_equal(set_one(one), 0);
    assert_int_equal(look(1, 1, 0).ecx & 1u << 30, 0);
    assert_true(cpuid_policy_allows_xcr0(d->vcpus[0], 7));
    components.a = 3;
    assert_int_equal(set_one(components), 0);
    assert_false(cpuid_policy_allows_xcr0(d->vcpus[0], 7));
    assert_true(cpuid_policy_allows_xcr0(d->vcpus[0], 3));
    // A lower highest leaf hides what is beyond.
    assert_int_equal(set_one((xen_cpuid_leaf_t){0, NO_SUBLEAF, 6, 1, 2, 3}), 0);
    assert_int_equal(look(0, 0, 0).eax, 6);
    assert_int_equal(look(0, 7, 0).ebx, 0);
    assert_int_equal(look(0, 0xb, 0).ebx, 0);
    assert_int_equal(look(0, 0xd, 0).eax, 0);
    // Others are not concerned.
    assert_int_equal(maximum(7, 0).b & 1u << 5, 1u << 5);
    assert_int_equal(cpuid_policy_hvm_default.leaves[0].a, 0xd);
}

static void names_and_sizes_may_be_chosen(void **state)
{
    xen_cpuid_leaf_t name = {0x80000002, NO_SUBLEAF, 1, 2, 3, 4};
    xen_cpuid_leaf_t one = maximum(1, NO_SUBLEAF), extended = maximum(0x80000001, NO_SUBLEAF);

    (void)state;
    assert_int_equal(set_one(name), 0);
    assert_int_equal(look(0, 0x80000002, 0).ecx, 3);
    // Topology, and the bit that follows CR4.
    one.d |= 1u << 28;
    one.c |= 1u << 27;
    one.a = 0x12345;
    assert_int_equal(set_one(one), 0);
    assert_int_equal(look(0, 1, 0).eax, 0x12345);
    assert_int_equal(look(0, 1, 0).ecx & 1u << 27, 0);
    extended.c |= 1u << 1;
    assert_int_equal(set_one(extended), 0);
}

static void try_each_bit(uint32_t leaf, uint32_t subleaf, unsigned int word, uint32_t free_bits)
{
    struct cpuid_policy before = *d->arch.policy;

    for (unsigned int bit = 0; bit < 32; bit++) {
        xen_cpuid_leaf_t in = maximum(leaf, subleaf);
        uint32_t *words[] = {&in.a, &in.b, &in.c, &in.d};
        bool has = *words[word] & 1u << bit;

        *words[word] |= 1u << bit;
        if (has || (free_bits & 1u << bit)) {
            continue;
        }
        assert_int_equal(set_one(in), -XEN_EINVAL);
        assert_memory_equal(&before, d->arch.policy, sizeof(before));
    }
}

static void excess_is_refused(void **state)
{
    (void)state;
    try_each_bit(1, NO_SUBLEAF, 2, 1u << 27);
    try_each_bit(1, NO_SUBLEAF, 3, 1u << 28);
    for (unsigned int word = 0; word < 4; word++) {
        try_each_bit(7, 0, word, 0);
        try_each_bit(0xd, 1, word, word == 1 ? ~0u : 0);
    }
    try_each_bit(0xd, 0, 0, 0);
    try_each_bit(0xd, 0, 3, 0);
    try_each_bit(0x80000001, NO_SUBLEAF, 2, 1u << 1);
    try_each_bit(0x80000001, NO_SUBLEAF, 3, 0);
    try_each_bit(0x80000007, NO_SUBLEAF, 3, 0);
    try_each_bit(0x80000008, NO_SUBLEAF, 1, 0);
    assert_int_equal(set_one((xen_cpuid_leaf_t){0, NO_SUBLEAF, 0xe, 0, 0, 0}), -XEN_EINVAL);
    assert_int_equal(set_one((xen_cpuid_leaf_t){0x80000000, NO_SUBLEAF, 0x80000009, 0, 0, 0}),
                     -XEN_EINVAL);
}

static void one_bad_leaf_spoils_the_list(void **state)
{
    xen_cpuid_leaf_t list[] = {{0x80000002, NO_SUBLEAF, 9, 9, 9, 9}, maximum(7, 0), maximum(7, 0)};
    struct cpuid_policy before = *d->arch.policy;
    uint32_t leaf, subleaf;

    (void)state;
    list[1].b = 0;
    list[2].c = ~0u;
    assert_int_equal(cpuid_policy_set(d, list, 3, &leaf, &subleaf), -XEN_EINVAL);
    assert_int_equal(leaf, 7);
    assert_int_equal(subleaf, 0);
    assert_memory_equal(&before, d->arch.policy, sizeof(before));
}

static void what_we_compute_is_not_taken(void **state)
{
    struct cpuid_leaf before = look(0, 0x40000000, 0);
    struct cpuid_leaf after;

    (void)state;
    assert_int_equal(set_one((xen_cpuid_leaf_t){0x40000000, NO_SUBLEAF, 1, 2, 3, 4}), 0);
    assert_int_equal(set_one((xen_cpuid_leaf_t){0xb, 0, 1, 2, 3, 4}), 0);
    assert_int_equal(set_one((xen_cpuid_leaf_t){7, 5, ~0u, ~0u, ~0u, ~0u}), 0);
    assert_int_equal(set_one((xen_cpuid_leaf_t){0xc0000000, NO_SUBLEAF, ~0u, ~0u, ~0u, ~0u}), 0);
    after = look(0, 0x40000000, 0);
    assert_memory_equal(&before, &after, sizeof(before));
    assert_int_equal(look(2, 0xb, 0).edx, 4);
    assert_int_equal(look(0, 7, 5).ebx, 0);
    assert_int_equal(look(0, 0xc0000000, 0).eax, 0);
}

static void no_memory_is_told(void **state)
{
    struct domain other = {0};

    (void)state;
    heap_is_empty = true;
    assert_int_equal(cpuid_policy_create(&other), -XEN_ENOMEM);
    heap_is_empty = false;
}

static int start(void **state)
{
    (void)state;
    processor_reset();
    cpuid_policy_init();
    return 0;
}

static int new_domain(void **state)
{
    (void)state;
    d = calloc(1, sizeof(*d));
    d->max_vcpus = VCPUS;
    d->vcpus = calloc(VCPUS, sizeof(*d->vcpus));
    for (unsigned int i = 0; i < VCPUS; i++) {
        d->vcpus[i] = calloc(1, sizeof(struct vcpu));
        d->vcpus[i]->id = i;
        d->vcpus[i]->domain = d;
    }
    return cpuid_policy_create(d);
}

static int end_domain(void **state)
{
    (void)state;
    cpuid_policy_destroy(d);
    for (unsigned int i = 0; i < VCPUS; i++) {
        free(d->vcpus[i]);
    }
    free(d->vcpus);
    free(d);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, new_domain, end_domain)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(policies_are_sorted_and_not_empty),
        TEST(unsupported_features_are_hidden),
        TEST(emulated_features_are_there),
        TEST(every_vcpu_has_its_own_fields),
        TEST(a_narrowed_policy_is_what_the_domain_sees),
        TEST(names_and_sizes_may_be_chosen),
        TEST(excess_is_refused),
        TEST(one_bad_leaf_spoils_the_list),
        TEST(what_we_compute_is_not_taken),
        TEST(no_memory_is_told),
    };

    return cmocka_run_group_tests(tests, start, NULL);
}
