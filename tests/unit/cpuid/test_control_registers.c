// SPDX-License-Identifier: Apache-2.0
// Writes to CR0, CR4 and EFER: each bit only with the feature that it belongs to, no combination
// that the processor refuses, and the instructions MOV CRn and LMSW that make them.

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <bulkhead/console.h>
#include <bulkhead/domain.h>
#include <bulkhead/guest_access.h>
#include <bulkhead/heap.h>
#include <x86/cpuid_policy.h>
#include <x86/extended_state.h>
#include <x86/hvm.h>
#include <x86/registers.h>
#include <x86/time.h>
#include <x86/vlapic.h>
#include <xen/arch-x86/cpuid.h>

#include "arch/x86/hvm/svm/vmcb.h"
#include "processor.h"

#include <cmocka.h>

#define NO_SUBLEAF XEN_CPUID_NO_SUBLEAF
#define LONG_CODE 0x2a0u
#define PAGING (CR0_PE | CR0_ET | CR0_NE | CR0_WP | (uint64_t)CR0_PG)

struct tsc_scale tsc_scale;
uint64_t tsc_khz;

static struct domain *d;
static struct vcpu *v;
static uint64_t cr0, cr3, cr4, efer;
static uint16_t code_attributes;
static bool flushed;
static int exception;
static uint64_t fault_address;
static uint8_t code[15];
static size_t code_size;
static uint16_t memory_word;
static uint64_t memory_at;
static int task_priority;

// Doubles.

uint64_t extended_state_mask(void)
{
    return PROCESSOR_COMPONENTS;
}

void hvm_get_paging(const struct vcpu *vcpu, uint64_t *a, uint64_t *b, uint64_t *c, uint64_t *e)
{
    (void)vcpu;
    *a = cr0;
    *b = cr3;
    *c = cr4;
    *e = efer | EFER_SVME; // as the VMCB has it
}

void hvm_set_paging(struct vcpu *vcpu, uint64_t a, uint64_t c, uint64_t e, bool flush)
{
    (void)vcpu;
    cr0 = a;
    cr4 = c;
    efer = e & ~(uint64_t)EFER_SVME;
    flushed = flush;
}

void hvm_get_segment(struct vcpu *vcpu, enum hvm_segment s, struct segment *out)
{
    (void)vcpu;
    assert_int_equal(s, SEGMENT_CS);
    *out = (struct segment){.attributes = code_attributes};
}

void hvm_get_registers(struct vcpu *vcpu, struct hvm_registers *out)
{
    (void)vcpu;
    *out = (struct hvm_registers){0};
    out->segment[SEGMENT_DS].base = 0x1000;
}

void hvm_inject_exception(struct vcpu *vcpu, uint8_t vector, uint32_t error_code)
{
    (void)vcpu;
    assert_int_equal(error_code, 0);
    exception = vector;
}

void hvm_inject_page_fault(struct vcpu *vcpu, uint64_t address, uint32_t error_code)
{
    hvm_inject_exception(vcpu, HVM_EXCEPTION_PF, error_code);
    fault_address = address;
}

size_t hvm_fetch_instruction(struct vcpu *vcpu, uint8_t bytes[15])
{
    assert_int_equal(vcpu->arch.fetch.page, 1); // nothing remembered is trusted
    memcpy(bytes, code, code_size);
    return code_size;
}

int copy_from_guest(void *to, gva_t from, size_t size)
{
    assert_int_equal(size, 2);
    if (from.a != memory_at) {
        return -XEN_EFAULT;
    }
    memcpy(to, &memory_word, size);
    return 0;
}

void vlapic_set_tpr(struct vcpu *vcpu, uint8_t tpr)
{
    (void)vcpu;
    task_priority = tpr;
}

void *heap_alloc(size_t size)
{
    return calloc(1, size);
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

static int start(void **state)
{
    (void)state;
    processor_reset();
    cpuid_policy_init();
    return 0;
}

// A vcpu in 64-bit mode.
static int new_vcpu(void **state)
{
    (void)state;
    d = calloc(1, sizeof(*d));
    v = calloc(1, sizeof(*v));
    d->max_vcpus = 1;
    v->domain = d;
    cr0 = PAGING;
    cr3 = 0x1000;
    cr4 = CR4_PAE | CR4_PGE;
    efer = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;
    code_attributes = LONG_CODE;
    exception = -1;
    memory_at = 0;
    return cpuid_policy_create(d);
}

static int end_vcpu(void **state)
{
    (void)state;
    cpuid_policy_destroy(d);
    free(v);
    free(d);
    return 0;
}

static void change_feature(uint32_t leaf, uint32_t subleaf, unsigned int word, unsigned int bit)
{
    for (unsigned int i = 0; i < d->arch.policy->count; i++) {
        xen_cpuid_leaf_t l = d->arch.policy->leaves[i];
        uint32_t *words[] = {&l.a, &l.b, &l.c, &l.d}, unused;

        if (l.leaf == leaf && l.subleaf == subleaf) {
            *words[word] &= ~(1u << bit);
            assert_int_equal(cpuid_policy_set(d, &l, 1, &unused, &unused), 0);
            return;
        }
    }
    fail();
}

// The register's bit, and the feature without which it cannot be set.
static const struct {
    uint64_t bit;
    uint32_t leaf, subleaf;
    unsigned int word, feature;
} cr4_features[] = {
    {CR4_VME, 1, NO_SUBLEAF, 3, 1},
    {CR4_TSD, 1, NO_SUBLEAF, 3, 4},
    {CR4_MCE, 1, NO_SUBLEAF, 3, 7},
    {CR4_OSFXSR, 1, NO_SUBLEAF, 3, 24},
    {CR4_OSXMMEXCPT, 1, NO_SUBLEAF, 3, 25},
    {CR4_PCIDE, 1, NO_SUBLEAF, 2, 17},
    {CR4_OSXSAVE, 1, NO_SUBLEAF, 2, 26},
    {CR4_FSGSBASE, 7, 0, 1, 0},
    {CR4_SMEP, 7, 0, 1, 7},
    {CR4_SMAP, 7, 0, 1, 20},
    {CR4_UMIP, 7, 0, 2, 2},
};

static void cr4_bits_need_their_feature(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cr4_features); i++) {
        uint64_t before = cr4;

        assert_true(hvm_write_cr4(v, before | cr4_features[i].bit));
        assert_int_equal(cr4, before | cr4_features[i].bit);
        assert_true(hvm_write_cr4(v, before));
        change_feature(cr4_features[i].leaf, cr4_features[i].subleaf, cr4_features[i].word,
                       cr4_features[i].feature);
        assert_false(hvm_write_cr4(v, before | cr4_features[i].bit));
        assert_int_equal(cr4, before);
    }
    assert_true(hvm_write_cr4(v, cr4 | CR4_PCE));
}

static void reserved_cr4_bits_are_refused(void **state)
{
    // What no domain is offered: VMXE, SMXE, LA57, PKE, CET, and all that has no name.
    uint64_t never = ~0x370fffUL | CR4_LA57;

    (void)state;
    for (unsigned int bit = 0; bit < 64; bit++) {
        if (never >> bit & 1) {
            assert_false(hvm_write_cr4(v, cr4 | 1UL << bit));
        }
    }
    assert_int_equal(cr4, CR4_PAE | CR4_PGE);
}

static void long_mode_binds_cr4(void **state)
{
    (void)state;
    assert_false(hvm_write_cr4(v, CR4_PGE)); // PAE
    cr3 = 0x1005;
    assert_false(hvm_write_cr4(v, cr4 | CR4_PCIDE));
    cr3 = 0x1000;
    assert_true(hvm_write_cr4(v, cr4 | CR4_PCIDE));
    cr3 = 0x1005;
    assert_true(hvm_write_cr4(v, cr4 | CR4_TSD)); // it is on already
    efer = 0;
    code_attributes = 0;
    cr0 = CR0_PE | CR0_ET;
    assert_true(hvm_write_cr4(v, CR4_PGE));
    assert_false(hvm_write_cr4(v, CR4_PCIDE | CR4_PAE));
}

static void translations_are_forgotten_when_they_must(void **state)
{
    (void)state;
    assert_true(hvm_write_cr4(v, cr4 ^ CR4_PGE)); // how kernels without INVPCID flush everything
    assert_true(flushed);
    assert_true(hvm_write_cr4(v, cr4 | CR4_TSD));
    assert_false(flushed);
    assert_true(hvm_write_cr0(v, cr0 ^ CR0_WP));
    assert_true(flushed);
    assert_true(hvm_write_cr0(v, cr0 | CR0_AM));
    assert_false(flushed);
    assert_true(hvm_write_efer(v, efer ^ EFER_NXE));
    assert_true(flushed);
    assert_true(hvm_write_efer(v, efer ^ EFER_SCE));
    assert_false(flushed);
}

static void cr0_combinations(void **state)
{
    uint64_t before = cr0;

    (void)state;
    assert_false(hvm_write_cr0(v, before | CR0_NW));
    assert_false(hvm_write_cr0(v, before & ~(uint64_t)CR0_PE));
    assert_false(hvm_write_cr0(v, before | 1UL << 32));
    assert_false(hvm_write_cr0(v, before & ~(uint64_t)CR0_PG)); // by 64-bit code
    assert_int_equal(cr0, before);
    assert_true(hvm_write_cr0(v, before | CR0_NW | CR0_CD));
    assert_true(hvm_write_cr0(v, before | CR0_CD | 0x1ffaffc0)); // ignored bits
    assert_int_equal(cr0, before | CR0_CD);
    assert_true(hvm_write_cr0(v, before & ~(uint64_t)CR0_ET));
    assert_int_equal(cr0, before);
}

static void into_and_out_of_long_mode(void **state)
{
    (void)state;
    code_attributes = 0x400;
    assert_true(hvm_write_cr0(v, cr0 & ~(uint64_t)CR0_PG));
    assert_int_equal(efer & (EFER_LME | EFER_LMA), EFER_LME);
    assert_true(flushed);
    cr4 = 0;
    assert_false(hvm_write_cr0(v, cr0 | CR0_PG)); // no PAE
    cr4 = CR4_PAE;
    code_attributes = LONG_CODE;
    assert_false(hvm_write_cr0(v, cr0 | CR0_PG));
    code_attributes = 0x400;
    assert_true(hvm_write_cr0(v, cr0 | CR0_PG));
    assert_int_equal(efer & (EFER_LME | EFER_LMA), EFER_LME | EFER_LMA);
    cr4 |= CR4_PCIDE;
    assert_false(hvm_write_cr0(v, cr0 & ~(uint64_t)CR0_PG));
    // Without LME paging is switched by any code.
    cr0 = CR0_PE | CR0_ET;
    cr4 = efer = 0;
    assert_true(hvm_write_cr0(v, cr0 | CR0_PG));
    assert_int_equal(efer, 0);
}

static void efer_bits_need_their_feature(void **state)
{
    (void)state;
    assert_false(hvm_write_efer(v, efer | EFER_SVME));
    assert_false(hvm_write_efer(v, efer | 1UL << 13)); // LMSLE
    assert_false(hvm_write_efer(v, efer ^ EFER_LME));  // paging is on
    assert_true(hvm_write_efer(v, efer ^ EFER_LMA));   // not the guest's to write
    assert_int_equal(efer, EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE);
    assert_true(hvm_write_efer(v, efer | EFER_FFXSR));
    change_feature(0x80000001, NO_SUBLEAF, 3, 20); // NX
    assert_false(hvm_write_efer(v, efer));
    assert_true(hvm_write_efer(v, efer & ~(uint64_t)EFER_NXE));
    change_feature(0x80000001, NO_SUBLEAF, 3, 29); // long mode
    cr0 = CR0_PE;
    efer = 0;
    assert_false(hvm_write_efer(v, EFER_LME));
}

// What hvm_control_valid lets pass, the write functions can leave behind, and the other way round
// nothing that they leave is refused.
static void states_are_judged_as_writes_are(void **state)
{
    (void)state;
    assert_true(hvm_control_valid(d, cr0, cr4, efer));
    assert_false(hvm_control_valid(d, cr0 | CR0_NW, cr4, efer));
    assert_false(hvm_control_valid(d, cr0, 0, efer));
    assert_false(hvm_control_valid(d, cr0, cr4 | CR4_LA57, efer));
    assert_false(hvm_control_valid(d, cr0, cr4, efer & ~(uint64_t)EFER_LMA));
    assert_false(hvm_control_valid(d, cr0, cr4, efer | EFER_SVME));
    assert_false(hvm_control_valid(d, CR0_ET, CR4_PCIDE, 0));
    assert_false(hvm_control_valid(d, CR0_ET, 0, EFER_LMA));
    assert_true(hvm_control_valid(d, CR0_ET, 0, 0));
    assert_false(hvm_control_valid(d, CR0_ET | 1u << 6, 0, 0));
}

static unsigned int execute(const char *bytes, size_t size, enum x86_mode mode)
{
    struct vmcb vmcb = {.cr0 = cr0};

    memset(code, 0x90, sizeof(code));
    memcpy(code, bytes, size);
    code_size = sizeof(code);
    exception = -1;
    v->arch.fetch.page = 0x5000;
    return svm_write_control_register(v, &vmcb, mode);
}

#define EXECUTE(bytes, mode) execute(bytes, sizeof(bytes) - 1, mode)

static void instructions_are_carried_out(void **state)
{
    (void)state;
    v->arch.gpr[0] = cr4 | CR4_TSD;
    assert_int_equal(EXECUTE("\x0f\x22\xe0", X86_MODE_64), 3); // mov %rax, %cr4
    assert_int_equal(cr4, CR4_PAE | CR4_PGE | CR4_TSD);
    v->arch.gpr[9] = cr0 | CR0_AM;
    assert_int_equal(EXECUTE("\x41\x0f\x22\xc1", X86_MODE_64), 4); // mov %r9, %cr0
    assert_int_equal(cr0, PAGING | CR0_AM);
    v->arch.gpr[3] = cr0 ^ CR0_AM;
    assert_int_equal(EXECUTE("\x0f\x22\x03", X86_MODE_64), 3); // the mod field means nothing
    assert_int_equal(cr0, PAGING);
    v->arch.gpr[0] = cr4 | 1UL << 40;
    assert_int_equal(EXECUTE("\x0f\x22\xe0", X86_MODE_64), 0);
    assert_int_equal(exception, HVM_EXCEPTION_GP);
    code_attributes = 0x400;
    assert_int_equal(EXECUTE("\x0f\x22\xe0", X86_MODE_32), 3); // has no upper half there
    assert_int_equal(exception, -1);
}

static void lmsw_is_carried_out(void **state)
{
    (void)state;
    v->arch.gpr[1] = 0xfff6; // MP and EM; PE stays, NE is beyond
    assert_int_equal(EXECUTE("\x0f\x01\xf1", X86_MODE_64), 3);
    assert_int_equal(cr0, PAGING | CR0_MP | CR0_EM);
    v->arch.gpr[3] = 0x200;
    memory_at = 0x1000 + 0x208; // DS has a base
    memory_word = CR0_PE | CR0_TS;
    assert_int_equal(EXECUTE("\x0f\x01\x73\x08", X86_MODE_32), 4);
    assert_int_equal(cr0, PAGING | CR0_TS);
    memory_at = 0;
    assert_int_equal(EXECUTE("\x0f\x01\x73\x08", X86_MODE_32), 0);
    assert_int_equal(exception, HVM_EXCEPTION_PF);
    assert_int_equal(fault_address, 0x1208);
}

static void cr8_is_carried_out(void **state)
{
    struct vlapic apic;

    (void)state;
    v->arch.vlapic = &apic;
    v->arch.gpr[2] = 9;
    assert_int_equal(EXECUTE("\x44\x0f\x22\xc2", X86_MODE_64), 4); // mov %rdx, %cr8
    assert_int_equal(task_priority, 0x90);
    v->arch.gpr[2] = 5;
    assert_int_equal(EXECUTE("\xf0\x0f\x22\xc2", X86_MODE_32), 4); // as AMD has it elsewhere
    assert_int_equal(task_priority, 0x50);
    v->arch.gpr[2] = 16;
    assert_int_equal(EXECUTE("\x44\x0f\x22\xc2", X86_MODE_64), 0);
    assert_int_equal(exception, HVM_EXCEPTION_GP);
    assert_int_equal(task_priority, 0x50);
}

static void other_instructions_are_left_alone(void **state)
{
    (void)state;
    assert_int_equal(EXECUTE("\x0f\x22\xd8", X86_MODE_64), 0);     // mov %rax, %cr3
    assert_int_equal(EXECUTE("\x44\x0f\x22\xc0", X86_MODE_64), 0); // CR8 without an APIC
    assert_int_equal(EXECUTE("\x0f\x01\xe1", X86_MODE_64), 0);     // smsw
    assert_int_equal(EXECUTE("\x90", X86_MODE_64), 0);
    code_size = 0;
    assert_int_equal(exception, -1);
    assert_int_equal(cr0, PAGING);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, new_vcpu, end_vcpu)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(cr4_bits_need_their_feature),
        TEST(reserved_cr4_bits_are_refused),
        TEST(long_mode_binds_cr4),
        TEST(translations_are_forgotten_when_they_must),
        TEST(cr0_combinations),
        TEST(into_and_out_of_long_mode),
        TEST(efer_bits_need_their_feature),
        TEST(states_are_judged_as_writes_are),
        TEST(instructions_are_carried_out),
        TEST(lmsw_is_carried_out),
        TEST(cr8_is_carried_out),
        TEST(other_instructions_are_left_alone),
    };

    return cmocka_run_group_tests(tests, start, NULL);
}
